//! Times in the order in which they were counted, written as the first and the
//! gaps between them: ten times a minute take about 70 bytes of JSON, a hundred
//! an hour about 600.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since the epoch, oldest first, never falling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times(pub(super) VecDeque<u64>);

impl Times {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest.
    pub fn last(&self) -> Option<u64> {
        self.0.back().copied()
    }

    /// The time that `now_ms` is taken for: the clock never goes back.
    pub(super) fn clock(&self, now_ms: u64) -> u64 {
        self.last().map_or(now_ms, |last| last.max(now_ms))
    }

    /// Lets go what no longer counts at `now_ms`.
    pub(super) fn forget(&mut self, now_ms: u64, window_ms: u64) {
        while self.0.front().is_some_and(|oldest| now_ms - oldest >= window_ms) {
            self.0.pop_front();
        }
    }
}

impl Serialize for Times {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        serializer.collect_seq(self.0.iter().map(|time| time - std::mem::replace(&mut before, *time)))
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let gaps = VecDeque::<u64>::deserialize(deserializer)?;
        let mut clock = 0_u64;
        let add = |gap| {
            clock = clock.saturating_add(gap);
            clock
        };
        Ok(Times(gaps.into_iter().map(add).collect()))
    }
}
