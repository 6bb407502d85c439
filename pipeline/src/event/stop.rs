//! The kill switch and what belongs to it, as `control` carries them: rows under
//! the name [`HUB`], all in one partition, so that whoever reads that to its end
//! knows all of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Row, Time};

/// Whose rows they are: no tenant's.
pub const HUB: &str = "_hub";
/// The scope that is every tenant.
pub const EVERYBODY: &str = "_all";

/// Whether a tenant, or [`EVERYBODY`], is stopped: under `_hub/stop/SCOPE`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Grows with every change: what is known of an older one does not count.
    pub epoch: u64,
    /// Stopped, or resumed.
    pub stopped: bool,
    /// Why, in the words of who did it.
    pub reason: String,
    /// Who did it.
    pub by: String,
    /// When it was stopped.
    pub at: Time,
    /// When it was resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Time>,
    /// Deployments that were scaled to nothing, and are to be what they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scaled: Vec<Scaled>,
}

/// A deployment that was scaled to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scaled {
    /// Its name.
    pub name: String,
    /// How many replicas it had.
    pub replicas: u32,
}

/// A process that acts in the outside world: under `_hub/worker/INSTANCE`. It is
/// written before its first act, and goes when the process does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// What it does.
    pub roles: Vec<String>,
    /// The stops under which nothing of it is under way any more: scope, epoch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub silent: BTreeMap<String, u64>,
    /// When it last said so.
    pub at: Time,
}

/// An agent (or, without a name, all agents of a tenant) that may have no socket
/// for a while: under `_hub/hold/TENANT` or `_hub/hold/TENANT/AGENT`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Why, for the agent.
    pub reason: String,
    /// Until when, by the wall clock.
    pub until: Time,
}

/// A command of the mirror that is not to be done any more: under
/// `_hub/drop/COMMAND`, until it has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// Whose command.
    pub tenant_id: String,
    /// Who dropped it.
    pub by: String,
}

impl Row for Stop {
    const KIND: &'static str = "stop";
}
impl Row for Worker {
    const KIND: &'static str = "worker";
}
impl Row for Hold {
    const KIND: &'static str = "hold";
}
impl Row for Dropped {
    const KIND: &'static str = "drop";
}
