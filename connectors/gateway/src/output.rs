//! What a session gives out: how far its agent is, what to tell it, what to
//! write down of it, and why its socket ends.

use pipeline::event::ResyncReason;

use super::entry::Delivery;

/// How far an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The epoch that `seq` counts in.
    pub epoch: u64,
    /// All up to this is done with.
    pub seq: u64,
    /// Where in the inbox the next can be.
    pub next_offset: u64,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Tell the agent.
    Say(Say),
    /// Write into `presence` that the socket takes events.
    Claim,
    /// Write there that it is alive.
    Renew,
    /// Write there that it went silent.
    Silent,
    /// Write into `agents.cursors`.
    Advance(Mark),
    /// Ask the transport for a sign of life.
    Ping,
    /// End the socket.
    Cut(Reason),
}

/// What an agent is told.
#[derive(Debug)]
pub enum Say {
    /// First of all.
    Hello {
        /// See `pipeline::event::Hello`.
        seq: u64,
        /// See there.
        epoch: u64,
        /// See there.
        resumed: bool,
    },
    /// An event.
    Event {
        /// Which.
        delivery: Delivery,
        /// The number before it that this socket gets.
        prev_seq: u64,
        /// Whether it was told before.
        again: bool,
    },
    /// There is a gap.
    Resync {
        /// Why.
        reason: ResyncReason,
        /// The epoch in force.
        epoch: u64,
        /// What follows it.
        from_seq: u64,
    },
    /// Something that was said cannot be taken.
    Fault {
        /// For programs.
        code: &'static str,
        /// For people.
        detail: String,
    },
    /// An action that never came as far as the log.
    Failed {
        /// Why.
        reason: String,
        /// What the agent called it.
        request_id: Option<String>,
        /// When to try again, if that helps.
        retry_after_ms: Option<u64>,
    },
    /// Socket.IO's acknowledgement of something that the client said.
    Answer {
        /// The number that the client gave it.
        number: u64,
        /// A list of values.
        json: String,
    },
    /// The kill switch.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// Why a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // each is described by `text`
pub enum Reason {
    Gone = 1,
    PingTimeout,
    Slow,
    Revoked,
    Stopped,
    GoingAway,
    Flood,
    TooMany,
    TooLarge,
    Protocol,
    Failed,
    Barred,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 12] = [
        Reason::Gone,
        Reason::PingTimeout,
        Reason::Slow,
        Reason::Revoked,
        Reason::Stopped,
        Reason::GoingAway,
        Reason::Flood,
        Reason::TooMany,
        Reason::TooLarge,
        Reason::Protocol,
        Reason::Failed,
        Reason::Barred,
    ];

    /// Its name in metrics, and what the client is told.
    pub fn text(self) -> &'static str {
        match self {
            Reason::Gone => "client_gone",
            Reason::PingTimeout => "ping_timeout",
            Reason::Slow => "too_slow",
            Reason::Revoked => "revoked",
            Reason::Stopped => "stopped",
            Reason::GoingAway => "going_away",
            Reason::Flood => "rate_limited",
            Reason::TooMany => "too_many_sockets",
            Reason::TooLarge => "too_large",
            Reason::Protocol => "protocol_error",
            Reason::Failed => "hub_failed",
            Reason::Barred => "cooling_down",
        }
    }

    /// The code of a WebSocket's close frame.
    pub fn close_code(self) -> u16 {
        match self {
            Reason::Gone => 1000,
            Reason::GoingAway | Reason::PingTimeout => 1001,
            Reason::Protocol => 1002,
            Reason::TooLarge => 1009,
            Reason::Failed => 1011,
            Reason::Slow | Reason::Revoked | Reason::Stopped | Reason::Flood | Reason::TooMany | Reason::Barred => 1008,
        }
    }
}
