//! What the upkeep of connections is set to.

use serde::{Deserialize, Serialize};

/// `[upkeep]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct UpkeepSettings {
    pub health_interval_ms: u64,
    pub silent_after_ms: u64,
    pub reconcile_interval_ms: u64,
    pub reconcile_days: u64,
    pub history_days: u64,
    pub fresh_ms: u64,
    pub backfills_max: usize,
    pub install_ttl_ms: u64,
}
