//! What somebody should look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Time;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

/// The value of `alerts` (schema `nexus.alert.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Which kind, from one list: `dead_letter`, `connection.unknown`, …
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whose it is.
    pub tenant_id: String,
    /// What it is about: an id.
    pub subject: String,
    /// What to know and do, for a person.
    pub message: String,
    /// When, by the log's clock.
    pub at: Time,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}
