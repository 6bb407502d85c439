//! Sums over stretches of time that follow each other: an amount comes in with
//! its time, the sum of a stretch goes out when the next begins.
//!
//! A stretch is `[k × window_ms, (k + 1) × window_ms)` since the epoch: with
//! 86,400,000 a day in UTC. An amount that comes late counts in the stretch that
//! is open. A stretch in which nothing was added is not reported.
//!
//! Guaranteed: every amount is in exactly one sum. Memory: two numbers.

use serde::{Deserialize, Serialize};

/// The rule. What it remembers is a [`Sum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    /// How long a stretch is; 0 is taken for 1.
    pub window_ms: u64,
}

/// A stretch of time, open or closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sum {
    /// When it began.
    pub since_ms: u64,
    /// What was added in it.
    pub sum: u64,
}

impl Tumbling {
    /// Adds to the stretch of `now_ms`; gives the one before, if this opened
    /// another.
    pub fn add(self, open: &mut Sum, now_ms: u64, amount: u64) -> Option<Sum> {
        let closed = self.close(open, now_ms);
        open.sum = open.sum.saturating_add(amount);
        closed
    }

    /// Time has passed: gives the stretch that was open, if it is over.
    pub fn close(self, open: &mut Sum, now_ms: u64) -> Option<Sum> {
        let since_ms = self.start(now_ms);
        if since_ms <= open.since_ms {
            return None;
        }
        Some(std::mem::replace(open, Sum { since_ms, sum: 0 })).filter(|closed| closed.sum > 0)
    }

    /// From when on [`Self::close`] gives what is open.
    pub fn expires_at(self, open: &Sum) -> Option<u64> {
        (open.sum > 0).then(|| self.start(open.since_ms).saturating_add(self.window_ms.max(1)))
    }

    fn start(self, now_ms: u64) -> u64 {
        now_ms - now_ms % self.window_ms.max(1)
    }
}
