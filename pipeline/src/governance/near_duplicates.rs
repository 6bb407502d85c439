//! The same again in other words, or with another number in it: the texts of
//! one agent within minutes, compared by their SimHash.
//!
//! Two texts are alike when their hashes differ in at most `distance` bits. At
//! the default of 12 a word or two may differ in a sentence and some more in a
//! paragraph, while texts that have nothing in common differ in 31 bits in the
//! mean and in 18 at least (measured in `udfs::similar`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use udfs::similar::distance;

use crate::{
    event::Severity,
    governance::{
        Detector, Episode, Finding, Level, Mark, RuleDecision, SpokenMessage,
        window::{Lately, Recent},
    },
};

/// Texts of one agent that are remembered at most; the newest are.
const ITEMS_MAX: usize = 32;

/// The limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NearDuplicates {
    /// What is done about it.
    pub level: Level,
    /// In how many of 64 bits alike texts differ at most, 0 to 20.
    pub distance: u32,
    /// Which of the texts that are like it is found, 2 to 32.
    pub count: u32,
    /// Within how long.
    pub window_ms: u64,
    /// Texts of fewer words are not looked at: thanks are alike.
    pub words_min: u32,
}

impl Default for NearDuplicates {
    fn default() -> Self {
        NearDuplicates { level: Level::Alert, distance: 12, count: 4, window_ms: 600_000, words_min: 4 }
    }
}

/// What an agent said in the last minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Likes {
    #[serde(skip_serializing_if = "Lately::is_empty")]
    said: Lately<Mark>,
    #[serde(skip_serializing_if = "Episode::is_none")]
    found_at: Episode,
}

impl NearDuplicates {
    fn recent(&self) -> Recent {
        Recent { window_ms: self.window_ms, items_max: ITEMS_MAX }
    }
}

impl Detector for NearDuplicates {
    type Input<'a> = &'a SpokenMessage<'a>;
    type State = Likes;
    const RULE: &'static str = "nearDuplicates";
    const KIND: &'static str = "agent.repeating";

    fn judge(&self, state: &Likes, message: &SpokenMessage<'_>, now_ms: u64) -> RuleDecision {
        if self.level == Level::Off || message.likeness().words < self.words_min {
            return RuleDecision::PASS;
        }
        let is_like = |said: &Mark| distance(said.0, message.likeness().simhash) <= self.distance;
        let mut like = self.recent().held(&state.said, now_ms).rev().filter(|(_, said)| is_like(said));
        // The text that makes this one too many, and when it is forgotten.
        let before = self.count.max(2) as usize - 2;
        let Some((leaves_ms, _)) = like.nth(before) else { return RuleDecision::PASS };
        let finding = || Finding {
            kind: Self::KIND,
            severity: Severity::Warning,
            subject: message.agent_id.to_owned(),
            message: format!("said nearly the same {} times within {} s", self.count, self.window_ms / 1_000),
        };
        let is_new = state.found_at.is_new(now_ms, self.window_ms);
        RuleDecision::found(self.level, is_new.then(finding), leaves_ms)
    }

    fn note(&self, state: &mut Likes, message: &SpokenMessage<'_>, now_ms: u64, decision: &RuleDecision, passed: bool) {
        if self.level == Level::Off {
            *state = Likes::default();
            return;
        }
        if passed && message.likeness().words >= self.words_min {
            self.recent().add(&mut state.said, now_ms, Mark(message.likeness().simhash));
        }
        state.found_at.note(decision, now_ms);
    }

    fn next_expiry(&self, state: &Likes) -> Option<u64> {
        self.recent().expires_at(&state.said).max(state.found_at.expires_at(self.window_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: &NearDuplicates, said: &[(u64, &str)]) -> Vec<(u64, bool, Option<u64>)> {
        let mut state = Likes::default();
        let judge = |(at, text): &(u64, &str)| {
            let decision = rule.on(&mut state, &SpokenMessage::new("agt_1", None, text), *at);
            decision.found.then_some((*at, decision.alert.is_some(), decision.retry_after_ms))
        };
        said.iter().filter_map(judge).collect()
    }

    const LIKE: [&str; 5] = [
        "Still working on ENG-142: 3 of 17 tests pass now.",
        "still working on ENG-142, 5 of 17 tests pass now",
        "Hi! Still working on ENG-142: 9 of 17 tests pass now.",
        "Still working on ENG-143: 1 of 4 tests pass now...",
        "Still working on it: 3 of 4 tests pass now.",
    ];

    #[test]
    fn the_fourth_like_it_is_found_and_told_once() {
        let rule = NearDuplicates::default();
        let said: Vec<_> = (0..).map(|step| step * 60_000).zip(LIKE).collect();
        assert_eq!(found(&rule, &said), [(180_000, true, None), (240_000, false, None)]);
        let mixed: Vec<_> =
            said[..3].iter().copied().chain([(170_000, "The build is green, I have merged it.")]).collect();
        assert_eq!(found(&rule, &mixed), []);
        let slow: Vec<_> = (0..).map(|step| step * 200_000).zip(LIKE).collect();
        assert_eq!(found(&rule, &slow), [], "a window of ten minutes holds three of them");
        let short: Vec<_> = (0..9).map(|step| (step, "Thank you, Ada!")).collect();
        assert_eq!(found(&rule, &short), [], "few words are alike by chance");
    }

    #[test]
    fn what_is_refused_is_not_remembered() {
        let rule = NearDuplicates { level: Level::Mute, count: 2, ..NearDuplicates::default() };
        let said = [(0, LIKE[0]), (599_000, LIKE[1]), (600_000, LIKE[2])];
        assert_eq!(found(&rule, &said), [(599_000, true, Some(1_000))]);
    }

    #[test]
    fn memory_is_bounded() {
        let (rule, mut state) = (NearDuplicates::default(), Likes::default());
        for number in 0..1_000_u64 {
            let text = format!("w{0} a{0} b{0} c{0}", char::from(b'a' + (number % 26) as u8));
            rule.on(&mut state, &SpokenMessage::new("agt_1", None, &text), number);
        }
        assert_eq!(state.said.len(), ITEMS_MAX);
        assert!(serde_json::to_vec(&state).unwrap().len() < 900);
    }
}
