//! Opens a journal as it was left: closed, killed, or with the power gone.
//!
//! Sealed segments tell by their footers what they hold and are not read. The
//! newest is read to its last whole frame. What follows that frame is either
//! room that was never written, or the torn end of a write that nobody was
//! promised: then it is cut off, and said. It is damage, and the journal does
//! not open, if a later frame says that the bad one was durable: every frame
//! carries what was durable when it was written.

use std::sync::Arc;

use bytes::Bytes;
use pipeline::ports::LogError;

use super::{
    disk::{Disk, DiskFile, read_up_to, unavailable},
    frame::{HEAD_BYTES, Head},
    identity::Identity,
    index::{Carried, Index},
    segment::{HEADER_BYTES, Header, Sealed, Trailer, corrupt, first_seq_of, name_of, seal},
    shared::{Segments, now_ms},
    writer::{Active, name_segment, prepare},
};

/// Bytes of a segment read at once while it is searched.
const SCAN_BYTES: usize = 4 << 20;

/// A journal that is ready to be written on.
pub(super) struct Recovered {
    pub(super) identity: Identity,
    pub(super) segments: Segments,
    pub(super) active: Active,
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    identity: u64,
    salt: u32,
    segment_bytes: u64,
    sealed: Vec<Arc<Sealed>>,
    carried: Carried,
}

/// Opens the journal in `disk`, or begins one.
pub(super) fn recover(disk: &dyn Disk, partitions: u32, segment_bytes: u64) -> Result<Recovered, LogError> {
    let names = disk.list().map_err(|error| unavailable("cannot list the journal", &error))?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| first_seq_of(name)).collect();
    firsts.sort_unstable();
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        disk.remove(name).map_err(|error| unavailable(&format!("cannot remove {name}"), &error))?;
    }
    let found = Identity::read(disk)?;
    let mut identity = match found {
        Some(identity) => identity,
        None if firsts.is_empty() => Identity::create(partitions)?,
        None => return Err(corrupt("journal.json", 0, "missing, but there are segments")),
    };
    if identity.partitions != partitions {
        let (stored, asked) = (identity.partitions, partitions);
        tracing::warn!(stored, asked, "the journal keeps the number of partitions that it was made with");
    }
    let closed_at_seq = identity.closed_at_seq.take();
    identity.epoch += u64::from(found.is_some() && closed_at_seq.is_none());

    let mut recovery = Recovery {
        disk,
        identity: identity.identity,
        salt: super::frame::salt_of(identity.identity),
        segment_bytes,
        sealed: Vec::new(),
        carried: Carried::default(),
    };
    let (active, index) = recovery.run(&firsts)?;
    let next_seq = index.carried.next_seq;
    if let Some(closed_at_seq) = closed_at_seq
        && next_seq < closed_at_seq
    {
        let what = format!("the journal was closed at frame {closed_at_seq}, but ends at {next_seq}");
        return Err(corrupt(&name_of(active.first_seq), active.position, &what));
    }
    // From here on the journal counts as open.
    identity.write(disk)?;
    let segments =
        Segments { sealed: recovery.sealed, active_seq: active.first_seq, readable: active.position, active: index };
    Ok(Recovered { identity, segments, active })
}

