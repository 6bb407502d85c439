//! A group's members and their sessions: read inputs in the journal's order,
//! commit outputs, state and progress in one frame.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use pipeline::{
    ports::{Batch, LogError, Membership, Pending, Record, Session},
    topics::Topic,
};
use tokio::sync::{Notify, oneshot};
use udfs::hash::content;

use super::{
    cursor::{Cursor, Step},
    frame::{Draft, GROUPS_TOPIC, Lane},
    index::progress_key,
    shared::{Shared, now_ms},
    tail::Want,
};

/// Records taken at once while state is restored.
const RESTORE_RECORDS: usize = 1024;

/// A place in a group.
pub(super) struct Member {
    shared: Arc<Shared>,
    group: Arc<str>,
    inputs: Vec<Topic>,
    number: u64,
    alarm: Arc<Notify>,
}

impl Member {
    pub(super) fn join(shared: &Arc<Shared>, group: &str, inputs: &[Topic]) -> Result<Member, LogError> {
        let alarm = Arc::new(Notify::new());
        let mut state = shared.order.lock();
        state.condition.check_read()?;
        let number = state.groups.join(group, shared.partitions, alarm.clone());
        Ok(Member { shared: shared.clone(), group: group.into(), inputs: inputs.to_vec(), number, alarm })
    }

    /// The next partition's session, if there is one to give.
    fn take(&self) -> Result<Option<Partition>, LogError> {
        let alarm = Arc::new(Notify::new());
        let (partition, epoch, wants, before_seq) = {
            let mut state = self.shared.order.lock();
            state.condition.check_read()?;
            let Some((partition, epoch)) = state.groups.take(&self.group, self.number, &alarm) else {
                return Ok(None);
            };
            let lanes = self.inputs.iter().map(|topic| Lane::new(*topic, partition));
            let want = |lane| Want { lane, next: state.groups.offset(&self.group, lane).unwrap_or_default() };
            let wants = lanes.map(want).collect::<Vec<_>>();
            for want in &wants {
                state.listen(want.lane, false, &alarm);
            }
            (partition, epoch, wants, state.next_seq)
        };
        Ok(Some(Partition {
            shared: self.shared.clone(),
            group: self.group.clone(),
            lanes: wants.iter().map(|want| want.lane).collect(),
            cursor: Cursor::new(self.shared.clone(), wants, false),
            partition,
            epoch,
            alarm,
            committed_seq: before_seq,
        }))
    }
}

impl Membership for Member {
    fn next(&mut self) -> Pending<'_, Box<dyn Session>> {
        Box::pin(async move {
            loop {
                if let Some(session) = self.take()? {
                    return Ok(Box::new(session) as Box<dyn Session>);
                }
                self.alarm.notified().await;
            }
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.order.lock().groups.leave(&self.group, self.number);
    }
}

/// The right to process one partition.
struct Partition {
    shared: Arc<Shared>,
    group: Arc<str>,
    partition: u32,
    epoch: u64,
    lanes: Vec<Lane>,
    cursor: Cursor,
    alarm: Arc<Notify>,
    /// Below this is all that this session, and those before it, committed.
    committed_seq: u64,
}

impl Partition {
    fn fenced(&self) -> LogError {
        LogError::Fenced { group: self.group.to_string(), partition: self.partition }
    }

    fn check_held(&self) -> Result<(), LogError> {
        let state = self.shared.order.lock();
        state.condition.check_read()?;
        if state.groups.holds(&self.group, self.partition, self.epoch) { Ok(()) } else { Err(self.fenced()) }
    }

    async fn read(&mut self, records_max: usize, patience: Duration) -> Result<Vec<Record>, LogError> {
        let until = Instant::now() + patience;
        loop {
            self.check_held()?;
            match self.cursor.step(records_max.max(1))? {
                Step::Records(records) => return Ok(records),
                Step::Behind => self.cursor.read_disk()?,
                Step::Nothing => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() || tokio::time::timeout(left, self.alarm.notified()).await.is_err() {
                        return Ok(Vec::new());
                    }
                }
            }
        }
    }

    /// Waits until every frame below `seq` is durable.
    async fn durable(&self, seq: u64) -> Result<(), LogError> {
        let Some(last) = seq.checked_sub(1) else { return Ok(()) };
        let (waiter, answer) = oneshot::channel();
        self.shared.order.lock().wait_for(last, waiter);
        answer.await.unwrap_or(Err(LogError::Closed))
    }

