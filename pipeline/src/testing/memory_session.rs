//! Who reads the memory log: readers, members of groups and their sessions.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    ports::{Batch, LogError, Membership, Pending, Reader, Record, Session},
    testing::memory_log::{Lane, MemoryInner, MemoryLog, MemoryState},
    topics::Topic,
};

pub(super) struct LaneReader {
    pub(super) log: Arc<MemoryInner>,
    pub(super) next: (Lane, u64),
    pub(super) from_oldest: bool,
}

impl LaneReader {
    pub(super) fn check_kept(&self, state: &MemoryState) -> Result<(), LogError> {
        let (lane, asked) = self.next;
        let first = state.first(lane);
        if asked >= first || self.from_oldest || lane.0.is_compacted() {
            return Ok(());
        }
        Err(LogError::Gone { topic: lane.0.name(), asked, first })
    }

    fn look(&mut self, state: &MemoryState, records_max: usize) -> Result<Vec<Record>, LogError> {
        state.check_open()?;
        self.check_kept(state)?;
        let read = state.read(std::slice::from_mut(&mut self.next), records_max);
        self.from_oldest &= read.is_empty();
        Ok(read)
    }
}

impl Reader for LaneReader {
    fn next(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        Box::pin(async move {
            let log = self.log.clone();
            log.until(|state| Ok(Some(self.look(state, records_max)?).filter(|read| !read.is_empty()))).await
        })
    }

    fn ready(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        let log = self.log.clone();
        let read = self.look(&log.lock(), records_max);
        Box::pin(std::future::ready(read))
    }

    fn position(&self) -> u64 {
        self.next.1
    }
}

pub(super) struct Member {
    pub(super) log: MemoryLog,
    pub(super) group: String,
    pub(super) inputs: Vec<Topic>,
    pub(super) number: u64,
}

impl Member {
    /// The newest living member gets everything; see the embedded log.
    fn take(&self, state: &mut MemoryState) -> Result<Option<MemoryWorker>, LogError> {
        state.check_open()?;
        let Some(group) = state.groups.get_mut(&self.group) else { return Ok(None) };
        if group.members.last() != Some(&self.number) {
            return Ok(None);
        }
        let is_free = |partition: &u32| group.seats.get(partition).and_then(|seat| seat.member) != Some(self.number);
        let Some(partition) = (0..self.log.partitions).find(is_free) else { return Ok(None) };
        let seat = group.seats.entry(partition).or_default();
        seat.epoch += 1;
        seat.member = Some(self.number);
        let next = self.inputs.iter().map(|topic| (*topic, partition));
        let next = next.map(|lane| (lane, group.offsets.get(&lane).copied().unwrap_or_default())).collect();
        Ok(Some(MemoryWorker {
            log: self.log.clone(),
            group: self.group.clone(),
            partition,
            epoch: seat.epoch,
            next,
            committed_seq: state.next_seq,
            crashes: state.crashes,
        }))
    }
}

impl Membership for Member {
    fn next(&mut self) -> Pending<'_, Box<dyn Session>> {
        Box::pin(async move {
            let worker = self.log.inner.until(|state| self.take(state)).await?;
            // The one who had the partition is to notice.
            self.log.wake(self.log.lock());
            Ok(Box::new(worker) as Box<dyn Session>)
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.log.lock();
        if let Some(group) = state.groups.get_mut(&self.group) {
            group.members.retain(|member| *member != self.number);
        }
        self.log.wake(state);
    }
}

/// A session.
pub(super) struct MemoryWorker {
    log: MemoryLog,
    group: String,
    partition: u32,
    epoch: u64,
    next: Vec<(Lane, u64)>,
    committed_seq: u64,
    /// The crashes before it.
    crashes: u64,
}

impl MemoryWorker {
    fn check_held(&self, state: &MemoryState) -> Result<(), LogError> {
        state.check_open()?;
        match state.holds(&self.group, self.partition, self.epoch) {
            true => Ok(()),
            false => Err(LogError::Fenced { group: self.group.clone(), partition: self.partition }),
        }
    }

    fn write(&mut self, batch: Batch) -> Result<(), LogError> {
        self.log.check(&batch.outputs)?;
        let mut state = self.log.lock();
        self.check_held(&state)?;
        if let Some(error) = state.commit_failures.pop_front() {
            return Err(error);
        }
        let lane = |topic| (topic, self.partition);
        let progress = batch.next_offsets.into_iter().map(|(topic, next)| (self.group.clone(), lane(topic), next));
        let (_, seq) = state.take(batch.outputs, progress.collect());
        self.committed_seq = seq + 1;
        self.log.inner.wake(state);
        Ok(())
    }

    /// With the thread, as a session may: there is no timer here to wait with.
    fn wait(&mut self, records_max: usize, patience: Duration) -> Result<Vec<Record>, LogError> {
        let until = Instant::now() + patience;
        let mut state = self.log.inner.lock();
        loop {
            self.check_held(&state)?;
            let read = state.read(&mut self.next, records_max);
            let left = until.saturating_duration_since(Instant::now());
            if !read.is_empty() || left.is_zero() {
                return Ok(read);
            }
            let waited = self.log.inner.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    async fn durable(&self) -> Result<(), LogError> {
        let Some(last) = self.committed_seq.checked_sub(1) else { return Ok(()) };
        let durable = self.log.inner.until(|state| match state.crashes == self.crashes {
            true => Ok(state.is_durable(last).then_some(())),
            // It waited for what is lost now.
            false => Err(LogError::Closed),
        });
        durable.await
    }
}

impl Session for MemoryWorker {
    fn partition(&self) -> u32 {
        self.partition
    }

    fn restore<'a>(&'a mut self, topic: Topic, each: &'a mut (dyn FnMut(Record) + Send)) -> Pending<'a, ()> {
        Box::pin(async move {
            self.durable().await?;
            let live = {
                let state = self.log.lock();
                self.check_held(&state)?;
                let kept = state.lanes.get(&(topic, self.partition)).map(|records| &records.kept);
                let kept = kept.into_iter().flat_map(BTreeMap::values).map(|(_, record)| record);
                let newest: HashMap<_, _> =
                    kept.clone().map(|record| (record.key.clone(), record.position.offset)).collect();
                let is_live =
                    |record: &&Record| record.value.is_some() && newest[&record.key] == record.position.offset;
                kept.filter(is_live).cloned().collect::<Vec<_>>()
            };
            live.into_iter().for_each(each);
            Ok(())
        })
    }

    fn poll(&mut self, records_max: usize, patience: Duration) -> Pending<'_, Vec<Record>> {
        Box::pin(async move { self.wait(records_max, patience) })
    }

    fn commit(&mut self, batch: Batch) -> Pending<'_, ()> {
        Box::pin(async move { self.write(batch) })
    }

    fn settle(&mut self) -> Pending<'_, ()> {
        Box::pin(self.durable())
    }
}

impl Drop for MemoryWorker {
    fn drop(&mut self) {
        let mut state = self.log.lock();
        let seat = state.groups.get_mut(&self.group).and_then(|group| group.seats.get_mut(&self.partition));
        if let Some(seat) = seat.filter(|seat| seat.epoch == self.epoch) {
            seat.member = None;
        }
        self.log.wake(state);
    }
}
