//! Each window beside a naive model that remembers everything, with equal and
//! late times, written and read again at every step.

use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

use super::*;

const WINDOW_MS: u64 = 60_000;

/// Steps of a clock: equal, a little on, about a window on, and back.
fn steps() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![
        3 => Just(0),
        4 => 1..9_000_i64,
        2 => 59_990..60_010_i64,
        1 => Just(60_000),
        2 => -70_000..0_i64,
        1 => 100_000..400_000_i64,
    ];
    prop::collection::vec(step, 0..120)
}

/// The times at which a caller asks, late ones among them.
fn times(steps: &[i64]) -> Vec<u64> {
    let mut now = 1_000_000_i64;
    let add = |step: &i64| {
        now = (now + step).max(0);
        now as u64
    };
    steps.iter().map(add).collect()
}

/// What was kept and restored; equal to what it was.
fn restored<S: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(state: S) -> S {
    let text = serde_json::to_string(&state).unwrap();
    let again: S = serde_json::from_str(&text).unwrap();
    assert_eq!(again, state, "{text}");
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn sliding_never_takes_one_too_many_and_never_refuses_when_there_is_room(steps in steps(), limit in 0_u32..13) {
        let rule = Sliding { limit, window_ms: WINDOW_MS };
        let (mut taken, mut all, mut clock) = (Times::default(), Vec::<u64>::new(), 0);
        for now in times(&steps) {
            let at = now.max(clock);
            let in_window = all.iter().filter(|time| at - **time < WINDOW_MS).count();
            prop_assert_eq!(rule.free(&taken, now), limit as usize - in_window);
            let before = taken.clone();
            match rule.try_take(&mut taken, now) {
                Ok(()) => {
                    prop_assert!(in_window < limit as usize, "one too many at {}", at);
                    all.push(at);
                    clock = at;
                }
                Err(retry_after_ms) => {
                    prop_assert_eq!(in_window, limit as usize, "refused with room at {}", at);
                    prop_assert_eq!(&taken, &before);
                    // There is room then, and not a millisecond before.
                    prop_assert!(retry_after_ms > 0 && retry_after_ms <= WINDOW_MS);
                    prop_assert_eq!(rule.room(&taken, at + retry_after_ms).is_ok(), limit > 0);
                    prop_assert!(rule.room(&taken, at + retry_after_ms - 1).is_err());
                }
            }
            taken = restored(taken);
            prop_assert!(taken.len() <= limit as usize);
        }
        // Said without the rule's own words: in any half-open stretch.
        for begin in &all {
            prop_assert!(all.iter().filter(|time| (*begin..begin + WINDOW_MS).contains(time)).count() <= limit as usize);
        }
        if let Some(expires) = rule.expires_at(&taken) {
            prop_assert_eq!((rule.held(&taken, expires), rule.held(&taken, expires - 1) > 0), (0, true));
        }
    }

    #[test]
    fn a_changed_limit_holds_from_then_on(steps in steps(), limits in prop::collection::vec(1_u32..13, 120)) {
        let (mut taken, mut all, mut clock) = (Times::default(), Vec::<u64>::new(), 0);
        for (now, limit) in times(&steps).into_iter().zip(limits) {
            let rule = Sliding { limit, window_ms: WINDOW_MS };
            let at = now.max(clock);
            let in_window = all.iter().filter(|time| at - **time < WINDOW_MS).count();
            let answer = rule.room(&taken, now);
            prop_assert_eq!(answer.is_ok(), in_window < limit as usize);
            if let Err(retry_after_ms) = answer {
                prop_assert!(rule.room(&taken, at + retry_after_ms).is_ok());
                prop_assert!(rule.room(&taken, at + retry_after_ms - 1).is_err());
            } else {
                rule.take(&mut taken, now);
                all.push(at);
                clock = at;
            }
            taken = restored(taken);
        }
    }

    #[test]
    fn a_limit_that_only_watches_tells_when_it_is_passed(steps in steps(), limit in 1_u32..13) {
        let rule = Sliding { limit, window_ms: WINDOW_MS };
        let (mut taken, mut all, mut clock) = (Times::default(), Vec::<u64>::new(), 0);
        for now in times(&steps) {
            clock = now.max(clock);
            let in_window = all.iter().filter(|time| clock - **time < WINDOW_MS).count();
            prop_assert_eq!(rule.room(&taken, now).is_ok(), in_window < limit as usize);
            rule.take(&mut taken, now);
            all.push(clock);
            taken = restored(taken);
            prop_assert!(taken.len() <= limit as usize);
        }
    }

    #[test]
    fn every_amount_is_in_one_sum(steps in steps(), amounts in prop::collection::vec(0_u64..5, 120)) {
        let rule = Tumbling { window_ms: WINDOW_MS };
        let (mut open, mut closed) = (Sum::default(), Vec::new());
        let mut model = std::collections::BTreeMap::<u64, u64>::new();
        let mut clock = 0;
        for (now, amount) in times(&steps).into_iter().zip(amounts) {
            clock = now.max(clock);
            if amount > 0 {
                *model.entry(clock / WINDOW_MS * WINDOW_MS).or_default() += amount;
            }
            closed.extend(rule.add(&mut open, now, amount));
            open = restored(open);
        }
        if let Some(expires) = rule.expires_at(&open) {
            prop_assert_eq!(rule.close(&mut open, expires - 1), None);
            closed.extend(rule.close(&mut open, expires));
        }
        prop_assert_eq!(open.sum, 0);
        let sums: Vec<_> = model.into_iter().map(|(since_ms, sum)| Sum { since_ms, sum }).collect();
        prop_assert_eq!(closed, sums);
    }

    #[test]
    fn one_of_any_n_is_an_nth(n in 0_u32..9, count in 0_u32..60) {
        let (rule, mut counted) = (EveryNth { n }, Counted::default());
        for number in 1..=count {
            prop_assert_eq!(rule.count(&mut counted), number % n.max(1) == 0);
            counted = restored(counted);
            prop_assert!(counted.0 < n.max(1));
        }
    }

    #[test]
    fn recent_holds_what_came_within_the_window(steps in steps(), items_max in 0_usize..20) {
        let rule = Recent { window_ms: WINDOW_MS, items_max };
        let (mut lately, mut all, mut clock) = (Lately::default(), Vec::<(u64, usize)>::new(), 0);
        for (number, now) in times(&steps).into_iter().enumerate() {
            rule.add(&mut lately, now, number);
            // What is not remembered cannot hold the clock.
            clock = if items_max == 0 { now } else { now.max(clock) };
            all.push((clock, number));
            lately = restored(lately);
            prop_assert!(lately.len() <= items_max);
            let newest = all.iter().rev().take(items_max).rev();
            let expected: Vec<_> = newest.filter(|(time, _)| clock - *time < WINDOW_MS)
                .map(|(time, number)| (time + WINDOW_MS - clock, number)).collect();
            prop_assert_eq!(rule.held(&lately, clock).collect::<Vec<_>>(), expected);
            if let Some(expires) = rule.expires_at(&lately) {
                prop_assert_eq!(rule.held(&lately, expires).count(), 0);
                prop_assert!(rule.held(&lately, expires - 1).count() > 0);
            }
        }
    }
}

/// What an entry of `pipeline.state` takes at the default limits.
#[test]
fn states_are_small() {
    let size = |limit: u32, every_ms: u64| {
        let (rule, mut taken) = (Sliding { limit, window_ms: u64::MAX }, Times::default());
        for number in 0..2 * u64::from(limit) {
            rule.take(&mut taken, 1_795_000_000_000 + number * every_ms);
        }
        serde_json::to_vec(&taken).unwrap().len()
    };
    assert_eq!((size(10, 6_000), size(100, 36_000), size(10_000, 360)), (60, 609, 40_011));
}

#[test]
fn what_is_damaged_does_not_panic() {
    for text in ["[18446744073709551615,5,7]", "[0,0,18446744073709551615]"] {
        let mut taken: Times = serde_json::from_str(text).unwrap();
        let rule = Sliding { limit: 3, window_ms: WINDOW_MS };
        let _ = rule.try_take(&mut taken, 5);
        assert!(rule.expires_at(&taken).is_some());
    }
}
