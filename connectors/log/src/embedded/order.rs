//! The one place where order is made: frames get their numbers here, records
//! their offsets, and everybody who waits is known.
//!
//! All of it is behind one mutex that is only ever held for as long as it
//! takes to move a few numbers; no disk is touched and no record is encoded
//! under it.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::SyncSender},
    time::Duration,
};

use bytes::Bytes;
use pipeline::ports::LogError;
use tokio::sync::{Notify, oneshot};

use super::{
    frame::{Draft, Lane, frame_bytes},
    groups::Groups,
    tail::Tail,
};

/// Whoever waits for a frame to be durable.
pub(super) type Waiter = oneshot::Sender<Result<(), LogError>>;

/// A frame on its way to the disk.
pub(super) struct PendingFrame {
    pub(super) seq: u64,
    pub(super) records: usize,
    pub(super) payload: Bytes,
    pub(super) waiter: Option<Waiter>,
}

/// How the journal is.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Open,
    /// The disk takes nothing just now; what waits will be tried again.
    Stalled(String),
    /// A sync failed. What the disk then holds is unknown, and asking it again
    /// would not tell, so nothing more is taken or served.
    Poisoned(String),
    Closed,
}

impl Condition {
    /// Whether records may be read.
    pub(super) fn check_read(&self) -> Result<(), LogError> {
        match self {
            Condition::Open | Condition::Stalled(_) => Ok(()),
            Condition::Poisoned(detail) => Err(LogError::Lost { detail: detail.clone() }),
            Condition::Closed => Err(LogError::Closed),
        }
    }

    /// Whether an append may be expected to succeed.
    pub(super) fn check_write(&self) -> Result<(), LogError> {
        match self {
            Condition::Stalled(detail) => Err(LogError::Unavailable { detail: detail.clone() }),
            other => other.check_read(),
        }
    }
}

struct Listener {
    early: bool,
    alarm: Arc<Notify>,
}

/// Everything behind the mutex.
pub(super) struct State {
    partitions: u32,
    pub(super) condition: Condition,
    pub(super) next_seq: u64,
    /// Frames below this are durable.
    pub(super) durable_seq: u64,
    ends: Vec<u64>,
    listeners: Vec<Vec<Listener>>,
    pub(super) tail: Tail,
    pub(super) groups: Groups,
    pending: VecDeque<PendingFrame>,
    /// Of frames that are not durable yet, whether or not they are being written.
    pub(super) pending_bytes: usize,
    waiters: Vec<(u64, Waiter)>,
    /// The owner wants the journal closed.
    pub(super) is_closing: bool,
    /// The cleaner wants the newest segment sealed.
    pub(super) roll: Option<SyncSender<()>>,
    writer_sleeps: bool,
}

impl State {
    pub(super) fn new(partitions: u32, ends: Vec<u64>, tail: Tail, groups: Groups, next_seq: u64) -> Self {
        State {
            partitions,
            condition: Condition::Open,
            next_seq,
            durable_seq: next_seq,
            listeners: ends.iter().map(|_| Vec::new()).collect(),
            ends,
            tail,
            groups,
            pending: VecDeque::new(),
            pending_bytes: 0,
            waiters: Vec::new(),
            is_closing: false,
            roll: None,
            writer_sleeps: false,
        }
    }

    /// The offset that the next record of a lane gets.
    pub(super) fn end(&self, lane: Lane) -> u64 {
        self.ends[lane.index(self.partitions)]
    }

    /// Whether a frame of this size may be taken now. A single one that is
    /// larger than the bound has its turn when nothing else waits.
    pub(super) fn check_room(&self, payload_bytes: usize, bound_bytes: usize) -> Result<(), LogError> {
        let is_over = self.pending_bytes > 0 && self.pending_bytes + frame_bytes(payload_bytes) > bound_bytes;
        if is_over { Err(LogError::Busy { bound_bytes }) } else { Ok(()) }
    }

    fn listeners_of(&mut self, lane: Lane) -> &mut Vec<Listener> {
        &mut self.listeners[lane.index(self.partitions)]
    }

    /// Tells `alarm` of every new record of a lane that its owner may see.
    pub(super) fn listen(&mut self, lane: Lane, early: bool, alarm: &Arc<Notify>) {
        self.listeners_of(lane).push(Listener { early, alarm: alarm.clone() });
    }

    /// Stops telling.
    pub(super) fn unlisten(&mut self, lane: Lane, alarm: &Arc<Notify>) {
        self.listeners_of(lane).retain(|listener| !Arc::ptr_eq(&listener.alarm, alarm));
    }

    /// Takes a frame: from here on its place in the order is fixed.
    pub(super) fn enqueue(&mut self, mut draft: Draft, is_commit: bool, waiter: Option<Waiter>) -> (u64, Bytes) {
        let seq = self.next_seq;
        self.next_seq += 1;
        for index in 0..draft.records.len() {
            let end = &mut self.ends[draft.records[index].0.index(self.partitions)];
            let offset = *end;
            *end += 1;
            draft.set_offset(index, offset);
        }
        let Draft { payload, records } = draft;
        let payload = payload.freeze();
        self.tail.push(seq, payload.clone(), &records, is_commit);
        self.pending_bytes += frame_bytes(payload.len());
        self.pending.push_back(PendingFrame { seq, records: records.len(), payload: payload.clone(), waiter });
        if is_commit {
            for (lane, _) in records {
                for listener in self.listeners_of(lane).iter().filter(|listener| listener.early) {
                    listener.alarm.notify_one();
                }
            }
        }
        (seq, payload)
    }

