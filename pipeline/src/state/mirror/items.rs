//! The link table: every item by its key, by the remote ids of what stands
//! there, and by the commands that made it. StoredEntry in `pipeline.state` (kind
//! `mirror`), once a commit however often an item changed.
//!
//! Bounded in number, size and age; what is under way stays.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use serde::Deserialize;
use udfs::hash::{Parts, from_hex, hex};

use crate::{
    settings::MirrorSettings,
    state::{
        StoredEntry,
        mirror::{
            item::{Item, remote},
            lanes::lane_key,
        },
    },
    turn::Turn,
};

/// The kind of state entry.
pub const KIND: &str = "mirror";

/// Items let go for their age in one tick at most, so that a tick stays short.
const EXPIRED_PER_TICK_MAX: usize = 1_000;
/// Items that one message may let go at most.
const LOOKS_PER_TRIM_MAX: usize = 16;

/// See the module.
#[derive(Default)]
pub struct Items {
    by_key: HashMap<u128, ItemSlot>,
    remotes: HashMap<u128, u128>,
    commands: HashMap<u128, u128>,
    /// Which item said what in which lane; entries of forgotten hashes are
    /// swept out now and then.
    said: HashMap<u128, u128>,
    /// When each was touched; entries that are not an item's last are skipped.
    order: VecDeque<(u64, u128)>,
    touches: u64,
    bytes: usize,
    dirty: Vec<u128>,
}

struct ItemSlot {
    tenant: Arc<str>,
    item: Item,
    touched: u64,
    bytes: usize,
    is_dirty: bool,
}

fn name(tenant: &str, kind: &str, id: &str) -> u128 {
    Parts::new().add(tenant).add(kind).add(id).finish()
}

fn said_key(lane: u128, hash: &str) -> u128 {
    Parts::new().add("said").add(lane.to_be_bytes()).add(hash).finish()
}

impl ItemSlot {
    fn is_said(&self, said: u128) -> bool {
        let lane = lane_key(&self.tenant, &self.item.lane);
        self.item.hashes.iter().any(|(hash, _)| said_key(lane, hash) == said)
    }
}

impl Items {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// An item.
    pub fn get(&self, key: u128) -> Option<&Item> {
        self.by_key.get(&key).map(|slot| &slot.item)
    }

    /// Whose it is.
    pub fn tenant(&self, key: u128) -> Option<Arc<str>> {
        self.by_key.get(&key).map(|slot| Arc::clone(&slot.tenant))
    }

    /// The item of which something stands under this name (see [`remote`]).
    pub fn at(&self, tenant: &str, name_there: &str) -> Option<u128> {
        self.remotes.get(&name(tenant, "remote", name_there)).copied()
    }

    /// The item that a command was issued for.
    pub fn of_command(&self, tenant: &str, command: &str) -> Option<u128> {
        self.commands.get(&name(tenant, "command", command)).copied()
    }

    /// Adds one.
    pub fn insert(&mut self, key: u128, tenant: &str, item: Item) {
        self.remove(key);
        let slot = ItemSlot { tenant: tenant.into(), item, touched: 0, bytes: 0, is_dirty: false };
        self.by_key.insert(key, slot);
        self.update(key, |_| {});
    }

