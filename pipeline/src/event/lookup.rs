//! Details that a webhook lacks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TaskRef, Time};

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
    /// Set when the task or the list is put away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// The list, repository or project it is in, or is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_external_id: Option<String>,
    /// What that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_name: Option<String>,
    /// The folder that is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_external_id: Option<String>,
    /// The space that is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space_external_id: Option<String>,
    /// Why nothing was found: `not_found`, `unauthorised`, `rate_limited`,
    /// `unavailable`, `refused`, `deadline`, `no_connection`, `no_token`,
    /// `unsupported`, `busy`, `defect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    pub at: Time,
}
