//! One file of the journal: a header, frames, and once it is sealed a footer.
//!
//! ```text
//! header   magic · identity · first seq · end seq of a rewritten one · crc     64 bytes
//! frames   …                                                        up to data_end
//! footer   index · keys
//! trailer  magic · data_end · lengths and checksums of both · crc   64 bytes, at the end
//! ```
//!
//! A segment is named for the first frame that it had when it was written. The
//! newest has no footer and is followed by reserved room, which reads as zeros.
//! One that the cleaner rewrote says up to which frame it replaces what was
//! there, because a crash may leave the replaced files beside it.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::{BufMut, Bytes};
use pipeline::ports::LogError;

use super::{
    disk::{Disk, DiskFile, read_up_to, unavailable, write_all},
    frame::{Bad, HEAD_BYTES, Head, Lane, u32_at, u64_at},
    index::{Index, KeyMark, Span},
};

/// Bytes of the header; the first frame is behind it.
pub(super) const HEADER_BYTES: u64 = 64;
const TRAILER_BYTES: u64 = 64;
const HEADER_MAGIC: u64 = u64::from_le_bytes(*b"NXSEG001");
const TRAILER_MAGIC: u64 = u64::from_le_bytes(*b"NXEND001");

/// The file name of the segment that begins with this frame.
pub(super) fn name_of(first_seq: u64) -> String {
    format!("{first_seq:020}.seg")
}

/// The frame that the segment of this name begins with.
pub(super) fn first_seq_of(name: &str) -> Option<u64> {
    name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// A segment that takes no more frames, as it is kept in memory.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) first_seq: u64,
    /// The first frame that is not here.
    pub(super) next_seq: u64,
    pub(super) data_end: u64,
    pub(super) file_bytes: u64,
    pub(super) sealed_at_ms: u64,
    pub(super) spans: BTreeMap<Lane, Span>,
}

impl Sealed {
    /// Its file's name.
    pub(super) fn name(&self) -> String {
        name_of(self.first_seq)
    }

    /// When its youngest record of a lane was made; never later than the
    /// segment itself, whatever a producer's clock said.
    pub(super) fn youngest_at_ms(&self, lane: Lane) -> Option<u64> {
        self.spans.get(&lane).map(|span| span.max_at_ms.min(self.sealed_at_ms))
    }
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: u64,
    pub(super) first_seq: u64,
    /// For a rewritten segment: the first frame that it does not replace.
    pub(super) rewritten_upto: Option<u64>,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut header = [0; HEADER_BYTES as usize];
        let mut out = &mut header[..];
        for number in [HEADER_MAGIC, self.identity, self.first_seq, self.rewritten_upto.unwrap_or_default()] {
            out.put_u64_le(number);
        }
        let crc = crc32c::crc32c(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Option<Header>> {
        let bytes = read_up_to(file, 0, HEADER_BYTES as usize)?;
        if bytes.len() < HEADER_BYTES as usize
            || u64_at(&bytes, 0) != HEADER_MAGIC
            || crc32c::crc32c(&bytes[..60]) != u32_at(&bytes, 60)
        {
            return Ok(None);
        }
        let rewritten_upto = Some(u64_at(&bytes, 24)).filter(|seq| *seq != 0);
        Ok(Some(Header { identity: u64_at(&bytes, 8), first_seq: u64_at(&bytes, 16), rewritten_upto }))
    }
}

/// Writes the footer and gives back the room that was reserved and not used.
/// The caller makes it durable.
pub(super) fn seal(
    file: &dyn DiskFile,
    first_seq: u64,
    index: &Index,
    data_end: u64,
    sealed_at_ms: u64,
) -> io::Result<Sealed> {
    let (spans, keys) = (index.encode(sealed_at_ms), index.encode_keys());
    let mut trailer = Vec::with_capacity(TRAILER_BYTES as usize);
    trailer.put_u64_le(TRAILER_MAGIC);
    trailer.put_u64_le(data_end);
    for part in [&spans, &keys] {
        trailer.put_u64_le(part.len() as u64);
        trailer.put_u32_le(crc32c::crc32c(part));
    }
    trailer.resize(TRAILER_BYTES as usize - 4, 0);
    let crc = crc32c::crc32c(&trailer);
    trailer.put_u32_le(crc);
    let footer = [spans, keys, trailer].concat();
    let file_bytes = data_end + footer.len() as u64;
    write_all(file, &footer, data_end)?;
    file.set_len(file_bytes)?;
    let next_seq = index.carried.next_seq;
    Ok(Sealed { first_seq, next_seq, data_end, file_bytes, sealed_at_ms, spans: index.spans.clone() })
}

/// What a trailer says: where the frames end, and where the index is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trailer {
    pub(super) data_end: u64,
    index_bytes: usize,
    index_crc: u32,
    keys_bytes: usize,
    keys_crc: u32,
}

