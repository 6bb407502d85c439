//! What a limit of so many a time remembers of its subject.

use serde::{Deserialize, Serialize};

use crate::governance::{
    Finding, Level, RuleDecision,
    window::{Sliding, Times},
};

/// What was taken, and whether the episode of asking for more is open.
///
/// The episode ends when somebody finds the window at most half full. One who
/// keeps asking for a little more than there is has one long episode, and one
/// who comes back after a pause has another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rated {
    /// The times that count.
    #[serde(skip_serializing_if = "Times::is_empty")]
    pub taken: Times,
    /// Whether it was told already that the limit is reached.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_told: bool,
}

impl Rated {
    pub(super) fn judge(
        &self,
        rule: Sliding,
        level: Level,
        now_ms: u64,
        finding: impl FnOnce() -> Finding,
    ) -> RuleDecision {
        match rule.room(&self.taken, now_ms) {
            Err(retry_after_ms) if level > Level::Off => {
                RuleDecision::found(level, (!self.is_told).then(finding), retry_after_ms)
            }
            _ => RuleDecision::PASS,
        }
    }

    pub(super) fn note(&mut self, rule: Sliding, level: Level, now_ms: u64, decision: &RuleDecision, passed: bool) {
        if level == Level::Off {
            *self = Rated::default();
            return;
        }
        self.is_told = decision.found || (self.is_told && !self.is_calm(rule, now_ms));
        if passed {
            rule.take(&mut self.taken, now_ms);
        }
    }

    fn is_calm(&self, rule: Sliding, now_ms: u64) -> bool {
        2 * rule.held(&self.taken, now_ms) <= rule.limit as usize
    }
}

#[cfg(test)]
mod tests {
    use crate::governance::{Detector, Level, MessageRate, Rated, SpokenMessage, SyncRate};

    /// Which of the messages at these seconds are refused, and which raise an
    /// alert, with three messages in a window of ten seconds.
    fn refused_and_told(level: Level, seconds: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let rate = MessageRate { level, limit: 3, window_ms: 10_000 };
        let (mut state, mut refused, mut told) = (Rated::default(), Vec::new(), Vec::new());
        for second in seconds {
            let decision = rate.on(&mut state, &SpokenMessage::new("agt_1", None, "x"), second * 1_000);
            refused.extend((!decision.allow).then_some(*second));
            told.extend(decision.alert.map(|_| *second));
        }
        (refused, told)
    }

    #[test]
    fn one_alert_an_episode() {
        let bursts = [0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 30, 31, 32, 33, 34];
        assert_eq!(refused_and_told(Level::Mute, &bursts), (vec![3, 4, 9, 13, 33, 34], vec![3, 33]));
        assert_eq!(refused_and_told(Level::Disconnect, &bursts).1, [3, 33]);
        assert_eq!(refused_and_told(Level::Alert, &bursts), (vec![], vec![3, 33]));
        assert_eq!(refused_and_told(Level::Off, &bursts), (vec![], vec![]));
        let steady: Vec<u64> = (0..100).map(|step| step * 2).collect();
        assert_eq!(refused_and_told(Level::Mute, &steady).1, [6], "a little too much for long is one episode");
    }

    #[test]
    fn a_projects_changes_wait_and_go_when_there_is_room() {
        let rate = SyncRate { limit: 2, window_ms: 10_000, ..SyncRate::default() };
        let mut state = Rated::default();
        assert!(rate.on(&mut state, "prj_1", 0).allow && rate.on(&mut state, "prj_1", 4_000).allow);
        let third = rate.on(&mut state, "prj_1", 5_000);
        assert_eq!((third.allow, third.enforce, third.retry_after_ms), (false, None, Some(5_000)));
        let alert = third.alert.unwrap();
        assert_eq!((alert.kind, &*alert.subject), ("project.throttled", "prj_1"));
        assert_eq!(alert.message, "more than 2 changes to mirror in 10 s");
        assert_eq!(rate.on(&mut state, "prj_1", 6_000).alert, None);
        assert_eq!([9_999, 10_000, 14_000].map(|now| rate.free(&state, now)), [0, 1, 2]);
        assert!(rate.on(&mut state, "prj_1", 10_000).allow);

        let watching = SyncRate { level: Level::Nudge, ..rate.clone() };
        let watched = watching.on(&mut state, "prj_1", 11_000);
        assert_eq!((watched.allow, watched.enforce, watching.free(&state, 11_000)), (true, None, usize::MAX));
        let cutting = SyncRate { level: Level::Disconnect, ..rate };
        assert_eq!(cutting.on(&mut state, "prj_1", 11_000).enforce, None, "there is nobody to cut");
    }
}
