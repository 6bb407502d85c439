//! Lets go of what has expired or was replaced.
//!
//! Sealed segments are rewritten without it when that frees at least half of
//! one, or when all of its streams have expired; small neighbours are joined.
//! What a segment loses is decided from footers alone. A rewritten segment is
//! made beside the old one, synced, and takes its name in one step, so that a
//! crash leaves one of both, and whoever is reading the old one keeps it.

use std::{
    io,
    sync::{
        Arc, PoisonError,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use pipeline::{ports::LogError, topics::Topic};

use super::{
    disk::{DiskFile, unavailable, write_all},
    frame::{Draft, Head, put_frame, records},
    index::{Index, key_hash},
    plan::{Plan, Run, expired_count},
    segment::{HEADER_BYTES, Header, Sealed, corrupt, name_of, open_sealed, read_frames, seal},
    shared::{LastCleaning, Shared, now_ms},
};

/// The name of a segment that is being rewritten.
const REWRITTEN: &str = "rewrite.tmp";
/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;
/// With nothing new and nothing expired, how soon to look for old tombstones.
const TOMBSTONES_EVERY_MS: u64 = 60 * 60 * 1000;
/// How long the writer may take to seal a segment; a stalled disk takes longer,
/// and then cleaning can wait too.
const ROLL_PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is noticed meanwhile that the journal ends.
const ROLL_LOOK: Duration = Duration::from_millis(50);

/// What a cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Segments that were written again without what they had lost.
    pub segments_rewritten: u64,
    /// Segments that are gone: empty, or joined to another.
    pub segments_removed: u64,
    /// How much smaller the journal is.
    pub bytes_freed: u64,
}

/// The thread that cleans now and then.
pub(super) struct Cleaner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Cleaner {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let Some(pause) = shared.settings.clean_every else { return Ok(Cleaner { shared, thread: None }) };
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("log-clean".into()).spawn(move || {
            while !of_thread.sleep(pause) {
                match clean(&of_thread, now_ms()) {
                    Ok(cleaned) if cleaned == Cleaned::default() => {}
                    Ok(cleaned) => tracing::debug!(?cleaned, "journal cleaned"),
                    Err(LogError::Closed) => return,
                    Err(error) => tracing::warn!(%error, "the journal could not be cleaned; it grows until it can"),
                }
            }
        })?;
        Ok(Cleaner { shared, thread: Some(thread) })
    }

    /// Waits for a cleaning under way to stop.
    pub(super) fn stop(self) {
        self.shared.stop();
        // Also one that was called for from elsewhere.
        drop(self.shared.cleaning.lock());
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

/// See [`super::Journal::clean`].
pub(super) fn clean(shared: &Shared, now_ms: u64) -> Result<Cleaned, LogError> {
    let mut last = shared.cleaning.lock().unwrap_or_else(PoisonError::into_inner);
    shared.check_running()?;
    seal_expired(shared, now_ms)?;
    let (sealed, active_seq) = {
        let segments = shared.segments();
        (segments.sealed.clone(), segments.active_seq)
    };
    let is_new = last.active_seq != active_seq || now_ms >= last.now_ms.saturating_add(TOMBSTONES_EVERY_MS);
    if !is_new && expired_count(&sealed, &shared.settings, now_ms) == last.expired {
        return Ok(Cleaned::default());
    }
    let plan = Plan::make(shared, &sealed, now_ms)?;
    let mut cleaned = Cleaned::default();
    // Oldest first: a tombstone may only go once what it deletes is gone.
    for run in &plan.runs {
        apply(shared, &plan, run, &sealed[run.segments.clone()], &mut cleaned)?;
    }
    let left = shared.segments().sealed.clone();
    *last = LastCleaning { active_seq, now_ms, expired: expired_count(&left, &shared.settings, now_ms) };
    Ok(cleaned)
}

/// Has the newest segment sealed if something in it has expired, since only
/// sealed ones are rewritten.
fn seal_expired(shared: &Shared, now_ms: u64) -> Result<(), LogError> {
    let has_expired = shared.segments().active.spans.iter().any(|(lane, span)| {
        let keep_ms = Topic::from_id(lane.topic).and_then(|topic| shared.settings.keep_ms(topic));
        keep_ms.is_some_and(|keep_ms| span.max_at_ms.saturating_add(keep_ms) <= now_ms)
    });
    if !has_expired {
        return Ok(());
    }
    let (answer, answered) = sync_channel(1);
    {
        let mut state = shared.order.lock();
        state.roll = Some(answer);
        shared.order.wake_writer(&mut state);
    }
    let until = Instant::now() + ROLL_PATIENCE;
    loop {
        match answered.recv_timeout(ROLL_LOOK) {
            Ok(()) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(LogError::Closed),
            Err(RecvTimeoutError::Timeout) if Instant::now() < until => shared.check_running()?,
            Err(RecvTimeoutError::Timeout) => {
                return Err(LogError::Unavailable { detail: "the journal is too busy to clean".into() });
            }
        }
    }
}

fn apply(
    shared: &Shared,
    plan: &Plan,
    run: &Run,
    members: &[Arc<Sealed>],
    cleaned: &mut Cleaned,
) -> Result<(), LogError> {
    let bytes_before: u64 = members.iter().map(|sealed| sealed.file_bytes).sum();
    let failed = |error| unavailable("cannot clean the journal", &error);
    let replacement = match run.is_gone {
        true => None,
        false => Some(Arc::new(rewrite(shared, plan, run, members)?)),
    };
    // The list first, so that no reader looks long for a file that is gone.
    {
        let mut segments = shared.segments();
        let first_seq = members[0].first_seq;
        if let Some(at) = segments.sealed.iter().position(|sealed| sealed.first_seq == first_seq) {
            segments.sealed.splice(at..at + members.len(), replacement.clone());
        }
    }
    // Memory must not show what the files have let go.
    if let Some(last) = members.last() {
        shared.order.lock().tail.forget(last.next_seq);
    }
    for member in &members[usize::from(replacement.is_some())..] {
        shared.disk.remove(&member.name()).map_err(failed)?;
        cleaned.segments_removed += 1;
    }
    shared.disk.sync().map_err(failed)?;
    cleaned.segments_rewritten += u64::from(replacement.is_some());
    let bytes_after = replacement.map_or(0, |sealed| sealed.file_bytes);
    cleaned.bytes_freed += bytes_before.saturating_sub(bytes_after);
    Ok(())
}

/// Writes one segment in place of several, and gives it the first one's name.
fn rewrite(shared: &Shared, plan: &Plan, run: &Run, members: &[Arc<Sealed>]) -> Result<Sealed, LogError> {
    let first_seq = members[0].first_seq;
    let failed = |error| unavailable("cannot rewrite a segment", &error);
    let file = shared.disk.create(REWRITTEN).map_err(failed)?;
    let mut copy = Copy { shared, file: &*file, buffer: Vec::new(), position: HEADER_BYTES, index: Index::default() };
    let (mut next_seq, mut sealed_at_ms) = (first_seq, 0);
    for (member, number) in members.iter().zip(run.segments.clone()) {
        let name = member.name();
        let (source, trailer) = open_sealed(&*shared.disk, &name)?;
        let mut position = HEADER_BYTES;
        while position < trailer.data_end {
            shared.check_running()?;
            let mut done = Ok(());
            let frame = |head: Head, payload: &bytes::Bytes| {
                if done.is_ok() {
                    done = copy.frame(plan, number, head, payload);
                }
            };
            position = read_frames(&*source, &name, shared.salt, position, trailer.data_end, frame)?;
            done.map_err(failed)?;
        }
        let index = trailer.index(&*source).map_err(failed)?;
        let (index, _) = index.ok_or_else(|| corrupt(&name, trailer.data_end, "its index is damaged"))?;
        next_seq = index.carried.next_seq;
        sealed_at_ms = sealed_at_ms.max(member.sealed_at_ms);
        copy.index.carried = index.carried;
    }
    copy.flush().map_err(failed)?;
    let header = Header { identity: shared.identity, first_seq, rewritten_upto: Some(next_seq) };
    let Copy { position, index, .. } = copy;
    let put_in_place = || {
        write_all(&*file, &header.encode(), 0)?;
        let sealed = seal(&*file, first_seq, &index, position, sealed_at_ms)?;
        file.sync()?;
        shared.disk.rename(REWRITTEN, &name_of(first_seq))?;
        shared.disk.sync()?;
        Ok(sealed)
    };
    put_in_place().map_err(failed)
}

/// The segment that is being written in place of others.
struct Copy<'a> {
    shared: &'a Shared,
    file: &'a dyn DiskFile,
    buffer: Vec<u8>,
    /// Where in the file the buffer goes.
    position: u64,
    index: Index,
}

impl Copy<'_> {
    /// Copies what stays of a frame.
    fn frame(&mut self, plan: &Plan, segment: usize, head: Head, payload: &[u8]) -> io::Result<()> {
        let mut kept = Draft::default();
        for stored in records(payload) {
            let hash = || key_hash(stored.lane, stored.key(payload));
            if plan.keeps(segment, stored.lane, stored.offset, stored.has_value, hash) {
                kept.copy(stored.lane, stored.encoded(payload));
            }
        }
        if kept.records.is_empty() {
            return Ok(());
        }
        self.index.add(self.position + self.buffer.len() as u64, head.seq, &kept.payload, |_| {});
        put_frame(&mut self.buffer, self.shared.salt, head.seq, head.synced_upto, kept.records.len(), &kept.payload);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all(self.file, &self.buffer, self.position)?;
        self.position += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
