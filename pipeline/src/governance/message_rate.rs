//! So many messages an agent, in any window: the one too many is refused, and
//! the agent is mute until there is room again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::Severity,
    governance::{Detector, Finding, Level, Rated, RuleDecision, SpokenMessage, window::Sliding},
};

/// The limit. Refused messages do not count, so that an agent that keeps
/// trying gets through as soon as one that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageRate {
    /// What is done about one too many.
    pub level: Level,
    /// How many a window holds, 1 to 10,000.
    pub limit: u32,
    /// How long a window is.
    pub window_ms: u64,
}

impl Default for MessageRate {
    fn default() -> Self {
        MessageRate { level: Level::Mute, limit: 10, window_ms: 60_000 }
    }
}

impl MessageRate {
    /// For how long an agent is mute that has asked for too much already.
    pub fn mute_for(&self, state: &Rated, now_ms: u64) -> Option<u64> {
        let is_mute = self.level >= Level::Mute && state.is_told;
        self.rule().room(&state.taken, now_ms).err().filter(|_| is_mute)
    }

    fn rule(&self) -> Sliding {
        Sliding { limit: self.limit, window_ms: self.window_ms }
    }
}

impl Detector for MessageRate {
    type Input<'a> = &'a SpokenMessage<'a>;
    type State = Rated;
    const RULE: &'static str = "messages";
    const KIND: &'static str = "agent.muted";

    fn judge(&self, state: &Rated, message: &SpokenMessage<'_>, now_ms: u64) -> RuleDecision {
        let finding = || Finding {
            kind: Self::KIND,
            severity: Severity::Warning,
            subject: message.agent_id.to_owned(),
            message: format!("more than {} messages in {} s", self.limit, self.window_ms / 1_000),
        };
        state.judge(self.rule(), self.level, now_ms, finding)
    }

    fn note(&self, state: &mut Rated, _: &SpokenMessage<'_>, now_ms: u64, decision: &RuleDecision, passed: bool) {
        state.note(self.rule(), self.level, now_ms, decision, passed);
    }

    fn next_expiry(&self, state: &Rated) -> Option<u64> {
        self.rule().expires_at(&state.taken)
    }
}
