//! A provider's limit, as the real ones count: so many calls of a token in a
//! window that begins with its first.

use std::collections::BTreeMap;

use serde::Serialize;

/// Tokens that are counted apart; beyond it the counting begins anew.
const TOKENS_MAX: usize = 1_000;

/// A limit, and what is used of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limited {
    /// Calls in a window.
    pub calls_max: u64,
    /// Its length.
    pub window_ms: u64,
    #[serde(skip)]
    used: BTreeMap<String, (u64, u64)>,
}

/// What a call is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Calls in a window.
    pub calls_max: u64,
    /// How many are left, this one taken off; `None` when this is too many.
    pub left: Option<u64>,
    /// When the window ends.
    pub reset_ms: u64,
}

impl Limited {
    /// So many in so long.
    pub fn new(calls_max: u64, window_ms: u64) -> Limited {
        Limited { calls_max, window_ms, used: BTreeMap::new() }
    }

    /// Counts a call.
    pub fn count(&mut self, token: &str, now_ms: u64) -> Count {
        if self.used.len() >= TOKENS_MAX && !self.used.contains_key(token) {
            self.used.clear();
        }
        let (begun_ms, used) = self.used.entry(token.to_owned()).or_insert((now_ms, 0));
        if now_ms.saturating_sub(*begun_ms) >= self.window_ms {
            (*begun_ms, *used) = (now_ms, 0);
        }
        let left = self.calls_max.checked_sub(*used + 1);
        *used += u64::from(left.is_some());
        Count { calls_max: self.calls_max, left, reset_ms: *begun_ms + self.window_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_its_first_call() {
        let mut limited = Limited::new(2, 1_000);
        let mut left = |token, now_ms| limited.count(token, now_ms).left;
        assert_eq!(
            [left("a", 500), left("a", 600), left("a", 1_499), left("b", 1_499)],
            [Some(1), Some(0), None, Some(1)]
        );
        assert_eq!(left("a", 1_500), Some(1));
    }
}
