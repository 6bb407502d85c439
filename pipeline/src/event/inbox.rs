//! What agents are told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{StandardEvent, Time};

/// The value of `agents.inbox` (schema `nexus.inbox.v1`): one record an event,
/// however many agents it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InboxEntry {
    /// The event's id (`eventId` to the agents), or one made alike for what is
    /// no event of `events`: a wake-up, a result, a broadcast.
    pub id: String,
    /// Whose agents.
    pub tenant_id: String,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The agent event's name: `task_assigned`, `context_update`, …
    pub name: String,
    /// Whom it is for: each agent once.
    pub to: Vec<Addressee>,
    /// When it was decided, by the log's clock.
    pub at: Time,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<StandardEvent>,
    /// What else to tell: the fields of an `action_result` or a `tool_result`,
    /// the message of a wake-up. Joined into what the agent gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
}

/// One agent's place for one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Addressee {
    /// Which agent.
    pub agent_id: String,
    /// Its number in this agent's sequence, from one.
    pub seq: u64,
    /// The number before it; zero before the first.
    pub prev_seq: u64,
    /// What it is called to this agent, where that differs from the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