    async fn write(&mut self, batch: Batch) -> Result<(), LogError> {
        if batch.outputs.is_empty() && batch.next_offsets.is_empty() {
            return self.check_held();
        }
        let mut draft = self.shared.draft(&batch.outputs)?;
        let progress = Lane { topic: GROUPS_TOPIC, partition: self.partition };
        for (topic, next) in &batch.next_offsets {
            let key = progress_key(&self.group, *topic as u8);
            draft.put(progress, now_ms(), &key, Some(&next.to_le_bytes()), b"");
        }
        loop {
            // Asked for before looking, so that no call is lost between.
            let shared = self.shared.clone();
            let room = shared.order.room.notified();
            {
                let mut state = shared.order.lock();
                state.condition.check_read()?;
                if !state.groups.holds(&self.group, self.partition, self.epoch) {
                    return Err(self.fenced());
                }
                if state.is_closing {
                    return Err(LogError::Closed);
                }
                if state.check_room(draft.payload.len(), shared.settings.pending_bytes_max).is_ok() {
                    for (topic, next) in &batch.next_offsets {
                        state.groups.set_offset(&self.group, Lane::new(*topic, self.partition), *next);
                    }
                    self.committed_seq = state.enqueue(draft, true, None).0 + 1;
                    shared.order.wake_writer(&mut state);
                    return Ok(());
                }
            }
            room.await;
        }
    }

    /// Every record of a lane up to `end`, in order.
    fn scan(&self, lane: Lane, end: u64, each: &mut (dyn FnMut(Record) + Send)) -> Result<(), LogError> {
        let mut cursor = Cursor::new(self.shared.clone(), vec![Want { lane, next: 0 }], false);
        loop {
            match cursor.step(RESTORE_RECORDS)? {
                Step::Nothing => return Ok(()),
                Step::Behind => cursor.read_disk()?,
                Step::Records(records) => {
                    for record in records {
                        if record.position.offset >= end {
                            return Ok(());
                        }
                        each(record);
                    }
                }
            }
        }
    }

    async fn live(&mut self, topic: Topic, each: &mut (dyn FnMut(Record) + Send)) -> Result<(), LogError> {
        self.durable(self.committed_seq).await?;
        self.check_held()?;
        let lane = Lane::new(topic, self.partition);
        let end = self.shared.order.lock().end(lane);
        // First which record of each key is the newest, by hashes only, so that
        // memory does not grow with the values; then those, in order.
        let mut newest = HashMap::<u128, u64>::new();
        self.scan(lane, end, &mut |record| match record.value {
            Some(_) => {
                newest.insert(content(&record.key), record.position.offset);
            }
            None => {
                newest.remove(&content(&record.key));
            }
        })?;
        self.scan(lane, end, &mut |record| {
            if newest.get(&content(&record.key)) == Some(&record.position.offset) {
                each(record);
            }
        })
    }
}

impl Session for Partition {
    fn partition(&self) -> u32 {
        self.partition
    }

    fn restore<'a>(&'a mut self, topic: Topic, each: &'a mut (dyn FnMut(Record) + Send)) -> Pending<'a, ()> {
        Box::pin(self.live(topic, each))
    }

    fn poll(&mut self, records_max: usize, patience: Duration) -> Pending<'_, Vec<Record>> {
        Box::pin(self.read(records_max, patience))
    }

    fn commit(&mut self, batch: Batch) -> Pending<'_, ()> {
        Box::pin(self.write(batch))
    }

    fn settle(&mut self) -> Pending<'_, ()> {
        Box::pin(self.durable(self.committed_seq))
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let mut state = self.shared.order.lock();
        for lane in &self.lanes {
            state.unlisten(*lane, &self.alarm);
        }
        state.groups.release(&self.group, self.partition, self.epoch);
    }
}

impl Shared {
    /// Encodes records, if the journal may hold them.
    pub(super) fn draft(&self, records: &[pipeline::ports::NewRecord]) -> Result<Draft, LogError> {
        let max_bytes = self.settings.record_bytes_max;
        for record in records {
            let bytes = super::frame::size_of(record);
            if bytes > max_bytes {
                return Err(LogError::TooLarge { bytes, max_bytes });
            }
            if record.partition >= self.partitions {
                let detail = format!("there is no partition {} of {}", record.partition, self.partitions);
                return Err(LogError::Unavailable { detail });
            }
        }
        let mut draft = Draft::with_room_for(records);
        records.iter().for_each(|record| draft.add(record));
        match draft.payload.len() {
            bytes if bytes > FRAME_BYTES_MAX => Err(LogError::TooLarge { bytes, max_bytes: FRAME_BYTES_MAX }),
            _ => Ok(draft),
        }
    }
}

/// One append or commit at most; positions inside a segment stay far from the
/// ends of their numbers.
const FRAME_BYTES_MAX: usize = 1 << 30;
