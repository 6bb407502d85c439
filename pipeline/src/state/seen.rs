//! The marks of what was published, by which a repeat is known.
//!
//! In: the marks of an event. Out: whether it is the first with any of them. A
//! mark is remembered for [`DeduplicateSettings::window_ms`] of the log's clock,
//! in memory as 12 bytes of hash, and kept as one state entry an event.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use udfs::hash::{Parts, from_hex, hex};

use crate::{
    settings::DeduplicateSettings,
    state::{Stateful, StoredEntry},
    turn::Turn,
};

/// The kind of state entry.
const KIND: &str = "repeat";

/// Expired marks let go in one tick at most, so that a tick stays short; at
/// one tick a second this is above any rate that a partition is given.
const EXPIRED_PER_TICK_MAX: usize = 50_000;

/// 96 bits of hash, tenant included: one in 2^96 is told from another.
type ShortMark = [u8; 12];

/// The marks that are remembered, and in which order they are let go.
pub struct Seen {
    settings: DeduplicateSettings,
    marks: HashSet<ShortMark>,
    queue: VecDeque<Marked>,
    tenants: Vec<Arc<str>>,
    tenant_numbers: HashMap<Arc<str>, u32>,
}

struct Marked {
    at_ms: u64,
    tenant: u32,
    first: u128,
    more: Box<[u128]>,
}

#[derive(Serialize, Deserialize)]
struct MarkEntry {
    at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also: Vec<String>,
}

impl Seen {
    /// Nothing is known yet.
    pub fn new(settings: &DeduplicateSettings) -> Self {
        Seen {
            settings: settings.clone(),
            marks: HashSet::new(),
            queue: VecDeque::new(),
            tenants: Vec::new(),
            tenant_numbers: HashMap::new(),
        }
    }

    /// Whether none of `marks` was seen in the tenant before; from now on they
    /// are. Without marks nothing is ever a repeat.
    pub fn is_first(&mut self, tenant: &str, marks: &[u128], turn: &mut Turn<'_>) -> bool {
        self.admit(tenant, marks, marks, turn)
    }

