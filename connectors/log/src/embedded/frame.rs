//! How records lie in the journal: frames, each of which is whole or nothing.
//!
//! ```text
//! frame   magic u32 · crc u32 · length u32 · records u32 · seq u64 · synced_upto u64 · records …  · zeros to 8
//! record  topic u8 · flags u8 · 0 u16 · partition u32 · offset u64 · at_ms u64 ·
//!         key u32 · value u32 · headers u32 (lengths) · key · value · headers
//! ```
//!
//! All numbers are little endian. The checksum (CRC-32C) covers everything of
//! the frame behind itself and begins with the journal's identity, so that a
//! frame of another journal, or one quoted inside a record, is never taken for
//! one of this journal. `synced_upto` is what was known to be durable when the
//! frame was written: every frame with a lower `seq`.

use bytes::{BufMut, Bytes, BytesMut};
use pipeline::{
    ports::{Headers, NewRecord, Position, Record},
    topics::Topic,
};

/// Bytes before a frame's records.
pub(super) const HEAD_BYTES: usize = 32;
/// Bytes before a record's key.
pub(super) const RECORD_HEAD_BYTES: usize = 36;
/// Frames start at multiples of this.
const ALIGN: usize = 8;
const MAGIC: u32 = u32::from_le_bytes(*b"NXF1");
const HAS_VALUE: u8 = 1;
/// Where in a record its offset is.
const OFFSET_AT: usize = 8;

/// The topic number of the consumer groups' own records.
pub(super) const GROUPS_TOPIC: u8 = 0;

/// One partition of one topic; the journal is made of many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lane {
    pub(super) topic: u8,
    pub(super) partition: u32,
}

impl Lane {
    pub(super) fn new(topic: Topic, partition: u32) -> Self {
        Lane { topic: topic as u8, partition }
    }

    /// Its place in a table of all lanes.
    pub(super) fn index(self, partitions: u32) -> usize {
        usize::from(self.topic) * partitions as usize + self.partition as usize
    }

    /// The lane of a place in that table.
    pub(super) fn of_index(index: usize, partitions: u32) -> Self {
        let partitions = partitions as usize;
        Lane { topic: (index / partitions) as u8, partition: (index % partitions) as u32 }
    }

    /// Whether only the newest record of each key is kept.
    pub(super) fn is_compacted(self) -> bool {
        self.topic == GROUPS_TOPIC || Topic::from_id(self.topic).is_some_and(Topic::is_compacted)
    }
}

/// The records of a frame to be: encoded, but without their offsets yet.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) payload: BytesMut,
    /// Of each record: its lane, and where it starts.
    pub(super) records: Vec<(Lane, u32)>,
}

impl Draft {
    pub(super) fn with_room_for(records: &[NewRecord]) -> Self {
        let bytes = records.iter().map(|record| RECORD_HEAD_BYTES + size_of(record)).sum();
        Draft { payload: BytesMut::with_capacity(bytes), records: Vec::with_capacity(records.len()) }
    }

    pub(super) fn add(&mut self, record: &NewRecord) {
        let lane = Lane::new(record.topic, record.partition);
        self.put(lane, record.at_ms, &record.key, record.value.as_deref(), record.headers.encoded());
    }

    pub(super) fn put(&mut self, lane: Lane, at_ms: u64, key: &[u8], value: Option<&[u8]>, headers: &[u8]) {
        self.records.push((lane, self.payload.len() as u32));
        put_record(&mut self.payload, lane, 0, at_ms, key, value, headers);
    }

    /// Adds a record that is encoded already, its offset included.
    pub(super) fn copy(&mut self, lane: Lane, encoded: &[u8]) {
        self.records.push((lane, self.payload.len() as u32));
        self.payload.put_slice(encoded);
    }

    /// Gives record number `index` its offset.
    pub(super) fn set_offset(&mut self, index: usize, offset: u64) {
        let at = self.records[index].1 as usize + OFFSET_AT;
        self.payload[at..at + 8].copy_from_slice(&offset.to_le_bytes());
    }
}

