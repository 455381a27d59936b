//! Time and ids under the control of a test.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use podmail_domain::{Clock, IdSource, Timestamp};
use uuid::Uuid;

/// A clock that moves only when told to. Starts at 2026-03-01T09:00:00Z.
#[derive(Debug)]
pub struct FakeClock(AtomicI64);

impl Default for FakeClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_772_355_600_000_000))
    }
}

impl FakeClock {
    /// Moves time forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Ids that count, and "randomness" that is the same in every run.
#[derive(Debug, Default)]
pub struct TestIds(AtomicU64);

impl IdSource for TestIds {
    fn uuid7(&self, now: Timestamp) -> Uuid {
        let millis = u128::try_from(now.micros() / 1000).unwrap_or(0) & ((1 << 48) - 1);
        let count = u128::from(self.0.fetch_add(1, Ordering::SeqCst));
        // Version 7, variant 10 (RFC 9562 §5.7), the count in the lowest bits.
        Uuid::from_u128((millis << 80) | (7 << 76) | (2 << 62) | count)
    }

    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.fetch_add(1, Ordering::SeqCst).wrapping_add(0x9E37_79B9_7F4A_7C15);
        for byte in bytes {
            // SplitMix64: well spread, and the same everywhere.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (z >> 56).try_into().unwrap_or(0);
        }
    }
}