    /// Answers `waiter` when the frame is durable, or never will be.
    pub(super) fn wait_for(&mut self, seq: u64, waiter: Waiter) {
        if let Err(error) = self.condition.check_read() {
            let _ = waiter.send(Err(error));
        } else if seq < self.durable_seq {
            let _ = waiter.send(Ok(()));
        } else {
            self.waiters.push((seq, waiter));
        }
    }

    /// Everything that can never be durable is let go, with the reason.
    fn give_up(&mut self) -> Vec<Waiter> {
        let frames = self.pending.drain(..).filter_map(|frame| frame.waiter).collect::<Vec<_>>();
        frames.into_iter().chain(self.waiters.drain(..).map(|(_, waiter)| waiter)).collect()
    }

    fn wake_all(&self) {
        for listener in self.listeners.iter().flatten() {
            listener.alarm.notify_one();
        }
        self.groups.wake_all();
    }
}

/// The state with its mutex, and the writer's alarm clock.
pub(super) struct Order {
    state: Mutex<State>,
    writer: Condvar,
    /// There is room again for a commit that waits.
    pub(super) room: Notify,
}

/// What the writer is to do next.
pub(super) enum Work {
    /// Write what is in the batch.
    Write,
    /// Nothing came for as long as it was to wait.
    Idle,
    /// Seal the newest segment, then answer.
    Roll(SyncSender<()>),
    /// Everything is written; finish.
    Finish,
}

impl Order {
    pub(super) fn new(state: State) -> Self {
        Order { state: Mutex::new(state), writer: Condvar::new(), room: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the writer if it sleeps; called with the lock in hand, so that no
    /// call is lost.
    pub(super) fn wake_writer(&self, state: &mut State) {
        if std::mem::take(&mut state.writer_sleeps) {
            self.writer.notify_one();
        }
    }

    /// Waits for work, taking all that is pending.
    pub(super) fn next_work(&self, batch: &mut VecDeque<PendingFrame>, patience: Option<Duration>) -> Work {
        let mut state = self.lock();
        loop {
            if !state.pending.is_empty() {
                std::mem::swap(batch, &mut state.pending);
                return Work::Write;
            }
            if let Some(answer) = state.roll.take() {
                return Work::Roll(answer);
            }
            if state.is_closing {
                return Work::Finish;
            }
            state.writer_sleeps = true;
            state = match patience {
                None => self.writer.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (state, waited) =
                        self.writer.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.pending.is_empty() {
                        return Work::Idle;
                    }
                    state
                }
            };
        }
    }

    /// Says that the disk takes nothing, and waits before the next attempt.
    /// True: the owner wants to close, so do not try again.
    pub(super) fn stall(&self, detail: String, pause: Duration) -> bool {
        let mut state = self.lock();
        state.condition = Condition::Stalled(detail);
        state.writer_sleeps = true;
        let until = std::time::Instant::now() + pause;
        while !state.is_closing
            && let Some(left) = until.checked_duration_since(std::time::Instant::now())
        {
            state = self.writer.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.is_closing
    }

    /// The batch is durable: shows it to readers and answers who waits.
    pub(super) fn publish(&self, batch: &mut VecDeque<PendingFrame>, touched: &[Lane]) {
        let mut alarms = Vec::new();
        let mut waiters = Vec::new();
        {
            let mut state = self.lock();
            state.condition = Condition::Open;
            if let Some(last) = batch.back() {
                state.durable_seq = last.seq + 1;
            }
            state.pending_bytes -= batch.iter().map(|frame| frame_bytes(frame.payload.len())).sum::<usize>();
            let durable_seq = state.durable_seq;
            state.tail.evict(durable_seq);
            for lane in touched {
                alarms.extend(state.listeners_of(*lane).iter().map(|listener| listener.alarm.clone()));
            }
            if !state.waiters.is_empty() {
                waiters.extend(state.waiters.extract_if(.., |(seq, _)| *seq < durable_seq).map(|(_, waiter)| waiter));
            }
        }
        alarms.iter().for_each(|alarm| alarm.notify_one());
        for waiter in batch.drain(..).filter_map(|frame| frame.waiter).chain(waiters) {
            let _ = waiter.send(Ok(()));
        }
        self.room.notify_waiters();
    }

    /// The journal is at its end: nothing that waits will ever be durable.
    pub(super) fn end(&self, condition: Condition, batch: &mut VecDeque<PendingFrame>) {
        let reason = match &condition {
            Condition::Stalled(detail) => LogError::Unavailable { detail: detail.clone() },
            Condition::Poisoned(detail) => LogError::Lost { detail: detail.clone() },
            _ => LogError::Closed,
        };
        let waiters = {
            let mut state = self.lock();
            state.condition = condition;
            state.wake_all();
            state.give_up()
        };
        for waiter in batch.drain(..).filter_map(|frame| frame.waiter).chain(waiters) {
            let _ = waiter.send(Err(reason.clone()));
        }
        self.room.notify_waiters();
    }
}
