//! Which agents are connected: the topic `presence`, followed live.
//!
//! In: `presence`, all partitions, from the beginning. An agent is online while
//! one of its sockets was heard of within [`HEARD_WITHIN_MS`]; what a gateway
//! that died left behind runs out by itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use pipeline::{
    event::{Presence as Socket, Time},
    ports::{Log, LogError, Record, Start, Visibility},
    topics::Topic,
};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::JoinSet;

/// A socket that was not heard of for so long is none.
const HEARD_WITHIN_MS: i64 = 5 * 60_000;

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 256;

/// An agent that is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Online {
    /// Which.
    pub agent_id: String,
    /// When it was last heard.
    pub last_seen: Time,
    /// Whether it asked for events.
    pub ready: bool,
    /// How many sockets it has.
    pub sockets: usize,
}

/// The sockets of all tenants by the key of their record.
#[derive(Default)]
pub struct Presence {
    tenants: RwLock<BTreeMap<String, BTreeMap<String, Socket>>>,
}

impl Presence {
    /// Follows the topic until the log fails.
    pub async fn follow(self: Arc<Self>, log: Arc<dyn Log>) -> Result<(), LogError> {
        let mut readers = JoinSet::new();
        for partition in 0..log.partitions() {
            let mut reader = log.read(Topic::Presence, partition, Start::Oldest, Visibility::Durable).await?;
            let presence = Arc::clone(&self);
            readers.spawn(async move {
                loop {
                    match reader.next(RECORDS_AT_ONCE).await {
                        Ok(records) => records.iter().for_each(|record| presence.apply(record)),
                        Err(error) => return error,
                    }
                }
            });
        }
        match readers.join_next().await {
            Some(Ok(error)) => Err(error),
            _ => Err(LogError::Closed),
        }
    }

    /// Takes up one record; what is not understood is left alone.
    pub fn apply(&self, record: &Record) {
        let Ok(key) = std::str::from_utf8(&record.key) else { return };
        let Some((tenant, rest)) = key.split_once('/') else { return };
        let socket = record.value.as_deref().map(serde_json::from_slice::<Socket>);
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        match socket {
            Some(Ok(socket)) => {
                tenants.entry(tenant.to_owned()).or_default().insert(rest.to_owned(), socket);
            }
            Some(Err(_)) => {}
            None => {
                if let Some(sockets) = tenants.get_mut(tenant) {
                    sockets.remove(rest);
                    if sockets.is_empty() {
                        tenants.remove(tenant);
                    }
                }
            }
        }
    }

    /// A tenant's agents that are connected, by their ids.
    pub fn online(&self, tenant: &str, now: Time) -> Vec<Online> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let mut agents: BTreeMap<&str, Online> = BTreeMap::new();
        for socket in tenants.get(tenant).into_iter().flat_map(BTreeMap::values).filter(|socket| heard(socket, now)) {
            let fresh =
                || Online { agent_id: socket.agent_id.clone(), last_seen: socket.last_seen, ready: false, sockets: 0 };
            let agent = agents.entry(&socket.agent_id).or_insert_with(fresh);
            agent.last_seen = agent.last_seen.max(socket.last_seen);
            agent.ready |= socket.ready;
            agent.sockets += 1;
        }
        agents.into_values().collect()
    }

    /// Whether an agent is connected.
    pub fn is_online(&self, tenant: &str, agent_id: &str, now: Time) -> bool {
        self.sockets(tenant, agent_id, |socket| heard(socket, now)).is_some()
    }

    /// When an agent was last heard, as far as that is still known.
    pub fn last_seen(&self, tenant: &str, agent_id: &str) -> Option<Time> {
        self.sockets(tenant, agent_id, |_| true)
    }

    fn sockets(&self, tenant: &str, agent_id: &str, fits: impl Fn(&Socket) -> bool) -> Option<Time> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let sockets = tenants.get(tenant)?.values();
        sockets.filter(|socket| socket.agent_id == agent_id && fits(socket)).map(|socket| socket.last_seen).max()
    }
}

fn heard(socket: &Socket, now: Time) -> bool {
    now.0.saturating_sub(socket.last_seen.0) <= HEARD_WITHIN_MS
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use pipeline::ports::{Headers, Position};

    use super::*;

    fn record(key: &str, last_seen: Option<i64>) -> Record {
        let socket = |last_seen| Socket {
            agent_id: "agt_1".into(),
            instance: "gw".into(),
            socket_id: key.into(),
            ready: key.ends_with('1'),
            last_seen: Time(last_seen),
        };
        Record {
            position: Position { topic: Topic::Presence, partition: 0, offset: 0 },
            at_ms: 0,
            key: Bytes::from(key.to_owned()),
            value: last_seen.map(|at| serde_json::to_vec(&socket(at)).expect("JSON").into()),
            headers: Headers::default(),
        }
    }

    #[test]
    fn an_agent_is_online_while_one_of_its_sockets_is() {
        let presence = Presence::default();
        presence.apply(&record("acme/agent/gw-1", Some(1_000)));
        presence.apply(&record("acme/agent/gw-2", Some(2_000)));
        let online = |tenant, now| presence.online(tenant, Time(now));
        let both = Online { agent_id: "agt_1".into(), last_seen: Time(2_000), ready: true, sockets: 2 };
        assert_eq!(online("acme", 2_000), [both]);
        assert!(online("umbra", 2_000).is_empty());
        assert_eq!(online("acme", 1_001 + HEARD_WITHIN_MS)[0].sockets, 1);
        presence.apply(&record("acme/agent/gw-2", None));
        assert_eq!(presence.last_seen("acme", "agt_1"), Some(Time(1_000)));
        assert!(!presence.is_online("acme", "agt_1", Time(1_001 + HEARD_WITHIN_MS)));
    }
}
