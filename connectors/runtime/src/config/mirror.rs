//! `[mirror]`, as the manual describes it.

use serde::{Deserialize, Serialize};

/// `[mirror]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct MirrorSettings {
    pub settle_ms: u64,
    pub timeout_ms: u64,
    pub slack_channel_ms: u64,
    pub running_max: usize,
    pub running_of_tenant_max: usize,
    pub in_hand_of_tenant_max: usize,
    pub in_hand_max: usize,
}
