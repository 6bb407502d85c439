//! What is to be done, in order: one lane a thread and one a task's comments,
//! and at most one command of a lane under way. All of it follows from the
//! items, so a restart makes it again.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use udfs::hash::Parts;

use crate::{
    event::MirrorPlace,
    state::mirror::item::{Aim, Item},
};

/// See the module.
#[derive(Default)]
pub struct Lanes {
    lanes: HashMap<u128, BTreeMap<u64, u128>>,
    /// Root messages under way, by their channel.
    roots: HashMap<u128, BTreeSet<u128>>,
    /// When to look at an item again; one that is not due then is put back.
    timers: BTreeSet<(u64, u128)>,
    turns: u64,
    waiting: usize,
}

/// The key of a lane.
pub fn lane_key(tenant: &str, lane: &str) -> u128 {
    Parts::new().add("lane").add(tenant).add(lane).finish()
}

/// The key of a channel, for replies to a root message that is not known yet.
pub fn channel_key(tenant: &str, channel: &str) -> u128 {
    Parts::new().add("channel").add(tenant).add(channel).finish()
}

impl Lanes {
    /// How many items wait or are under way.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// How many do in one lane.
    pub fn queued(&self, lane: u128) -> usize {
        self.lanes.get(&lane).map_or(0, BTreeMap::len)
    }

    /// Gives an item its place, which it keeps if it has one.
    pub fn join(&mut self, tenant: &str, key: u128, item: &mut Item) {
        if item.turn == 0 {
            self.turns += 1;
            item.turn = self.turns;
        }
        self.turns = self.turns.max(item.turn);
        let lane = self.lanes.entry(lane_key(tenant, &item.lane)).or_default();
        self.waiting += usize::from(lane.insert(item.turn, key).is_none());
        self.note_root(tenant, key, item);
    }

    /// A place that was given in an earlier run is not given again: a root that
    /// is done keeps its own, to be before what waits for it.
    pub fn skip_to(&mut self, turn: u64) {
        self.turns = self.turns.max(turn);
    }

    /// There is nothing to do for an item any more.
    pub fn leave(&mut self, tenant: &str, key: u128, item: &mut Item) {
        let id = lane_key(tenant, &item.lane);
        if let Some(lane) = self.lanes.get_mut(&id) {
            self.waiting -= usize::from(lane.remove(&item.turn).is_some());
            if lane.is_empty() {
                self.lanes.remove(&id);
            }
        }
        item.paced = false;
        // What waits for a root keeps waiting behind it.
        if item.aim != Aim::Root {
            item.turn = 0;
        }
        self.note_root(tenant, key, item);
    }

    /// A root message is under way, or is no more.
    pub fn note_root(&mut self, tenant: &str, key: u128, item: &Item) {
        let MirrorPlace::Slack { channel_id, .. } = &item.place else { return };
        if item.aim != Aim::Root {
            return;
        }
        let channel = channel_key(tenant, channel_id);
        if item.issued.as_ref().is_some_and(|issued| issued.is_post) {
            self.roots.entry(channel).or_default().insert(key);
        } else if let Some(roots) = self.roots.get_mut(&channel) {
            roots.remove(&key);
            if roots.is_empty() {
                self.roots.remove(&channel);
            }
        }
    }

    /// The root messages that are under way in a channel.
    pub fn roots(&self, channel: u128) -> impl Iterator<Item = u128> {
        self.roots.get(&channel).into_iter().flatten().copied()
    }

    /// Whose turn it is in a lane.
    pub fn first(&self, lane: u128) -> Option<u128> {
        self.lanes.get(&lane)?.first_key_value().map(|(_, key)| *key)
    }

    /// Who came last.
    pub fn last(&self, lane: u128) -> Option<u128> {
        self.lanes.get(&lane)?.last_key_value().map(|(_, key)| *key)
    }

    /// Looks at an item again at a time.
    pub fn remind(&mut self, at_ms: u64, key: u128) {
        self.timers.insert((at_ms, key));
    }

    /// An item whose time has come.
    pub fn due(&mut self, now_ms: u64) -> Option<u128> {
        let first = *self.timers.first().filter(|(at_ms, _)| *at_ms <= now_ms)?;
        self.timers.remove(&first);
        Some(first.1)
    }
}
