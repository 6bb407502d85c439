//! Much is said in a task, and nothing moves: agents' messages since its state
//! changed or a person spoke.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::Severity,
    governance::{Detector, Finding, Level, RuleDecision, TaskTurn},
};

/// The limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NoProgress {
    /// What is done about it.
    pub level: Level,
    /// Which message in a row is found, 2 to 10,000.
    pub messages: u32,
    /// After so long without a message counting begins anew; so no refusal is
    /// for ever.
    pub idle_ms: u64,
}

impl Default for NoProgress {
    fn default() -> Self {
        NoProgress { level: Level::Alert, messages: 25, idle_ms: 86_400_000 }
    }
}

/// How many messages there were, and the time of the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stall {
    messages: u32,
    last_ms: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_told: bool,
}

impl NoProgress {
    fn idle_left_ms(&self, state: &Stall, now_ms: u64) -> u64 {
        self.idle_ms.saturating_sub(now_ms.saturating_sub(state.last_ms))
    }
}

impl Detector for NoProgress {
    /// The task's id and whose turn it is in it.
    type Input<'a> = (&'a str, TaskTurn<'a>);
    type State = Stall;
    const RULE: &'static str = "noProgress";
    const KIND: &'static str = "task.no_progress";

    fn judge(&self, state: &Stall, (task_id, turn): (&str, TaskTurn<'_>), now_ms: u64) -> RuleDecision {
        let idle_left_ms = self.idle_left_ms(state, now_ms);
        let is_found = matches!(turn, TaskTurn::Agent(_))
            && idle_left_ms > 0
            && state.messages.saturating_add(1) >= self.messages
            && self.level > Level::Off;
        if !is_found {
            return RuleDecision::PASS;
        }
        let finding = || Finding {
            kind: Self::KIND,
            severity: Severity::Warning,
            subject: task_id.to_owned(),
            message: format!("{} messages of agents, and neither a change of state nor a person", self.messages),
        };
        RuleDecision::found(self.level, (!state.is_told).then(finding), idle_left_ms)
    }

    fn note(
        &self,
        state: &mut Stall,
        (_, turn): (&str, TaskTurn<'_>),
        now_ms: u64,
        decision: &RuleDecision,
        passed: bool,
    ) {
        if !matches!(turn, TaskTurn::Agent(_)) || self.level == Level::Off || self.idle_left_ms(state, now_ms) == 0 {
            *state = Stall::default();
        }
        if matches!(turn, TaskTurn::Agent(_)) && self.level > Level::Off {
            state.is_told |= decision.found;
            if passed {
                state.messages = state.messages.saturating_add(1);
                state.last_ms = state.last_ms.max(now_ms);
            }
        }
    }

    fn next_expiry(&self, state: &Stall) -> Option<u64> {
        (*state != Stall::default()).then(|| state.last_ms.saturating_add(self.idle_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: TaskTurn<'static> = TaskTurn::Agent("agt_1");

    fn found(rule: &NoProgress, turns: &[(u64, TaskTurn<'_>)]) -> Vec<(u64, bool, Option<u64>)> {
        let mut state = Stall::default();
        let judge = |(at, turn): &(u64, TaskTurn<'_>)| {
            let decision = rule.on(&mut state, ("task_1", *turn), *at);
            decision.found.then_some((*at, decision.alert.is_some(), decision.retry_after_ms))
        };
        turns.iter().filter_map(judge).collect()
    }

    #[test]
    fn the_third_message_of_agents_in_a_row_is_found_and_told_once() {
        let rule = NoProgress { messages: 3, idle_ms: 10_000, level: Level::Alert };
        let turns = |breaks: TaskTurn<'static>| {
            [(0, AGENT), (1, AGENT), (2, AGENT), (3, AGENT), (4, breaks), (5, AGENT), (6, AGENT), (7, AGENT)]
        };
        for breaks in [TaskTurn::Person, TaskTurn::Moved] {
            assert_eq!(found(&rule, &turns(breaks)), [(2, true, None), (3, false, None), (7, true, None)]);
        }
        let pauses = [(0, AGENT), (1, AGENT), (10_001, AGENT), (10_002, AGENT), (20_001, AGENT)];
        assert_eq!(found(&rule, &pauses), [(20_001, true, None)], "idle means the whole time");
        assert_eq!(found(&NoProgress { level: Level::Off, ..rule }, &turns(AGENT)), []);
    }

    #[test]
    fn what_is_refused_may_be_said_after_a_while() {
        let rule = NoProgress { messages: 2, idle_ms: 10_000, level: Level::Mute };
        let turns = [(0, AGENT), (4_000, AGENT), (9_999, AGENT), (10_000, AGENT)];
        assert_eq!(found(&rule, &turns), [(4_000, true, Some(6_000)), (9_999, false, Some(1))]);
    }
}
