//! The one thread that writes: takes everything that is pending, writes it with
//! one call, makes it durable with one more, and tells everybody who waits.
//!
//! There is no timed window. While one sync is under way the next batch gathers
//! behind it, so a quiet journal answers after one sync and a busy one shares
//! each sync among many.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    Durability,
    disk::{Disk, DiskFile, write_all},
    frame::{Lane, frame_bytes, put_frame},
    index::Index,
    order::{Condition, PendingFrame, Work},
    segment::{HEADER_BYTES, Header, Sealed, name_of, seal},
    shared::{Shared, now_ms},
};

/// Bytes handed to one write at most: keeps the buffer small.
const WRITE_BYTES_MAX: usize = 8 << 20;
/// How long to wait before a disk that refused is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How often `Durability::Interval` syncs.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The name of the segment that is prepared ahead.
pub(super) const PREPARED: &str = "next.tmp";

/// What a disk's refusal means.
enum Failure {
    /// Try the same again later.
    Retry(String),
    /// What the disk holds is unknown from here on.
    Poison(String),
}

/// The newest segment's file.
pub(super) struct Active {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) first_seq: u64,
    /// Where the next frame goes.
    pub(super) position: u64,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    active: Active,
    /// Set between the sealing of one segment and the beginning of the next.
    sealed: Option<Sealed>,
    prepared: Preparer,
    buffer: Vec<u8>,
    touched: Vec<bool>,
    /// Frames below this survive a crash.
    synced_seq: u64,
    written_seq: u64,
    synced_at: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, active: Active, next_seq: u64) -> io::Result<Self> {
        let prepared = Preparer::start(shared.disk.clone(), shared.settings.segment_bytes)?;
        let touched = vec![false; shared.lanes()];
        Ok(Writer {
            shared,
            active,
            sealed: None,
            prepared,
            buffer: Vec::new(),
            touched,
            synced_seq: next_seq,
            written_seq: next_seq,
            synced_at: Instant::now(),
        })
    }

    /// Works until the owner closes; true when everything taken is durable.
    pub(super) fn run(mut self) -> bool {
        let mut batch = VecDeque::new();
        loop {
            let patience = (self.synced_seq < self.written_seq)
                .then(|| SYNC_EVERY.saturating_sub(self.synced_at.elapsed()).max(Duration::from_millis(1)));
            let done = match self.shared.order.next_work(&mut batch, patience) {
                Work::Write => self.persist(&mut batch, |writer, batch| writer.write(batch)),
                Work::Idle => self.persist(&mut batch, |writer, _| writer.sync()),
                Work::Roll(answer) => {
                    let done = self.persist(&mut batch, |writer, _| writer.roll());
                    let _ = answer.try_send(());
                    done
                }
                Work::Finish => break,
            };
            if !done {
                return false;
            }
        }
        self.persist(&mut batch, |writer, _| writer.sync())
    }

    /// Does `step` until it succeeds; false when it never will.
    fn persist(
        &mut self,
        batch: &mut VecDeque<PendingFrame>,
        step: impl Fn(&mut Self, &mut VecDeque<PendingFrame>) -> Result<(), Failure>,
    ) -> bool {
        loop {
            match step(self, batch) {
                Ok(()) => return true,
                Err(Failure::Retry(detail)) => {
                    tracing::warn!(detail, "the journal's disk refuses; trying again");
                    if self.shared.order.stall(detail.clone(), RETRY_PAUSE) {
                        // What waits will never be written by this process.
                        self.shared.order.end(Condition::Poisoned(detail), batch);
                        return false;
                    }
                }
                Err(Failure::Poison(detail)) => {
                    tracing::error!(detail, "the journal takes nothing more until a restart");
                    self.shared.order.end(Condition::Poisoned(detail), batch);
                    return false;
                }
            }
        }
    }

    /// Writes and publishes a batch. After a failure the same batch may be
    /// given again: frames that are already written are known by their number.
    fn write(&mut self, batch: &mut VecDeque<PendingFrame>) -> Result<(), Failure> {
        let written_seq = self.written_seq;
        let mut from = batch.partition_point(|frame| frame.seq < written_seq);
        while from < batch.len() {
            if self.sealed.is_some() || !self.fits(frame_bytes(batch[from].payload.len())) {
                self.roll()?;
            }
            self.buffer.clear();
            let mut upto = from;
            while let Some(frame) = batch.get(upto)
                && self.takes(frame_bytes(frame.payload.len()))
            {
                let PendingFrame { seq, records, payload, .. } = frame;
                put_frame(&mut self.buffer, self.shared.salt, *seq, self.synced_seq, *records, payload);
                upto += 1;
            }
            write_all(&*self.active.file, &self.buffer, self.active.position)
                .map_err(|error| Failure::Retry(format!("cannot write to the journal: {error}")))?;
            self.written(batch.range(from..upto));
            from = upto;
        }
        if self.shared.settings.durability == Durability::Sync || self.synced_at.elapsed() >= SYNC_EVERY {
            self.sync()?;
        }
        self.shared.segments().readable = self.active.position;
        let partitions = self.shared.partitions;
        let touched = self.touched.iter_mut().enumerate();
        let lanes = touched.filter_map(|(index, touched)| std::mem::take(touched).then_some(index));
        let lanes: Vec<Lane> = lanes.map(|index| Lane::of_index(index, partitions)).collect();
        self.shared.order.publish(batch, &lanes);
        Ok(())
    }

    /// Whether a frame goes into the newest segment behind what is there. One
    /// that is larger than any segment gets one for itself.
    fn fits(&self, bytes: usize) -> bool {
        self.active.position + bytes as u64 <= self.shared.settings.segment_bytes
            || self.active.position == HEADER_BYTES
    }

    /// Whether a frame goes into the buffer behind what is there.
    fn takes(&self, bytes: usize) -> bool {
        let after = self.buffer.len() + bytes;
        self.buffer.is_empty()
            || (after <= WRITE_BYTES_MAX && self.active.position + after as u64 <= self.shared.settings.segment_bytes)
    }

    fn written<'a>(&mut self, frames: impl Iterator<Item = &'a PendingFrame>) {
        let partitions = self.shared.partitions;
        let touched = &mut self.touched;
        let mut segments = self.shared.segments();
        for frame in frames {
            let position = self.active.position;
            segments.active.add(position, frame.seq, &frame.payload, |lane| touched[lane.index(partitions)] = true);
            self.active.position += frame_bytes(frame.payload.len()) as u64;
            self.written_seq = frame.seq + 1;
            self.shared.counters.records.fetch_add(frame.records as u64, Relaxed);
        }
        self.shared.counters.bytes_written.fetch_add(self.buffer.len() as u64, Relaxed);
    }

    fn sync(&mut self) -> Result<(), Failure> {
        if self.synced_seq < self.written_seq {
            self.active.file.sync().map_err(|error| Failure::Poison(format!("cannot sync the journal: {error}")))?;
            self.synced();
        }
        self.synced_at = Instant::now();
        Ok(())
    }

    fn synced(&mut self) {
        self.synced_seq = self.written_seq;
        self.shared.counters.syncs.fetch_add(1, Relaxed);
    }

    /// Seals the newest segment and begins another.
    fn roll(&mut self) -> Result<(), Failure> {
        if self.active.position == HEADER_BYTES {
            return Ok(());
        }
        let sealed = match self.sealed.take() {
            Some(sealed) => sealed,
            None => self.seal()?,
        };
        let first_seq = self.written_seq;
        match self.begin(first_seq) {
            Ok(file) => {
                self.active = Active { file, first_seq, position: HEADER_BYTES };
                self.shared.segments().begin(sealed, first_seq);
                Ok(())
            }
            Err(failure) => {
                self.sealed = Some(sealed);
                Err(failure)
            }
        }
    }

    fn seal(&mut self) -> Result<Sealed, Failure> {
        let index: Index = self.shared.segments().active.clone();
        let sealed = seal(&*self.active.file, self.active.first_seq, &index, self.active.position, now_ms())
            .map_err(|error| Failure::Retry(format!("cannot seal a segment: {error}")))?;
        self.active.file.sync().map_err(|error| Failure::Poison(format!("cannot sync a segment: {error}")))?;
        self.synced();
        Ok(sealed)
    }

    fn begin(&mut self, first_seq: u64) -> Result<Arc<dyn DiskFile>, Failure> {
        let retry = |error| Failure::Retry(format!("cannot begin a segment: {error}"));
        let file = self.prepared.take().map_err(retry)?;
        name_segment(&*self.shared.disk, &*file, self.shared.identity, first_seq).map_err(retry)?;
        self.prepared.order();
        Ok(file)
    }
}

