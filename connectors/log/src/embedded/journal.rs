//! The journal as the rest of the hub sees it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    thread::JoinHandle,
};

use pipeline::{
    ports::{Lag, Log, LogError, Membership, NewRecord, Pending, Position, Reader, Start, Visibility},
    topics::Topic,
};
use tokio::sync::oneshot;

use super::{
    Settings, Stats,
    cleaner::Cleaner,
    cursor::Cursor,
    disk::{Directory, Disk, Lock, unavailable},
    frame::{Lane, records},
    groups::Groups,
    identity::Identity,
    order::{Condition, Order, State},
    reader::LaneReader,
    recovery::{Recovered, recover},
    session::Member,
    shared::{Shared, lanes},
    tail::Tail,
    writer::Writer,
};

/// One directory that holds every topic.
///
/// Dropping it without [`Log::close`] still writes what was taken, but counts
/// as an unclean stop.
pub struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in a directory, or makes one there. Blocks.
    pub fn open(directory: impl AsRef<Path>, settings: Settings) -> Result<Journal, LogError> {
        let (disk, lock) = Directory::take(directory.as_ref())?;
        Journal::open_on(Arc::new(disk), Some(lock), settings)
    }

    /// Opens the journal on a disk of another kind; `lock` is kept for as long
    /// as the journal is open. Blocks.
    pub fn open_on(disk: Arc<dyn Disk>, lock: Option<Lock>, settings: Settings) -> Result<Journal, LogError> {
        let settings = settings.checked();
        let Recovered { identity, segments, active } = recover(&*disk, settings.partitions, settings.segment_bytes)?;
        let carried = &segments.active.carried;
        let (partitions, next_seq) = (identity.partitions, carried.next_seq);
        let mut tail = Tail::new(partitions, lanes(partitions), settings.tail_bytes_max, next_seq);
        let mut ends = vec![0; lanes(partitions)];
        for (lane, end) in &carried.ends {
            // A newer version may have had more topics.
            if let Some(known) = ends.get_mut(lane.index(partitions)) {
                *known = *end;
                tail.begin(*lane, *end);
            }
        }
        let mut groups = Groups::default();
        for ((group, lane), next) in &carried.groups {
            groups.set_offset(group, *lane, *next);
        }
        let order = Order::new(State::new(partitions, ends, tail, groups, next_seq));
        let shared = Shared::new(settings, identity.identity, identity.epoch, partitions, disk, lock, order, segments);
        let shared = Arc::new(shared);
        let failed = |error| unavailable("cannot start a thread of the journal", &error);
        let cleaner = Cleaner::start(shared.clone()).map_err(failed)?;
        let writer = Writer::new(shared.clone(), active, next_seq).map_err(failed)?;
        let thread = std::thread::Builder::new().name("log-writer".into());
        let of_thread = shared.clone();
        let writer = thread
            .spawn(move || {
                let is_durable = writer.run();
                cleaner.stop();
                finish(&of_thread, identity, is_durable);
            })
            .map_err(failed)?;
        Ok(Journal { shared, writer: Mutex::new(Some(writer)) })
    }

    /// How often the journal was opened after an unclean stop.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// What metrics tell of it.
    pub fn stats(&self) -> Stats {
        let pending_bytes = self.shared.order.lock().pending_bytes as u64;
        let (segments, disk_bytes) = {
            let segments = self.shared.segments();
            let sealed: u64 = segments.sealed.iter().map(|sealed| sealed.file_bytes).sum();
            (segments.sealed.len() as u64 + 1, sealed + self.shared.settings.segment_bytes.max(segments.readable))
        };
        let counters = &self.shared.counters;
        Stats {
            records_written: counters.records.load(Relaxed),
            bytes_written: counters.bytes_written.load(Relaxed),
            syncs: counters.syncs.load(Relaxed),
            pending_bytes,
            segments,
            disk_bytes,
        }
    }

    /// Lets go of what has expired or was replaced, as of `now_ms`. The journal
    /// does this by itself now and then; blocks.
    pub fn clean(&self, now_ms: u64) -> Result<super::Cleaned, LogError> {
        super::cleaner::clean(&self.shared, now_ms)
    }

    fn ask_to_close(&self) {
        let mut state = self.shared.order.lock();
        state.is_closing = true;
        self.shared.order.wake_writer(&mut state);
    }

    fn take_writer(&self) -> Option<JoinHandle<()>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn lag_of(&self, group: &str, topic: Topic, partition: u32) -> Result<Lag, LogError> {
        let lane = Lane::new(topic, partition);
        let (end_offset, group_offset) = {
            let state = self.shared.order.lock();
            state.condition.check_read()?;
            (state.end(lane), state.groups.offset(group, lane))
        };
        let first_offset = Cursor::first(&self.shared, lane);
        let next = group_offset.unwrap_or_default().max(first_offset);
        let mut oldest_unread_at_ms = None;
        if next < end_offset && !group.is_empty() {
            // Compaction may take the record away between the two looks.
            let from = Start::Offset(next);
            if let Ok(mut reader) = LaneReader::open(&self.shared, lane, from, Visibility::Durable) {
                oldest_unread_at_ms = reader.ready(1).await?.first().map(|record| record.at_ms);
            }
        }
        Ok(Lag { topic, partition, first_offset, end_offset, group_offset, oldest_unread_at_ms })
    }

    fn enqueue(&self, batch: Vec<NewRecord>) -> Result<Appending, LogError> {
        let draft = self.shared.draft(&batch)?;
        let (waiter, answer) = oneshot::channel();
        let mut state = self.shared.order.lock();
        if state.is_closing {
            return Err(LogError::Closed);
        }
        state.condition.check_write()?;
        state.check_room(draft.payload.len(), self.shared.settings.pending_bytes_max)?;
        let (_, payload) = state.enqueue(draft, false, Some(waiter));
        self.shared.order.wake_writer(&mut state);
        drop(state);
        let position = |stored: super::frame::Stored| {
            let topic = Topic::from_id(stored.lane.topic)?;
            Some(Position { topic, partition: stored.lane.partition, offset: stored.offset })
        };
        Ok(Appending { positions: records(&payload).filter_map(position).collect(), answer })
    }
}

