//! Agents that hand a task round in a circle, with no person in between:
//! A→B→A→B, or A→B→C→A→B→C.
//!
//! What an agent says in a row is one turn. A cycle is two to `turns_max`
//! turns, and is found when it was gone through `cycles` times, the last time
//! ending now. A person's word makes all turns before it forgotten.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    event::Severity,
    governance::{
        Detector, Episode, Finding, Level, RuleDecision, TaskTurn,
        window::{Lately, Recent},
    },
};

/// The limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Handoffs {
    /// What is done about it.
    pub level: Level,
    /// Which full cycle is found, 2 to 10.
    pub cycles: u32,
    /// The longest cycle, in turns, 2 to 8.
    pub turns_max: u32,
    /// Turns that are older do not count; so no refusal is for ever.
    pub window_ms: u64,
}

impl Default for Handoffs {
    fn default() -> Self {
        Handoffs { level: Level::Alert, cycles: 3, turns_max: 4, window_ms: 3_600_000 }
    }
}

/// Whose turn it was in a task: at most `cycles` × `turns_max` of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Turns {
    #[serde(skip_serializing_if = "Lately::is_empty")]
    agents: Lately<Box<str>>,
    #[serde(skip_serializing_if = "Episode::is_none")]
    found_at: Episode,
}

impl Handoffs {
    fn recent(&self) -> Recent {
        Recent { window_ms: self.window_ms, items_max: (self.cycles * self.turns_max) as usize }
    }

    /// The shortest cycle that ends with the newest turn (the first of `turns`)
    /// and was gone through often enough.
    fn cycle(&self, turns: &[&str]) -> Option<usize> {
        (2..=self.turns_max as usize).find(|length| {
            let whole = length * self.cycles as usize;
            turns.len() >= whole
                && turns[..whole].iter().zip(&turns[*length..whole]).all(|(later, earlier)| later == earlier)
        })
    }
}

impl Detector for Handoffs {
    /// The task's id and whose turn it is in it.
    type Input<'a> = (&'a str, TaskTurn<'a>);
    type State = Turns;
    const RULE: &'static str = "handoffs";
    const KIND: &'static str = "task.handoffs";

    fn judge(&self, state: &Turns, (task_id, turn): (&str, TaskTurn<'_>), now_ms: u64) -> RuleDecision {
        let TaskTurn::Agent(agent_id) = turn else { return RuleDecision::PASS };
        let held: Vec<_> = self.recent().held(&state.agents, now_ms).rev().collect();
        if self.level == Level::Off || held.first().is_some_and(|(_, last)| ***last == *agent_id) {
            return RuleDecision::PASS;
        }
        let turns: Vec<&str> = std::iter::once(agent_id).chain(held.iter().map(|(_, agent)| &***agent)).collect();
        let Some(length) = self.cycle(&turns) else { return RuleDecision::PASS };
        let finding = || {
            let circle: Vec<_> = turns[..length].iter().rev().copied().collect();
            Finding {
                kind: Self::KIND,
                severity: Severity::Warning,
                subject: task_id.to_owned(),
                message: format!("handed round {} times without a person: {}", self.cycles, circle.join(", ")),
            }
        };
        // The oldest turn of the circle is the first to be forgotten.
        let (leaves_ms, _) = held[length * self.cycles as usize - 2];
        let is_new = state.found_at.is_new(now_ms, self.window_ms);
        RuleDecision::found(self.level, is_new.then(finding), leaves_ms)
    }

    fn note(
        &self,
        state: &mut Turns,
        (_, turn): (&str, TaskTurn<'_>),
        now_ms: u64,
        decision: &RuleDecision,
        passed: bool,
    ) {
        match turn {
            _ if self.level == Level::Off => *state = Turns::default(),
            TaskTurn::Person => *state = Turns::default(),
            TaskTurn::Moved => {}
            TaskTurn::Agent(agent_id) => {
                let is_same =
                    self.recent().held(&state.agents, now_ms).next_back().is_some_and(|(_, last)| **last == *agent_id);
                if passed && !is_same {
                    self.recent().add(&mut state.agents, now_ms, agent_id.into());
                }
                state.found_at.note(decision, now_ms);
            }
        }
    }

    fn next_expiry(&self, state: &Turns) -> Option<u64> {
        self.recent().expires_at(&state.agents).max(state.found_at.expires_at(self.window_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a turn, a second apart: `A` to `F` are agents, `p` a person,
    /// `m` a change of state. Gives where something is found.
    fn found(rule: &Handoffs, story: &str) -> Vec<usize> {
        let (mut state, mut found) = (Turns::default(), Vec::new());
        for (place, letter) in story.chars().enumerate() {
            let agent = letter.to_string();
            let turn = match letter {
                'p' => TaskTurn::Person,
                'm' => TaskTurn::Moved,
                _ => TaskTurn::Agent(&agent),
            };
            let decision = rule.on(&mut state, ("task_1", turn), place as u64 * 1_000);
            found.extend(decision.found.then_some(place));
        }
        found
    }

    #[test]
    fn full_cycles_without_a_person_are_found() {
        let rule = Handoffs::default();
        for (story, places) in [
            ("ABABA", &[][..]),
            ("ABABAB", &[5]),
            ("ABABABA", &[5, 6]),
            ("AABBBABBABBA", &[9, 11]),
            ("ABABApBABAB", &[]),
            ("ABABmAB", &[6]),
            ("ABCABCABC", &[8]),
            ("ABCDABCDABCD", &[11]),
            ("ABCDEABCDEABCDE", &[]),
            ("ABACABACABAC", &[11]),
            ("AAAAAAAAAAAA", &[]),
            ("CDABABAB", &[7]),
            ("ABABCAB", &[]),
        ] {
            assert_eq!(found(&rule, story), places, "{story}");
        }
        assert_eq!(found(&Handoffs { cycles: 2, ..rule.clone() }, "ABAB"), [3]);
        assert!(found(&Handoffs { level: Level::Off, ..rule }, "ABABABAB").is_empty());
    }

    #[test]
    fn the_circle_is_named_and_the_wait_ends() {
        let rule = Handoffs { level: Level::Mute, window_ms: 10_000, ..Handoffs::default() };
        let mut state = Turns::default();
        for (at, agent) in ["A", "B", "A", "B", "A"].into_iter().enumerate() {
            rule.on(&mut state, ("task_1", TaskTurn::Agent(agent)), at as u64 * 1_000);
        }
        let sixth = ("task_1", TaskTurn::Agent("B"));
        let decision = rule.on(&mut state, sixth, 5_000);
        assert_eq!((decision.allow, decision.retry_after_ms), (false, Some(5_000)));
        let alert = decision.alert.unwrap();
        assert_eq!((alert.kind, &*alert.subject), ("task.handoffs", "task_1"));
        assert_eq!(alert.message, "handed round 3 times without a person: A, B");
        assert!(!rule.judge(&state, sixth, 9_999).allow && rule.judge(&state, sixth, 10_000).allow);
        assert!(rule.judge(&state, ("task_1", TaskTurn::Agent("C")), 5_000).allow, "another agent may help");
    }

    #[test]
    fn memory_is_bounded() {
        let (rule, mut state) = (Handoffs::default(), Turns::default());
        for number in 0..1_000 {
            let agent = format!("agt_{:032x}", number % 7);
            rule.on(&mut state, ("task_1", TaskTurn::Agent(&agent)), number);
        }
        assert_eq!(state.agents.len(), 12);
        assert!(serde_json::to_vec(&state).unwrap().len() < 600);
    }
}
