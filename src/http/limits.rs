//! How many requests a caller may make in a minute: an API key, a session, a platform's key, and
//! for everybody else the address of the peer, an IPv6 one by its /64. No header of the client
//! chooses the bucket. A caller is told where it stands (`RateLimit`, `RateLimit-Policy`: the
//! structured fields of the IETF's draft). What is remembered is bounded: see [`MOST_BUCKETS`].

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use crate::base::{Error, Result};

/// Where the caller stands.
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What it is held to.
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The window of every policy, seconds.
const WINDOW: u32 = 60;
/// Buckets of one policy. Those that are full again are forgotten first; if as many are in use at
/// once, all start anew: who comes from so many places is not held back by counting places.
const MOST_BUCKETS: usize = 100_000;
/// How many requests pass between two looks at the number of buckets.
const LOOK_EVERY: u32 = 1_024;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Bucket {
    /// A peer without a valid credential.
    Address(IpAddr),
    /// A session or an API key.
    Credential(Uuid),
}

/// What kind of caller it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Session,
    ApiKey,
    PlatformKey,
}

/// Requests in a minute, by kind of caller.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// For each address without a valid credential.
    pub address: NonZeroU32,
    /// For each session.
    pub session: NonZeroU32,
    /// For each API key.
    pub api_key: NonZeroU32,
    /// For each platform's key.
    pub platform_key: NonZeroU32,
}

impl Rates {
    /// So many for everybody.
    #[must_use]
    pub const fn all(rate: NonZeroU32) -> Self {
        Self { address: rate, session: rate, api_key: rate, platform_key: rate }
    }
}

/// The limits of this process.
#[derive(Debug)]
pub struct Limits {
    policies: [Policy; 4],
}

type Buckets = RateLimiter<Bucket, DefaultKeyedStateStore<Bucket>, DefaultClock, StateInformationMiddleware>;

#[derive(Debug)]
struct Policy {
    name: &'static str,
    rate: NonZeroU32,
    quota: Quota,
    buckets: RwLock<Arc<Buckets>>,
    passed: AtomicU32,
}

/// Where a caller stands after a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    policy: &'static str,
    rate: u32,
    left: u32,
    /// Seconds until the whole quota is there again.
    reset: u64,
}

impl Limits {
    /// These rates, each caller with its whole quota.
    #[must_use]
    pub fn new(rates: Rates) -> Self {
        let policy = |name, rate| {
            let quota = Quota::per_minute(rate);
            Policy { name, rate, quota, buckets: RwLock::new(fresh(quota)), passed: AtomicU32::new(0) }
        };
        let Rates { address, session, api_key, platform_key } = rates;
        Self {
            policies: [
                policy("address", address),
                policy("session", session),
                policy("api-key", api_key),
                policy("platform-key", platform_key),
            ],
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// [`Error::TooMany`] with the seconds until the next is free, beside where the caller stands.
    pub(super) fn count(&self, kind: Kind, bucket: Bucket) -> (Standing, Result<()>) {
        let policy = &self.policies[kind as usize];
        policy.look();
        let buckets = Arc::clone(&policy.buckets.read().unwrap_or_else(PoisonError::into_inner));
        match buckets.check_key(&bucket) {
            Ok(state) => (policy.standing(state.remaining_burst_capacity()), Ok(())),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                (policy.standing(0), Err(Error::TooMany(wait.as_secs().saturating_add(1))))
            }
        }
    }
}

fn fresh(quota: Quota) -> Arc<Buckets> {
    Arc::new(RateLimiter::keyed(quota).with_middleware())
}

impl Policy {
    fn standing(&self, left: u32) -> Standing {
        let rate = self.rate.get();
        let used = u64::from(rate.saturating_sub(left));
        Standing { policy: self.name, rate, left, reset: (used * u64::from(WINDOW)).div_ceil(u64::from(rate)) }
    }

    /// Forgets what need not be remembered, once in a while.
    fn look(&self) {
        if !self.passed.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            return;
        }
        let buckets = Arc::clone(&self.buckets.read().unwrap_or_else(PoisonError::into_inner));
        if buckets.len() < MOST_BUCKETS {
            return;
        }
        buckets.retain_recent();
        buckets.shrink_to_fit();
        if buckets.len() >= MOST_BUCKETS {
            *self.buckets.write().unwrap_or_else(PoisonError::into_inner) = fresh(self.quota);
        }
    }
}

impl Standing {
    /// Tells the caller.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let Self { policy, rate, left, reset } = self;
        for (name, text) in
            [(RATE_LIMIT_POLICY, format!("\"{policy}\";q={rate};w={WINDOW}")), (RATE_LIMIT, format!("\"{policy}\";r={left};t={reset}"))]
        {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: u32) -> Limits {
        Limits::new(Rates::all(NonZeroU32::new(rate).unwrap()))
    }
    fn of(number: u128) -> Bucket {
        Bucket::Credential(Uuid::from_u128(number))
    }

    #[test]
    fn a_caller_has_its_quota_and_no_neighbours() {
        let limits = limits(3);
        for left in [2, 1, 0] {
            let (standing, outcome) = limits.count(Kind::Session, of(1));
            assert!(outcome.is_ok());
            assert_eq!((standing.left, standing.rate), (left, 3));
        }
        let (standing, outcome) = limits.count(Kind::Session, of(1));
        let Err(Error::TooMany(seconds)) = outcome else { panic!("the fourth of three passes") };
        assert!((1..=21).contains(&seconds), "{seconds}");
        assert_eq!((standing.left, standing.reset), (0, 60));
        // Controls: another caller, and the same number as another kind of caller, are not held back.
        assert!(limits.count(Kind::Session, of(2)).1.is_ok());
        assert!(limits.count(Kind::ApiKey, of(1)).1.is_ok());
    }

    #[test]
    fn the_headers_are_structured_fields() {
        let mut headers = HeaderMap::new();
        limits(120).count(Kind::PlatformKey, of(1)).0.tell(&mut headers);
        assert_eq!(headers[RATE_LIMIT_POLICY], "\"platform-key\";q=120;w=60");
        assert_eq!(headers[RATE_LIMIT], "\"platform-key\";r=119;t=1");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let limits = limits(1_000);
        for number in 0..(MOST_BUCKETS as u128 * 2) {
            assert!(limits.count(Kind::Address, of(number)).1.is_ok());
        }
        let held = limits.policies[0].buckets.read().unwrap().len();
        assert!(held <= MOST_BUCKETS + LOOK_EVERY as usize, "{held}");
    }
}