    /// Whether none of `checked` was seen; then `marks` are from now on.
    pub fn admit(&mut self, tenant: &str, checked: &[u128], marks: &[u128], turn: &mut Turn<'_>) -> bool {
        let Some((&first, more)) = marks.split_first() else { return true };
        if checked.iter().any(|mark| self.marks.contains(&short(tenant, *mark))) {
            return false;
        }
        self.remember(tenant, turn.now_ms, first, more.into());
        let entry = MarkEntry { at: turn.now_ms, also: more.iter().map(|mark| hex(*mark)).collect() };
        turn.keep(tenant, KIND, &hex(first), Some(&entry));
        while self.queue.len() > self.settings.events_max {
            self.forget_oldest(turn);
        }
        true
    }

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
        self.queue.push_back(Marked { at_ms, tenant, first, more });
    }

    fn forget_oldest(&mut self, turn: &mut Turn<'_>) {
        let Some(oldest) = self.queue.pop_front() else { return };
        let tenant = Arc::clone(&self.tenants[oldest.tenant as usize]);
        for mark in std::iter::once(&oldest.first).chain(&oldest.more) {
            self.marks.remove(&short(&tenant, *mark));
        }
        turn.keep(&tenant, KIND, &hex(oldest.first), None::<&MarkEntry>);
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

fn short(tenant: &str, mark: u128) -> ShortMark {
    let [_, _, _, _, short @ ..] = Parts::new().add(tenant).add(mark.to_le_bytes()).finish().to_le_bytes();
    short
}

impl Stateful for Seen {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(first) = from_hex(kept.key.id) else { return };
        let Some(entry) = kept.data.and_then(|data| MarkEntry::deserialize(data).ok()) else { return };
        let more = entry.also.iter().filter_map(|mark| from_hex(mark)).collect();
        self.remember(kept.key.tenant, entry.at, first, more);
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..EXPIRED_PER_TICK_MAX {
            match self.queue.front() {
                Some(oldest) if oldest.at_ms + self.settings.window_ms <= turn.now_ms => self.forget_oldest(turn),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{StateEntry, TenantKey},
        ports::{NewRecord, Position},
        topics::Topic,
    };

    const DAY_MS: u64 = 86_400_000;

    fn turn(now_ms: u64, outputs: &mut Vec<NewRecord>) -> Turn<'_> {
        let source = Position { topic: Topic::WebhooksRaw, partition: 0, offset: 0 };
        Turn { now_ms, source, identity: 1, partitions: 1, outputs }
    }

    fn seen() -> Seen {
        Seen::new(&DeduplicateSettings::default())
    }

    fn is_first(seen: &mut Seen, now_ms: u64, tenant: &str, marks: &[u128]) -> bool {
        seen.is_first(tenant, marks, &mut turn(now_ms, &mut Vec::new()))
    }

    #[test]
    fn any_mark_of_a_tenant_makes_a_repeat_until_the_window_has_passed() {
        let mut seen = seen();
        assert!(is_first(&mut seen, 0, "acme", &[1, 2]));
        assert!(!is_first(&mut seen, 1, "acme", &[2]));
        assert!(!is_first(&mut seen, 1, "acme", &[3, 1]));
        assert!(is_first(&mut seen, 1, "acme", &[3]), "a repeat's other marks are not remembered");
        assert!(is_first(&mut seen, 1, "umbra", &[1]), "another tenant's are its own");
        assert!(is_first(&mut seen, 1, "acme", &[]) && is_first(&mut seen, 1, "acme", &[]));

        let mut outputs = Vec::new();
        seen.on_tick(&mut turn(3 * DAY_MS - 1, &mut outputs));
        assert!(outputs.is_empty() && seen.len() == 3);
        seen.on_tick(&mut turn(3 * DAY_MS, &mut outputs));
        assert_eq!((outputs.len(), seen.len()), (1, 2), "the oldest alone is let go");
        assert!(outputs[0].value.is_none() && outputs[0].key.starts_with(b"acme/repeat/"));
        assert!(is_first(&mut seen, 3 * DAY_MS, "acme", &[2]));
    }

    #[test]
    fn what_was_kept_is_known_again() {
        let (mut before, mut outputs) = (seen(), Vec::new());
        for number in 0..50 {
            before.is_first("acme", &[number, 1000 + number], &mut turn(number as u64, &mut outputs));
        }
        let mut after = seen();
        for record in &outputs {
            let entry: StateEntry = serde_json::from_slice(record.value.as_ref().expect("kept")).expect("an entry");
            let kept = StoredEntry { key: TenantKey::parse(&record.key).expect("a key"), data: Some(&entry.data) };
            after.restore(kept);
        }
        for number in 0..50 {
            assert!(!is_first(&mut after, 60, "acme", &[number]));
            assert!(!is_first(&mut after, 60, "acme", &[1000 + number]));
        }
        assert!(is_first(&mut after, 60, "acme", &[50]));
    }

    #[test]
    fn memory_is_bounded_with_ten_thousand_tenants() {
        let mut seen = Seen::new(&DeduplicateSettings { events_max: 20_000, ..DeduplicateSettings::default() });
        let mut outputs = Vec::new();
        for round in 0..10 {
            for tenant in 0..10_000 {
                seen.is_first(&format!("tenant-{tenant}"), &[round, 100 + round], &mut turn(0, &mut outputs));
            }
            outputs.retain(|record| record.value.is_none());
        }
        assert_eq!((seen.len(), seen.marks.len()), (20_000, 40_000));
        assert_eq!(outputs.len(), 80_000, "each that went early left a tombstone");
        assert!(!is_first(&mut seen, 0, "tenant-9999", &[9]), "the newest are known");
        assert!(is_first(&mut seen, 0, "tenant-0", &[0]), "the oldest went first");
    }
}
