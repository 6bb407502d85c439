//! Keeps what nobody mapped, until somebody does.
//!
//! In: published events that are `unrouted`, as JSON. Out: the same, kept in
//! `pipeline.state` (kind `unrouted`, id the event's), newest first to go out
//! again, and bounded: per tenant, over all, and in time. A re-route gives them
//! back in their order; what finds a place then is let go here.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use serde::Deserialize;

use crate::{
    event::StandardEvent,
    settings::UnroutedSettings,
    state::{Stateful, StoredEntry},
    turn::Turn,
};

/// The kind of state entry.
const KIND: &str = "unrouted";

/// Expired events let go in one tick at most, so that a tick stays short.
const EXPIRED_PER_TICK_MAX: usize = 10_000;

/// The events, in the order in which they came.
pub struct UnroutedEvents {
    settings: UnroutedSettings,
    events: BTreeMap<u64, Shelved>,
    tenants: HashMap<Arc<str>, VecDeque<u64>>,
    next: u64,
    bytes: usize,
}

struct Shelved {
    tenant: Arc<str>,
    id: Box<str>,
    received_ms: u64,
    event: Bytes,
}

impl UnroutedEvents {
    /// Nothing is kept yet.
    pub fn new(settings: &UnroutedSettings) -> Self {
        UnroutedEvents {
            settings: settings.clone(),
            events: BTreeMap::new(),
            tenants: HashMap::new(),
            next: 0,
            bytes: 0,
        }
    }

    /// Keeps one more.
    pub fn add(&mut self, event: &StandardEvent, json: &Bytes, turn: &mut Turn<'_>) {
        if json.len() > self.settings.bytes_max / 10 {
            return;
        }
        turn.keep_bytes(&event.tenant_id, KIND, &event.id, json);
        self.put(&event.tenant_id, &event.id, event.received_at.as_ms(), json.clone());
        while let Some((tenant, id)) = self.over(&event.tenant_id) {
            turn.forget(&tenant, KIND, &id);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The numbers of a tenant's events, oldest first; of `ids` only, unless
    /// that is empty.
    pub fn numbers(&self, tenant: &str, ids: &[String]) -> Vec<u64> {
        let ids: HashSet<&str> = ids.iter().map(|id| &**id).collect();
        let numbers = self.tenants.get(tenant).into_iter().flatten().copied();
        let is_wanted = |number: &u64| self.events.get(number).is_some_and(|shelved| ids.contains(&*shelved.id));
        numbers.filter(|number| ids.is_empty() || is_wanted(number)).collect()
    }

    /// An event, and how large it is.
    pub fn get(&self, number: u64) -> Option<(StandardEvent, usize)> {
        let shelved = self.events.get(&number)?;
        Some((serde_json::from_slice(&shelved.event).ok()?, shelved.event.len()))
    }

    /// How many events a tenant has here.
    pub fn count(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).map_or(0, VecDeque::len)
    }

    /// Lets one go that has found its place.
    pub fn take(&mut self, number: u64, turn: &mut Turn<'_>) {
        if let Some((tenant, id)) = self.remove(number) {
            turn.forget(&tenant, KIND, &id);
        }
    }

    fn put(&mut self, tenant: &str, id: &str, received_ms: u64, event: Bytes) {
        let tenant = self.tenants.get_key_value(tenant).map_or_else(|| tenant.into(), |(tenant, _)| Arc::clone(tenant));
        self.tenants.entry(Arc::clone(&tenant)).or_default().push_back(self.next);
        self.bytes += event.len();
        self.events.insert(self.next, Shelved { tenant, id: id.into(), received_ms, event });
        self.next += 1;
    }

    /// Takes away the oldest that is beyond a bound.
    fn over(&mut self, tenant: &str) -> Option<(Arc<str>, Box<str>)> {
        if self.bytes > self.settings.bytes_max {
            return self.events.keys().next().copied().and_then(|number| self.remove(number));
        }
        let of_tenant =
            self.tenants.get(tenant).filter(|of_tenant| of_tenant.len() > self.settings.events_per_tenant_max)?;
        of_tenant.front().copied().and_then(|number| self.remove(number))
    }

    fn remove(&mut self, number: u64) -> Option<(Arc<str>, Box<str>)> {
        let shelved = self.events.remove(&number)?;
        self.bytes -= shelved.event.len();
        if let Some(of_tenant) = self.tenants.get_mut(&shelved.tenant) {
            match of_tenant.front() == Some(&number) {
                true => drop(of_tenant.pop_front()),
                false => of_tenant.retain(|known| *known != number),
            }
            if of_tenant.is_empty() {
                self.tenants.remove(&shelved.tenant);
            }
        }
        Some((shelved.tenant, shelved.id))
    }
}

impl Stateful for UnroutedEvents {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(event) = kept.data.and_then(|data| StandardEvent::deserialize(data).ok()) else { return };
        let Some(json) = crate::turn::to_json(&event) else { return };
        self.put(kept.key.tenant, &event.id, event.received_at.as_ms(), json);
        while self.over(kept.key.tenant).is_some() {}
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..EXPIRED_PER_TICK_MAX {
            let Some((number, oldest)) = self.events.first_key_value() else { return };
            if oldest.received_ms + self.settings.keep_ms > turn.now_ms {
                return;
            }
            let number = *number;
            if let Some((tenant, id)) = self.remove(number) {
                turn.forget(&tenant, KIND, &id);
            }
        }
    }
}
