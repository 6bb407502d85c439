//! Who is connected where, and what each agent has seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// The value of `presence` (schema `nexus.presence.v1`), under
/// `tenant/agent/instance`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Which agent.
    pub agent_id: String,
    /// The gateway instance that has its socket.
    pub instance: String,
    /// The socket.
    pub socket_id: String,
    /// Whether it asked for events.
    pub ready: bool,
    /// When it was last heard.
    pub last_seen: Time,
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
