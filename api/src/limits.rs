//! How often one caller may ask: of user-bound tokens, of addresses without a token, and, where configured, of
//! trusted tokens. Per process: with several, a caller may have that many times as much.

use crate::problem::{Problem, kinds};
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use orchestrator::ids::Uuid;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
};
use workflows::access::Principal;

/// After how many checks those who have not asked for a while are forgotten.
const CHECKS_PER_CLEANING: u32 = 4096;

/// The `[limits]` section of the configuration. 0: no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Requests per minute of a user-bound token.
    pub user_per_minute: u32,
    /// Requests per minute of an address without a token.
    pub address_per_minute: u32,
    /// Requests per minute of a trusted token.
    pub trusted_per_minute: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self { user_per_minute: 300, address_per_minute: 600, trusted_per_minute: 0 }
    }
}

/// Who has asked how often.
#[derive(Debug)]
pub(crate) struct Limits {
    users: Limit<Uuid>,
    addresses: Limit<IpAddr>,
    trusted: Limit<Uuid>,
}

impl Limits {
    /// With nobody known yet.
    #[must_use]
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        Self {
            users: Limit::per_minute(settings.user_per_minute),
            addresses: Limit::per_minute(settings.address_per_minute),
            trusted: Limit::per_minute(settings.trusted_per_minute),
        }
    }

    /// Counts a request of this token.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn count(&self, principal: &Principal) -> Result<(), Problem> {
        match principal.user {
            Some(_) => self.users.count(&principal.token_id),
            None => self.trusted.count(&principal.token_id),
        }
    }

    /// Counts a request without a valid token, or with a wrong signature.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn count_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.addresses.count(&network(address))
    }
}

/// One household: an IPv4 address, or the 64 bits of IPv6 that one line gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

struct Limit<K: Clone + Hash + Eq> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    checks: AtomicU32,
    clock: DefaultClock,
}

impl<K: Clone + Hash + Eq> Limit<K> {
    fn per_minute(requests: u32) -> Self {
        let limiter = NonZeroU32::new(requests).map(|requests| RateLimiter::keyed(Quota::per_minute(requests)));
        Self { limiter, checks: AtomicU32::new(0), clock: DefaultClock::default() }
    }

    fn count(&self, key: &K) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKS_PER_CLEANING) {
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|not_until| {
            let secs = not_until.wait_time_from(self.clock.now()).as_secs() + 1;
            Problem::new(&kinds::RATE_LIMITED, format!("Wait {secs} s before the next request.")).retry_after(secs)
        })
    }
}

impl<K: Clone + Hash + Eq> fmt::Debug for Limit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("limited", &self.limiter.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflows::access::Role;

    fn principal(user: Option<&str>, token: u128) -> Principal {
        Principal { token_id: Uuid::from_u128(token), name: "t".into(), role: Role::Client, user: user.map(Into::into) }
    }

    #[test]
    fn each_caller_has_a_budget_of_their_own() {
        let limits = Limits::new(&LimitSettings { user_per_minute: 3, address_per_minute: 1, trusted_per_minute: 0 });
        let (anna, ben) = (principal(Some("anna"), 1), principal(Some("ben"), 2));
        for _ in 0..3 {
            limits.count(&anna).unwrap();
        }
        assert_eq!(limits.count(&anna).unwrap_err().kind(), &kinds::RATE_LIMITED);
        limits.count(&ben).unwrap();
        for _ in 0..1000 {
            limits.count(&principal(None, 3)).unwrap();
        }
    }

    #[test]
    fn an_address_without_a_token_is_limited() {
        let limits = Limits::new(&LimitSettings { address_per_minute: 1, ..LimitSettings::default() });
        limits.count_address("192.0.2.1".parse().unwrap()).unwrap();
        limits.count_address("192.0.2.2".parse().unwrap()).unwrap();
        limits.count_address("192.0.2.1".parse().unwrap()).unwrap_err();
        limits.count_address("::ffff:192.0.2.1".parse().unwrap()).unwrap_err();
        limits.count_address("2001:db8::1".parse().unwrap()).unwrap();
        limits.count_address("2001:db8::2".parse().unwrap()).unwrap_err();
    }

    #[test]
    fn a_refusal_says_how_long_to_wait() {
        use axum::response::IntoResponse;
        let limits = Limits::new(&LimitSettings { address_per_minute: 1, ..LimitSettings::default() });
        let address = "192.0.2.1".parse().unwrap();
        limits.count_address(address).unwrap();
        let response = limits.count_address(address).unwrap_err().into_response();
        let secs: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&secs), "{secs}");
    }
}
