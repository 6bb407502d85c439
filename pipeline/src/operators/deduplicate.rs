//! Drops what was already published: provider retries, duplicates under new
//! delivery ids, and the two events that some providers send for one thing.
//!
//! In: drafts with their marks. Out: the first draft of each mark. A mark is
//! remembered for [`Deduplicate::window_ms`] of the log's clock, in memory as
//! 12 bytes of hash, and kept as one state entry an event.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use udfs::hash::{Parts, from_hex, hex};

use super::{Draft, Kept, Operator, Turn, Verdict};

/// Expired marks let go in one tick at most, so that a tick stays short; at
/// one tick a second this is above any rate that a partition is given.
const EXPIRED_PER_TICK_MAX: usize = 50_000;

/// What this operator is set to.
#[derive(Clone, Debug)]
pub struct Deduplicate {
    /// How long a mark is remembered.
    pub window_ms: u64,
    /// How many events' marks are remembered at most in one partition; beyond
    /// it the oldest go early, which bounds memory at about 100 bytes each.
    pub events_max: usize,
}

impl Default for Deduplicate {
    fn default() -> Self {
        Deduplicate { window_ms: 72 * 3_600_000, events_max: 1_000_000 }
    }
}

/// 96 bits of hash, tenant included: one in 2^96 is told from another.
type Mark = [u8; 12];

/// The marks that are remembered, and in which order they are let go.
#[derive(Default)]
pub struct Seen {
    marks: HashSet<Mark>,
    queue: VecDeque<Remembered>,
    tenants: Vec<Arc<str>>,
    tenant_numbers: HashMap<Arc<str>, u32>,
}

struct Remembered {
    at_ms: u64,
    tenant: u32,
    first: u128,
    more: Box<[u128]>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
}

impl Operator for Deduplicate {
    const NAME: &'static str = "deduplicate";
    const KINDS: &'static [&'static str] = &["repeat"];
    type State = Seen;

    fn on(&self, seen: &mut Seen, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
        let is_first = self.is_first(seen, &draft.event.tenant_id, &draft.marks, turn);
        if is_first { Verdict::Pass } else { Verdict::Drop("repeat") }
    }

    fn on_tick(&self, seen: &mut Seen, turn: &mut Turn<'_>) {
        for _ in 0..EXPIRED_PER_TICK_MAX {
            match seen.queue.front() {
                Some(oldest) if oldest.at_ms + self.window_ms <= turn.now_ms => seen.forget_oldest(turn),
                _ => return,
            }
        }
    }

    fn restore(&self, seen: &mut Seen, kept: Kept<'_>) {
        let Some(first) = from_hex(kept.id) else { return };
        let Some(entry) = kept.data.and_then(|data| Entry::deserialize(data).ok()) else { return };
        let more = entry.also.iter().filter_map(|mark| from_hex(mark)).collect();
        seen.remember(kept.tenant, entry.at, first, more);
    }
}

impl Deduplicate {
    /// Whether none of `marks` was seen in the tenant before; from now on they
    /// are. Without marks nothing is ever a repeat.
    pub fn is_first(&self, seen: &mut Seen, tenant: &str, marks: &[u128], turn: &mut Turn<'_>) -> bool {
        let Some((&first, more)) = marks.split_first() else { return true };
        if marks.iter().any(|mark| seen.marks.contains(&short(tenant, *mark))) {
            return false;
        }
        seen.remember(tenant, turn.now_ms, first, more.into());
        let entry = Entry { at: turn.now_ms, also: more.iter().map(|mark| hex(*mark)).collect() };
        turn.keep(tenant, "repeat", &hex(first), Some(&entry));
        while seen.queue.len() > self.events_max {
            seen.forget_oldest(turn);
        }
        true
    }
}

impl Seen {
    /// How many events are remembered.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn remember(&mut self, tenant: &str, at_ms: u64, first: u128, more: Box<[u128]>) {
        self.marks.insert(short(tenant, first));
        self.marks.extend(more.iter().map(|mark| short(tenant, *mark)));
        let tenant = self.number_of(tenant);
        self.queue.push_back(Remembered { at_ms, tenant, first, more });
    }

    fn forget_oldest(&mut self, turn: &mut Turn<'_>) {
        let Some(oldest) = self.queue.pop_front() else { return };
        let tenant = Arc::clone(&self.tenants[oldest.tenant as usize]);
        for mark in std::iter::once(&oldest.first).chain(&oldest.more) {
            self.marks.remove(&short(&tenant, *mark));
        }
        turn.keep(&tenant, "repeat", &hex(oldest.first), None::<&Entry>);
    }

    /// Tenants are numbered once and for good: their names are a few bytes
    /// each, and there are thousands of them, not millions.
    fn number_of(&mut self, tenant: &str) -> u32 {
        if let Some(number) = self.tenant_numbers.get(tenant) {
            return *number;
        }
        let number = self.tenants.len() as u32;
        let name: Arc<str> = tenant.into();
        self.tenants.push(Arc::clone(&name));
        self.tenant_numbers.insert(name, number);
        number
    }
}

fn short(tenant: &str, mark: u128) -> Mark {
    let [_, _, _, _, short @ ..] = Parts::new().add(tenant).add(mark.to_le_bytes()).finish().to_le_bytes();
    short
}
