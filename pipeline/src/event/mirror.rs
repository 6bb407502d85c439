//! What is to be done at the providers, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// The value of `mirror.commands` (schema `nexus.mirror-command.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorCommand {
    /// Names the command, and our mark at the provider.
    pub id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// Through which connection.
    pub connection_id: String,
    /// What to do: `slack.post`, `clickup.comment`, …
    pub action: String,
    /// With what.
    pub data: serde_json::Value,
    /// When it was decided, by the log's clock.
    pub at: Time,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum MirrorStage {
    Claimed,
    Done,
    Failed,
    Uncertain,
}

/// The value of `mirror.results` (schema `nexus.mirror-result.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorResult {
    /// The command that it is about.
    pub command_id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// How far it is.
    pub stage: MirrorStage,
    /// The provider's id of what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    pub at: Time,
}
