//! What agents are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StandardEvent;

/// The value of `agents.inbox` (schema `nexus.inbox.v1`): one record an event,
/// however many agents it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxEntry {
    /// The agent event's name: `task_assigned`, `context_update`, …
    pub name: String,
    /// Whom it is for.
    pub to: Vec<Addressee>,
    /// What happened.
    pub event: StandardEvent,
}

/// One agent's place for one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Addressee {
    /// Which agent.
    pub agent_id: String,
    /// Its number in this agent's sequence.
    pub seq: u64,
    /// The number before it.
    pub prev_seq: u64,
}
