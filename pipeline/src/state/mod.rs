//! What one partition remembers. Everything that outlives a record is here, in
//! types that implement [`Stateful`]: kept in `pipeline.state` by many small
//! entries, each written whole, and taken up again by the next owner of the
//! partition.
//!
//! In: what stages and inputs decide. Out: entries of `pipeline.state`. What is
//! in memory is what the entries say, at every commit.

pub mod answers;
pub mod candidates;
pub mod directory;
pub mod governed;
pub mod index;
pub mod ledger;
pub mod lookups;
pub mod mirror;
pub mod notices;
mod partition;
pub mod rows;
pub mod seen;
pub mod seqs;
pub mod tasks;
pub mod unrouted;

use crate::{
    event::{StandardEvent, TenantKey},
    turn::Turn,
};

pub use partition::{PartitionState, StateCounts};

/// What keeps entries in `pipeline.state`.
pub trait Stateful {
    /// The kinds of entries that it keeps: `tenant/KIND/id`. No two have the same.
    fn kinds(&self) -> &'static [&'static str];

    /// Takes up one entry of an earlier run, of one of [`Self::kinds`]; entries
    /// come in the order in which they were written.
    fn restore(&mut self, entry: StoredEntry<'_>);

    /// Forgets what is too old.
    fn on_tick(&mut self, _turn: &mut Turn<'_>) {}

    /// Writes what changes too often to be written each time. Called once before
    /// a commit.
    fn flush(&mut self, _turn: &mut Turn<'_>) {}
}

/// An entry of `pipeline.state`.
#[derive(Clone, Copy, Debug)]
pub struct StoredEntry<'a> {
    /// Whose it is, and which.
    pub key: TenantKey<'a>,
    /// What it says; nothing where it was let go.
    pub data: Option<&'a serde_json::Value>,
}

/// An event that was held and goes on.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The event.
    pub event: StandardEvent,
    /// Since when it was held for being perhaps the hub's own voice.
    pub held_since_ms: Option<u64>,
}

impl Resumed {
    /// An event that was held for its details.
    pub fn of(event: StandardEvent) -> Self {
        Resumed { event, held_since_ms: None }
    }

    /// An event that was held for being perhaps the hub's own voice.
    pub fn since((event, since_ms): (StandardEvent, u64)) -> Self {
        Resumed { event, held_since_ms: Some(since_ms) }
    }
}
