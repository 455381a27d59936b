//! The clock and the ids of a real server; tests have their own.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use podmail_domain::{Clock, IdSource, Timestamp};
use uuid::Uuid;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let micros = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            // A clock before 1970 is broken, but no reason to panic.
            Err(_) => 0,
        };
        Timestamp::from_micros(micros)
    }
}

/// Ids and randomness from the operating system's generator.
///
/// UUIDs are of version 7 (RFC 9562 §5.7) and strictly increase within this value, also when the clock
/// stands still or goes back: the 74 bits below the milliseconds then count on by a random step (§6.2,
/// method 2), so that ids stay hard to guess.
#[derive(Debug, Default)]
pub struct SystemIds {
    last: Mutex<Last>,
}

/// The most recent id: milliseconds (48 bits) and what follows them (74 bits).
#[derive(Debug, Default)]
struct Last {
    millis: u64,
    tail: u128,
}

const MILLIS_MAX: u64 = (1 << 48) - 1;
const TAIL_BITS: u32 = 74;
const TAIL_MAX: u128 = (1 << TAIL_BITS) - 1;

impl SystemIds {
    /// A source whose ids begin now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl IdSource for SystemIds {
    fn uuid7(&self, now: Timestamp) -> Uuid {
        let mut random = [0; 16];
        self.fill(&mut random);
        let random = u128::from_le_bytes(random);
        let millis = u64::try_from(now.micros() / 1_000).unwrap_or(0).min(MILLIS_MAX);

        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if millis > last.millis {
            // The top bit stays clear: room to count on within the millisecond.
            *last = Last { millis, tail: random & (TAIL_MAX >> 1) };
        } else {
            let step = 1 + (random & u128::from(u32::MAX));
            if last.tail + step > TAIL_MAX {
                *last = Last { millis: last.millis + 1, tail: random & (TAIL_MAX >> 1) };
            } else {
                last.tail += step;
            }
        }
        compose(&last)
    }

    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system's random generator works");
    }
}

/// RFC 9562 §5.7: 48 bits of milliseconds, version, 12 bits, variant, 62 bits.
fn compose(last: &Last) -> Uuid {
    let high = last.tail >> 62;
    let low = last.tail & ((1 << 62) - 1);
    Uuid::from_u128((u128::from(last.millis) << 80) | (0x7 << 76) | (high << 64) | (0b10 << 62) | low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_strictly_increase_whatever_the_clock_does() {
        let ids = SystemIds::new();
        let mut last = Uuid::nil();
        for micros in [1_000_000, 1_000_000, 999_000, 0, -5, 1_000_001, 2_000_000, 1_500_000].repeat(1_000) {
            let id = ids.uuid7(Timestamp::from_micros(micros));
            assert!(id > last, "{id} after {last}");
            assert_eq!(id.get_version_num(), 7);
            assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
            last = id;
        }
    }

    #[test]
    fn an_id_carries_its_milliseconds() {
        let id = SystemIds::new().uuid7(Timestamp::from_micros(0x0123_4567_89ab * 1_000 + 999));
        assert_eq!(id.as_u128() >> 80, 0x0123_4567_89ab);
    }

    #[test]
    fn a_full_millisecond_continues_in_the_next() {
        let ids = SystemIds { last: Mutex::new(Last { millis: 5, tail: TAIL_MAX }) };
        let id = ids.uuid7(Timestamp::from_micros(5_000));
        assert_eq!(id.as_u128() >> 80, 6);
    }

    #[test]
    fn randomness_differs() {
        let ids = SystemIds::new();
        let (mut one, mut two) = ([0; 32], [0; 32]);
        ids.fill(&mut one);
        ids.fill(&mut two);
        assert_ne!(one, two);
    }

    #[test]
    fn the_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > Timestamp::from_seconds(1_700_000_000));
    }
}
