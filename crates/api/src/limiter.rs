//! The request limit: so many per second for each organization, twice that in a burst. Counting by key would be evaded
//! by making keys.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use podmail_domain::{OrganizationId, Timestamp};

/// Requests between two removals of organizations that are idle.
const CLEAN_EVERY: u32 = 10_000;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

type Keyed = RateLimiter<
    OrganizationId,
    DefaultKeyedStateStore<OrganizationId>,
    DefaultClock,
    StateInformationMiddleware,
>;

pub(crate) struct Limiter {
    rate: u32,
    burst: u32,
    clock: DefaultClock,
    state: Keyed,
    checks: AtomicU32,
}

/// What one request got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    limit: u32,
    remaining: u32,
    /// Seconds until the burst is whole again.
    reset_seconds: u32,
    /// Seconds to wait, when the request is over the limit.
    pub(crate) refused: Option<u64>,
}

impl Limiter {
    /// `None` when the limit is off.
    pub(crate) fn new(per_second: u32) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        let state = RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)).with_middleware();
        Some(Self {
            rate: rate.get(),
            burst: burst.get(),
            clock: DefaultClock::default(),
            state,
            checks: AtomicU32::new(0),
        })
    }

    pub(crate) fn check(&self, organization: OrganizationId) -> Allowance {
        if self.checks.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            self.state.retain_recent();
        }
        let (remaining, refused) = match self.state.check_key(&organization) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                (0, Some(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)))
            }
        };
        let reset_seconds = self.burst.saturating_sub(remaining).div_ceil(self.rate).max(1);
        Allowance { limit: self.burst, remaining, reset_seconds, refused }
    }
}

impl Allowance {
    pub(crate) fn write(&self, headers: &mut HeaderMap, now: Timestamp) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(now.seconds().saturating_add(i64::from(self.reset_seconds))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podmail_domain::OrganizationId;

    #[test]
    fn a_burst_is_twice_the_rate_and_organizations_are_counted_apart() {
        let limiter = Limiter::new(1).unwrap();
        let one = OrganizationId::parse("0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71").unwrap();
        let two = OrganizationId::parse("0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b72").unwrap();
        let first = limiter.check(one);
        assert_eq!((first.limit, first.remaining, first.refused), (2, 1, None));
        assert_eq!(limiter.check(one).refused, None);
        let third = limiter.check(one);
        assert_eq!((third.remaining, third.refused), (0, Some(1)));
        assert_eq!(limiter.check(two).refused, None);
        let mut headers = HeaderMap::new();
        third.write(&mut headers, Timestamp::from_seconds(1000));
        assert_eq!(headers["x-ratelimit-limit"], "2");
        assert_eq!(headers["x-ratelimit-remaining"], "0");
        assert_eq!(headers["x-ratelimit-reset"], "1002");
        assert!(Limiter::new(0).is_none());
    }
}
