//! What every process must know at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// The value of `control` (schema `nexus.control.v1`), under `tenant/kind/id`:
/// the newest row of one piece of configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// `agent`, `alias`, `project`, `connection`, `stop`, `flag`, …
    pub kind: String,
    /// Whose it is.
    pub tenant_id: String,
    /// Which.
    pub id: String,
    /// The row.
    pub data: serde_json::Value,
    /// When it was changed.
    pub at: Time,
}
