//! Details that a webhook lacks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{TaskRef, Time};

/// The value of `lookups.requests` (schema `nexus.lookup-request.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LookupRequest {
    /// Names the answer.
    pub id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// Through which connection.
    pub connection_id: String,
    /// `task`, `list`, `channel`, `user`.
    pub kind: String,
    /// The provider's id of it.
    pub external_id: String,
    /// After this the event goes on without.
    pub deadline: Time,
}

/// The value of `lookups.results` (schema `nexus.lookup-result.v1`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LookupResult {
    /// The request that it answers.
    pub request_id: String,
    /// Whose it was.
    pub tenant_id: String,
    /// The task that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
    /// The kind of the task's status there (ClickUp: `open`, `custom`, `done`,
    /// `closed`), for statuses that nobody mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_type: Option<String>,
    /// A page for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The list, repository or project it is in, or is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_external_id: Option<String>,
    /// What the list that was asked for, or that the task is in, is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The folder that is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_external_id: Option<String>,
    /// The space that is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space_external_id: Option<String>,
    /// Whether the list or the task that was asked for is completed or archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// Why nothing was found: `not_found`, `unauthorised`, `rate_limited`,
    /// `unavailable`, `refused`, `deadline`, `no_connection`, `no_token`,
    /// `unsupported`, `busy`, `defect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    pub at: Time,
}