/// Makes the prepared file the segment that begins with `first_seq`.
pub(super) fn name_segment(disk: &dyn Disk, file: &dyn DiskFile, identity: u64, first_seq: u64) -> io::Result<()> {
    write_all(file, &Header { identity, first_seq, rewritten_upto: None }.encode(), 0)?;
    file.sync()?;
    disk.rename(PREPARED, &name_of(first_seq))?;
    disk.sync()
}

/// Has the next segment's room reserved before it is needed, so that no append
/// waits for it.
struct Preparer {
    /// Dropped first, which ends the thread.
    orders: Option<SyncSender<()>>,
    done: Receiver<io::Result<Arc<dyn DiskFile>>>,
    is_ordered: bool,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    fn start(disk: Arc<dyn Disk>, segment_bytes: u64) -> io::Result<Self> {
        let (orders, ordered) = sync_channel::<()>(1);
        let (finish, done) = sync_channel(1);
        let thread = std::thread::Builder::new().name("log-prepare".into()).spawn(move || {
            for () in ordered {
                if finish.send(prepare(&*disk, segment_bytes)).is_err() {
                    return;
                }
            }
        })?;
        let mut preparer = Preparer { orders: Some(orders), done, is_ordered: false, thread: Some(thread) };
        preparer.order();
        Ok(preparer)
    }

    fn order(&mut self) {
        self.is_ordered = self.orders.as_ref().is_some_and(|orders| orders.send(()).is_ok());
    }

    fn take(&mut self) -> io::Result<Arc<dyn DiskFile>> {
        if !self.is_ordered {
            self.order();
        }
        self.is_ordered = false;
        self.done.recv().unwrap_or_else(|_| Err(io::Error::other("the preparing thread is gone")))
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A new file with room reserved.
pub(super) fn prepare(disk: &dyn Disk, segment_bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(PREPARED)?;
    file.allocate(segment_bytes)?;
    file.sync()?;
    Ok(file)
}
