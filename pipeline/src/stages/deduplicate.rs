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

use crate::{
    event::Reconciled,
    turn::{Draft, Kept, Operator, Turn, Verdict},
};

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

/// A thing that was found has another mark than one that was told, so that a
/// provider's own requests are not held against each other by it.
const FOUND: u128 = 0x666f_756e_6400_0000_0000_0000_0000_0001;
/// And so has one that is from before anybody listened, which nobody was told
/// of: where the provider tells of it after all, it is no repeat.
const OLD: u128 = 0x6f6c_6400_0000_0000_0000_0000_0000_0001;

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
        let mut checked = draft.marks.clone();
        if let Some(told) = draft.thing {
            let (found, old) = (told ^ FOUND, told ^ OLD);
            match draft.event.reconciled {
                None => {
                    checked.push(found);
                    draft.marks.push(told);
                }
                Some(Reconciled::Missed) => {
                    checked.extend([told, found, old]);
                    draft.marks.push(found);
                }
                Some(Reconciled::History) => {
                    checked.extend([told, found, old]);
                    draft.marks = vec![old];
                }
            }
        }
        let is_first = self.admit(seen, &draft.event.tenant_id, &checked, &draft.marks, turn);
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
        self.admit(seen, tenant, marks, marks, turn)
    }

    /// Whether none of `checked` was seen; then `marks` are from now on.
    fn admit(&self, seen: &mut Seen, tenant: &str, checked: &[u128], marks: &[u128], turn: &mut Turn<'_>) -> bool {
        let Some((&first, more)) = marks.split_first() else { return true };
        if checked.iter().any(|mark| seen.marks.contains(&short(tenant, *mark))) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Actor, ActorKind, EventType, StateEntry, Trust},
        event_builder::{Made, event},
        ports::{NewRecord, Position},
        topics::Topic,
    };

    const DAY_MS: u64 = 86_400_000;

    fn turn(now_ms: u64, outputs: &mut Vec<NewRecord>) -> Turn<'_> {
        let source = Position { topic: Topic::WebhooksRaw, partition: 0, offset: 0 };
        Turn { now_ms, source, identity: 1, partitions: 1, outputs }
    }

    fn is_first(operator: &Deduplicate, seen: &mut Seen, now_ms: u64, tenant: &str, marks: &[u128]) -> bool {
        operator.is_first(seen, tenant, marks, &mut turn(now_ms, &mut Vec::new()))
    }

    #[test]
    fn any_mark_of_a_tenant_makes_a_repeat_until_the_window_has_passed() {
        let (operator, mut seen) = (Deduplicate::default(), Seen::default());
        assert!(is_first(&operator, &mut seen, 0, "acme", &[1, 2]));
        assert!(!is_first(&operator, &mut seen, 1, "acme", &[2]));
        assert!(!is_first(&operator, &mut seen, 1, "acme", &[3, 1]));
        assert!(is_first(&operator, &mut seen, 1, "acme", &[3]), "a repeat's other marks are not remembered");
        assert!(is_first(&operator, &mut seen, 1, "umbra", &[1]), "another tenant's are its own");
        assert!(is_first(&operator, &mut seen, 1, "acme", &[]) && is_first(&operator, &mut seen, 1, "acme", &[]));

        let mut outputs = Vec::new();
        operator.on_tick(&mut seen, &mut turn(3 * DAY_MS - 1, &mut outputs));
        assert!(outputs.is_empty() && seen.len() == 3);
        operator.on_tick(&mut seen, &mut turn(3 * DAY_MS, &mut outputs));
        assert_eq!((outputs.len(), seen.len()), (1, 2), "the oldest alone is let go");
        assert!(outputs[0].value.is_none() && outputs[0].key.starts_with(b"acme/repeat/"));
        assert!(is_first(&operator, &mut seen, 3 * DAY_MS, "acme", &[2]));
    }

    #[test]
    fn what_is_found_is_a_repeat_of_what_was_told_and_nothing_else() {
        let operator = Deduplicate::default();
        let draft = |mark: u128, reconciled| {
            let mut nothing = Vec::new();
            let actor = Actor {
                kind: ActorKind::Human,
                trust: Trust::Member,
                external_id: None,
                agent_id: None,
                name: None,
                email: None,
            };
            let of =
                Made { tenant: "acme", kind: EventType::NewWorkItem, event: "x", operator: "test", trace_id: None };
            let mut draft = Draft::of(event(&of, actor, &turn(0, &mut nothing)));
            (draft.marks, draft.thing, draft.event.reconciled) = (vec![mark], Some(7), reconciled);
            draft
        };
        let (found, old) = (Some(Reconciled::Missed), Some(Reconciled::History));
        let passes = |drafts: &[(u128, Option<Reconciled>)]| -> Vec<bool> {
            let mut seen = Seen::default();
            let pass = |&(mark, reconciled): &(u128, _)| {
                let verdict = operator.on(&mut seen, &mut draft(mark, reconciled), &mut turn(0, &mut Vec::new()));
                matches!(verdict, Verdict::Pass)
            };
            drafts.iter().map(pass).collect()
        };
        assert_eq!(passes(&[(1, None), (2, None), (2, None)]), [true, true, false], "the provider's marks alone");
        assert_eq!(passes(&[(1, None), (3, found)]), [true, false]);
        assert_eq!(passes(&[(3, found), (1, None)]), [true, false]);
        assert_eq!(passes(&[(3, found), (4, found)]), [true, false]);
        assert_eq!(passes(&[(1, None), (3, old)]), [true, false]);
        assert_eq!(passes(&[(3, old), (4, old), (5, found)]), [true, false, false]);
        assert_eq!(passes(&[(3, old), (1, None), (1, None)]), [true, true, false], "nobody was told of it");
        assert_eq!(passes(&[(1, old), (1, None)]), [true, true]);
    }

    #[test]
    fn what_was_kept_is_known_again() {
        let operator = Deduplicate::default();
        let (mut before, mut outputs) = (Seen::default(), Vec::new());
        for number in 0..50 {
            operator.is_first(&mut before, "acme", &[number, 1000 + number], &mut turn(number as u64, &mut outputs));
        }
        let mut after = Seen::default();
        for record in &outputs {
            let key = std::str::from_utf8(&record.key).expect("text");
            let entry: StateEntry = serde_json::from_slice(record.value.as_ref().expect("kept")).expect("an entry");
            let kept =
                Kept { tenant: "acme", kind: "repeat", id: &key["acme/repeat/".len()..], data: Some(&entry.data) };
            operator.restore(&mut after, kept);
        }
        for number in 0..50 {
            assert!(!is_first(&operator, &mut after, 60, "acme", &[number]));
            assert!(!is_first(&operator, &mut after, 60, "acme", &[1000 + number]));
        }
        assert!(is_first(&operator, &mut after, 60, "acme", &[50]));
    }

    #[test]
    fn memory_is_bounded_with_ten_thousand_tenants() {
        let operator = Deduplicate { events_max: 20_000, ..Deduplicate::default() };
        let (mut seen, mut outputs) = (Seen::default(), Vec::new());
        for round in 0..10 {
            for tenant in 0..10_000 {
                operator.is_first(
                    &mut seen,
                    &format!("tenant-{tenant}"),
                    &[round, 100 + round],
                    &mut turn(0, &mut outputs),
                );
            }
            outputs.retain(|record| record.value.is_none());
        }
        assert_eq!((seen.len(), seen.marks.len()), (20_000, 40_000));
        assert_eq!(outputs.len(), 80_000, "each that went early left a tombstone");
        assert!(!is_first(&operator, &mut seen, 0, "tenant-9999", &[9]), "the newest are known");
        assert!(is_first(&operator, &mut seen, 0, "tenant-0", &[0]), "the oldest went first");
    }
}
