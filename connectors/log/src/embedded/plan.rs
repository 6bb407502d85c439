//! What a cleaning is going to do: decided from footers, before a byte moves.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use hashbrown::{HashMap, HashSet};
use pipeline::{ports::LogError, topics::Topic};

use super::{
    Settings,
    disk::unavailable,
    frame::Lane,
    index::KeyMark,
    segment::{Sealed, corrupt, open_sealed},
    shared::Shared,
};

/// How long a deletion is kept for readers who have not seen it.
const TOMBSTONE_MS: u64 = 24 * 60 * 60 * 1000;
/// A sealed segment below this part of the usual size is joined to its neighbour.
const SMALL_PART: u64 = 4;

/// Neighbouring segments that become one, or none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Which, in the list that the plan was made for.
    pub(super) segments: Range<usize>,
    /// Nothing of them stays.
    pub(super) is_gone: bool,
}

/// See the module.
pub(super) struct Plan {
    pub(super) runs: Vec<Run>,
    /// Per segment: the streams that have expired in it.
    expired: Vec<BTreeSet<Lane>>,
    /// Per segment: the tables whose deletions in it are old.
    old: Vec<BTreeSet<Lane>>,
    /// The newest offset of each key, over all sealed segments.
    newest: HashMap<u128, u64>,
    /// Keys of which something replaced stays where it is.
    stale: HashSet<u128>,
}

/// How many streams of segments have expired and are still there.
pub(super) fn expired_count(sealed: &[Arc<Sealed>], settings: &Settings, now_ms: u64) -> usize {
    expired(sealed, settings, now_ms).iter().map(BTreeSet::len).sum()
}

/// Per segment the streams that have expired in it. A stream expires from its
/// beginning only: what is left of it has no holes.
fn expired(sealed: &[Arc<Sealed>], settings: &Settings, now_ms: u64) -> Vec<BTreeSet<Lane>> {
    let mut kept = BTreeSet::new();
    let of_segment = |sealed: &Arc<Sealed>| {
        let mut lanes = BTreeSet::new();
        for lane in sealed.spans.keys() {
            let keep_ms = Topic::from_id(lane.topic).and_then(|topic| settings.keep_ms(topic));
            let (Some(keep_ms), Some(youngest_at_ms)) = (keep_ms, sealed.youngest_at_ms(*lane)) else { continue };
            if youngest_at_ms.saturating_add(keep_ms) <= now_ms && !kept.contains(lane) {
                lanes.insert(*lane);
            } else {
                kept.insert(*lane);
            }
        }
        lanes
    };
    sealed.iter().map(of_segment).collect()
}

impl Plan {
    pub(super) fn make(shared: &Shared, sealed: &[Arc<Sealed>], now_ms: u64) -> Result<Plan, LogError> {
        let old = sealed.iter().map(|sealed| {
            let is_old = |lane: &Lane| {
                let youngest_at_ms = sealed.youngest_at_ms(*lane).unwrap_or(u64::MAX);
                lane.is_compacted() && youngest_at_ms.saturating_add(TOMBSTONE_MS) <= now_ms
            };
            sealed.spans.keys().copied().filter(is_old).collect()
        });
        let mut plan = Plan {
            runs: Vec::new(),
            expired: expired(sealed, &shared.settings, now_ms),
            old: old.collect(),
            newest: HashMap::new(),
            stale: HashSet::new(),
        };
        for segment in sealed {
            for key in keys_of(shared, segment)? {
                plan.newest.insert(key.hash, key.offset);
            }
        }
        let mut judged = Vec::with_capacity(sealed.len());
        for (number, segment) in sealed.iter().enumerate() {
            judged.push(plan.judge(shared, number, segment)?);
        }
        plan.runs = runs(&judged, shared.settings.segment_bytes);
        Ok(plan)
    }

