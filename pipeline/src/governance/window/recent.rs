//! What was seen lately, with the values: a value comes in with its time, those
//! that are still in the window can be looked at.
//!
//! Memory: the newest `items_max`; of more than that in one window the oldest
//! are forgotten early. Written as a list of `[gap, value]`.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The rule. What it remembers is [`Lately`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// How long a value counts.
    pub window_ms: u64,
    /// How many are remembered at most.
    pub items_max: usize,
}

/// Values and when they came, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lately<T>(VecDeque<(u64, T)>);

impl<T> Default for Lately<T> {
    fn default() -> Self {
        Lately(VecDeque::new())
    }
}

impl<T> Lately<T> {
    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The newest and its time.
    pub fn last(&self) -> Option<(u64, &T)> {
        self.0.back().map(|(time, value)| (*time, value))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn clock(&self, now_ms: u64) -> u64 {
        self.last().map_or(now_ms, |(last, _)| last.max(now_ms))
    }
}

impl Recent {
    /// Remembers a value.
    pub fn add<T>(self, lately: &mut Lately<T>, now_ms: u64, value: T) {
        let clock = lately.clock(now_ms);
        lately.0.push_back((clock, value));
        while lately.len() > self.items_max
            || lately.0.front().is_some_and(|(oldest, _)| clock - oldest >= self.window_ms)
        {
            lately.0.pop_front();
        }
    }

    /// What is in the window that ends at `now_ms`, oldest first, each with the
    /// milliseconds until it leaves.
    pub fn held<T>(self, lately: &Lately<T>, now_ms: u64) -> impl DoubleEndedIterator<Item = (u64, &T)> {
        let clock = lately.clock(now_ms);
        let begin = lately.0.partition_point(|(time, _)| clock - time >= self.window_ms);
        lately.0.range(begin..).map(move |(time, value)| (self.window_ms - (clock - time), value))
    }

    /// From when on the state says nothing any more.
    pub fn expires_at<T>(self, lately: &Lately<T>) -> Option<u64> {
        Some(lately.last()?.0.saturating_add(self.window_ms))
    }
}

impl<T: Serialize> Serialize for Lately<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut before = 0;
        let gaps = self.0.iter().map(|(time, value)| (time - std::mem::replace(&mut before, *time), value));
        serializer.collect_seq(gaps)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lately<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut items = VecDeque::<(u64, T)>::deserialize(deserializer)?;
        let mut clock = 0_u64;
        for (gap, _) in &mut items {
            clock = clock.saturating_add(*gap);
            *gap = clock;
        }
        Ok(Lately(items))
    }
}
