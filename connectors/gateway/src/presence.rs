//! Who is connected where, as the whole cluster says it.
//!
//! In: `presence`, all partitions. Out: which socket of an agent its events go
//! to (the newest ready one that is alive, over all instances, by the order of
//! `presence`), who is online, for people, and which agents were cut and are
//! not to be let in yet.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use pipeline::{
    event::{Agent, BARRED, Barred, GATEWAY, Presence, SocketStatus, Time},
    ports::{Clock, Log, LogError, Record, Start, Visibility},
    topics::Topic,
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::JoinSet;

use super::by_agent::ByAgent;
use runtime::directory::Directory;

/// How often an instance says that it lives, and after how long without a word
/// its sockets count as gone.
pub const INSTANCE_SIGN: Duration = Duration::from_secs(5);
const INSTANCE_TTL: Duration = Duration::from_secs(15);
/// How long a socket counts without being renewed.
pub const TTL_MS: u64 = 300_000;

/// An agent in the answer to `GET /api/agents/online`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnlineAgent {
    /// Which.
    pub agent_id: String,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it is: of its sockets the one that events go to.
    pub status: SocketStatus,
    /// When it was last heard.
    pub last_seen: Time,
    /// When that socket was opened.
    pub connected_at: Time,
    /// Which gateway instance has it.
    pub instance: String,
    /// `websocket` or `socket.io`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// What it said that it can do.
    pub capabilities: Vec<String>,
}

/// A socket somewhere.
struct Known {
    claim: u64,
    instance: Arc<str>,
    number: u64,
    is_online: bool,
    is_socket_io: bool,
    last_seen_ms: u64,
    connected_ms: u64,
    capabilities: Option<Box<[String]>>,
}

/// What a record changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whose agent.
    pub tenant: Box<str>,
    /// Which.
    pub agent: Box<str>,
}

#[derive(Default)]
struct State {
    agents: ByAgent<Vec<Known>>,
    /// Few, and only for a while.
    barred: ByAgent<Arc<Barred>>,
    /// When each instance was last heard, by our own clock.
    instances: HashMap<Arc<str>, Instant>,
}

/// See the module.
pub struct Online {
    state: Mutex<State>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
}

impl State {
    fn lives(&self, known: &Known, now_ms: u64) -> bool {
        known.last_seen_ms + TTL_MS > now_ms
            && self.instances.get(&known.instance).is_some_and(|heard| heard.elapsed() < INSTANCE_TTL)
    }

    fn best<'a>(&self, sockets: &'a [Known], now_ms: u64) -> Option<&'a Known> {
        let alive = sockets.iter().filter(|known| self.lives(known, now_ms));
        alive.max_by_key(|known| (known.is_online, known.claim))
    }
}

