//! The log in memory: the same promises as the others, no disk, no runtime.
//!
//! By default everything is durable at once. [`MemoryLog::hold`] keeps what
//! follows from becoming so, until [`MemoryLog::release`] or the
//! [`MemoryLog::crash`] that loses it. Handles are clones of one log.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::poll_fn,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::{
    ports::{LogError, NewRecord, Position, Record},
    topics::{Keep, Topic},
};

/// See the module.
#[derive(Clone)]
pub struct MemoryLog {
    pub(super) identity: u64,
    pub(super) partitions: u32,
    pub(super) inner: Arc<MemoryInner>,
}

#[derive(Default)]
pub(super) struct MemoryInner {
    pub(super) state: Mutex<MemoryState>,
    /// For sessions, which wait with their thread.
    pub(super) changed: Condvar,
}

pub(super) type Lane = (Topic, u32);

#[derive(Default)]
pub(super) struct MemoryState {
    pub(super) lanes: BTreeMap<Lane, Records>,
    pub(super) groups: HashMap<String, Group>,
    pub(super) next_seq: u64,
    /// What waits for `release`, in order.
    pub(super) held: Option<VecDeque<LogChange>>,
    pub(super) append_failures: VecDeque<LogError>,
    pub(super) commit_failures: VecDeque<LogError>,
    pub(super) is_closed: bool,
    pub(super) members: u64,
    pub(super) crashes: u64,
    pub(super) wakers: Vec<Waker>,
}

#[derive(Default)]
pub(super) struct Records {
    /// The offset of the next record, held ones not counted.
    pub(super) end: u64,
    /// The offset of the next record that is taken.
    pub(super) taken: u64,
    pub(super) kept: BTreeMap<u64, (u64, Record)>,
}

#[derive(Default)]
pub(super) struct Group {
    /// What a session that begins now would go on from.
    pub(super) offsets: HashMap<Lane, u64>,
    pub(super) durable: HashMap<Lane, u64>,
    pub(super) seats: HashMap<u32, Seat>,
    pub(super) members: Vec<u64>,
}

#[derive(Default)]
pub(super) struct Seat {
    pub(super) epoch: u64,
    pub(super) member: Option<u64>,
}

/// One append or commit, which takes effect whole.
pub(super) struct LogChange {
    seq: u64,
    records: Vec<Record>,
    progress: Vec<(String, Lane, u64)>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(partitions: u32) -> Self {
        MemoryLog { identity: 1, partitions: partitions.max(1), inner: Arc::default() }
    }

    /// The same log with another identity.
    pub fn with_identity(self, identity: u64) -> Self {
        MemoryLog { identity, ..self }
    }

