//! What a detector answers, as a value: others carry it out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Severity;

/// What is done about what a detector finds. Each does what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is looked at, and nothing remembered.
    Off,
    /// It happens, and an alert is raised, once an episode.
    Alert,
    /// The agent is told too, once an episode.
    Nudge,
    /// It does not happen: what an agent says is refused, a sync waits.
    Mute,
    /// The agent's sockets are cut, and it stays out for the cool-down.
    Disconnect,
}

/// What somebody should look at. The caller adds the tenant and the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The alert's kind.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The id of the agent, project or task.
    pub subject: String,
    /// What to know, for a person.
    pub message: String,
}

/// A detector's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDecision {
    /// Whether it may happen.
    pub allow: bool,
    /// Whether the detector found what it looks for, told before or not.
    pub found: bool,
    /// What to raise: the first of an episode has it.
    pub alert: Option<Finding>,
    /// What to do to the agent: [`Level::Nudge`] or above.
    pub enforce: Option<Level>,
    /// In how many milliseconds of the log's clock it may happen, where time
    /// alone can help.
    pub retry_after_ms: Option<u64>,
}

impl RuleDecision {
    /// Nothing was found.
    pub const PASS: RuleDecision =
        RuleDecision { allow: true, found: false, alert: None, enforce: None, retry_after_ms: None };

    /// Something was found; `alert` if the episode begins with it.
    pub(super) fn found(level: Level, alert: Option<Finding>, retry_after_ms: u64) -> Self {
        let is_refused = level >= Level::Mute;
        let is_told = level == Level::Nudge && alert.is_some();
        RuleDecision {
            allow: !is_refused,
            found: true,
            alert,
            enforce: (is_refused || is_told).then_some(level),
            retry_after_ms: is_refused.then_some(retry_after_ms),
        }
    }
}

/// When something was found last: an episode is over when nothing was for a
/// whole window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Episode(Option<u64>);

impl Episode {
    /// Whether what is found at `now_ms` begins another.
    pub(super) fn is_new(self, now_ms: u64, window_ms: u64) -> bool {
        self.0.is_none_or(|found| now_ms.saturating_sub(found) >= window_ms)
    }

    pub(super) fn note(&mut self, decision: &RuleDecision, now_ms: u64) {
        if decision.found {
            self.0 = self.0.max(Some(now_ms));
        }
    }

    pub(super) fn expires_at(self, window_ms: u64) -> Option<u64> {
        Some(self.0?.saturating_add(window_ms))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }
}
