//! What was done, by whom: the acts that no other topic tells of, and the shape
//! of all of them in the audit trail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// The value of `audit` (schema `nexus.audit.v1`), and the content of a row of
/// the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    /// `aud_` and 32 hex digits.
    pub id: String,
    /// Whose trail it belongs to.
    pub tenant_id: String,
    /// What was done: `message.posted`, `status.set`, `agent.muted`, …
    pub action: String,
    /// What became of it: `done`, `failed`, `uncertain`, `refused`.
    pub outcome: String,
    /// Who did it.
    pub actor: Doer,
    /// What it was done to.
    pub subject: Deed,
    /// When.
    pub at: Time,
    /// The agent that did it, or to which it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The task that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The project that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What the outside world calls the result: a `ts`, a comment's id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remote_ids: Vec<String>,
    /// Hashes of what was said, never the words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_hashes: Vec<String>,
    /// The mirror's command, or the agent's action or request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
    /// Rows that were changed, as `kind/id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Why, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// Who did something.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Doer {
    /// `agent`, `human`, `client`, `hub`, …
    pub kind: String,
    /// Which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The role that a client had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What something was done to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deed {
    /// `slack`, `clickup`, `agent`, `tenant`, `tool`, …
    pub kind: String,
    /// Which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}
