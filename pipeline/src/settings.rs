//! What the pipeline can be set to: how long and how much is remembered, held
//! and waited for. Everything has a default, and every bound its unit.

use crate::{event::MirrorRemoval, governance::Limits};

/// What the stages are set to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The window in which a repeat is known.
    pub deduplicate: DeduplicateSettings,
    /// How long and how much is held for details.
    pub lookup: LookupSettings,
    /// How many tasks are remembered.
    pub track: TrackSettings,
    /// How much is kept of what nobody mapped.
    pub unrouted: UnroutedSettings,
    /// How long and how much the mirror waits and remembers.
    pub mirror: MirrorSettings,
    /// What agents may do, and how long they may be silent.
    pub govern: GovernSettings,
    /// Where stages panic, in tests only.
    #[cfg(test)]
    pub(crate) faults: crate::testing::Faults,
}

/// The window in which a repeat is known.
#[derive(Clone, Debug)]
pub struct DeduplicateSettings {
    /// How long a mark is remembered.
    pub window_ms: u64,
    /// How many events' marks are remembered at most in one partition; beyond
    /// it the oldest go early, which bounds memory at about 100 bytes each.
    pub events_max: usize,
}

impl Default for DeduplicateSettings {
    fn default() -> Self {
        DeduplicateSettings { window_ms: 72 * 3_600_000, events_max: 1_000_000 }
    }
}

/// How long and how much is held for details.
#[derive(Clone, Debug)]
pub struct LookupSettings {
    /// How long an event is held. With a tick a second, it goes on at most a
    /// second later.
    pub patience_ms: u64,
    /// How many events of one partition are held at most; all of them may go
    /// on in one commit.
    pub drafts_max: usize,
    /// How many events of one task are held at most.
    pub drafts_per_task_max: usize,
}

impl Default for LookupSettings {
    fn default() -> Self {
        LookupSettings { patience_ms: 4_000, drafts_max: 4_000, drafts_per_task_max: 100 }
    }
}

/// How many tasks are remembered.
#[derive(Clone, Debug)]
pub struct TrackSettings {
    /// Tasks that one partition remembers at most.
    pub tasks_max: usize,
    /// What they may take up together, roughly.
    pub bytes_max: usize,
    /// How long a task that is done stays in the store once it is forgotten.
    pub done_keep_ms: u64,
}

impl Default for TrackSettings {
    fn default() -> Self {
        TrackSettings { tasks_max: 200_000, bytes_max: 256 << 20, done_keep_ms: 30 * 86_400_000 }
    }
}

/// How much is kept of what nobody mapped.
#[derive(Clone, Debug)]
pub struct UnroutedSettings {
    /// Events of one tenant at most; the oldest go first.
    pub events_per_tenant_max: usize,
    /// What all of a partition may take up; the oldest go first. A single event
    /// beyond a tenth of it is not kept: its request is in `webhooks.raw`.
    pub bytes_max: usize,
    /// How long one is kept.
    pub keep_ms: u64,
}

impl Default for UnroutedSettings {
    fn default() -> Self {
        UnroutedSettings { events_per_tenant_max: 1_000, bytes_max: 64 << 20, keep_ms: 7 * 86_400_000 }
    }
}

/// How long and how much the mirror waits and remembers.
#[derive(Clone, Debug)]
pub struct MirrorSettings {
    /// How long a command may take to be begun, and words may wait for their
    /// thread. Later than this nobody understands any more what they answer.
    pub patience_ms: u64,
    /// How long after the end of its patience a command's result is waited for.
    pub grace_ms: u64,
    /// How long an echo is waited for before what may have landed is sent again.
    pub settle_ms: u64,
    /// How far an echo may be from the call that it is known by in its words.
    pub echo_ms: u64,
    /// How long an event is held that may be an echo.
    pub held_ms: u64,
    /// How many events of one partition are held at most.
    pub held_max: usize,
    /// After a root message failed, the next word tries again no earlier.
    pub root_again_ms: u64,
    /// What may wait in one lane; more is refused, with an alert.
    pub queued_per_lane_max: usize,
    /// Items that one partition remembers at most.
    pub items_max: usize,
    /// What they may take up together, roughly.
    pub bytes_max: usize,
    /// How long an item is remembered that nothing happens to.
    pub keep_ms: u64,
    /// The longest text that is kept when it stands there: to be put back when
    /// somebody changes our copy.
    pub text_bytes_max: usize,
    /// As long as an agent's words may become by putting more to them.
    pub together_bytes_max: usize,
    /// What is left of a deleted message's copy.
    pub removal: MirrorRemoval,
}

impl Default for MirrorSettings {
    fn default() -> Self {
        MirrorSettings {
            patience_ms: 24 * 3_600_000,
            grace_ms: 3_600_000,
            settle_ms: 30_000,
            echo_ms: 30_000,
            held_ms: 120_000,
            held_max: 2_000,
            root_again_ms: 60_000,
            queued_per_lane_max: 1_000,
            items_max: 100_000,
            bytes_max: 128 << 20,
            keep_ms: 90 * 86_400_000,
            text_bytes_max: 4_096,
            together_bytes_max: 6_000,
            removal: MirrorRemoval::Tombstone,
        }
    }
}

/// What agents may do, and how long they may be silent.
#[derive(Clone, Debug)]
pub struct GovernSettings {
    /// The limits of tenants that have none of their own.
    pub limits: Limits,
    /// Agents whose windows one partition remembers: a few hundred bytes each.
    pub agents_max: usize,
    /// Tasks in which agents speak that it remembers.
    pub tasks_max: usize,
    /// Projects whose sync rate it remembers: up to a kilobyte each.
    pub projects_max: usize,
    /// How long an agent may be without a socket before it counts as gone: as
    /// long as three heartbeats.
    pub silent_ms: u64,
    /// How long a socket counts that nobody renews, because its gateway died.
    pub presence_ttl_ms: u64,
}

impl Default for GovernSettings {
    fn default() -> Self {
        GovernSettings {
            limits: Limits::default(),
            agents_max: 50_000,
            tasks_max: 50_000,
            projects_max: 20_000,
            silent_ms: 90_000,
            presence_ttl_ms: 300_000,
        }
    }
}