struct Appending {
    positions: Vec<Position>,
    answer: oneshot::Receiver<Result<(), LogError>>,
}

/// The writer's last act: leaves the directory to the next owner.
fn finish(shared: &Shared, identity: Identity, is_durable: bool) {
    if is_durable && shared.is_closed.load(SeqCst) {
        let next_seq = shared.order.lock().next_seq;
        if let Err(error) = identity.closed_at(next_seq).write(&*shared.disk) {
            tracing::warn!(%error, "the journal could not be marked as closed");
        }
    }
    shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    let condition = shared.order.lock().condition.clone();
    let condition = if matches!(condition, Condition::Poisoned(_)) { condition } else { Condition::Closed };
    shared.order.end(condition, &mut Default::default());
}

impl Log for Journal {
    fn identity(&self) -> u64 {
        self.shared.identity
    }

    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    fn append(&self, records: Vec<NewRecord>) -> Pending<'static, Vec<Position>> {
        if records.is_empty() {
            return Box::pin(std::future::ready(Ok(Vec::new())));
        }
        // The place in the order is that of the call, not of the first poll.
        let taken = self.enqueue(records);
        Box::pin(async move {
            let Appending { positions, answer } = taken?;
            answer.await.unwrap_or(Err(LogError::Closed))?;
            Ok(positions)
        })
    }

    fn read(&self, topic: Topic, partition: u32, from: Start, visibility: Visibility) -> Pending<'_, Box<dyn Reader>> {
        Box::pin(async move {
            if partition >= self.shared.partitions {
                let detail = format!("there is no partition {partition} of {}", self.shared.partitions);
                return Err(LogError::Unavailable { detail });
            }
            let reader = LaneReader::open(&self.shared, Lane::new(topic, partition), from, visibility)?;
            Ok(Box::new(reader) as Box<dyn Reader>)
        })
    }

    fn join(&self, group: &str, inputs: &[Topic]) -> Pending<'_, Box<dyn Membership>> {
        let member = Member::join(&self.shared, group, inputs);
        Box::pin(async move { Ok(Box::new(member?) as Box<dyn Membership>) })
    }

    fn lag(&self, group: &str, topics: &[Topic]) -> Pending<'_, Vec<Lag>> {
        let (group, topics) = (group.to_owned(), topics.to_vec());
        Box::pin(async move {
            let mut lags = Vec::with_capacity(topics.len() * self.shared.partitions as usize);
            for topic in topics {
                for partition in 0..self.shared.partitions {
                    lags.push(self.lag_of(&group, topic, partition).await?);
                }
            }
            Ok(lags)
        })
    }

    fn ready(&self) -> Result<(), LogError> {
        let state = self.shared.order.lock();
        state.condition.check_write()?;
        state.check_room(0, self.shared.settings.pending_bytes_max)
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.shared.is_closed.store(true, SeqCst);
            self.ask_to_close();
            let Some(writer) = self.take_writer() else { return Ok(()) };
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
            match self.shared.order.lock().condition.check_read() {
                Err(LogError::Closed) => Ok(()),
                other => other,
            }
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.ask_to_close();
        if let Some(writer) = self.take_writer() {
            let _ = writer.join();
        }
    }
}
