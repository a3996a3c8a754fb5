//! How often a token, or an address with a ticket, may ask: a bucket of requests each, refilled by the second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::problem::{Problem, ProblemKind};

/// Buckets that are kept. Full ones are forgotten at the bound: they are as new ones are.
pub const MAX_BUCKETS: usize = 4_096;
/// Parts of a request that a bucket counts in.
const UNIT: u64 = 1_000_000;

/// The buckets of all tokens, or of all addresses.
#[derive(Debug)]
pub struct Limiter {
    start: Instant,
    buckets: Mutex<Buckets>,
}

/// The buckets, told what time it is.
#[derive(Debug)]
struct Buckets {
    requests_per_s: u64,
    full: u64,
    by_token: HashMap<u64, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u64,
    at: Duration,
}

impl Limiter {
    /// Lets a token make `burst` requests at once and `requests_per_s` in the long run.
    #[must_use]
    pub fn new(requests_per_s: u32, burst: u32) -> Limiter {
        Limiter {
            start: Instant::now(),
            buckets: Mutex::new(Buckets {
                requests_per_s: requests_per_s.into(),
                full: u64::from(burst) * UNIT,
                by_token: HashMap::new(),
            }),
        }
    }

    /// Takes a request out of a token's bucket.
    ///
    /// # Errors
    /// [`ProblemKind::RateLimited`] where it is empty.
    pub fn admit(&self, token: u64) -> Result<(), Problem> {
        let now = self.start.elapsed();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(now, token).map_err(|wait| Problem {
            limit: Some(buckets.requests_per_s),
            retry_after_s: Some(wait.as_secs_f64().ceil().max(1.0) as u64),
            ..Problem::new(
                ProblemKind::RateLimited,
                "more requests a second were made with this token, or with tickets from this address, \
                than may be; `limit` is their number",
            )
        })
    }

    /// Takes a request out of the bucket of an address that shows a ticket: until it is redeemed, nobody
    /// knows whose it is.
    ///
    /// # Errors
    /// [`ProblemKind::RateLimited`] where it is empty.
    pub fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        self.admit(address_key(address))
    }
}

/// The bucket of an address. One host has a whole /64 of IPv6, so those share one.
fn address_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

impl Buckets {
    /// Takes one request, or says how long to wait for it. Two requests may come here in another order than
    /// they looked at the clock: a bucket never goes back in time.
    fn take(&mut self, now: Duration, token: u64) -> Result<(), Duration> {
        if self.by_token.len() >= MAX_BUCKETS && !self.by_token.contains_key(&token) {
            let (full, rate) = (self.full, self.requests_per_s);
            self.by_token
                .retain(|_, b| b.level_at(now, rate, full) < full);
            if self.by_token.len() >= MAX_BUCKETS {
                return Err(Duration::from_secs(1));
            }
        }
        let full = self.full;
        let bucket = self.by_token.entry(token).or_insert(Bucket {
            level: full,
            at: now,
        });
        let level = bucket.level_at(now, self.requests_per_s, full);
        *bucket = Bucket {
            level,
            at: bucket.at.max(now),
        };
        if level >= UNIT {
            bucket.level -= UNIT;
            return Ok(());
        }
        Err(Duration::from_micros(
            (UNIT - level).div_ceil(self.requests_per_s),
        ))
    }
}

impl Bucket {
    fn level_at(&self, now: Duration, requests_per_s: u64, full: u64) -> u64 {
        let us = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        self.level
            .saturating_add(us.saturating_mul(requests_per_s))
            .min(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets() -> Buckets {
        Buckets {
            requests_per_s: 10,
            full: 3 * UNIT,
            by_token: HashMap::new(),
        }
    }

    #[test]
    fn a_burst_is_taken_at_once_and_the_rest_as_it_is_refilled() {
        let mut b = buckets();
        let at = Duration::from_millis;
        for _ in 0..3 {
            assert_eq!(b.take(at(0), 1), Ok(()));
        }
        assert_eq!(b.take(at(0), 1), Err(at(100)));
        assert_eq!(b.take(at(40), 1), Err(at(60)));
        assert_eq!(b.take(at(0), 2), Ok(()), "another token has its own");
        assert_eq!(b.take(at(100), 1), Ok(()));
        assert!(b.take(at(100), 1).is_err());
        let hours = Duration::from_secs(7_200);
        for _ in 0..3 {
            assert_eq!(b.take(hours, 1), Ok(()), "no more than a burst is saved");
        }
        assert!(b.take(hours, 1).is_err());
    }

    #[test]
    fn an_address_shares_its_bucket_with_those_that_one_host_may_take() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_ne!(key("10.0.0.1"), key("10.0.0.2"));
        assert_eq!(key("10.0.0.1"), key("::ffff:10.0.0.1"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:0:0:2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
    }

    #[test]
    fn a_request_that_looked_at_the_clock_before_another_is_no_gift() {
        let mut b = buckets();
        let at = Duration::from_millis;
        for now in [at(50), at(40), at(50)] {
            assert_eq!(b.take(now, 1), Ok(()));
        }
        assert_eq!(b.take(at(40), 1), Err(at(100)));
        assert_eq!(b.take(at(50), 1), Err(at(100)));
    }

    #[test]
    fn full_buckets_are_forgotten_at_the_bound_and_others_are_not() {
        let mut b = buckets();
        let bound = MAX_BUCKETS as u64;
        for token in 0..bound {
            assert_eq!(b.take(Duration::ZERO, token), Ok(()));
        }
        assert!(b.take(Duration::ZERO, bound).is_err());
        assert_eq!(b.take(Duration::from_secs(1), bound), Ok(()));
        assert_eq!(b.by_token.len(), 1);
    }
}