impl Online {
    /// Nobody yet.
    pub fn new(directory: Arc<Directory>, clock: Arc<dyn Clock>) -> Arc<Online> {
        Arc::new(Online { state: Mutex::default(), directory, clock })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tenant's agents that have a socket, by their ids.
    pub fn list(&self, tenant: &str) -> Vec<OnlineAgent> {
        let now_ms = self.clock.now_ms();
        let state = self.lock();
        let shown = state.agents.tenant(tenant).filter_map(|(agent, sockets)| {
            let known = state.best(sockets, now_ms)?;
            Some(OnlineAgent {
                agent_id: agent.to_owned(),
                name: None,
                status: if known.is_online { SocketStatus::Online } else { SocketStatus::Offline },
                last_seen: Time::from_ms(sockets.iter().map(|known| known.last_seen_ms).max().unwrap_or_default()),
                connected_at: Time::from_ms(known.connected_ms),
                instance: known.instance.to_string(),
                transport: Some(if known.is_socket_io { "socket.io" } else { "websocket" }.to_owned()),
                capabilities: known.capabilities.as_deref().map(<[String]>::to_vec).unwrap_or_default(),
            })
        });
        let mut shown: Vec<_> = shown.collect();
        drop(state);
        for agent in &mut shown {
            agent.name = self.directory.get::<Agent>(tenant, &agent.agent_id).map(|row| row.name.clone());
        }
        shown.sort_by(|one, other| one.agent_id.cmp(&other.agent_id));
        shown
    }

    /// The socket that an agent's events go to: its instance and number. A
    /// silent one gets nothing.
    pub fn newest(&self, tenant: &str, agent: &str) -> Option<(Arc<str>, u64)> {
        let now_ms = self.clock.now_ms();
        let state = self.lock();
        let sockets = state.agents.get(tenant, agent)?;
        let best = state.best(sockets, now_ms).filter(|known| known.is_online)?;
        Some((Arc::clone(&best.instance), best.number))
    }

    /// What a socket claimed, and said that it can do.
    pub fn claimed(&self, tenant: &str, agent: &str, instance: &str, number: u64) -> Option<(u64, Vec<String>)> {
        let state = self.lock();
        let sockets = state.agents.get(tenant, agent)?;
        let known = sockets.iter().find(|known| *known.instance == *instance && known.number == number)?;
        Some((known.claim, known.capabilities.as_deref().map(<[String]>::to_vec).unwrap_or_default()))
    }

    /// Why an agent is not let in now, if it is not.
    pub fn barred(&self, tenant: &str, agent: &str) -> Option<Arc<Barred>> {
        let now_ms = self.clock.now_ms();
        self.lock().barred.get(tenant, agent).filter(|barred| barred.until.as_ms() > now_ms).cloned()
    }

    /// This instance lives: it is us.
    pub fn heard(&self, instance: &Arc<str>) {
        self.lock().instances.insert(Arc::clone(instance), Instant::now());
    }

    /// Takes up a record of `presence`.
    pub fn apply(&self, record: &Record) -> Option<Changed> {
        let key = std::str::from_utf8(&record.key).ok()?;
        let mut parts = key.splitn(4, '/');
        let (tenant, kind, agent) = (parts.next()?, parts.next()?, parts.next()?);
        let mut state = self.lock();
        if kind == BARRED {
            match record.value.as_deref() {
                Some(value) => {
                    let barred: Arc<Barred> = Arc::new(serde_json::from_slice(value).ok()?);
                    state.barred.get_or(tenant, agent, || Arc::clone(&barred)).clone_from(&barred);
                }
                None => state.barred.remove(tenant, agent),
            }
            return Some(Changed { tenant: tenant.into(), agent: agent.into() });
        }
        let socket = parts.next()?;
        if agent == GATEWAY {
            if let Some(heard) = state.instances.get_mut(socket) {
                *heard = Instant::now();
            } else if record.value.is_some() {
                state.instances.insert(socket.into(), Instant::now());
            }
            if record.value.is_none() {
                state.instances.remove(socket);
            }
            return None;
        }
        let (instance, number) = socket.rsplit_once('.')?;
        let number = number.parse().ok()?;
        let is_it = |known: &Known| known.number == number && *known.instance == *instance;
        let Some(value) = record.value.as_deref() else {
            let sockets = state.agents.get_mut(tenant, agent)?;
            sockets.retain(|known| !is_it(known));
            if sockets.is_empty() {
                state.agents.remove(tenant, agent);
            }
            return Some(Changed { tenant: tenant.into(), agent: agent.into() });
        };
        let presence: Presence = serde_json::from_slice(value).ok()?;
        let instance = match state.instances.get_key_value(instance) {
            Some((known, _)) => Arc::clone(known),
            // Its own sign is on its way, or it is long gone.
            None => {
                let instance: Arc<str> = instance.into();
                state.instances.insert(Arc::clone(&instance), Instant::now());
                instance
            }
        };
        let known = Known {
            claim: presence.claim.unwrap_or(record.position.offset),
            instance,
            number,
            is_online: presence.status == SocketStatus::Online,
            is_socket_io: presence.transport.as_deref() == Some("socket.io"),
            last_seen_ms: presence.last_seen.as_ms(),
            connected_ms: presence.connected_at.as_ms(),
            capabilities: (!presence.capabilities.is_empty()).then(|| presence.capabilities.into()),
        };
        let sockets = state.agents.get_or(tenant, agent, Vec::new);
        match sockets.iter_mut().find(|known| is_it(known)) {
            Some(old) => *old = known,
            None => {
                // Most agents have one socket: no room for four is reserved.
                sockets.reserve_exact(1);
                sockets.push(known);
            }
        }
        Some(Changed { tenant: tenant.into(), agent: agent.into() })
    }

    /// Sockets that are long gone without a word, as their keys in `presence`.
    pub fn expired(&self) -> Vec<(Box<str>, Box<str>, String)> {
        let now_ms = self.clock.now_ms();
        let state = self.lock();
        let mut gone = Vec::new();
        for (tenant, agent, sockets) in state.agents.iter() {
            let dead = sockets.iter().filter(|known| !state.lives(known, now_ms));
            let key = |known: &Known| format!("{}.{}", known.instance, known.number);
            gone.extend(dead.map(|known| (tenant.into(), agent.into(), key(known))));
        }
        gone
    }

    /// Follows `presence` until the log fails. `changed` is told of each agent
    /// whose sockets changed, `caught_up` is called once, when all that was
    /// there at the beginning is known.
    pub async fn follow(
        self: Arc<Self>,
        log: Arc<dyn Log>,
        changed: impl Fn(&Changed) + Clone + Send + 'static,
        caught_up: impl FnOnce() + Send,
    ) -> Result<(), LogError> {
        let online = Arc::clone(&self);
        let apply = move |record: &Record| {
            if let Some(agent) = online.apply(record) {
                changed(&agent);
            }
        };
        follow_table(log, Topic::Presence, apply, caught_up).await
    }
}

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 512;

/// Follows a compacted topic in all partitions until the log fails: all that is
/// there, then `caught_up`, then what comes.
pub async fn follow_table(
    log: Arc<dyn Log>,
    topic: Topic,
    apply: impl Fn(&Record) + Clone + Send + 'static,
    caught_up: impl FnOnce(),
) -> Result<(), LogError> {
    let ends = log.lag("", &[topic]).await?;
    let mut readers = Vec::new();
    for partition in 0..log.partitions() {
        let end = ends.iter().find(|lag| lag.partition == partition).map_or(0, |lag| lag.end_offset);
        let mut reader = log.read(topic, partition, Start::Oldest, Visibility::Durable).await?;
        let mut next = 0;
        while next < end {
            let records = reader.ready(RECORDS_AT_ONCE).await?;
            // Compaction may have taken the last ones before the end.
            let Some(last) = records.last() else { break };
            next = last.position.offset + 1;
            records.iter().for_each(&apply);
        }
        readers.push(reader);
    }
    caught_up();
    let mut following = JoinSet::new();
    for mut reader in readers {
        let apply = apply.clone();
        following.spawn(async move {
            loop {
                match reader.next(RECORDS_AT_ONCE).await {
                    Ok(records) => records.iter().for_each(&apply),
                    Err(error) => return error,
                }
            }
        });
    }
    match following.join_next().await {
        Some(Ok(error)) => Err(error),
        _ => Err(LogError::Closed),
    }
}
