//! A verified request, as ingest (or any Kafka producer) writes it down.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Time;

/// Why something comes late, through the hub's own asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reconciled {
    /// It should have come and did not: what follows from it still follows.
    Missed,
    /// It is from before anybody listened: to be known and searched, told to
    /// nobody and copied nowhere.
    History,
}

/// The value of `webhooks.raw` (schema `nexus.webhook.v1`).
///
/// A producer of its own writes at least `tenantId` (the same as the record's
/// key), `provider`, `receivedAt` and a body; the rest makes deduplication and
/// routing better.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook<'a> {
    /// Whose it is, or `_unrouted`.
    #[serde(borrow)]
    pub tenant_id: Cow<'a, str>,
    /// `clickup`, `slack`, `github`, `jira`, or the sender's name.
    #[serde(borrow)]
    pub provider: Cow<'a, str>,
    /// The tenant's link to that provider.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<Cow<'a, str>>,
    /// The provider's own id of the delivery, where it has one.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<Cow<'a, str>>,
    /// The provider's id of the workspace it came from, where it says one.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<Cow<'a, str>>,
    /// When the hub received it.
    pub received_at: Time,
    /// The request's media type; JSON when left out.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<Cow<'a, str>>,
    /// The request's headers that say what the body is, in lower case.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Set when somebody asked for this to be processed once more: a repeat
    /// with another nonce is not a duplicate.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Cow<'a, str>>,
    /// Set when nobody sent this: the hub asked the provider for what it had
    /// not been told, and wrote it down as it would have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciled>,
    /// The body, byte for byte, when it is UTF-8 (JSON always is).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Cow<'a, str>>,
    /// The body in base64, when it is not.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<Cow<'a, str>>,
}
