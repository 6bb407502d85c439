//! How much of a provider's allowance is spent: so many calls in any window of
//! its length, for each token (or channel, or whatever a limit goes by).
//!
//! Pure: time is an argument. The window slides, so that no window whatever,
//! wherever the provider begins to count, holds more calls than are allowed.
//! What the provider says in its headers goes before what we counted: others
//! may use the same token.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::rate::Rate;

/// Calls that are remembered for one key; ClickUp's highest plan has as many a
/// minute.
const REMEMBERED_MAX: usize = 10_000;

/// So many calls in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Calls.
    pub calls_max: usize,
    /// In any window of this length.
    pub window_ms: u64,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Go ahead: it is counted.
    Go,
    /// Do not call before then; ask again.
    Wait {
        /// In the clock of `now_ms`.
        until_ms: u64,
    },
}

/// The allowance of one key.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: Limit,
    /// When the calls of the last window were made, oldest first.
    calls: VecDeque<u64>,
    paused_until_ms: u64,
}

impl Budget {
    /// Nothing spent yet.
    pub fn new(limit: Limit) -> Self {
        Budget { limit, calls: VecDeque::new(), paused_until_ms: 0 }
    }

    /// Asks to make a call.
    pub fn take(&mut self, now_ms: u64) -> Permit {
        if now_ms < self.paused_until_ms {
            return Permit::Wait { until_ms: self.paused_until_ms };
        }
        self.forget(now_ms);
        let calls_max = self.limit.calls_max.clamp(1, REMEMBERED_MAX);
        // The call that has to leave the window before there is room. (The
        // limit may have become lower than what is already in the window.)
        match self.calls.len().checked_sub(calls_max).and_then(|index| self.calls.get(index)) {
            Some(oldest_ms) => Permit::Wait { until_ms: oldest_ms.saturating_add(self.limit.window_ms) },
            None => {
                self.calls.push_back(now_ms);
                Permit::Go
            }
        }
    }

    /// Until when a call would have to wait, if it would; it is not counted.
    pub fn spent_until_ms(&mut self, now_ms: u64) -> Option<u64> {
        match self.take(now_ms) {
            Permit::Wait { until_ms } => Some(until_ms),
            Permit::Go => {
                self.calls.pop_back();
                None
            }
        }
    }

    /// The last call was answered. Where one call is allowed, the next is counted
    /// from here: the way there takes now more and now less time, and only of an
    /// answered call is it known that the provider has counted it.
    pub fn answered(&mut self, now_ms: u64) {
        if self.limit.calls_max == 1
            && let Some(last_ms) = self.calls.back_mut()
        {
            *last_ms = now_ms.max(*last_ms);
        }
    }

    /// Takes over what an answer says.
    pub fn heed(&mut self, rate: &Rate, now_ms: u64) {
        if let Some(limit) = rate.limit {
            self.limit.calls_max = usize::try_from(limit).unwrap_or(REMEMBERED_MAX).min(REMEMBERED_MAX);
        }
        if let Some(until_ms) = rate.pause_until_ms() {
            self.pause(until_ms, now_ms);
        }
    }

    /// No call before then.
    pub fn pause(&mut self, until_ms: u64, now_ms: u64) {
        // A pause from before the clock was set back must not last for ever.
        let known_ms = if self.paused_until_ms > now_ms + PAUSE_SANE_MS { 0 } else { self.paused_until_ms };
        self.paused_until_ms = known_ms.max(until_ms);
    }

    fn forget(&mut self, now_ms: u64) {
        // Calls in the future: the clock was set back, they tell nothing.
        if self.calls.back().is_some_and(|last_ms| *last_ms > now_ms) {
            self.calls.clear();
        }
        let is_over = |call_ms: &u64| now_ms - call_ms >= self.limit.window_ms;
        while self.calls.front().is_some_and(is_over) {
            self.calls.pop_front();
        }
    }

    fn is_fresh(&mut self, now_ms: u64) -> bool {
        self.forget(now_ms);
        self.calls.is_empty() && self.paused_until_ms <= now_ms
    }
}

/// Twice what [`Rate`] believes of a provider.
const PAUSE_SANE_MS: u64 = 7_200_000;

/// The allowances of all keys. One that is not being spent is forgotten.
#[derive(Debug, Default)]
pub struct Budgets {
    by_key: HashMap<String, Budget>,
}

/// Keys at the same time, at most. Beyond it those that are not being spent are
/// forgotten, and if all are, the new one is not counted: its provider counts.
const KEYS_MAX: usize = 10_000;

