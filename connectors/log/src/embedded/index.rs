//! What a segment holds, without its records: built while it is written, and
//! stored behind the records when the segment is sealed.
//!
//! Two parts, because they are read at different times. The first is small and
//! read when the journal opens: per lane the first and the last offset, counts,
//! ages and a sparse list of positions; and, carried from segment to segment,
//! where every lane ends and where every group stands. The second lists the
//! keys of compacted lanes and is read only by the cleaner.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use udfs::hash::content;

use super::frame::{GROUPS_TOPIC, Lane, Stored, records};

/// Distance between two remembered positions of one lane: how much a reader
/// that starts somewhere in the middle may have to read in vain.
const MARK_EVERY_BYTES: u64 = 256 << 10;

/// What a segment has of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) min_at_ms: u64,
    pub(super) max_at_ms: u64,
}

/// A record's frame, to start reading from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) position: u64,
}

/// One record of a compacted lane, as the cleaner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyMark {
    pub(super) lane: Lane,
    pub(super) hash: u128,
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) has_value: bool,
}

/// What is true of the whole journal at the end of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// The number that the next frame gets.
    pub(super) next_seq: u64,
    /// The offset that the next record of each lane gets.
    pub(super) ends: BTreeMap<Lane, u64>,
    /// The offset that each group reads next in a lane.
    pub(super) groups: BTreeMap<(String, Lane), u64>,
}

/// What one segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) spans: BTreeMap<Lane, Span>,
    pub(super) marks: BTreeMap<Lane, Vec<Mark>>,
    pub(super) keys: Vec<KeyMark>,
    pub(super) carried: Carried,
}

impl Index {
    /// Of a segment that begins where another ended.
    pub(super) fn after(carried: Carried) -> Self {
        Index { carried, ..Index::default() }
    }

    /// Takes in a frame that lies at `position`, and tells its lanes.
    pub(super) fn add(&mut self, position: u64, seq: u64, payload: &[u8], mut touched: impl FnMut(Lane)) {
        self.carried.next_seq = seq + 1;
        for stored in records(payload) {
            self.add_record(position, &stored, payload);
            touched(stored.lane);
        }
    }

    fn add_record(&mut self, position: u64, stored: &Stored, payload: &[u8]) {
        let Stored { lane, offset, at_ms, .. } = *stored;
        let bytes = stored.bytes() as u64;
        let span = self.spans.entry(lane).or_insert(Span {
            first: offset,
            last: offset,
            count: 0,
            bytes: 0,
            min_at_ms: at_ms,
            max_at_ms: at_ms,
        });
        span.last = offset;
        span.count += 1;
        span.bytes += bytes;
        span.min_at_ms = span.min_at_ms.min(at_ms);
        span.max_at_ms = span.max_at_ms.max(at_ms);
        if span.count == 1 {
            self.marks.entry(lane).or_default().push(Mark { offset, position });
        } else if let Some(marks) = self.marks.get_mut(&lane)
            && marks.last().is_some_and(|mark| position - mark.position >= MARK_EVERY_BYTES)
        {
            marks.push(Mark { offset, position });
        }
        self.carried.ends.insert(lane, offset + 1);
        if lane.is_compacted() {
            let hash = key_hash(lane, stored.key(payload));
            self.keys.push(KeyMark { lane, hash, offset, bytes: bytes as u32, has_value: stored.has_value });
        }
        if lane.topic == GROUPS_TOPIC
            && let Some((group, of, next)) = progress(stored, payload)
        {
            self.carried.groups.insert((group.to_owned(), of), next);
        }
    }

    /// From where to read so as not to miss the record at `offset` or, if it
    /// is not there, the next one.
    pub(super) fn position_of(&self, lane: Lane, offset: u64) -> Option<u64> {
        self.spans.get(&lane).filter(|span| span.last >= offset)?;
        let marks = self.marks.get(&lane)?;
        let after = marks.partition_point(|mark| mark.offset <= offset);
        marks.get(after.saturating_sub(1)).map(|mark| mark.position)
    }

    /// The first part, to be stored.
    pub(super) fn encode(&self, sealed_at_ms: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(4096);
        out.put_u64_le(self.carried.next_seq);
        out.put_u64_le(sealed_at_ms);
        out.put_u32_le(self.spans.len() as u32);
        for (lane, span) in &self.spans {
            put_lane(&mut out, *lane);
            for number in [span.first, span.last, span.count, span.bytes, span.min_at_ms, span.max_at_ms] {
                out.put_u64_le(number);
            }
            let marks = self.marks.get(lane).map_or(&[][..], Vec::as_slice);
            out.put_u32_le(marks.len() as u32);
            for mark in marks {
                out.put_u64_le(mark.offset);
                out.put_u64_le(mark.position);
            }
        }
        out.put_u32_le(self.carried.ends.len() as u32);
        for (lane, end) in &self.carried.ends {
            put_lane(&mut out, *lane);
            out.put_u64_le(*end);
        }
        out.put_u32_le(self.carried.groups.len() as u32);
        for ((group, lane), next) in &self.carried.groups {
            out.put_u32_le(group.len() as u32);
            out.put_slice(group.as_bytes());
            put_lane(&mut out, *lane);
            out.put_u64_le(*next);
        }
        out
    }