/// What a record brings along, without its head.
pub(super) fn size_of(record: &NewRecord) -> usize {
    record.bytes()
}

/// Writes one record with its offset.
pub(super) fn put_record(
    buffer: &mut impl BufMut,
    lane: Lane,
    offset: u64,
    at_ms: u64,
    key: &[u8],
    value: Option<&[u8]>,
    headers: &[u8],
) {
    buffer.put_u8(lane.topic);
    buffer.put_u8(if value.is_some() { HAS_VALUE } else { 0 });
    buffer.put_u16_le(0);
    buffer.put_u32_le(lane.partition);
    buffer.put_u64_le(offset);
    buffer.put_u64_le(at_ms);
    buffer.put_u32_le(key.len() as u32);
    buffer.put_u32_le(value.map_or(0, <[u8]>::len) as u32);
    buffer.put_u32_le(headers.len() as u32);
    buffer.put_slice(key);
    buffer.put_slice(value.unwrap_or_default());
    buffer.put_slice(headers);
}

/// A record as it lies in a payload: everything but its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) lane: Lane,
    pub(super) offset: u64,
    pub(super) at_ms: u64,
    pub(super) has_value: bool,
    start: usize,
    key_bytes: usize,
    value_bytes: usize,
    headers_bytes: usize,
}

impl Stored {
    /// The record at `start`; nothing where none can be.
    pub(super) fn at(payload: &[u8], start: usize) -> Option<Stored> {
        let head = payload.get(start..)?.first_chunk::<RECORD_HEAD_BYTES>()?;
        let stored = Stored {
            lane: Lane { topic: head[0], partition: u32_at(head, 4) },
            offset: u64_at(head, OFFSET_AT),
            at_ms: u64_at(head, 16),
            has_value: head[1] & HAS_VALUE != 0,
            start,
            key_bytes: u32_at(head, 24) as usize,
            value_bytes: u32_at(head, 28) as usize,
            headers_bytes: u32_at(head, 32) as usize,
        };
        (stored.end() <= payload.len()).then_some(stored)
    }

    /// Where the next record starts.
    pub(super) fn end(&self) -> usize {
        self.start + self.bytes()
    }

    /// How much room it takes.
    pub(super) fn bytes(&self) -> usize {
        RECORD_HEAD_BYTES + self.key_bytes + self.value_bytes + self.headers_bytes
    }

    /// Its encoding.
    pub(super) fn encoded<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        &payload[self.start..self.end()]
    }

    pub(super) fn key<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        let key = self.start + RECORD_HEAD_BYTES;
        &payload[key..key + self.key_bytes]
    }

    pub(super) fn value<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        let value = self.start + RECORD_HEAD_BYTES + self.key_bytes;
        &payload[value..value + self.value_bytes]
    }

    /// The record itself, sharing the payload's memory; nothing for a record
    /// of a topic that this version does not know.
    pub(super) fn record(&self, payload: &Bytes) -> Option<Record> {
        let topic = Topic::from_id(self.lane.topic)?;
        let key = self.start + RECORD_HEAD_BYTES;
        let value = key + self.key_bytes;
        let headers = value + self.value_bytes;
        Some(Record {
            position: Position { topic, partition: self.lane.partition, offset: self.offset },
            at_ms: self.at_ms,
            key: payload.slice(key..value),
            value: self.has_value.then(|| payload.slice(value..headers)),
            headers: match self.headers_bytes {
                0 => Headers::default(),
                _ => Headers::decode(payload.slice(headers..self.end())).unwrap_or_default(),
            },
        })
    }
}

/// The records of a payload, in order.
pub(super) fn records(payload: &[u8]) -> impl Iterator<Item = Stored> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let stored = Stored::at(payload, start)?;
        start = stored.end();
        Some(stored)
    })
}

/// What a frame says before its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) synced_upto: u64,
    /// Bytes of the records.
    pub(super) length: usize,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// More bytes are needed to tell: so many in all.
    Short { needed: usize },
    /// No frame starts here.
    Magic,
    /// One starts here, but its bytes have changed or are not all there.
    Checksum,
}