impl Budgets {
    /// The allowance of a key.
    pub fn of(&mut self, key: &str, limit: Limit, now_ms: u64) -> Option<&mut Budget> {
        if !self.by_key.contains_key(key) && self.by_key.len() >= KEYS_MAX {
            self.by_key.retain(|_, budget| !budget.is_fresh(now_ms));
            if self.by_key.len() >= KEYS_MAX {
                return None;
            }
        }
        Some(self.by_key.entry_ref(key).or_insert_with(|| Budget::new(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Limit = Limit { calls_max: 3, window_ms: 60_000 };

    #[test]
    fn what_is_spent_comes_back_call_by_call() {
        let mut budget = Budget::new(MINUTE);
        for at_ms in [0, 10_000, 20_000] {
            assert_eq!(budget.take(at_ms), Permit::Go);
        }
        assert_eq!(budget.take(30_000), Permit::Wait { until_ms: 60_000 });
        assert_eq!(budget.take(60_000), Permit::Go);
        assert_eq!(budget.take(60_000), Permit::Wait { until_ms: 70_000 });
    }

    #[test]
    fn a_single_call_counts_from_its_answer() {
        let mut budget = Budget::new(Limit { calls_max: 1, window_ms: 1_000 });
        assert_eq!(budget.take(0), Permit::Go);
        budget.answered(80);
        assert_eq!(budget.spent_until_ms(1_000), Some(1_080));
        assert_eq!((budget.spent_until_ms(1_080), budget.spent_until_ms(1_080)), (None, None), "asking is free");
        let mut several = Budget::new(MINUTE);
        assert_eq!(several.take(0), Permit::Go);
        several.answered(80);
        assert_eq!((0..2).map(|_| several.take(90)).collect::<Vec<_>>(), [Permit::Go; 2]);
        assert_eq!(several.take(90), Permit::Wait { until_ms: 60_000 });
    }

    #[test]
    fn the_provider_knows_better() {
        let mut budget = Budget::new(MINUTE);
        budget.heed(&Rate { limit: Some(1), ..Rate::default() }, 0);
        assert_eq!(budget.take(0), Permit::Go);
        assert_eq!(budget.take(1), Permit::Wait { until_ms: 60_000 });
        budget.heed(&Rate { limit: Some(5), remaining: Some(0), reset_at_ms: Some(7_000), ..Rate::default() }, 2);
        assert_eq!(budget.take(3), Permit::Wait { until_ms: 7_000 });
        assert_eq!(budget.take(7_000), Permit::Go);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_anything() {
        let mut budget = Budget::new(Limit { calls_max: 1, window_ms: 1_000 });
        assert_eq!(budget.take(50_000_000), Permit::Go);
        assert_eq!(budget.take(5_000), Permit::Go);
        budget.pause(50_000_000, 49_999_000);
        budget.pause(7_000, 6_000);
        assert_eq!(budget.take(7_000), Permit::Go);
    }

    #[test]
    fn keys_are_bounded_and_the_busy_ones_stay() {
        let mut budgets = Budgets::default();
        let busy = budgets.of("busy", MINUTE, 0).expect("room");
        (0..3).for_each(|_| assert_eq!(busy.take(0), Permit::Go));
        for key in 0..2 * KEYS_MAX {
            budgets.of(&key.to_string(), MINUTE, 1).expect("room");
        }
        assert!(budgets.by_key.len() <= KEYS_MAX);
        assert_eq!(budgets.of("busy", MINUTE, 1).expect("room").take(1), Permit::Wait { until_ms: 60_000 });
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_limit(steps in proptest::collection::vec(0..400u64, 1..200), calls_max in 1..6usize) {
            let (mut budget, mut now_ms, mut made) = (Budget::new(Limit { calls_max, window_ms: 1_000 }), 0, Vec::new());
            for step in steps {
                now_ms += step;
                match budget.take(now_ms) {
                    Permit::Go => made.push(now_ms),
                    Permit::Wait { until_ms } => {
                        prop_assert!(until_ms > now_ms);
                        let within = made.iter().filter(|at_ms| now_ms - **at_ms < 1_000).count();
                        prop_assert_eq!(within, calls_max, "refused without need");
                    }
                }
            }
            for begin in &made {
                prop_assert!(made.iter().filter(|at_ms| (*begin..begin + 1_000).contains(*at_ms)).count() <= calls_max);
            }
        }
    }
}
