//! What is to be remembered, and what was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Time, Trust};

/// The value of `memory.requests` (schema `nexus.memory-request.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryRequest {
    /// Names the text: a repeat replaces.
    pub id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// The project that alone may find it.
    pub project_id: String,
    /// `message`, `comment`, `task`, `document`, `summary`; or `summarise`.
    pub kind: String,
    /// The text; none deletes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The thread it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How far the author is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// When it was written.
    pub at: Time,
}

/// The value of `memory.results` (schema `nexus.memory-result.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryResult {
    /// The request that it answers.
    pub request_id: String,
    /// Whose it was.
    pub tenant_id: String,
    /// `indexed`, `deleted`, `summarised` or `failed`.
    pub outcome: String,
    /// The summary that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    pub at: Time,
}
