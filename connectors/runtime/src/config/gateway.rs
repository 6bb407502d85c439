//! `[agents]` of the manual.

use serde::{Deserialize, Serialize};

/// `[agents]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct AgentSettings {
    pub ready_grace_ms: u64,
    pub ping_interval_ms: u64,
    pub ping_timeout_ms: u64,
    pub silent_ms: u64,
    pub ack_timeout_ms: u64,
    pub unacked_max: usize,
    pub progress_timeout_ms: u64,
    pub message_max_bytes: usize,
    pub frames_per_second_max: u32,
    pub actions_per_second_max: u32,
    pub sockets_max: usize,
    pub agent_sockets_max: usize,
    pub recent_max: usize,
    pub recent_mb_max: usize,
}
