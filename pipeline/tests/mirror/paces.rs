//! How fast a project is mirrored, beside a naive model: what is too much waits,
//! in order, and goes with the first moment of the log's clock in which there is
//! room; whatever crashes in between.

use proptest::prelude::*;
use serde_json::json;

use super::{
    START_MS,
    hub::{Hub, said},
};

const LIMIT: usize = 3;
const WINDOW_MS: u64 = 10_000;

fn limited(limit: usize, window_ms: u64) -> Hub {
    let mut hub = Hub::new();
    // Before the first tick no time is known.
    hub.pass(0);
    let off = json!({ "level": "off" });
    let syncs = json!({ "limit": limit, "windowMs": window_ms });
    hub.row("tenant", "acme", json!({ "name": "a", "limits": { "messages": off, "identical": off, "syncs": syncs } }));
    hub
}

/// In a thread of its own, so that nothing waits for another's result.
fn say(hub: &mut Hub, number: usize) {
    let thread = json!({ "channelId": "C1", "threadTs": format!("{number}.0") });
    hub.agent("message", json!({ "thread": thread, "text": format!("word {number}") }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_too_much_waits_until_there_is_room_and_not_longer(
        steps in prop::collection::vec((0..3_000_u64, 0..4_usize, any::<u8>()), 1..60),
    ) {
        let mut hub = limited(LIMIT, WINDOW_MS);
        let (mut words, mut issued, mut expected) = (0, Vec::new(), Vec::<u64>::new());
        for (step_ms, count, fate) in steps.into_iter().chain(std::iter::repeat_n((3_000, 0, 1), 240)) {
            hub.pass(step_ms);
            // Those that wait go first; then what is said now, as long as there
            // is room.
            let mut wanted = words - expected.len() + count;
            for _ in 0..count {
                say(&mut hub, words);
                words += 1;
            }
            while wanted > 0 && expected.iter().filter(|at| hub.now_ms - **at < WINDOW_MS).count() < LIMIT {
                expected.push(hub.now_ms);
                wanted -= 1;
            }
            for command in hub.commanded() {
                issued.push((command.at.as_ms(), said(&command).to_owned()));
                hub.done(&command, &[&format!("{}.1", issued.len())]);
            }
            prop_assert_eq!(issued.len(), expected.len(), "at {}", hub.now_ms - START_MS);
            if fate % 4 == 0 {
                hub.partition.crash();
            }
        }
        prop_assert_eq!(issued.len(), words, "nothing is lost");
        let times: Vec<u64> = issued.iter().map(|(at_ms, _)| *at_ms).collect();
        prop_assert_eq!(times, expected);
        for (number, (_, said)) in issued.iter().enumerate() {
            prop_assert_eq!(said, &format!("word {number}"), "in order");
        }
    }
}

#[test]
fn a_long_wait_is_told_once_and_loses_nothing() {
    let day_ms = 24 * 3_600_000;
    let mut hub = limited(1, 2 * day_ms);
    for number in 0..3 {
        say(&mut hub, number);
    }
    let first = hub.one();
    hub.done(&first, &["0.1"]);
    // What waits for its project for days is not given up after one.
    for hour in 1..48 {
        hub.pass(3_600_000);
        let early = hub.commanded();
        assert!(early.is_empty(), "after {hour} hours: {early:#?}");
        hub.partition.crash();
    }
    hub.pass(3_600_000);
    let second = hub.one();
    assert_eq!(said(&second), "word 1");
    hub.done(&second, &["1.1"]);
    hub.pass(2 * day_ms);
    assert_eq!(said(&hub.one()), "word 2");
    let throttled = hub.partition.alerts.iter().filter(|alert| alert["kind"] == "project.throttled");
    assert_eq!(throttled.map(|alert| alert["subject"].clone()).collect::<Vec<_>>(), ["prj_1"]);
}

#[test]
fn a_wider_limit_lets_go_at_once_what_waited() {
    let mut hub = limited(1, 3_600_000);
    for number in 0..4 {
        say(&mut hub, number);
    }
    assert_eq!(hub.commanded().len(), 1);
    let off = json!({ "level": "off" });
    hub.row("tenant", "acme", json!({ "name": "a", "limits": { "syncs": off } }));
    hub.pass(1_000);
    let words: Vec<_> = hub.commanded().iter().map(|command| said(command).to_owned()).collect();
    assert_eq!(words, ["word 1", "word 2", "word 3"]);
}