    /// Changes one, and finds it by what it is then known by.
    pub fn update<T>(&mut self, key: u128, change: impl FnOnce(&mut Item) -> T) -> Option<T> {
        let slot = self.by_key.get_mut(&key)?;
        let answer = change(&mut slot.item);
        self.bytes -= slot.bytes;
        slot.bytes = slot.item.cost_bytes();
        self.bytes += slot.bytes;
        let (tenant, item) = (&*slot.tenant, &slot.item);
        let ids = item.parts.iter().map(|part| &*part.id).chain(item.seen.iter().map(|id| &**id));
        for id in ids {
            self.remotes.insert(name(tenant, "remote", &remote(&item.place, &item.connection, id)), key);
        }
        for command in &item.commands {
            self.commands.insert(name(tenant, "command", command), key);
        }
        let lane = lane_key(tenant, &item.lane);
        self.said.extend(item.hashes.iter().map(|(hash, _)| (said_key(lane, hash), key)));
        self.touches += 1;
        slot.touched = self.touches;
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.dirty.push(key);
        }
        self.order.push_back((self.touches, key));
        if self.order.len() > 64 + 2 * self.by_key.len() {
            let by_key = &self.by_key;
            self.order.retain(|(touched, key)| by_key.get(key).is_some_and(|slot| slot.touched == *touched));
        }
        if self.said.len() > 64 + 8 * self.by_key.len() {
            let by_key = &self.by_key;
            self.said.retain(|said, key| by_key.get(key).is_some_and(|slot| slot.is_said(*said)));
        }
        Some(answer)
    }

    /// Whether something in a lane says this, or was about to since a time.
    pub fn says(&self, lane: u128, hash: &str, since_ms: u64) -> bool {
        let item = self.said.get(&said_key(lane, hash)).and_then(|key| self.get(*key));
        item.is_some_and(|item| item.says(hash, if item.issued.is_some() { 0 } else { since_ms }))
    }

    /// One of the commands of an item is known no longer.
    pub fn forget_command(&mut self, tenant: &str, command: &str) {
        self.commands.remove(&name(tenant, "command", command));
    }

    fn remove(&mut self, key: u128) -> Option<ItemSlot> {
        let slot = self.by_key.remove(&key)?;
        self.bytes -= slot.bytes;
        let (tenant, item) = (&*slot.tenant, &slot.item);
        let ids = item.parts.iter().map(|part| &*part.id).chain(item.seen.iter().map(|id| &**id));
        for id in ids {
            let known = name(tenant, "remote", &remote(&item.place, &item.connection, id));
            if self.remotes.get(&known) == Some(&key) {
                self.remotes.remove(&known);
            }
        }
        for command in &item.commands {
            self.commands.remove(&name(tenant, "command", command));
        }
        Some(slot)
    }

    /// Lets one go.
    pub fn forget(&mut self, key: u128, turn: &mut Turn<'_>) {
        if let Some(slot) = self.remove(key) {
            turn.forget(&slot.tenant, KIND, &hex(key));
        }
    }

    /// Forgets what is beyond the bounds.
    pub fn trim(&mut self, bounds: &MirrorSettings, turn: &mut Turn<'_>) {
        // What is under way goes to the end, and a few are looked at a time:
        // while a provider is down for long, all of them are under way.
        for _ in 0..LOOKS_PER_TRIM_MAX {
            if self.by_key.len() <= bounds.items_max && self.bytes <= bounds.bytes_max {
                return;
            }
            let Some((key, is_pending)) = self.oldest() else { return };
            if is_pending {
                self.update(key, |_| {});
            } else {
                self.forget(key, turn);
            }
        }
    }

    /// Forgets what nobody has touched for long.
    pub fn on_tick(&mut self, bounds: &MirrorSettings, turn: &mut Turn<'_>) {
        for _ in 0..EXPIRED_PER_TICK_MAX {
            let Some((key, is_pending)) = self.oldest() else { return };
            if is_pending || self.get(key).is_some_and(|item| item.at_ms + bounds.keep_ms > turn.now_ms) {
                return;
            }
            self.forget(key, turn);
        }
    }

    fn oldest(&mut self) -> Option<(u128, bool)> {
        loop {
            let (touched, key) = *self.order.front()?;
            if let Some(slot) = self.by_key.get(&key).filter(|slot| slot.touched == touched) {
                return Some((key, slot.item.is_pending()));
            }
            self.order.pop_front();
        }
    }

    /// Keeps every item that changed since the last commit, in the order in
    /// which they changed last.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable_by_key(|key| self.by_key.get(key).map(|slot| slot.touched));
        for key in dirty.drain(..) {
            if let Some(slot) = self.by_key.get_mut(&key).filter(|slot| slot.is_dirty) {
                slot.is_dirty = false;
                turn.keep(&slot.tenant, KIND, &hex(key), Some(&slot.item));
            }
        }
        self.dirty = dirty;
    }

    /// Takes up an item that an earlier run kept.
    pub fn restore(&mut self, kept: StoredEntry<'_>) -> Option<(u128, &Item)> {
        let key = from_hex(kept.key.id)?;
        let item = Item::deserialize(kept.data?).ok()?;
        self.insert(key, kept.key.tenant, item);
        let slot = self.by_key.get_mut(&key)?;
        slot.is_dirty = false;
        self.dirty.clear();
        Some((key, &slot.item))
    }
}
