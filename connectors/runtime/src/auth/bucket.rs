//! How fast a client may ask: a bucket of requests each, filled at a steady
//! rate.

use std::sync::{Mutex, PoisonError};

use super::bounded::Bounded;

/// Clients that are kept in mind; one that is forgotten begins with a full
/// bucket, as it would have by then.
const CLIENTS_MAX: usize = 50_000;

/// Thousandths of a request.
const REQUEST: u64 = 1_000;

struct Bucket {
    left: u64,
    at_ms: u64,
}

/// Everybody's buckets.
pub struct Buckets {
    per_s: u64,
    burst: u64,
    buckets: Mutex<Bounded<String, Bucket>>,
}

impl Buckets {
    /// So many requests a second, and so many at once. A rate of zero is none.
    pub fn new(requests_per_s: u32, burst: u32) -> Self {
        Buckets {
            per_s: requests_per_s.into(),
            burst: u64::from(burst.max(1)) * REQUEST,
            buckets: Mutex::new(Bounded::new(CLIENTS_MAX)),
        }
    }

    /// Takes one request; else the seconds after which there is one.
    pub fn take(&self, client: &str, now_ms: u64) -> Result<(), u64> {
        if self.per_s == 0 {
            return Ok(());
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || Bucket { left: self.burst, at_ms: now_ms };
        let bucket = buckets.entry(client.to_owned(), now_ms, full);
        // Requests a second are thousandths of a request a millisecond.
        let filled = now_ms.saturating_sub(bucket.at_ms).saturating_mul(self.per_s);
        bucket.left = bucket.left.saturating_add(filled).min(self.burst);
        bucket.at_ms = bucket.at_ms.max(now_ms);
        match bucket.left.checked_sub(REQUEST) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err((REQUEST - bucket.left).div_ceil(self.per_s).div_ceil(1_000).max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let buckets = Buckets::new(10, 3);
        assert!((0..3).all(|_| buckets.take("a", 1_000).is_ok()));
        assert_eq!(buckets.take("a", 1_000), Err(1));
        assert!(buckets.take("b", 1_000).is_ok(), "another's bucket is its own");
        assert_eq!(buckets.take("a", 1_099), Err(1));
        assert!(buckets.take("a", 1_100).is_ok());
        assert!(buckets.take("a", 500).is_err(), "a clock that goes back fills nothing");
        assert!((0..1_000).all(|_| Buckets::new(0, 1).take("a", 0).is_ok()));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(
            per_s in 1u32..50, burst in 1u32..20, waits in prop::collection::vec(0u64..400, 1..200),
        ) {
            let buckets = Buckets::new(per_s, burst);
            let (mut now_ms, mut taken) = (0, 0u64);
            for wait in waits {
                now_ms += wait;
                taken += u64::from(buckets.take("a", now_ms).is_ok());
                prop_assert!(taken <= u64::from(burst) + now_ms * u64::from(per_s) / 1_000);
            }
        }
    }
}