impl Head {
    /// The head of a frame, if one starts here; its checksum is not looked at.
    pub(super) fn peek(bytes: &[u8]) -> Result<Head, Bad> {
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else { return Err(Bad::Short { needed: HEAD_BYTES }) };
        if u32_at(head, 0) != MAGIC {
            return Err(Bad::Magic);
        }
        Ok(Head { seq: u64_at(head, 16), synced_upto: u64_at(head, 24), length: u32_at(head, 8) as usize })
    }

    /// The frame that starts here, if all of it is there and unchanged.
    pub(super) fn check(bytes: &[u8], salt: u32) -> Result<Head, Bad> {
        let head = Head::peek(bytes)?;
        let needed = HEAD_BYTES + head.length;
        let Some(frame) = bytes.get(..needed) else { return Err(Bad::Short { needed: head.bytes() }) };
        match crc32c::crc32c_append(salt, &frame[8..]) == u32_at(frame, 4) {
            true => Ok(head),
            false => Err(Bad::Checksum),
        }
    }

    /// The room that the frame takes in a file.
    pub(super) fn bytes(&self) -> usize {
        frame_bytes(self.length)
    }
}

/// The room that a frame of so many bytes of records takes.
pub(super) fn frame_bytes(payload_bytes: usize) -> usize {
    (HEAD_BYTES + payload_bytes).next_multiple_of(ALIGN)
}

/// Where a checksum begins in the journal of this identity.
pub(super) fn salt_of(identity: u64) -> u32 {
    crc32c::crc32c(&identity.to_le_bytes())
}

/// Adds a whole frame to a buffer.
pub(super) fn put_frame(buffer: &mut Vec<u8>, salt: u32, seq: u64, synced_upto: u64, records: usize, payload: &[u8]) {
    let mut head = [0_u8; HEAD_BYTES];
    head[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[12..16].copy_from_slice(&(records as u32).to_le_bytes());
    head[16..24].copy_from_slice(&seq.to_le_bytes());
    head[24..32].copy_from_slice(&synced_upto.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(salt, &head[8..]), payload);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    let end = buffer.len() + frame_bytes(payload.len());
    buffer.extend_from_slice(&head);
    buffer.extend_from_slice(payload);
    buffer.resize(end, 0);
}

/// The number at a position that the caller knows to be inside.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The number at a position that the caller knows to be inside.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::default();
        draft.put(Lane::new(Topic::Events, 3), 17, b"acme", Some(b"{}"), b"");
        draft.put(Lane::new(Topic::Control, 1), 18, b"acme/flag/x", None, b"");
        draft.set_offset(1, 99);
        draft
    }

    #[test]
    fn records_come_back_as_they_were_put() {
        let payload = draft().payload.freeze();
        let read: Vec<Record> = records(&payload).filter_map(|stored| stored.record(&payload)).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].position, Position { topic: Topic::Events, partition: 3, offset: 0 });
        assert_eq!((read[0].at_ms, &read[0].key[..], read[0].value.as_deref()), (17, &b"acme"[..], Some(&b"{}"[..])));
        assert_eq!(read[1].position.offset, 99);
        assert_eq!(read[1].value, None);
    }

    #[test]
    fn every_changed_bit_of_a_frame_is_noticed() {
        let mut frame = Vec::new();
        put_frame(&mut frame, 7, 5, 4, 2, &draft().payload);
        let head = Head::check(&frame, 7).expect("a whole frame");
        assert_eq!((head.seq, head.synced_upto, head.bytes()), (5, 4, frame.len()));
        assert_eq!(Head::check(&frame, 8), Err(Bad::Checksum), "a frame of another journal");
        for bit in 0..(HEAD_BYTES + head.length) * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(Head::check(&frame, 7).is_err(), "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        for length in 0..HEAD_BYTES + head.length {
            assert!(matches!(Head::check(&frame[..length], 7), Err(Bad::Short { .. })));
        }
    }
}