    /// Whether a record of a segment stays.
    pub(super) fn keeps(
        &self,
        segment: usize,
        lane: Lane,
        offset: u64,
        has_value: bool,
        hash: impl Fn() -> u128,
    ) -> bool {
        if !lane.is_compacted() {
            return !self.expired[segment].contains(&lane);
        }
        let hash = hash();
        let is_replaced = self.newest.get(&hash).is_some_and(|newest| *newest > offset);
        let is_old_tombstone = !has_value && self.old[segment].contains(&lane) && !self.stale.contains(&hash);
        !is_replaced && !is_old_tombstone
    }

    /// How much of a segment stays, and whether it is worth rewriting.
    fn judge(&mut self, shared: &Shared, number: usize, sealed: &Sealed) -> Result<Judged, LogError> {
        let total: u64 = sealed.spans.values().map(|span| span.bytes).sum();
        let mut dead: u64 = 0;
        let (mut streams, mut streams_expired) = (0, 0);
        for (lane, span) in sealed.spans.iter().filter(|(lane, _)| !lane.is_compacted()) {
            let is_expired = self.expired[number].contains(lane);
            streams += 1;
            streams_expired += u32::from(is_expired);
            dead += if is_expired { span.bytes } else { 0 };
        }
        let mut replaced = Vec::new();
        for key in keys_of(shared, sealed)? {
            if !self.keeps(number, key.lane, key.offset, key.has_value, || key.hash) {
                dead += u64::from(key.bytes);
                replaced.push(key.hash);
            }
        }
        let is_worthwhile = dead > 0 && (dead * 2 >= total || (streams > 0 && streams == streams_expired));
        if !is_worthwhile {
            self.stale.extend(replaced);
        }
        let frames_bytes = sealed.data_end;
        let is_small = frames_bytes < shared.settings.segment_bytes / SMALL_PART;
        Ok(Judged { live_bytes: total - dead, is_worthwhile, is_small })
    }
}

#[derive(Clone, Copy, Debug)]
struct Judged {
    live_bytes: u64,
    is_worthwhile: bool,
    is_small: bool,
}

/// Which neighbours to make one.
fn runs(judged: &[Judged], segment_bytes: u64) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut from = 0;
    while from < judged.len() {
        let mut upto = from;
        let (mut live_bytes, mut is_worthwhile) = (0, false);
        while let Some(next) = judged.get(upto)
            && (next.is_worthwhile || next.is_small)
            && (upto == from || live_bytes + next.live_bytes <= segment_bytes)
        {
            live_bytes += next.live_bytes;
            is_worthwhile |= next.is_worthwhile;
            upto += 1;
        }
        if is_worthwhile || upto > from + 1 {
            // The last one carries where everything ends, even if it is empty.
            let is_gone = live_bytes == 0 && upto < judged.len();
            runs.push(Run { segments: from..upto, is_gone });
        }
        from = upto.max(from + 1);
    }
    runs
}

fn keys_of(shared: &Shared, sealed: &Sealed) -> Result<Vec<KeyMark>, LogError> {
    if !sealed.spans.keys().any(|lane| lane.is_compacted()) {
        return Ok(Vec::new());
    }
    let name = sealed.name();
    let (file, trailer) = open_sealed(&*shared.disk, &name)?;
    let keys = trailer.keys(&*file).map_err(|error| unavailable(&format!("cannot read {name}"), &error))?;
    keys.ok_or_else(|| corrupt(&name, trailer.data_end, "its list of keys is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(live_bytes: u64, is_worthwhile: bool, is_small: bool) -> Judged {
        Judged { live_bytes, is_worthwhile, is_small }
    }

    #[test]
    fn neighbours_are_joined_while_they_fit() {
        let full = judged(100, false, false);
        let small = judged(40, false, true);
        let half = judged(50, true, false);
        let empty = judged(0, true, false);
        assert_eq!(runs(&[full, small, full], 100), []);
        assert_eq!(runs(&[half, small, small], 100), [Run { segments: 0..2, is_gone: false }]);
        assert_eq!(runs(&[full, empty, full], 100), [Run { segments: 1..2, is_gone: true }]);
        assert_eq!(runs(&[empty, empty], 100), [Run { segments: 0..2, is_gone: false }], "the last one stays");
    }
}