impl Recovery<'_> {
    fn run(&mut self, firsts: &[u64]) -> Result<(Active, Index), LogError> {
        let mut replaced_upto = 0;
        for (number, first_seq) in firsts.iter().copied().enumerate() {
            let name = name_of(first_seq);
            let failed = |error| unavailable(&format!("cannot read {name}"), &error);
            let file = self.disk.open(&name).map_err(failed)?;
            let header = Header::read(&*file).map_err(failed)?;
            if first_seq < replaced_upto {
                // The cleaner merged it into the one before and was stopped
                // before it could remove it.
                self.disk.remove(&name).map_err(failed)?;
                continue;
            }
            let is_ours = |header: &Header| header.identity == self.identity && header.first_seq == first_seq;
            let is_last = number + 1 == firsts.len();
            let header = match header {
                Some(header) if is_ours(&header) => header,
                None if is_last && !self.has_frames(&*file)? => {
                    self.disk.remove(&name).map_err(failed)?;
                    continue;
                }
                _ => return Err(corrupt(&name, 0, "its header is damaged, or of another journal")),
            };
            replaced_upto = header.rewritten_upto.unwrap_or_default();
            // A footer is written together with the last frames before it, so it
            // proves them only once the next segment shows that both are durable.
            let is_proven = !is_last || header.rewritten_upto.is_some();
            let sealed = if is_proven { self.sealed_segment(&*file, first_seq).map_err(failed)? } else { None };
            if let Some(sealed) = sealed {
                self.sealed.push(Arc::new(sealed));
            } else if header.rewritten_upto.is_some() {
                return Err(corrupt(&name, 0, "its footer is damaged"));
            } else if is_last {
                return self.newest(file, first_seq);
            } else {
                let sealed = self.rebuild(&*file, first_seq, firsts[number + 1])?;
                self.sealed.push(Arc::new(sealed));
            }
        }
        self.begin()
    }

    /// A segment whose footer is whole.
    fn sealed_segment(&mut self, file: &dyn DiskFile, first_seq: u64) -> std::io::Result<Option<Sealed>> {
        let Some(trailer) = Trailer::read(file)? else { return Ok(None) };
        let Some((index, sealed_at_ms)) = trailer.index(file)? else { return Ok(None) };
        self.carried = index.carried;
        Ok(Some(Sealed {
            first_seq,
            next_seq: self.carried.next_seq,
            data_end: trailer.data_end,
            file_bytes: file.length()?,
            sealed_at_ms,
            spans: index.spans,
        }))
    }

    /// A sealed segment whose footer is damaged gets a new one, if all of its
    /// frames are there.
    fn rebuild(&mut self, file: &dyn DiskFile, first_seq: u64, next_first_seq: u64) -> Result<Sealed, LogError> {
        let name = name_of(first_seq);
        let (index, end) = self.scan(file, first_seq)?;
        if index.carried.next_seq != next_first_seq {
            return Err(corrupt(&name, end, "a frame is damaged, or the footer and frames before it are"));
        }
        tracing::warn!(file = name, "the footer was damaged and is made again from the frames");
        let sealed = seal(file, first_seq, &index, end, now_ms()).and_then(|sealed| file.sync().map(|()| sealed));
        self.carried = index.carried;
        sealed.map_err(|error| unavailable(&format!("cannot seal {name}"), &error))
    }

    /// The segment that was being written.
    fn newest(&mut self, file: Arc<dyn DiskFile>, first_seq: u64) -> Result<(Active, Index), LogError> {
        let name = name_of(first_seq);
        let failed = |error| unavailable(&format!("cannot recover {name}"), &error);
        let (index, end) = self.scan(&*file, first_seq)?;
        let torn = self.examine(&*file, &name, end, index.carried.next_seq)?;
        if torn {
            tracing::warn!(file = name, position = end, "cut off a torn write that nobody was promised");
            // What is written next must not be followed by what was cut: it
            // might fit.
            file.set_len(end).map_err(failed)?;
        }
        file.allocate(self.segment_bytes.max(end)).map_err(failed)?;
        // A killed process leaves frames that only the system's memory has.
        file.sync().map_err(failed)?;
        Ok((Active { file, first_seq, position: end }, index))
    }

    fn begin(&mut self) -> Result<(Active, Index), LogError> {
        let first_seq = self.carried.next_seq;
        let file = prepare(self.disk, self.segment_bytes)
            .and_then(|file| name_segment(self.disk, &*file, self.identity, first_seq).map(|()| file))
            .map_err(|error| unavailable("cannot begin a segment", &error))?;
        Ok((Active { file, first_seq, position: HEADER_BYTES }, Index::after(std::mem::take(&mut self.carried))))
    }

    /// Reads frames for as long as each is whole and the next in order.
    fn scan(&self, file: &dyn DiskFile, first_seq: u64) -> Result<(Index, u64), LogError> {
        let mut index = Index::after(self.carried.clone());
        index.carried.next_seq = first_seq;
        let mut position = HEADER_BYTES;
        let mut length = SCAN_BYTES;
        loop {
            let bytes = self.read(file, first_seq, position, length)?;
            let at_end = bytes.len() < length;
            let mut at = 0;
            let stopped = loop {
                match Head::check(&bytes[at..], self.salt) {
                    Ok(head) if head.seq == index.carried.next_seq => {
                        let payload = &bytes[at + HEAD_BYTES..at + HEAD_BYTES + head.length];
                        index.add(position + at as u64, head.seq, payload, |_| {});
                        at += head.bytes();
                        if at >= bytes.len() {
                            break None;
                        }
                    }
                    Ok(_) => break Some(None),
                    Err(super::frame::Bad::Short { needed }) => break Some(Some(needed)),
                    Err(_) => break Some(None),
                }
            };
            position += at as u64;
            match stopped {
                // A frame beyond what was read: read it whole, if it can be.
                Some(Some(needed)) if !at_end => {
                    length = needed.max(SCAN_BYTES).min(self.room(file, first_seq, position)?)
                }
                None if !at_end => length = SCAN_BYTES,
                _ => return Ok((index, position)),
            }
            if length == 0 {
                return Ok((index, position));
            }
        }
    }

    fn room(&self, file: &dyn DiskFile, first_seq: u64, position: u64) -> Result<usize, LogError> {
        let length =
            file.length().map_err(|error| unavailable(&format!("cannot read {}", name_of(first_seq)), &error))?;
        Ok(length.saturating_sub(position) as usize + 1)
    }

    /// Looks at what follows the last whole frame: whether anything does, and
    /// that nothing says the frame at `end` had been durable.
    fn examine(&self, file: &dyn DiskFile, name: &str, end: u64, next_seq: u64) -> Result<bool, LogError> {
        let length = file.length().map_err(|error| unavailable(&format!("cannot read {name}"), &error))?;
        let rest = self.read(file, first_seq_of(name).unwrap_or_default(), end, length.saturating_sub(end) as usize)?;
        let later = frames_in(&rest, self.salt).find(|(_, head)| head.seq > next_seq && head.synced_upto > next_seq);
        if let Some((at, head)) = later {
            let what = format!(
                "frame {next_seq} is damaged; frame {} at byte {} shows that it was durable",
                head.seq,
                end + at as u64
            );
            return Err(corrupt(name, end, &what));
        }
        Ok(rest.iter().any(|byte| *byte != 0))
    }

    fn has_frames(&self, file: &dyn DiskFile) -> Result<bool, LogError> {
        let length = file.length().map_err(|error| unavailable("cannot read a segment", &error))?;
        let bytes = self.read(file, 0, 0, length as usize)?;
        Ok(frames_in(&bytes, self.salt).next().is_some())
    }

    fn read(&self, file: &dyn DiskFile, first_seq: u64, position: u64, length: usize) -> Result<Bytes, LogError> {
        let bytes = read_up_to(file, position, length);
        bytes.map(Bytes::from).map_err(|error| unavailable(&format!("cannot read {}", name_of(first_seq)), &error))
    }
}

/// Every whole frame in bytes that may be anything, with where it is.
fn frames_in(bytes: &[u8], salt: u32) -> impl Iterator<Item = (usize, Head)> {
    let starts = bytes.chunks(8).enumerate().filter(|(_, word)| word.iter().any(|byte| *byte != 0));
    starts.filter_map(move |(word, _)| Some((word * 8, Head::check(&bytes[word * 8..], salt).ok()?)))
}