impl Trailer {
    /// The trailer of a sealed segment; nothing if there is none, or not whole.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Option<Trailer>> {
        let length = file.length()?;
        let Some(at) = length.checked_sub(TRAILER_BYTES).filter(|at| *at >= HEADER_BYTES) else { return Ok(None) };
        let bytes = read_up_to(file, at, TRAILER_BYTES as usize)?;
        if bytes.len() < TRAILER_BYTES as usize
            || u64_at(&bytes, 0) != TRAILER_MAGIC
            || crc32c::crc32c(&bytes[..60]) != u32_at(&bytes, 60)
        {
            return Ok(None);
        }
        Ok(Some(Trailer {
            data_end: u64_at(&bytes, 8),
            index_bytes: u64_at(&bytes, 16) as usize,
            index_crc: u32_at(&bytes, 24),
            keys_bytes: u64_at(&bytes, 28) as usize,
            keys_crc: u32_at(&bytes, 36),
        }))
    }

    /// The index without its keys, with the time of sealing.
    pub(super) fn index(&self, file: &dyn DiskFile) -> io::Result<Option<(Index, u64)>> {
        let bytes = read_up_to(file, self.data_end, self.index_bytes)?;
        let is_whole = bytes.len() == self.index_bytes && crc32c::crc32c(&bytes) == self.index_crc;
        Ok(is_whole.then(|| Index::decode(&bytes)).flatten())
    }

    /// The keys of compacted lanes.
    pub(super) fn keys(&self, file: &dyn DiskFile) -> io::Result<Option<Vec<KeyMark>>> {
        let bytes = read_up_to(file, self.data_end + self.index_bytes as u64, self.keys_bytes)?;
        let is_whole = bytes.len() == self.keys_bytes && crc32c::crc32c(&bytes) == self.keys_crc;
        Ok(is_whole.then(|| Index::decode_keys(&bytes)).flatten())
    }
}

/// Opens a segment, and tells where its index is.
pub(super) fn open_sealed(disk: &dyn Disk, name: &str) -> Result<(Arc<dyn DiskFile>, Trailer), LogError> {
    let file = disk.open(name).map_err(|error| unavailable(&format!("cannot open {name}"), &error))?;
    let trailer = Trailer::read(&*file).map_err(|error| unavailable(&format!("cannot read {name}"), &error))?;
    let trailer = trailer.ok_or_else(|| corrupt(name, file.length().unwrap_or_default(), "its footer is damaged"))?;
    Ok((file, trailer))
}

/// Bytes read from the disk at once. Records share this memory, so it is also
/// what one record that is kept for long keeps with it.
const CHUNK_BYTES: usize = 256 << 10;

/// Hands over the frames at `position`, as many as one read brings, and tells
/// where the next one is. All bytes up to `limit` must be whole frames.
pub(super) fn read_frames(
    file: &dyn DiskFile,
    name: &str,
    salt: u32,
    position: u64,
    limit: u64,
    mut each: impl FnMut(Head, &Bytes),
) -> Result<u64, LogError> {
    let room = limit.saturating_sub(position);
    let mut length = CHUNK_BYTES.min(usize::try_from(room).unwrap_or(CHUNK_BYTES));
    loop {
        let bytes = read_up_to(file, position, length);
        let bytes = Bytes::from(bytes.map_err(|error| unavailable(&format!("cannot read {name}"), &error))?);
        let mut at = 0;
        while at < bytes.len() {
            match Head::check(&bytes[at..], salt) {
                Ok(head) => {
                    each(head, &bytes.slice(at + HEAD_BYTES..at + HEAD_BYTES + head.length));
                    at += head.bytes();
                }
                // The rest of it comes with the next read.
                Err(Bad::Short { needed }) if (at + needed) as u64 <= room && (at > 0 || needed > length) => {
                    length = needed;
                    break;
                }
                Err(_) => return Err(corrupt(name, position + at as u64, "a frame is damaged")),
            }
        }
        if at > 0 {
            return Ok(position + at as u64);
        }
        if bytes.is_empty() {
            return Err(corrupt(name, position, "the file is shorter than its index says"));
        }
    }
}

/// Stored bytes that are not what was written.
pub(super) fn corrupt(name: &str, position: u64, what: &str) -> LogError {
    LogError::Corrupt { detail: format!("file {name}, byte {position}: {what}") }
}
