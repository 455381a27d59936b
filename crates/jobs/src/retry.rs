//! When to try again: delays from a number of failures, as pure functions.
//!
//! Jitter only ever lengthens a delay, so a stated delay is also the earliest moment of the next attempt.
//! The random fraction is the caller's, in `0.0..=1.0`.

use std::time::Duration;

/// The longest delay that either type gives, jitter included: 30 days.
const DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What follows the last delay of a [`RetrySchedule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLast {
    /// The last delay again and again; something else (an expiry) ends the work.
    Repeat,
    /// No further attempt.
    GiveUp,
}

/// A written list of delays, such as `5s,5m,30m`, each counted from the failure before.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrySchedule {
    delays: Vec<Duration>,
    after_last: AfterLast,
    jitter: f64,
}

impl RetrySchedule {
    /// A schedule without jitter. An empty list never retries, whatever `after_last` says.
    #[must_use]
    pub fn new(delays: Vec<Duration>, after_last: AfterLast) -> Self {
        Self { delays, after_last, jitter: 0.0 }
    }

    /// Lengthens each delay by up to this fraction of itself (`0.1`: up to a tenth); clamped to `0.0..=1.0`.
    #[must_use]
    pub fn with_jitter(mut self, fraction: f64) -> Self {
        self.jitter = unit(fraction);
        self
    }

    /// The delay before the next attempt once `failures` attempts have failed (1 after the first), or
    /// `None` when there is no next one. `random` in `0.0..=1.0` places the attempt within the jitter.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Option<Duration> {
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = match (self.delays.get(index), self.after_last) {
            (Some(delay), _) => delay,
            (None, AfterLast::Repeat) => self.delays.last()?,
            (None, AfterLast::GiveUp) => return None,
        };
        Some(lengthen(*delay, self.jitter, random))
    }
}

/// Delays that double from `first` up to `max`: for reconnecting and for looking again, without an end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    jitter: f64,
}

impl Backoff {
    /// Doubles from `first`; never exceeds `max` before jitter. A `max` below `first` is raised to it.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max: max.max(first), jitter: 0.0 }
    }

    /// As [`RetrySchedule::with_jitter`].
    #[must_use]
    pub fn with_jitter(mut self, fraction: f64) -> Self {
        self.jitter = unit(fraction);
        self
    }

    /// The delay after `failures` failures in a row (1 after the first; 0 counts as 1).
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let delay = self.first.saturating_mul(1 << doublings).min(self.max);
        lengthen(delay, self.jitter, random)
    }
}

fn unit(fraction: f64) -> f64 {
    if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) }
}

fn lengthen(delay: Duration, jitter: f64, random: f64) -> Duration {
    // Bounded first: `mul_f64` panics where the product does not fit a duration.
    let delay = delay.min(DELAY_MAX);
    delay.mul_f64(1.0 + jitter * unit(random)).min(DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_schedule_gives_each_delay_once_and_then_ends_or_repeats() {
        let delays = vec![seconds(5), seconds(300)];
        for (after_last, failures, want) in [
            (AfterLast::GiveUp, 0, Some(5)),
            (AfterLast::GiveUp, 1, Some(5)),
            (AfterLast::GiveUp, 2, Some(300)),
            (AfterLast::GiveUp, 3, None),
            (AfterLast::GiveUp, u32::MAX, None),
            (AfterLast::Repeat, 2, Some(300)),
            (AfterLast::Repeat, 3, Some(300)),
            (AfterLast::Repeat, u32::MAX, Some(300)),
        ] {
            let schedule = RetrySchedule::new(delays.clone(), after_last);
            assert_eq!(
                schedule.delay(failures, 0.5),
                want.map(seconds),
                "{after_last:?}, {failures} failures"
            );
        }
    }

    #[test]
    fn an_empty_schedule_never_retries() {
        for after_last in [AfterLast::Repeat, AfterLast::GiveUp] {
            assert_eq!(RetrySchedule::new(vec![], after_last).delay(1, 0.0), None, "{after_last:?}");
        }
    }

    #[test]
    fn jitter_only_lengthens_a_delay() {
        let schedule = RetrySchedule::new(vec![seconds(100)], AfterLast::Repeat).with_jitter(0.2);
        for (random, want) in [
            (0.0, 100),
            (0.5, 110),
            (1.0, 120),
            (7.0, 120),
            (-1.0, 100),
            (f64::NAN, 100),
            (f64::INFINITY, 120),
        ] {
            assert_eq!(schedule.delay(1, random), Some(seconds(want)), "random {random}");
        }
    }

    #[test]
    fn a_backoff_doubles_up_to_its_maximum() {
        let backoff = Backoff::new(seconds(1), seconds(60));
        for (failures, want) in [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (100, 60), (u32::MAX, 60)]
        {
            assert_eq!(backoff.delay(failures, 0.0), seconds(want), "{failures} failures");
        }
    }

    #[test]
    fn no_delay_is_longer_than_thirty_days() {
        let forever = RetrySchedule::new(vec![Duration::MAX], AfterLast::Repeat).with_jitter(1.0);
        assert_eq!(forever.delay(1, 1.0), Some(DELAY_MAX));
        assert_eq!(Backoff::new(Duration::MAX, Duration::MAX).delay(9, 1.0), DELAY_MAX);
    }
}
