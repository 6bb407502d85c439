//! What agents say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// The value of `agents.actions` (schema `nexus.action.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentAction {
    /// `act_` and 32 hex digits.
    pub id: String,
    /// Whose agent.
    pub tenant_id: String,
    /// Which agent.
    pub agent_id: String,
    /// The event's name: `message`, `status_update`, `tool_request`, `usage`, …
    pub name: String,
    /// What it said, as it said it.
    pub data: serde_json::Value,
    /// When the gateway heard it.
    pub at: Time,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Names the answer, if somebody waits for it on `commands.results`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}
