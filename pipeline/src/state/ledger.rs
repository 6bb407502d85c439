//! What is remembered of many subjects, each in one entry of `pipeline.state`
//! with the time from which on it says nothing any more.
//!
//! Written once a commit, however often it changed. Bounded: beyond the bound
//! the one that would expire first goes early.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{governance::Subjects, state::StoredEntry, turn::Turn};

/// Subjects let go for their age in one tick at most, so that a tick stays short.
const EXPIRED_PER_TICK_MAX: usize = 1_000;

/// See the module.
pub struct Ledger<S> {
    kind: &'static str,
    subjects: Subjects<S>,
    dirty: BTreeSet<Arc<str>>,
}

/// An entry: the expiry is kept as it was decided, since limits may have changed
/// when it is read again.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerEntry<S> {
    until_ms: u64,
    state: S,
}

/// A subject's key.
pub fn key_of(tenant: &str, id: &str) -> String {
    [tenant, id].join("/")
}

/// The tenant and the id of a subject's key.
pub fn parts_of(key: &str) -> Option<(&str, &str)> {
    key.split_once('/')
}

impl<S: Default + Serialize + DeserializeOwned> Ledger<S> {
    /// Of one kind of state entry, and so many subjects at most.
    pub fn new(kind: &'static str, subjects_max: usize) -> Self {
        Ledger { kind, subjects: Subjects::new(subjects_max), dirty: BTreeSet::new() }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// What is remembered of one.
    pub fn get(&self, key: &str) -> Option<&S> {
        self.subjects.get(key)
    }

    /// Until when one is.
    pub fn until(&self, key: &str) -> Option<u64> {
        self.subjects.entry(key).map(|(until_ms, _)| until_ms)
    }

    /// Takes one out, or an empty one, to be changed and put back.
    pub fn take(&mut self, key: &str) -> S {
        self.subjects.take(key)
    }

    /// Remembers one until a time; not at all without one.
    pub fn put(&mut self, key: &str, state: S, until_ms: Option<u64>) {
        let gone = self.subjects.put(key, state, until_ms);
        self.dirty.extend(gone);
        if !self.dirty.contains(key) {
            self.dirty.insert(key.into());
        }
    }

    /// Forgets one.
    pub fn forget(&mut self, key: &str) {
        if self.subjects.get(key).is_some() {
            self.put(key, S::default(), None);
        }
    }

    /// Forgets what says nothing any more.
    pub fn on_tick(&mut self, turn: &Turn<'_>) {
        self.dirty.extend(self.subjects.expire(turn.now_ms, EXPIRED_PER_TICK_MAX));
    }

    /// Keeps what changed since the last commit.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        while let Some(key) = self.dirty.pop_first() {
            let Some((tenant, id)) = parts_of(&key) else { continue };
            let entry = self.subjects.entry(&key).map(|(until_ms, state)| LedgerEntry { until_ms, state });
            turn.keep(tenant, self.kind, id, entry.as_ref());
        }
    }

    /// Takes up one that an earlier run kept; gives it.
    pub fn restore(&mut self, kept: StoredEntry<'_>) -> Option<&S> {
        let entry = LedgerEntry::<S>::deserialize(kept.data?).ok()?;
        let key = key_of(kept.key.tenant, kept.key.id);
        self.subjects.put(&key, entry.state, Some(entry.until_ms));
        self.subjects.get(&key)
    }
}
