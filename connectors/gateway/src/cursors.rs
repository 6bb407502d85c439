//! How far each agent is: `agents.cursors`, read and written by every instance.
//!
//! In: marks of sockets here, records of instances elsewhere. Out: the newest
//! of both, and the records of the former: what moves while one batch gathers
//! or is on its way is the next batch, each agent once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashbrown::HashSet;
use pipeline::{
    event::Cursor,
    ports::{Headers, NewRecord, Record},
    topics::{Topic, partition_of},
};
use tokio::sync::Notify;

use super::{by_agent::ByAgent, session::Mark};

/// Records in one batch: a batch is one frame of a log, which has a bound.
const BATCH_MAX: usize = 2_000;

/// See the module.
#[derive(Default)]
pub struct Cursors {
    state: Mutex<State>,
    dirtied: Notify,
}

#[derive(Default)]
struct State {
    marks: ByAgent<Mark>,
    dirty: HashSet<(Box<str>, Box<str>)>,
}

impl State {
    fn advance(&mut self, tenant: &str, agent: &str, mark: Mark) -> bool {
        let Some(old) = self.marks.get_mut(tenant, agent) else {
            self.marks.get_or(tenant, agent, || mark);
            return true;
        };
        // The place in the inbox only ever moves on, whatever the numbers do.
        let seq = if mark.epoch == old.epoch { mark.seq.max(old.seq) } else { mark.seq };
        let new = Mark { epoch: mark.epoch, seq, next_offset: mark.next_offset.max(old.next_offset) };
        let newer = mark.epoch >= old.epoch && new != *old;
        if newer {
            *old = new;
        }
        newer
    }
}

impl Cursors {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far an agent is.
    pub fn get(&self, tenant: &str, agent: &str) -> Option<Mark> {
        self.lock().marks.get(tenant, agent).copied()
    }

    /// An agent is further; to be written.
    pub fn advance(&self, tenant: &str, agent: &str, mark: Mark) {
        let mut state = self.lock();
        if state.advance(tenant, agent, mark) {
            state.dirty.insert((tenant.into(), agent.into()));
            drop(state);
            self.dirtied.notify_one();
        }
    }

    /// A record of `agents.cursors`.
    pub fn apply(&self, record: &Record) {
        let Some((tenant, _)) = std::str::from_utf8(&record.key).ok().and_then(|key| key.split_once('/')) else {
            return;
        };
        let Some(value) = record.value.as_deref() else { return };
        match serde_json::from_slice::<Cursor>(value) {
            Ok(cursor) => {
                let mark = Mark { epoch: cursor.epoch, seq: cursor.seq, next_offset: cursor.next_offset };
                self.lock().advance(tenant, &cursor.agent_id, mark);
            }
            Err(error) => tracing::warn!(tenant, %error, "a cursor is not understood"),
        }
    }

    /// Whether everything was taken to be written.
    pub fn is_clean(&self) -> bool {
        self.lock().dirty.is_empty()
    }

    /// Waits until something is to be written.
    pub async fn dirtied(&self) {
        while self.is_clean() {
            self.dirtied.notified().await;
        }
    }

    /// What is to be written, at most one batch of it.
    pub fn batch(&self, partitions: u32, now_ms: u64) -> Vec<NewRecord> {
        let mut state = self.lock();
        let taken: Vec<_> = state.dirty.iter().take(BATCH_MAX).cloned().collect();
        for agent in &taken {
            state.dirty.remove(agent);
        }
        if state.dirty.is_empty() {
            state.dirty.shrink_to(64);
        }
        let record = |(tenant, agent): &(Box<str>, Box<str>)| {
            let mark = state.marks.get(tenant, agent)?;
            let cursor =
                Cursor { agent_id: agent.to_string(), epoch: mark.epoch, seq: mark.seq, next_offset: mark.next_offset };
            Some(NewRecord {
                topic: Topic::AgentsCursors,
                partition: partition_of(tenant, partitions),
                at_ms: now_ms,
                key: Bytes::from(format!("{tenant}/agent/{agent}")),
                value: Some(Bytes::from(serde_json::to_vec(&cursor).ok()?)),
                headers: Headers::new([("type", b"cursor".as_slice()), ("schema", b"nexus.cursor.v1".as_slice())]),
            })
        };
        taken.iter().filter_map(record).collect()
    }

    /// What could not be written is to be written still.
    pub fn put_back(&self, records: &[NewRecord]) {
        let mut state = self.lock();
        for record in records {
            let Some(key) = std::str::from_utf8(&record.key).ok() else { continue };
            let mut parts = key.splitn(3, '/');
            if let (Some(tenant), Some(_), Some(agent)) = (parts.next(), parts.next(), parts.next()) {
                state.dirty.insert((tenant.into(), agent.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(epoch: u64, seq: u64, next_offset: u64) -> Mark {
        Mark { epoch, seq, next_offset }
    }

    #[test]
    fn a_cursor_only_moves_on_and_each_agent_is_written_once() {
        let cursors = Cursors::default();
        cursors.advance("acme", "a", mark(1, 5, 50));
        cursors.advance("acme", "a", mark(1, 9, 90));
        cursors.advance("acme", "a", mark(1, 7, 70));
        cursors.advance("acme", "b", mark(1, 1, 10));
        assert_eq!(cursors.get("acme", "a"), Some(mark(1, 9, 90)));
        assert_eq!(cursors.get("umbra", "a"), None);
        let batch = cursors.batch(4, 0);
        assert_eq!(batch.len(), 2);
        assert!(cursors.is_clean() && cursors.batch(4, 0).is_empty());
        cursors.put_back(&batch[..1]);
        assert_eq!(cursors.batch(4, 0).len(), 1);
    }

    #[test]
    fn a_new_epoch_counts_anew_and_an_old_one_is_not_heard() {
        let cursors = Cursors::default();
        cursors.advance("acme", "a", mark(1, 9, 90));
        cursors.advance("acme", "a", mark(2, 4, 95));
        cursors.advance("acme", "a", mark(1, 30, 300));
        assert_eq!(cursors.get("acme", "a"), Some(mark(2, 4, 95)));
    }
}
