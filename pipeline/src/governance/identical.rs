//! The same text again and again by one agent, within seconds: it is stuck.
//!
//! Every message is remembered, the refused ones too: an agent in a loop is
//! found also while it is mute.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::Severity,
    governance::{
        Detector, Episode, Finding, Level, Mark, RuleDecision, SpokenMessage,
        window::{Lately, Recent},
    },
};

/// Messages of one agent that are remembered at most: within 10 s, six a
/// second. An agent that says more has long reached another limit.
const ITEMS_MAX: usize = 64;

/// The limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Identical {
    /// What is done about it.
    pub level: Level,
    /// Which occurrence of a text is found, 2 to 64.
    pub occurrences: u32,
    /// Within how long.
    pub window_ms: u64,
}

impl Default for Identical {
    fn default() -> Self {
        Identical { level: Level::Disconnect, occurrences: 2, window_ms: 10_000 }
    }
}

/// What an agent said in the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Repeats {
    #[serde(skip_serializing_if = "Lately::is_empty")]
    said: Lately<Mark>,
    #[serde(skip_serializing_if = "Episode::is_none")]
    found_at: Episode,
}

impl Identical {
    fn recent(&self) -> Recent {
        Recent { window_ms: self.window_ms, items_max: ITEMS_MAX }
    }
}

impl Detector for Identical {
    type Input<'a> = &'a SpokenMessage<'a>;
    type State = Repeats;
    const RULE: &'static str = "identical";
    const KIND: &'static str = "agent.stuck";

    fn judge(&self, state: &Repeats, message: &SpokenMessage<'_>, now_ms: u64) -> RuleDecision {
        if self.level == Level::Off {
            return RuleDecision::PASS;
        }
        let mark = mark(message);
        let before = self.recent().held(&state.said, now_ms).rev().filter(|(_, said)| **said == mark);
        // This one and those before it, each with the time until it is
        // forgotten. This one will be remembered whether it is refused or not.
        let mut same = std::iter::once(self.window_ms).chain(before.map(|(leaves_ms, _)| leaves_ms));
        let (retry_after_ms, first) = (same.nth(self.occurrences.max(2) as usize - 2), same.next());
        let (Some(retry_after_ms), Some(_)) = (retry_after_ms, first) else { return RuleDecision::PASS };
        let finding = || Finding {
            kind: Self::KIND,
            severity: Severity::Critical,
            subject: message.agent_id.to_owned(),
            message: format!("said the same {} times within {} s", self.occurrences, self.window_ms / 1_000),
        };
        let is_new = state.found_at.is_new(now_ms, self.window_ms);
        RuleDecision::found(self.level, is_new.then(finding), retry_after_ms)
    }

    fn note(
        &self,
        state: &mut Repeats,
        message: &SpokenMessage<'_>,
        now_ms: u64,
        decision: &RuleDecision,
        _passed: bool,
    ) {
        if self.level == Level::Off {
            *state = Repeats::default();
            return;
        }
        self.recent().add(&mut state.said, now_ms, mark(message));
        state.found_at.note(decision, now_ms);
    }

    fn next_expiry(&self, state: &Repeats) -> Option<u64> {
        self.recent().expires_at(&state.said).max(state.found_at.expires_at(self.window_ms))
    }
}

/// Half of the hash: among 64 messages that is enough.
fn mark(message: &SpokenMessage<'_>) -> Mark {
    Mark(message.content as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: &Identical, said: &[(u64, &str)]) -> Vec<(u64, bool, Option<u64>)> {
        let mut state = Repeats::default();
        let judge = |(at, text): &(u64, &str)| {
            let decision = rule.on(&mut state, &SpokenMessage::new("agt_1", None, text), *at);
            decision.found.then_some((*at, decision.alert.is_some(), decision.retry_after_ms))
        };
        said.iter().filter_map(judge).collect()
    }

    #[test]
    fn the_second_of_a_text_within_the_window_is_found() {
        let rule = Identical::default();
        let cut = |at, told| (at, told, Some(10_000));
        assert_eq!(found(&rule, &[(0, "a"), (1, "b"), (9_999, "a")]), [cut(9_999, true)]);
        assert_eq!(found(&rule, &[(0, "a"), (10_000, "a")]), [], "half-open: ten seconds later is not within");
        assert_eq!(
            found(&rule, &[(5, "a"), (5, "a"), (3, "a")]),
            [cut(5, true), cut(3, false)],
            "equal and late times"
        );
        assert_eq!(found(&rule, &[(0, "a b"), (1, "a  b ")]).len(), 1, "white space does not matter");
        assert_eq!(found(&rule, &[(0, "step 1"), (1, "step 2"), (2, "Step 1")]), []);
        // One alert until nothing was found for a window.
        let looping: Vec<_> = (0..9).map(|step| (step * 5_000, "a")).collect();
        assert_eq!(found(&rule, &looping).iter().filter(|(_, told, _)| *told).count(), 1);
        assert_eq!(found(&rule, &[(0, "a"), (1, "a"), (10_001, "b"), (10_002, "b")]).iter().filter(|f| f.1).count(), 2);
        assert_eq!(found(&Identical { level: Level::Off, ..rule }, &looping), []);
    }

    #[test]
    fn the_time_to_wait_is_told_exactly() {
        let rule = Identical { level: Level::Mute, occurrences: 3, window_ms: 10_000 };
        let said = [(0, "a"), (4_000, "a"), (6_000, "a")];
        // Of 4 s and 6 s the first must be forgotten.
        assert_eq!(found(&rule, &said), [(6_000, true, Some(8_000))]);
        for (then, is_found) in [(13_999, true), (14_000, false)] {
            assert_eq!(found(&rule, &[&said[..], &[(then, "a")]].concat()).len() == 2, is_found);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (rule, mut state) = (Identical { level: Level::Alert, ..Identical::default() }, Repeats::default());
        for number in 0..1_000 {
            rule.on(&mut state, &SpokenMessage::new("agt_1", None, &number.to_string()), 0);
        }
        assert_eq!(state.said.len(), ITEMS_MAX);
        assert!(serde_json::to_vec(&state).unwrap().len() < 1_600);
    }
}
