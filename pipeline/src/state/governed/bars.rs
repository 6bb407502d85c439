//! Who may not speak: agents that a person silenced, and agents that were cut
//! and are not to be back yet.
//!
//! A mute is an entry of state of its own. A cool-down is part of what is
//! remembered of the agent, and told to the gateways by a record of `presence`
//! (`tenant/barred/agentId`), which is compacted: a gateway that starts later
//! knows it too. It is deleted when the cool-down is over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    event::{BARRED, Barred, Time},
    ports::Headers,
    state::{StoredEntry, governed::MUTED, ledger::key_of},
    topics::Topic,
    turn::{Turn, to_json},
};

/// See the module.
#[derive(Default)]
pub struct Bars {
    /// Since when each is silenced, by its key.
    muted: BTreeMap<Arc<str>, Time>,
    /// Who was cut, by the end of its cool-down.
    cut: BTreeSet<(u64, Arc<str>)>,
}

impl Bars {
    /// How many are silenced, and how many were cut.
    pub fn len(&self) -> (usize, usize) {
        (self.muted.len(), self.cut.len())
    }

    /// Whether an agent is silenced by hand.
    pub fn is_muted(&self, key: &str) -> bool {
        self.muted.contains_key(key)
    }

    /// Silences one; whether that is new.
    pub fn mute(&mut self, tenant: &str, agent: &str, turn: &mut Turn<'_>) -> bool {
        let key = key_of(tenant, agent);
        if self.is_muted(&key) {
            return false;
        }
        let now = turn.now();
        turn.keep(tenant, MUTED, agent, Some(&now));
        self.muted.insert(key.into(), now);
        true
    }

    /// Lets one speak again.
    pub fn unmute(&mut self, tenant: &str, agent: &str, turn: &mut Turn<'_>) {
        if self.muted.remove(&*key_of(tenant, agent)).is_some() {
            turn.forget(tenant, MUTED, agent);
        }
    }

    /// Has all gateways cut an agent's sockets and refuse new ones.
    pub fn cut(&mut self, tenant: &str, barred: &Barred, turn: &mut Turn<'_>) {
        self.expect(&key_of(tenant, &barred.agent_id), barred.until.as_ms());
        tell(tenant, &barred.agent_id, to_json(barred), turn);
    }

    /// A cool-down that will be over then.
    pub fn expect(&mut self, key: &str, until_ms: u64) {
        self.cut.insert((until_ms, key.into()));
    }

    /// One that is over.
    pub fn over(&self, now_ms: u64) -> Option<(u64, Arc<str>)> {
        self.cut.first().filter(|(until_ms, _)| *until_ms <= now_ms).cloned()
    }

    /// All gateways let an agent in again.
    pub fn let_in(&mut self, tenant: &str, agent: &str, until_ms: u64, turn: &mut Turn<'_>) {
        if self.cut.remove(&(until_ms, key_of(tenant, agent).into())) {
            tell(tenant, agent, None, turn);
        }
    }

    /// Takes up a mute that an earlier run kept.
    pub fn restore(&mut self, kept: StoredEntry<'_>) {
        let since = kept.data.and_then(|data| serde_json::from_value(data.clone()).ok());
        if let Some(since) = since {
            self.muted.insert(key_of(kept.key.tenant, kept.key.id).into(), since);
        }
    }
}

fn tell(tenant: &str, agent: &str, value: Option<Bytes>, turn: &mut Turn<'_>) {
    let key = Bytes::from([tenant, BARRED, agent].join("/"));
    let headers = Headers::new([("type", BARRED.as_bytes()), ("schema", b"nexus.barred.v1".as_slice())]);
    turn.put(Topic::Presence, turn.source.partition, key, value, headers);
}