    /// The first part as it was stored, with the time of sealing.
    pub(super) fn decode(mut from: &[u8]) -> Option<(Index, u64)> {
        let from = &mut from;
        let mut index = Index::default();
        index.carried.next_seq = from.try_get_u64_le().ok()?;
        let sealed_at_ms = from.try_get_u64_le().ok()?;
        for _ in 0..from.try_get_u32_le().ok()? {
            let lane = get_lane(from)?;
            let mut numbers = [0; 6];
            for number in &mut numbers {
                *number = from.try_get_u64_le().ok()?;
            }
            let [first, last, count, bytes, min_at_ms, max_at_ms] = numbers;
            index.spans.insert(lane, Span { first, last, count, bytes, min_at_ms, max_at_ms });
            let mut marks = Vec::new();
            for _ in 0..from.try_get_u32_le().ok()? {
                marks.push(Mark { offset: from.try_get_u64_le().ok()?, position: from.try_get_u64_le().ok()? });
            }
            index.marks.insert(lane, marks);
        }
        for _ in 0..from.try_get_u32_le().ok()? {
            index.carried.ends.insert(get_lane(from)?, from.try_get_u64_le().ok()?);
        }
        for _ in 0..from.try_get_u32_le().ok()? {
            let length = from.try_get_u32_le().ok()? as usize;
            let (name, rest) = from.split_at_checked(length)?;
            *from = rest;
            let group = String::from_utf8(name.to_vec()).ok()?;
            let lane = get_lane(from)?;
            index.carried.groups.insert((group, lane), from.try_get_u64_le().ok()?);
        }
        Some((index, sealed_at_ms))
    }

    /// The second part, to be stored.
    pub(super) fn encode_keys(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.keys.len() * 34);
        for key in &self.keys {
            put_lane(&mut out, key.lane);
            out.put_u128_le(key.hash);
            out.put_u64_le(key.offset);
            out.put_u32_le(key.bytes);
            out.put_u8(u8::from(key.has_value));
        }
        out
    }

    /// The second part as it was stored.
    pub(super) fn decode_keys(mut from: &[u8]) -> Option<Vec<KeyMark>> {
        let from = &mut from;
        let mut keys = Vec::new();
        while from.has_remaining() {
            keys.push(KeyMark {
                lane: get_lane(from)?,
                hash: from.try_get_u128_le().ok()?,
                offset: from.try_get_u64_le().ok()?,
                bytes: from.try_get_u32_le().ok()?,
                has_value: from.try_get_u8().ok()? != 0,
            });
        }
        Some(keys)
    }
}

/// Names a key of one lane; equal keys of two lanes have two names.
pub(super) fn key_hash(lane: Lane, key: &[u8]) -> u128 {
    // Any odd number does; this one spreads small lane numbers over all bits.
    const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let lane = u128::from(lane.topic) << 32 | u128::from(lane.partition);
    content(key) ^ (lane + 1).wrapping_mul(SPREAD)
}

/// The key under which a group's progress in a topic is kept.
pub(super) fn progress_key(group: &str, topic: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(group.len() + 1);
    key.extend_from_slice(group.as_bytes());
    key.push(topic);
    key
}

/// Whose progress a record of the groups' topic is, where, and how far.
fn progress<'a>(stored: &Stored, payload: &'a [u8]) -> Option<(&'a str, Lane, u64)> {
    let (&topic, group) = stored.key(payload).split_last()?;
    let next = u64::from_le_bytes(*stored.value(payload).first_chunk()?);
    Some((std::str::from_utf8(group).ok()?, Lane { topic, partition: stored.lane.partition }, next))
}

fn put_lane(out: &mut Vec<u8>, lane: Lane) {
    out.put_u8(lane.topic);
    out.put_u32_le(lane.partition);
}

fn get_lane(from: &mut &[u8]) -> Option<Lane> {
    Some(Lane { topic: from.try_get_u8().ok()?, partition: from.try_get_u32_le().ok()? })
}

#[cfg(test)]
mod tests {
    use pipeline::topics::Topic;

    use super::*;
    use crate::embedded::frame::Draft;

    fn filled() -> Index {
        let mut index = Index::default();
        let events = Lane::new(Topic::Events, 1);
        for number in 0..1000_u64 {
            let mut draft = Draft::default();
            draft.put(events, 1000 - number, b"acme", Some(b"x"), b"");
            draft.set_offset(0, number);
            draft.put(
                Lane { topic: GROUPS_TOPIC, partition: 1 },
                0,
                &progress_key("g", 2),
                Some(&number.to_le_bytes()),
                b"",
            );
            draft.set_offset(1, number);
            index.add(64 + number * 1024, number, &draft.payload, |_| {});
        }
        index
    }

    #[test]
    fn what_is_stored_comes_back() {
        let index = filled();
        let (mut read, sealed_at_ms) = Index::decode(&index.encode(77)).expect("what was encoded");
        read.keys = Index::decode_keys(&index.encode_keys()).expect("what was encoded");
        assert_eq!((read, sealed_at_ms), (index.clone(), 77));
        let encoded = index.encode(77);
        for length in 0..encoded.len() {
            assert_eq!(Index::decode(&encoded[..length]), None, "{length}");
        }
    }

    #[test]
    fn positions_are_sparse_and_never_behind_the_record() {
        let index = filled();
        let events = Lane::new(Topic::Events, 1);
        assert_eq!(index.marks[&events].len(), 4);
        assert_eq!(index.carried.groups[&("g".to_owned(), Lane::new(Topic::Events, 1))], 999);
        for offset in 0..1000 {
            let position = index.position_of(events, offset).expect("it is there");
            assert!(position <= 64 + offset * 1024 && position + 2 * MARK_EVERY_BYTES > 64 + offset * 1024);
        }
        assert_eq!(index.position_of(events, 1000), None);
        let span = index.spans[&events];
        assert_eq!((span.min_at_ms, span.max_at_ms, span.count), (1, 1000, 1000));
    }
}
