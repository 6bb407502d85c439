//! The agents' gateway: sockets out there, `agents.inbox` in here.
//!
//! In: sockets of agents (plain WebSocket, and Socket.IO over a server of our
//! own), and the inbox. Out: each agent's events, in order and without a gap,
//! on the newest of its sockets; what agents say, on `agents.actions`; who is
//! connected and how far each agent is, on `presence` and `agents.cursors`.
//!
//! ```text
//! agents.inbox ─▸ inbox: ring + index by agent ◂─ takes ─ socket ─▸ frames
//!                    ▲                                      │ ▲
//!       scan of the log for who was away            session (decides) ◂─ frames
//!                                                           │
//!          cursors ─▸ agents.cursors     presence ◂─────────┴──▸ agents.actions
//! ```
//!
//! [`session`] decides, without a runtime; [`socket`] performs, one task a
//! socket. A socket pulls what is next for its agent when it has room, so a slow
//! one is bounded by its own position and in nobody's way. Any instance can take
//! any agent: what an instance knows of an agent comes from the log.
//!
//! A token is looked at when the socket opens. After that the socket stays for
//! as long as its client counts (not only as long as that token): a token ends
//! after an hour, and cutting every socket every hour would make nobody safer,
//! because a revoked client is cut within seconds anyway.

pub mod admission;
mod by_agent;
mod counts;
pub mod cursors;
pub mod encode;
mod engine;
pub mod entry;
mod follow;
mod gateway;
pub mod inbox;
mod output;
mod plain;
mod polls;
pub mod presence;
mod router;
mod said;
pub mod seat;
pub mod session;
mod socket;
mod upgrade;
mod wire;

pub use counts::Counts;
pub use gateway::{Gateway, Parts};
pub use presence::{Online, OnlineAgent, TTL_MS as PRESENCE_TTL_MS};

use std::time::Duration;

use runtime::config::AgentSettings;

/// How the gateway treats its agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The log's epoch (see [`runtime::epoch`]).
    pub epoch: u64,
    /// Times and bounds of one socket.
    pub limits: session::Limits,
    /// What is kept of the inbox in memory.
    pub bounds: inbox::Bounds,
    /// A socket that takes nothing for so long is cut.
    pub progress_timeout: Duration,
    /// How long Socket.IO's CONNECT may take.
    pub connect_timeout: Duration,
    /// The largest message of an agent.
    pub message_bytes_max: usize,
    /// Frames a second and socket, and actions among them; four seconds' worth
    /// may come at once.
    pub frames_per_second_max: u32,
    /// See there.
    pub actions_per_second_max: u32,
    /// Open sockets, all together.
    pub sockets_max: usize,
    /// Open sockets of one agent; beyond it the oldest is cut.
    pub agent_sockets_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            epoch: 1,
            limits: session::Limits::default(),
            bounds: inbox::Bounds { recent_max: 4_096, recent_bytes_max: 16 << 20, scan_bytes_max: 32 << 20 },
            progress_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            message_bytes_max: 1 << 20,
            frames_per_second_max: 10_000,
            actions_per_second_max: 50,
            sockets_max: 50_000,
            agent_sockets_max: 256,
        }
    }
}

impl Settings {
    /// The settings of the manual, in an epoch of the log.
    pub fn of(agents: &AgentSettings, epoch: u64) -> Settings {
        let defaults = Settings::default();
        Settings {
            epoch,
            limits: session::Limits {
                grace_ms: agents.ready_grace_ms,
                ack_timeout_ms: agents.ack_timeout_ms,
                unacked_max: agents.unacked_max.max(1),
                ping_interval_ms: agents.ping_interval_ms,
                ping_timeout_ms: agents.ping_timeout_ms,
                silent_ms: agents.silent_ms,
                ..defaults.limits
            },
            bounds: inbox::Bounds {
                recent_max: agents.recent_max,
                recent_bytes_max: agents.recent_mb_max << 20,
                ..defaults.bounds
            },
            progress_timeout: Duration::from_millis(agents.progress_timeout_ms),
            message_bytes_max: agents.message_max_bytes,
            frames_per_second_max: agents.frames_per_second_max,
            actions_per_second_max: agents.actions_per_second_max,
            sockets_max: agents.sockets_max,
            agent_sockets_max: agents.agent_sockets_max,
            ..defaults
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::config::Config;

    #[test]
    fn the_manual_says_what_the_code_takes() {
        let config = Config::load(None, std::iter::empty()).expect("defaults");
        assert_eq!(super::Settings::of(&config.agents, 1), super::Settings::default());
    }
}
