//! What the journal's threads, readers and sessions share.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pipeline::{ports::LogError, topics::TOPICS};

use super::{
    Settings,
    disk::{Disk, Lock},
    frame::Lane,
    index::Index,
    order::Order,
    segment::Sealed,
};

/// See the module.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) identity: u64,
    pub(super) epoch: u64,
    pub(super) partitions: u32,
    /// Where every frame's checksum begins.
    pub(super) salt: u32,
    pub(super) disk: Arc<dyn Disk>,
    /// Keeps the directory for this process.
    pub(super) lock: Mutex<Option<Lock>>,
    pub(super) order: Order,
    segments: Mutex<Segments>,
    pub(super) counters: Counters,
    /// Only one cleaning at a time.
    pub(super) cleaning: Mutex<LastCleaning>,
    /// The owner has closed the journal, rather than dropped it.
    pub(super) is_closed: AtomicBool,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

/// When the journal was last cleaned.
#[derive(Default)]
pub(super) struct LastCleaning {
    pub(super) active_seq: u64,
    pub(super) now_ms: u64,
    /// How many streams of segments had expired and were left where they were.
    pub(super) expired: usize,
}

/// What is counted for metrics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_written: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// Which segments there are.
#[derive(Default)]
pub(super) struct Segments {
    /// Oldest first.
    pub(super) sealed: Vec<Arc<Sealed>>,
    /// The first frame of the newest segment, which is being written.
    pub(super) active_seq: u64,
    /// What it holds so far.
    pub(super) active: Index,
    /// Up to where it may be read.
    pub(super) readable: u64,
}

impl Segments {
    /// The newest segment is sealed, and another begins.
    pub(super) fn begin(&mut self, sealed: Sealed, first_seq: u64) {
        self.sealed.push(Arc::new(sealed));
        self.active_seq = first_seq;
        self.active = Index::after(std::mem::take(&mut self.active.carried));
        self.readable = super::segment::HEADER_BYTES;
    }

    /// The oldest offset of a lane that is on the disk.
    ///
    /// A stream is never seen with a hole: where an expired part of it was taken
    /// from one segment and left in an older one that was not worth rewriting,
    /// it begins behind the hole.
    pub(super) fn first(&self, lane: Lane) -> Option<u64> {
        let mut expected = *self.active.carried.ends.get(&lane)?;
        let mut first = None;
        let newest_first = [&self.active.spans].into_iter().chain(self.sealed.iter().rev().map(|sealed| &sealed.spans));
        for span in newest_first.filter_map(|spans| spans.get(&lane)) {
            if !lane.is_compacted() && span.last + 1 != expected {
                break;
            }
            expected = span.first;
            first = Some(span.first);
        }
        first
    }
}

impl Shared {
    #[allow(clippy::too_many_arguments)] // made in one place only
    pub(super) fn new(
        settings: Settings,
        identity: u64,
        epoch: u64,
        partitions: u32,
        disk: Arc<dyn Disk>,
        lock: Option<Lock>,
        order: Order,
        segments: Segments,
    ) -> Self {
        Shared {
            settings,
            identity,
            epoch,
            partitions,
            salt: super::frame::salt_of(identity),
            disk,
            lock: Mutex::new(lock),
            order,
            segments: Mutex::new(segments),
            counters: Counters::default(),
            cleaning: Mutex::new(LastCleaning::default()),
            is_closed: AtomicBool::new(false),
            stopping: Mutex::new(false),
            stopped: Condvar::new(),
        }
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends cleaning: a sleep at once, work at the next look.
    pub(super) fn stop(&self) {
        *self.is_stopping() = true;
        self.stopped.notify_all();
    }

    /// Refuses work once the journal ends.
    pub(super) fn check_running(&self) -> Result<(), LogError> {
        if *self.is_stopping() { Err(LogError::Closed) } else { Ok(()) }
    }

    /// Waits; true when the journal ends.
    pub(super) fn sleep(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut is_stopping = self.is_stopping();
        while !*is_stopping && let Some(left) = until.checked_duration_since(Instant::now()) {
            is_stopping = self.stopped.wait_timeout(is_stopping, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *is_stopping
    }

    /// How many lanes there are.
    pub(super) fn lanes(&self) -> usize {
        lanes(self.partitions)
    }
}

/// How many lanes so many partitions make, the groups' own topic included.
pub(super) fn lanes(partitions: u32) -> usize {
    (TOPICS.len() + 1) * partitions as usize
}

/// The wall clock.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
