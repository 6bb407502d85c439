//! Operator state, one small entry at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of `pipeline.state` (schema `nexus.state.v1`), under the key
/// `tenant/kind/id`. What `data` holds is between an operator and itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateEntry {
    /// The entry.
    pub data: serde_json::Value,
}
