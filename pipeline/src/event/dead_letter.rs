//! What could not be processed, with all that is needed to try again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// The value of `dead.letters` (schema `nexus.dead-letter.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// `dl_` and 32 hex digits, derived from where the original is.
    pub id: String,
    /// Whose it is, as far as that could be told.
    pub tenant_id: String,
    /// The stage that gave up, by its name in `flow.rs`.
    pub stage: String,
    /// Why, for a person.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, by the log's clock.
    pub at: Time,
    /// The record that could not be processed.
    pub original: Original,
}

/// A record, kept whole. Without a value, it was too large to be kept twice: it
/// is where it was, for as long as its topic keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Original {
    /// The topic's name.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// Its key, bytes that are no UTF-8 replaced.
    pub key: String,
    /// Its value, when that is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value in base64, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}
