//! So many mirrored changes a project, in any window: what is too much waits.
//!
//! Nothing is refused for good here. The caller keeps what waits, in order, and
//! asks again when there is room: see [`SyncRate::free`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::Severity,
    governance::{Detector, Finding, Level, Rated, RuleDecision, window::Sliding},
};

/// The limit. From [`Level::Mute`] on the project's changes wait; there is
/// nobody to nudge or to cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncRate {
    /// What is done about one too many.
    pub level: Level,
    /// How many a window holds, 1 to 10,000.
    pub limit: u32,
    /// How long a window is.
    pub window_ms: u64,
}

impl Default for SyncRate {
    fn default() -> Self {
        SyncRate { level: Level::Mute, limit: 100, window_ms: 3_600_000 }
    }
}

impl SyncRate {
    /// How many of what waits may go at `now_ms`.
    pub fn free(&self, state: &Rated, now_ms: u64) -> usize {
        if self.waits() { self.rule().free(&state.taken, now_ms) } else { usize::MAX }
    }

    /// Whether anything ever waits.
    pub fn waits(&self) -> bool {
        self.level >= Level::Mute
    }

    fn rule(&self) -> Sliding {
        Sliding { limit: self.limit, window_ms: self.window_ms }
    }
}

impl Detector for SyncRate {
    /// The project's id.
    type Input<'a> = &'a str;
    type State = Rated;
    const RULE: &'static str = "syncs";
    const KIND: &'static str = "project.throttled";

    fn judge(&self, state: &Rated, project_id: &str, now_ms: u64) -> RuleDecision {
        let finding = || Finding {
            kind: Self::KIND,
            severity: Severity::Warning,
            subject: project_id.to_owned(),
            message: format!("more than {} changes to mirror in {} s", self.limit, self.window_ms / 1_000),
        };
        let level = if self.waits() { Level::Mute } else { self.level.min(Level::Alert) };
        RuleDecision { enforce: None, ..state.judge(self.rule(), level, now_ms, finding) }
    }

    fn note(&self, state: &mut Rated, _: &str, now_ms: u64, decision: &RuleDecision, passed: bool) {
        state.note(self.rule(), self.level, now_ms, decision, passed);
    }

    fn next_expiry(&self, state: &Rated) -> Option<u64> {
        self.rule().expires_at(&state.taken)
    }
}
