//! Who is connected where, and what each agent has seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// The agent under which a gateway instance itself says that it lives: its own
/// sign of life, without which its sockets count as gone.
pub const GATEWAY: &str = "_gateway";

/// How an open socket is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SocketStatus {
    /// Heard of lately.
    #[default]
    Online,
    /// Silent for too long: told nothing until it is heard again.
    Offline,
}

/// The value of `presence` (schema `nexus.presence.v1`), under
/// `tenant/agent/agentId/socketId`: one record a socket, deleted when it closes.
///
/// Of an agent's sockets the one with the greatest claim is told of events; a
/// claim is the offset of the record in which the socket first said that it is
/// ready, so that every reader decides alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Which agent.
    pub agent_id: String,
    /// The gateway instance that has its socket.
    pub instance: String,
    /// The socket; begins with the instance.
    pub socket_id: String,
    /// Whether it asked for events.
    pub ready: bool,
    /// How it is.
    #[serde(default)]
    pub status: SocketStatus,
    /// Its place among the agent's sockets; absent in the record that is the
    /// claim itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<u64>,
    /// `websocket` or `socket.io`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// What the agent said that it can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// When it connected.
    #[serde(default)]
    pub connected_at: Time,
    /// When it was last heard.
    pub last_seen: Time,
}

/// `presence`'s word for an agent that was cut, a part of its key:
/// `tenant/barred/agentId`.
pub const BARRED: &str = "barred";

/// An agent that was cut (schema `nexus.barred.v1`): no gateway takes it before
/// `until`. Written by the pipeline, deleted when that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Barred {
    /// Which agent.
    pub agent_id: String,
    /// The rule that it was cut by.
    pub reason: String,
    /// What it did, for a person.
    pub message: String,
    /// When it was cut, by the log's clock.
    pub at: Time,
    /// When it may come back, by the same clock.
    pub until: Time,
}

/// The value of `agents.cursors` (schema `nexus.cursor.v1`), under
/// `tenant/agent/id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Which agent.
    pub agent_id: String,
    /// The log's epoch that `seq` counts in.
    pub epoch: u64,
    /// All up to this is acknowledged.
    pub seq: u64,
    /// Where in its partition of `agents.inbox` the next one can be.
    pub next_offset: u64,
}
