//! `[agents]` of the manual.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Settings, inbox::Bounds, session::Limits};

/// `[agents]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // each is described in the manual
pub struct Agents {
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

impl Agents {
    /// As the gateway takes them, in an epoch of the log.
    pub fn settings(&self, epoch: u64) -> Settings {
        let defaults = Settings::default();
        Settings {
            epoch,
            limits: Limits {
                grace_ms: self.ready_grace_ms,
                ack_timeout_ms: self.ack_timeout_ms,
                unacked_max: self.unacked_max.max(1),
                ping_interval_ms: self.ping_interval_ms,
                ping_timeout_ms: self.ping_timeout_ms,
                silent_ms: self.silent_ms,
                ..defaults.limits
            },
            bounds: Bounds {
                recent_max: self.recent_max,
                recent_bytes_max: self.recent_mb_max << 20,
                ..defaults.bounds
            },
            progress_timeout: Duration::from_millis(self.progress_timeout_ms),
            message_bytes_max: self.message_max_bytes,
            frames_per_second_max: self.frames_per_second_max,
            actions_per_second_max: self.actions_per_second_max,
            sockets_max: self.sockets_max,
            agent_sockets_max: self.agent_sockets_max,
            ..defaults
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn the_manual_says_what_the_code_takes() {
        let config = Config::load(None, std::iter::empty()).expect("defaults");
        assert_eq!(config.agents.settings(1), super::Settings::default());
    }
}
