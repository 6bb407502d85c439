//! Which alerts are told: the same about the same thing only once in a while, by
//! the alerts' own times.

use hashbrown::HashMap;
use pipeline::event::Alert;
use udfs::hash::Parts;

/// Alerts that are remembered; beyond it those that are old are let go.
const REMEMBERED_MAX: usize = 50_000;
/// Each of these is about something of its own: it is its kind that must not be
/// told too often.
const EACH_ITS_OWN: &[&str] = &["dead_letter"];

/// Each of these ends the other: what begins again after its end is news.
const OPPOSITES: &[(&str, &str)] = &[("agent.offline", "agent.online"), ("hub.stopped", "hub.resumed")];

/// See the module.
pub struct Quiet {
    window_ms: u64,
    told: HashMap<u128, u64>,
}

impl Quiet {
    /// Nothing was told yet; the same is told again after this time.
    pub fn new(window_ms: u64) -> Quiet {
        Quiet { window_ms, told: HashMap::new() }
    }

    /// Whether an alert is to be told.
    pub fn lets(&mut self, alert: &Alert) -> bool {
        let subject = if EACH_ITS_OWN.contains(&&*alert.kind) { "" } else { alert.subject.as_str() };
        let key_of = |kind: &str| Parts::new().add(&alert.tenant_id).add(kind).add(subject).finish();
        let key = key_of(&alert.kind);
        for (one, other) in OPPOSITES {
            match &*alert.kind {
                kind if kind == *one => _ = self.told.remove(&key_of(other)),
                kind if kind == *other => _ = self.told.remove(&key_of(one)),
                _ => {}
            }
        }
        let at_ms = alert.at.as_ms();
        if self.told.len() >= REMEMBERED_MAX {
            let window_ms = self.window_ms;
            self.told.retain(|_, told_ms| told_ms.saturating_add(window_ms) > at_ms);
        }
        match self.told.get(&key) {
            Some(told_ms) if at_ms < told_ms.saturating_add(self.window_ms) => false,
            _ => {
                self.told.insert(key, at_ms);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::event::Time;

    #[test]
    fn the_same_about_the_same_is_told_once_in_a_while() {
        let mut quiet = Quiet::new(1_000);
        let mut lets = |kind, subject: &str, at| quiet.lets(&Alert::new(kind, "acme", subject, "", Time(at)));
        assert!(lets("agent.muted", "agt_1", 5_000));
        assert!(!lets("agent.muted", "agt_1", 5_999));
        assert!(lets("agent.muted", "agt_2", 5_999), "another agent");
        assert!(lets("agent.stuck", "agt_1", 5_999), "another kind");
        assert!(lets("agent.muted", "agt_1", 6_000));
        assert!(!lets("agent.muted", "agt_1", 4_000), "one that comes late");
        assert!(lets("agent.offline", "agt_1", 5_000) && lets("agent.online", "agt_1", 5_100));
        assert!(lets("agent.offline", "agt_1", 5_200), "it was back in between");
        assert!(!lets("agent.offline", "agt_1", 5_300));
        assert!(lets("dead_letter", "dl_1", 5_000));
        assert!(!lets("dead_letter", "dl_2", 5_001), "each is its own, and they may be many");
    }
}
