//! Who is there: an agent that falls silent is told of once, and once more when
//! it is back.
//!
//! In: records of `presence`, as the gateways write them, and ticks. An agent is
//! gone when all of its sockets are silent (the gateway says so after three
//! heartbeats), when it has had no socket for as long, or when nobody renewed
//! its sockets for their time to live (their gateway died, and no other was
//! there to say so). One that was never online is not missed, nor is one that
//! takes no part.
//!
//! Since every gateway writes to the one `presence`, and one worker reads a
//! tenant's partition of it, there is one alert an episode however many
//! gateways there are.
//!
//! Its clock stands while nobody ticks: after a hub was down for an hour its
//! agents have as long to come back as after a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    event::{Severity, SocketStatus},
    state::{
        StoredEntry,
        governed::{NAME, WATCHED},
        ledger::{key_of, parts_of},
    },
    topics::CLOCK,
    turn::Turn,
};

/// The longest time between two ticks that counts.
const STEP_MS_MAX: u64 = 10_000;
/// Sockets of one agent that are looked at; the newest are.
const SOCKETS_MAX: usize = 32;
/// Agents that one tick tells of at most.
const GONE_PER_TICK_MAX: usize = 1_000;

/// See the module.
pub struct Watch {
    silent_ms: u64,
    ttl_ms: u64,
    clock: Awake,
    agents: BTreeMap<Arc<str>, AgentPresence>,
    /// When each is gone, unless it is heard of before.
    due: BTreeSet<(u64, Arc<str>)>,
    dirty: BTreeSet<Arc<str>>,
    is_clock_dirty: bool,
}

/// How long was ticked so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Awake {
    awake_ms: u64,
    ticked_ms: u64,
}

/// An agent that was online.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AgentPresence {
    sockets: Vec<Socket>,
    /// When it was last heard of.
    heard_ms: u64,
    /// Since when it is gone, by the log's clock, once that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    gone_at_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Socket {
    id: Box<str>,
    at_ms: u64,
    online: bool,
}

impl AgentPresence {
    fn is_online(&self) -> bool {
        self.sockets.iter().any(|socket| socket.online)
    }

    /// When it is gone, if nothing more is heard of it.
    fn due_ms(&self, silent_ms: u64, ttl_ms: u64) -> u64 {
        let renewed = self.sockets.iter().filter(|socket| socket.online).map(|socket| socket.at_ms).max();
        match renewed {
            Some(at_ms) => at_ms + ttl_ms,
            None if self.sockets.is_empty() => self.heard_ms + silent_ms,
            // It was silent for as long before that was said.
            None => self.heard_ms,
        }
    }
}

impl Watch {
    /// Nobody was online yet.
    pub fn new(silent_ms: u64, ttl_ms: u64) -> Self {
        Watch {
            silent_ms,
            ttl_ms,
            clock: Awake::default(),
            agents: BTreeMap::new(),
            due: BTreeSet::new(),
            dirty: BTreeSet::new(),
            is_clock_dirty: false,
        }
    }

    /// How many agents were online.
    pub fn count(&self) -> usize {
        self.agents.len()
    }

    /// How a socket is; nothing when it is closed.
    pub fn on(&mut self, tenant: &str, agent: &str, socket: &str, status: Option<SocketStatus>, turn: &mut Turn<'_>) {
        let key = key_of(tenant, agent);
        if status.is_none() && !self.agents.contains_key(&*key) {
            return;
        }
        let (mut seen, awake_ms) = (self.take(&key), self.clock.awake_ms);
        seen.sockets.retain(|known| *known.id != *socket);
        seen.heard_ms = awake_ms;
        if let Some(status) = status {
            let online = status == SocketStatus::Online;
            seen.sockets.push(Socket { id: socket.into(), at_ms: awake_ms, online });
            let more = seen.sockets.len().saturating_sub(SOCKETS_MAX);
            seen.sockets.drain(..more);
        }
        if seen.is_online()
            && let Some(gone_at_ms) = seen.gone_at_ms.take()
        {
            let away_s = turn.now_ms.saturating_sub(gone_at_ms) / 1_000;
            turn.alert("agent.online", Severity::Info, tenant, agent, format!("back after {away_s} s"));
        }
        self.put(key.into(), seen);
    }

    /// Time has passed.
    pub fn wake(&mut self, now_ms: u64) {
        let step_ms = now_ms.saturating_sub(self.clock.ticked_ms).min(STEP_MS_MAX);
        self.clock = Awake { awake_ms: self.clock.awake_ms + step_ms, ticked_ms: now_ms.max(self.clock.ticked_ms) };
        self.is_clock_dirty = true;
    }

    /// The agents that are gone now: those whose tenant and id `counts` takes
    /// are told of, the others forgotten.
    pub fn tell(&mut self, mut counts: impl FnMut(&str, &str) -> bool, turn: &mut Turn<'_>) {
        for _ in 0..GONE_PER_TICK_MAX {
            let Some((_, key)) = self.due.first().filter(|(due_ms, _)| *due_ms <= self.clock.awake_ms).cloned() else {
                return;
            };
            let Some((tenant, agent)) = parts_of(&key) else { continue };
            let mut seen = self.take(&key);
            if !counts(tenant, agent) {
                self.dirty.insert(key);
                continue;
            }
            let silent_s = (self.clock.awake_ms.saturating_sub(seen.heard_ms)).max(self.silent_ms) / 1_000;
            let message = format!("not heard of for {silent_s} s; what it is told waits for it");
            turn.alert("agent.offline", Severity::Warning, tenant, agent, message);
            seen.sockets.retain(|socket| !socket.online);
            seen.gone_at_ms = Some(turn.now_ms);
            self.put(key, seen);
        }
    }

    /// Forgets one.
    pub fn forget(&mut self, tenant: &str, agent: &str) {
        let key = key_of(tenant, agent);
        if self.agents.contains_key(&*key) {
            self.take(&key);
            self.dirty.insert(key.into());
        }
    }

    fn take(&mut self, key: &str) -> AgentPresence {
        let Some((key, seen)) = self.agents.remove_entry(key) else { return AgentPresence::default() };
        self.due.remove(&(seen.due_ms(self.silent_ms, self.ttl_ms), key));
        seen
    }

    fn put(&mut self, key: Arc<str>, seen: AgentPresence) {
        if seen.gone_at_ms.is_none() {
            self.due.insert((seen.due_ms(self.silent_ms, self.ttl_ms), Arc::clone(&key)));
        }
        self.dirty.insert(Arc::clone(&key));
        self.agents.insert(key, seen);
    }

    /// Keeps what changed since the last commit.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        if std::mem::take(&mut self.is_clock_dirty) {
            turn.keep(CLOCK, WATCHED, NAME, Some(&self.clock));
        }
        while let Some(key) = self.dirty.pop_first() {
            if let Some((tenant, agent)) = parts_of(&key) {
                turn.keep(tenant, WATCHED, agent, self.agents.get(&key));
            }
        }
    }

    /// Takes up an agent that an earlier run kept.
    pub fn restore(&mut self, kept: StoredEntry<'_>) {
        if let Some(seen) = kept.data.and_then(|data| AgentPresence::deserialize(data).ok()) {
            self.put(key_of(kept.key.tenant, kept.key.id).into(), seen);
            self.dirty.clear();
        }
    }

    /// Takes up how long was ticked.
    pub fn restore_clock(&mut self, kept: StoredEntry<'_>) {
        self.clock = kept.data.and_then(|data| Awake::deserialize(data).ok()).unwrap_or_default();
    }
}