    /// What is taken from now on is not durable: appends are not answered,
    /// commits are not seen.
    pub fn hold(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// Everything that was held is durable, and what follows is at once.
    pub fn release(&self) {
        let mut state = self.lock();
        for change in state.held.take().into_iter().flatten() {
            state.apply(change);
        }
        self.wake(state);
    }

    /// Loses what was held and everybody's sessions, as a crash would, and is
    /// open again.
    pub fn crash(&self) {
        let mut state = self.lock();
        state.held = None;
        state.crashes += 1;
        for records in state.lanes.values_mut() {
            records.taken = records.end;
        }
        for group in state.groups.values_mut() {
            group.offsets = group.durable.clone();
            group.members.clear();
            for seat in group.seats.values_mut() {
                seat.epoch += 1;
                seat.member = None;
            }
        }
        state.append_failures.clear();
        state.commit_failures.clear();
        state.is_closed = false;
        self.wake(state);
    }

    /// The next append takes nothing and answers this; called twice, so do the
    /// next two.
    pub fn fail_next_append(&self, error: LogError) {
        self.lock().append_failures.push_back(error);
    }

    /// The same for the next commit.
    pub fn fail_next_commit(&self, error: LogError) {
        self.lock().commit_failures.push_back(error);
    }

    /// Lets go of what has expired at `now_ms` and of what was replaced.
    pub fn clean(&self, now_ms: u64) {
        let mut state = self.lock();
        for ((topic, _), records) in &mut state.lanes {
            match topic.spec().keep {
                Keep::Days(days) => {
                    let keep_ms = u64::from(days) * 24 * 60 * 60 * 1000;
                    while let Some(oldest) = records.kept.first_entry()
                        && oldest.get().1.at_ms.saturating_add(keep_ms) <= now_ms
                    {
                        oldest.remove();
                    }
                }
                Keep::Latest => {
                    let newest: HashMap<_, _> =
                        records.kept.iter().map(|(offset, (_, record))| (record.key.clone(), *offset)).collect();
                    records.kept.retain(|offset, (_, record)| newest.get(&record.key) == Some(offset));
                }
            }
        }
    }

    /// Every durable record of a topic, by partition and offset: for assertions.
    pub fn records(&self, topic: Topic) -> Vec<Record> {
        let state = self.lock();
        let lanes = state.lanes.iter().filter(|((known, _), _)| *known == topic);
        lanes.flat_map(|(_, records)| records.kept.values().map(|(_, record)| record.clone())).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, MemoryState> {
        self.inner.lock()
    }

    pub(super) fn wake(&self, state: MutexGuard<'_, MemoryState>) {
        self.inner.wake(state);
    }

    pub(super) fn check(&self, records: &[NewRecord]) -> Result<(), LogError> {
        match records.iter().find(|record| record.partition >= self.partitions) {
            Some(record) => Err(no_partition(record.partition, self.partitions)),
            None => Ok(()),
        }
    }

    /// Where the records are, the number of the append, and of the crashes so far.
    pub(super) fn take(&self, records: Vec<NewRecord>) -> Result<(Vec<Position>, u64, u64), LogError> {
        self.check(&records)?;
        let mut state = self.lock();
        state.check_open()?;
        if let Some(error) = state.append_failures.pop_front() {
            return Err(error);
        }
        let (positions, seq) = state.take(records, Vec::new());
        let crashes = state.crashes;
        self.wake(state);
        Ok((positions, seq, crashes))
    }
}

pub(super) fn no_partition(partition: u32, partitions: u32) -> LogError {
    LogError::Unavailable { detail: format!("there is no partition {partition} of {partitions}") }
}

impl MemoryInner {
    pub(super) fn lock(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self, mut state: MutexGuard<'_, MemoryState>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until `look` finds something.
    pub(super) async fn until<T>(
        &self,
        mut look: impl FnMut(&mut MemoryState) -> Result<Option<T>, LogError>,
    ) -> Result<T, LogError> {
        poll_fn(|context| {
            let mut state = self.lock();
            match look(&mut state).transpose() {
                Some(found) => Poll::Ready(found),
                None => {
                    if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                        state.wakers.push(context.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl MemoryState {
    pub(super) fn check_open(&self) -> Result<(), LogError> {
        if self.is_closed { Err(LogError::Closed) } else { Ok(()) }
    }

    pub(super) fn take(&mut self, records: Vec<NewRecord>, progress: Vec<(String, Lane, u64)>) -> (Vec<Position>, u64) {
        let seq = self.next_seq;
        self.next_seq += 1;
        let mut taken = Vec::with_capacity(records.len());
        for NewRecord { topic, partition, at_ms, key, value, headers } in records {
            let lane = self.lanes.entry((topic, partition)).or_default();
            let position = Position { topic, partition, offset: lane.taken };
            lane.taken += 1;
            taken.push(Record { position, at_ms, key, value, headers });
        }
        for (group, lane, next) in &progress {
            self.groups.entry(group.clone()).or_default().offsets.insert(*lane, *next);
        }
        let positions = taken.iter().map(|record| record.position).collect();
        let change = LogChange { seq, records: taken, progress };
        match &mut self.held {
            Some(held) => held.push_back(change),
            None => self.apply(change),
        }
        (positions, seq)
    }

    fn apply(&mut self, change: LogChange) {
        for record in change.records {
            let lane = self.lanes.entry((record.position.topic, record.position.partition)).or_default();
            lane.end = record.position.offset + 1;
            lane.kept.insert(record.position.offset, (change.seq, record));
        }
        for (group, lane, next) in change.progress {
            self.groups.entry(group).or_default().durable.insert(lane, next);
        }
    }

    pub(super) fn is_durable(&self, seq: u64) -> bool {
        let oldest_held = self.held.as_ref().and_then(|held| held.front());
        oldest_held.is_none_or(|change| seq < change.seq)
    }

    pub(super) fn first(&self, lane: Lane) -> u64 {
        let Some(records) = self.lanes.get(&lane) else { return 0 };
        records.kept.first_key_value().map_or(records.end, |(offset, _)| *offset)
    }

    pub(super) fn holds(&self, group: &str, partition: u32, epoch: u64) -> bool {
        let seat = self.groups.get(group).and_then(|group| group.seats.get(&partition));
        seat.is_some_and(|seat| seat.epoch == epoch)
    }

    /// The next records of several lanes in the order in which they were taken.
    pub(super) fn read(&self, next: &mut [(Lane, u64)], records_max: usize) -> Vec<Record> {
        let mut read = Vec::new();
        while read.len() < records_max.max(1) {
            let found = next.iter_mut().filter_map(|(lane, next)| {
                let (_, (seq, record)) = self.lanes.get(lane)?.kept.range(*next..).next()?;
                Some((*seq, record, next))
            });
            let Some((_, record, next)) = found.min_by_key(|(seq, ..)| *seq) else { break };
            *next = record.position.offset + 1;
            read.push(record.clone());
        }
        read
    }
}
