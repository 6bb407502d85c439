//! All detectors together: beside naive models, with equal and late times,
//! written and read again at every step; and what ten thousand agents take.

use proptest::prelude::*;

use super::*;

const WINDOW_MS: u64 = 60_000;

/// What was kept and restored; equal to what it was.
fn restored<S>(state: S) -> S
where
    S: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let value = serde_json::to_value(&state).unwrap();
    let again: S = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(again, state, "{value}");
    again
}

/// Only the rate of messages counts.
fn only_rate() -> Limits {
    let mut limits = Limits::default();
    limits.identical.level = Level::Off;
    limits.near_duplicates.level = Level::Off;
    limits
}

fn steps() -> impl Strategy<Value = Vec<(i64, usize)>> {
    let step = prop_oneof![
        4 => Just(0),
        4 => 1..5_000_i64,
        2 => 59_999..60_002_i64,
        1 => -65_000..0_i64,
        1 => 100_000..700_000_i64,
    ];
    prop::collection::vec((step, 0..3_usize), 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The promise of the contract, through everything that a message passes:
    /// of each agent never an eleventh within any 60 s, never a refusal when
    /// there was room; whatever restarts and however early idle agents go.
    #[test]
    fn never_an_eleventh_and_never_a_refusal_with_room(steps in steps()) {
        let limits = only_rate();
        let agents = ["acme/agt_a", "acme/agt_b", "umbra/agt_a"];
        let mut subjects = Subjects::<AgentState>::new(100);
        let mut said: [Vec<u64>; 3] = Default::default();
        let (mut raw, mut now) = (1_000_000_i64, 0);
        for (step, agent) in steps {
            // The log's clock, as a partition keeps it.
            raw = (raw + step).max(0);
            now = (raw as u64).max(now);
            subjects.expire(now, usize::MAX);

            let mut state = subjects.take(agents[agent]);
            let judged = limits.on_message(&mut state, None, &SpokenMessage::new(agents[agent], None, "on it"), now);
            let in_window = said[agent].iter().filter(|time| now - **time < WINDOW_MS).count();
            prop_assert_eq!(judged.allow, in_window < 10);
            if judged.allow {
                said[agent].push(now);
                prop_assert_eq!(judged.retry_after_ms, None);
            } else {
                let tenth = said[agent][said[agent].len() - 10];
                prop_assert_eq!(judged.retry_after_ms, Some(tenth + WINDOW_MS - now));
                prop_assert_eq!(judged.enforce, Some(Level::Mute));
            }
            let expiry = limits.agent_expiry(&state);
            subjects.put(agents[agent], restored(state), expiry);
        }
        for times in said {
            for begin in &times {
                prop_assert!(times.iter().filter(|time| (*begin..begin + WINDOW_MS).contains(time)).count() <= 10);
            }
        }
    }

    /// A project's changes wait behind each other and none is lost or early.
    #[test]
    fn what_waits_goes_in_order_as_soon_as_there_is_room(steps in steps(), limit in 1_u32..6) {
        let rule = SyncRate { limit, window_ms: WINDOW_MS, ..SyncRate::default() };
        let (mut state, mut waiting, mut gone) = (Rated::default(), std::collections::VecDeque::new(), Vec::new());
        let mut now = 0;
        for (number, (step, _)) in steps.iter().enumerate() {
            now += step.unsigned_abs();
            waiting.push_back(number);
            let free = rule.free(&state, now);
            for _ in 0..free.min(waiting.len()) {
                prop_assert!(rule.on(&mut state, "prj_1", now).allow);
                gone.push((now, waiting.pop_front()));
            }
            prop_assert!(waiting.is_empty() || !rule.on(&mut state, "prj_1", now).allow);
            state = restored(state);
        }
        for (place, (begin, number)) in gone.iter().enumerate() {
            prop_assert_eq!(*number, Some(place));
            prop_assert!(gone.iter().filter(|(time, _)| (*begin..begin + WINDOW_MS).contains(time)).count() <= limit as usize);
        }
    }

    /// With all detectors at any level: restored states decide alike, and an
    /// expired one as an empty one.
    #[test]
    fn restored_and_expired_states_decide_as_they_should(
        steps in steps(),
        levels in prop::array::uniform5(0..5_usize),
        texts in prop::collection::vec(0..4_usize, 150),
        turns in prop::collection::vec(0..8_usize, 150),
    ) {
        const LEVELS: [Level; 5] = [Level::Off, Level::Alert, Level::Nudge, Level::Mute, Level::Disconnect];
        const TEXTS: [&str; 4] = ["still at it, 3 of 5 done", "still at it, 4 of 5 done", "ok", "I have merged the branch"];
        let mut limits = Limits::default();
        limits.messages.level = LEVELS[levels[0]];
        limits.identical.level = LEVELS[levels[1]];
        limits.near_duplicates.level = LEVELS[levels[2]];
        limits.handoffs = Handoffs { level: LEVELS[levels[3]], cycles: 2, window_ms: 120_000, ..Handoffs::default() };
        limits.no_progress = NoProgress { level: LEVELS[levels[4]], messages: 6, idle_ms: 90_000 };

        let mut agents: [AgentState; 3] = Default::default();
        let mut task = TaskConversation::default();
        let (mut raw, mut now) = (1_000_000_i64, 0);
        for ((step, agent), (text, turn)) in steps.into_iter().zip(texts.into_iter().zip(turns)) {
            raw = (raw + step).max(0);
            now = (raw as u64).max(now);
            if turn < 2 {
                let turn = [TaskTurn::Person, TaskTurn::Moved][turn];
                limits.on_task(&mut task, "task_1", turn, now);
                continue;
            }
            let id = ["agt_a", "agt_b", "agt_c"][agent];
            let message = SpokenMessage::new(id, Some("task_1"), TEXTS[text]);
            let (mut other, mut other_task) = (restored(agents[agent].clone()), restored(task.clone()));
            if limits.agent_expiry(&other).is_none_or(|expiry| expiry <= now) {
                other = AgentState::default();
            }
            if limits.task_expiry(&other_task).is_none_or(|expiry| expiry <= now) {
                other_task = TaskConversation::default();
            }
            let judged = limits.on_message(&mut agents[agent], Some(&mut task), &message, now);
            let judged_otherwise = limits.on_message(&mut other, Some(&mut other_task), &message, now);
            prop_assert_eq!(&judged, &judged_otherwise);
            prop_assert_eq!(judged.allow, judged.enforce < Some(Level::Mute));
            prop_assert_eq!(judged.allow, judged.retry_after_ms.is_none());
            prop_assert!(judged.alerts.iter().all(|alert| RULES.iter().any(|(_, kind)| *kind == alert.kind)));
        }
    }

    /// A cycle beside a search through the whole history.
    #[test]
    fn hand_offs_are_found_where_a_naive_search_finds_them(turns in prop::collection::vec(0..4_usize, 0..60), cycles in 2_u32..4) {
        let rule = Handoffs { cycles, turns_max: 3, ..Handoffs::default() };
        let (mut state, mut history) = (Turns::default(), Vec::new());
        for (place, turn) in turns.into_iter().enumerate() {
            let is_person = turn == 3;
            let agent = ["a", "b", "c", ""][turn];
            let is_turn = !is_person && history.last() != Some(&agent);
            if is_person {
                history.clear();
            } else if is_turn {
                history.push(agent);
            }
            let is_cycle = |length: usize| {
                let whole = length * cycles as usize;
                let Some(begin) = history.len().checked_sub(whole) else { return false };
                (begin..history.len() - length).all(|place| history[place] == history[place + length])
            };
            let expected = is_turn && (2..=3).any(is_cycle);
            let input = if is_person { TaskTurn::Person } else { TaskTurn::Agent(agent) };
            let decision = rule.on(&mut state, ("task_1", input), place as u64);
            prop_assert_eq!(decision.found, expected, "{:?}", history);
            state = restored(state);
        }
    }
}

#[test]
fn an_agent_that_is_stuck_is_cut_and_stays_out_for_the_cool_down() {
    let (limits, mut agent) = (Limits::default(), AgentState::default());
    let mut say = |text: &str, now| limits.on_message(&mut agent, None, &SpokenMessage::new("agt_1", None, text), now);
    assert!(say("I will retry.", 0).allow);
    let second = say("I will retry.", 5_000);
    assert_eq!((second.allow, second.enforce, second.retry_after_ms), (false, Some(Level::Disconnect), Some(60_000)));
    assert_eq!(second.alerts.iter().map(|alert| alert.kind).collect::<Vec<_>>(), ["agent.stuck"]);
    let later = say("Something else.", 64_999);
    assert_eq!((later.allow, later.enforce, later.retry_after_ms), (false, Some(Level::Mute), Some(1)));
    assert!(later.alerts.is_empty(), "it was told");
    assert!(say("I will retry.", 65_000).allow);
}

#[test]
fn what_one_detector_refuses_takes_no_place_elsewhere() {
    let mut limits = Limits::default();
    limits.identical.level = Level::Mute;
    let (mut agent, mut task) = (AgentState::default(), TaskConversation::default());
    for number in 0..50 {
        let message = SpokenMessage::new("agt_1", Some("task_1"), "the same again");
        let judged = limits.on_message(&mut agent, Some(&mut task), &message, number);
        assert_eq!(judged.allow, number == 0);
        assert_eq!(judged.alerts.len(), usize::from(number == 1));
    }
    assert_eq!(agent.rate.taken.len(), 1, "nine are still free");
    assert_eq!(serde_json::to_value(&task.stall).unwrap()["messages"], 1);
}

#[test]
fn what_a_later_detector_refuses_is_not_counted_by_an_earlier_one() {
    let near_duplicates = NearDuplicates { level: Level::Mute, count: 2, ..NearDuplicates::default() };
    let no_progress = NoProgress { level: Level::Mute, messages: 3, ..NoProgress::default() };
    let limits = Limits { near_duplicates, no_progress, ..Limits::default() };
    let (mut agent, mut task) = (AgentState::default(), TaskConversation::default());
    let mut taken = Vec::new();
    for text in ["read file 1 of 9", "read file 2 of 9", "the tests do not compile", "I will ask a person now", "ok"] {
        let judged =
            limits.on_message(&mut agent, Some(&mut task), &SpokenMessage::new("agt_1", Some("task_1"), text), 0);
        taken.push((judged.allow, agent.rate.taken.len()));
    }
    // The second is like the first; the task lets two pass.
    assert_eq!(taken, [(true, 1), (false, 1), (true, 2), (false, 2), (false, 2)]);
    let likes = serde_json::to_value(&agent.likes).unwrap();
    assert_eq!(likes["said"].as_array().unwrap().len(), 2);
}

#[test]
fn a_mute_agent_in_a_loop_is_found_to_be_stuck() {
    let (limits, mut agent) = (Limits::default(), AgentState::default());
    let texts: Vec<String> = ('a'..'l').map(|letter| letter.to_string()).collect();
    for text in &texts {
        limits.on_message(&mut agent, None, &SpokenMessage::new("agt_1", None, text), 0);
    }
    let judged = limits.on_message(&mut agent, None, &SpokenMessage::new("agt_1", None, "k"), 1);
    assert_eq!(judged.enforce, Some(Level::Disconnect), "its first was refused, and remembered");
}

#[test]
fn an_agent_is_nudged_once_an_episode() {
    let messages = MessageRate { level: Level::Nudge, limit: 1, window_ms: 1_000 };
    let limits = Limits { messages, ..Limits::default() };
    let mut agent = AgentState::default();
    let mut say =
        |text: &str, now| limits.on_message(&mut agent, None, &SpokenMessage::new("agt_1", None, text), now).enforce;
    let enforced = [say("a", 0), say("b", 1), say("c", 2), say("d", 2_000), say("e", 2_001)];
    assert_eq!(enforced, [None, Some(Level::Nudge), None, None, Some(Level::Nudge)]);
}

#[test]
fn every_detector_has_its_own_alert() {
    for of in [|rule: &(&'static str, &'static str)| rule.0, |rule: &(&'static str, &'static str)| rule.1] {
        let mut names: Vec<_> = RULES.iter().map(of).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
    let limits = serde_json::to_value(Limits::default()).unwrap();
    assert!(RULES.iter().all(|(rule, _)| limits.get(rule).is_some()), "each is a part of the limits");
}

/// Ten thousand agents that say as much as they can: what is remembered of
/// them, by count, what an entry of `pipeline.state` takes, and that it goes.
#[test]
fn memory_is_bounded_with_ten_thousand_agents() {
    let limits = Limits::default();
    let (mut agents, mut largest, mut refused) = (Subjects::<AgentState>::new(20_000), 0, 0);
    for round in 0..15_u64 {
        for number in 0..10_000 {
            let now = 1_795_000_000_000 + round * 5_000 + number / 10;
            let (id, text) =
                (format!("agt_{number}"), format!("Round {}: I have read the file", "n".repeat(round as usize)));
            let key = format!("acme/{id}");
            let mut state = agents.take(&key);
            refused +=
                u32::from(!limits.on_message(&mut state, None, &SpokenMessage::new(&id, None, &text), now).allow);
            if number % 1_000 == 0 {
                largest = largest.max(serde_json::to_vec(&state).unwrap().len());
            }
            let expiry = limits.agent_expiry(&state);
            assert_eq!(agents.put(&key, state, expiry), None);
        }
    }
    assert_eq!(
        (agents.len(), refused),
        (10_000, 20_000),
        "rounds eleven and twelve are within the minute of the first"
    );
    let times: usize = (0..10_000)
        .filter_map(|number| agents.get(&format!("acme/agt_{number}")))
        .map(|agent| agent.rate.taken.len())
        .sum();
    assert!(times <= 100_000, "{times} times are remembered");
    assert!(largest <= 800, "{largest} bytes");

    let last = 1_795_000_000_000 + 14 * 5_000 + 1_000;
    assert_eq!(agents.expire(last + 600_000, usize::MAX).len(), 10_000, "idle agents are forgotten");
    assert!(agents.is_empty());
}

#[test]
fn agents_beyond_the_bound_cost_nothing_more() {
    let (limits, mut agents, mut gone) = (Limits::default(), Subjects::<AgentState>::new(1_000), 0);
    for number in 0..10_000 {
        let (id, mut state) = (format!("agt_{number}"), AgentState::default());
        limits.on_message(&mut state, None, &SpokenMessage::new(&id, None, "x"), number);
        let expiry = limits.agent_expiry(&state);
        gone += usize::from(agents.put(&format!("acme/{id}"), state, expiry).is_some());
    }
    assert_eq!((agents.len(), gone), (1_000, 9_000));
}
