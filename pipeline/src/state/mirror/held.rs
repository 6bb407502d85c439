//! Events that may be what the mirror itself wrote, or answer to it: they wait
//! until its result tells. StoredEntry in `pipeline.state` (kind `held`), bounded in
//! number and time.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use udfs::hash::{from_hex, hex};

use crate::{event::StandardEvent, state::StoredEntry, turn::Turn};

/// The kind of state entry.
pub const KIND: &str = "held";

/// See the module.
#[derive(Default)]
pub struct Held {
    events: BTreeMap<u64, Holding>,
    by_cause: HashMap<u128, BTreeSet<u64>>,
    /// By when they were first held, which a second time does not change.
    by_time: BTreeSet<(u64, u64)>,
    next: u64,
}

#[derive(Serialize, Deserialize)]
struct Holding {
    since_ms: u64,
    number: u64,
    cause: String,
    event: StandardEvent,
}

impl Held {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Holds an event until its cause is released.
    pub fn hold(&mut self, event: StandardEvent, cause: u128, since_ms: u64, turn: &mut Turn<'_>) {
        let holding = Holding { since_ms, number: self.next, cause: hex(cause), event };
        turn.keep(&holding.event.tenant_id, KIND, &holding.event.id, Some(&holding));
        self.put(holding, cause);
    }

    fn put(&mut self, holding: Holding, cause: u128) {
        self.next = self.next.max(holding.number + 1);
        self.by_cause.entry(cause).or_default().insert(holding.number);
        self.by_time.insert((holding.since_ms, holding.number));
        self.events.insert(holding.number, holding);
    }

    /// Whether anything waits for this.
    pub fn waits_for(&self, cause: u128) -> bool {
        self.by_cause.contains_key(&cause)
    }

    /// What waited for this, in order, with the time since when.
    pub fn release(&mut self, cause: u128, turn: &mut Turn<'_>) -> Vec<(StandardEvent, u64)> {
        let numbers = self.by_cause.get(&cause).cloned().unwrap_or_default();
        numbers.into_iter().filter_map(|number| self.take(number, turn)).collect()
    }

    /// What has waited since before this.
    pub fn expired(&mut self, before_ms: u64, turn: &mut Turn<'_>) -> Vec<(StandardEvent, u64)> {
        let mut released = Vec::new();
        while let Some((since_ms, number)) = self.by_time.first().copied().filter(|(since, _)| *since <= before_ms) {
            self.by_time.remove(&(since_ms, number));
            released.extend(self.take(number, turn));
        }
        released
    }

    fn take(&mut self, number: u64, turn: &mut Turn<'_>) -> Option<(StandardEvent, u64)> {
        let holding = self.events.remove(&number)?;
        self.by_time.remove(&(holding.since_ms, number));
        if let Some(cause) = from_hex(&holding.cause)
            && let Some(numbers) = self.by_cause.get_mut(&cause)
        {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_cause.remove(&cause);
            }
        }
        turn.forget(&holding.event.tenant_id, KIND, &holding.event.id);
        Some((holding.event, holding.since_ms))
    }

    /// Takes up an event that an earlier run kept.
    pub fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(holding) = kept.data.and_then(|data| Holding::deserialize(data).ok()) else { return };
        if let Some(cause) = from_hex(&holding.cause) {
            self.put(holding, cause);
        }
    }
}
