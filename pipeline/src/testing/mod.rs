//! What tests run on instead of the world: a log in memory that can fail and
//! crash when told to, and a clock that stands still until it is moved.

mod memory_log;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::ports::Clock;

pub use memory_log::MemoryLog;

/// A clock that a test sets.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn at(now_ms: u64) -> Self {
        ManualClock(AtomicU64::new(now_ms))
    }

    /// Shows another time, earlier ones too.
    pub fn set(&self, now_ms: u64) {
        self.0.store(now_ms, SeqCst);
    }

    /// Moves on.
    pub fn advance(&self, by_ms: u64) {
        self.0.fetch_add(by_ms, SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }
}
