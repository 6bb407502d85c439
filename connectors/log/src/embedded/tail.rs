//! The newest frames, kept in memory so that readers that keep up never touch
//! the disk. What is not durable yet is always here.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frame::{Lane, records};

/// What a frame and a record cost beside their bytes.
const FRAME_COST_BYTES: usize = 64;
const RECORD_COST_BYTES: usize = 16;

struct Frame {
    payload: Bytes,
    /// Whether it is a commit, which some readers may see early.
    is_commit: bool,
    cost_bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    seq: u64,
    start: u32,
}

/// The newest records of one lane; offsets have no holes here.
#[derive(Default)]
struct Queue {
    /// The offset of the first entry, or of the next record.
    first: u64,
    entries: VecDeque<Entry>,
}

impl Queue {
    fn at(&self, offset: u64) -> Option<Entry> {
        self.entries.get(usize::try_from(offset.checked_sub(self.first)?).ok()?).copied()
    }
}

/// Where a reader is in one lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub(super) lane: Lane,
    /// The offset that it reads next.
    pub(super) next: u64,
}

/// What the tail has for a reader.
pub(super) enum Found {
    /// These: the payload and where in it the record starts.
    Records(Vec<(Bytes, u32)>),
    /// The reader has all that it may see.
    Nothing,
    /// What comes next is only on the disk.
    Behind,
}

pub(super) struct Tail {
    partitions: u32,
    bytes_max: usize,
    bytes: usize,
    first_seq: u64,
    frames: VecDeque<Frame>,
    queues: Vec<Queue>,
}

impl Tail {
    /// An empty one, of a journal whose next frame is `next_seq`.
    pub(super) fn new(partitions: u32, lanes: usize, bytes_max: usize, next_seq: u64) -> Self {
        let queues = (0..lanes).map(|_| Queue::default()).collect();
        Tail { partitions, bytes_max, bytes: 0, first_seq: next_seq, frames: VecDeque::new(), queues }
    }

    /// Where an empty lane begins.
    pub(super) fn begin(&mut self, lane: Lane, end: u64) {
        self.queues[lane.index(self.partitions)].first = end;
    }

    /// The oldest offset of a lane that is here.
    pub(super) fn first(&self, lane: Lane) -> u64 {
        self.queues[lane.index(self.partitions)].first
    }

    /// Adds the next frame.
    pub(super) fn push(&mut self, seq: u64, payload: Bytes, starts: &[(Lane, u32)], is_commit: bool) {
        for (lane, start) in starts {
            let entry = Entry { seq, start: *start };
            self.queues[lane.index(self.partitions)].entries.push_back(entry);
        }
        let cost_bytes = payload.len() + FRAME_COST_BYTES + RECORD_COST_BYTES * starts.len();
        self.bytes += cost_bytes;
        self.frames.push_back(Frame { payload, is_commit, cost_bytes });
    }

    /// Lets go of the oldest frames beyond the bound, but of none that is not
    /// durable.
    pub(super) fn evict(&mut self, durable_seq: u64) {
        while self.bytes > self.bytes_max && self.first_seq < durable_seq {
            self.forget_oldest();
        }
    }

    /// Lets go of every frame below `seq`, all of which are durable.
    pub(super) fn forget(&mut self, seq: u64) {
        while self.first_seq < seq && !self.frames.is_empty() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            for stored in records(&frame.payload) {
                let queue = &mut self.queues[stored.lane.index(self.partitions)];
                queue.entries.pop_front();
                queue.first += 1;
            }
            self.bytes -= frame.cost_bytes;
            self.first_seq += 1;
        }
    }

    /// The next records of all wanted lanes, in the order of the journal.
    /// Moves `wants` on.
    pub(super) fn read(&self, wants: &mut [Want], records_max: usize, durable_seq: u64, early: bool) -> Found {
        if wants.iter().any(|want| want.next < self.first(want.lane)) {
            return Found::Behind;
        }
        let mut found = Vec::new();
        while found.len() < records_max {
            let next = wants
                .iter_mut()
                .filter_map(|want| {
                    let entry = self.queues[want.lane.index(self.partitions)].at(want.next)?;
                    Some((entry, want))
                })
                .min_by_key(|(entry, _)| (entry.seq, entry.start));
            let Some((entry, want)) = next else { break };
            let frame = &self.frames[(entry.seq - self.first_seq) as usize];
            if entry.seq >= durable_seq && !(early && frame.is_commit) {
                break;
            }
            found.push((frame.payload.clone(), entry.start));
            want.next += 1;
        }
        if found.is_empty() { Found::Nothing } else { Found::Records(found) }
    }
}
