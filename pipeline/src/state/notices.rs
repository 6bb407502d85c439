//! What the pipeline notices for those who look after connections and projects:
//! when a connection was last heard of, and which project's list is over.
//!
//! In: requests, events, rows of `control`. Out: entries of `pipeline.state`
//! (kind `notice`), which the store projects: `connection:ID` at most once a
//! minute and connection, `project:ID` until its row says so itself.

use hashbrown::{HashMap, HashSet};
use serde::Deserialize;
use serde_json::{Value, json};
use udfs::hash::Parts;

use crate::{
    event::{Connection, Project, Row, Time, Webhook},
    state::{Stateful, StoredEntry},
    turn::Turn,
};

/// The kind of state entry.
const KIND: &str = "notice";

/// A connection that speaks all the time is noted so often.
const HEARD_EVERY_MS: u64 = 60_000;
/// Connections that are remembered; beyond it those that were silent for a day
/// go, whose next word is noted at once anyway.
const HEARD_MAX: usize = 100_000;
const SILENT_MS: u64 = 86_400_000;

/// What was noted last.
#[derive(Default)]
pub struct Notices {
    heard: HashMap<u128, u64>,
    over: HashSet<u128>,
}

#[derive(Deserialize)]
struct NoticeEntry {
    at: Time,
}

fn key(tenant: &str, id: &str) -> u128 {
    Parts::new().add(tenant).add(id).finish()
}

fn connection_id(id: &str) -> String {
    ["connection:", id].concat()
}

fn project_id(id: &str) -> String {
    ["project:", id].concat()
}

impl Notices {
    /// A connection has spoken. What the hub found by asking is not its voice.
    pub fn hear(&mut self, webhook: &Webhook<'_>, turn: &mut Turn<'_>) {
        let Some(id) = webhook.connection_id.as_deref().filter(|_| webhook.reconciled.is_none()) else { return };
        let key = key(&webhook.tenant_id, id);
        let now_ms = turn.now_ms;
        let is_recent = |at_ms: u64, for_ms: u64| now_ms < at_ms.saturating_add(for_ms);
        let known = self.heard.get(&key).copied().filter(|at_ms| is_recent(*at_ms, SILENT_MS));
        if known.is_some_and(|at_ms| is_recent(at_ms, HEARD_EVERY_MS)) {
            return;
        }
        if known.is_none() && self.heard.len() >= HEARD_MAX {
            self.heard.retain(|_, at_ms| is_recent(*at_ms, SILENT_MS));
            if self.heard.len() >= HEARD_MAX {
                return;
            }
        }
        self.heard.insert(key, now_ms);
        turn.keep(&webhook.tenant_id, KIND, &connection_id(id), Some(&json!({ "at": turn.now() })));
    }

    /// A project's list, repository or tracker project is over.
    pub fn end_project(&mut self, tenant: &str, id: &str, turn: &mut Turn<'_>) {
        if self.over.insert(key(tenant, id)) {
            turn.keep(tenant, KIND, &project_id(id), Some(&json!({ "at": turn.now() })));
        }
    }

    /// What a row says itself need not be noted.
    pub fn on_row(&mut self, tenant: &str, kind: &str, id: &str, data: Option<&Value>, turn: &mut Turn<'_>) {
        let key = key(tenant, id);
        let is_over = kind == Project::KIND && data.is_none_or(|row| row["archived"] == true);
        if is_over && self.over.remove(&key) {
            turn.forget(tenant, KIND, &project_id(id));
        }
        let is_gone = kind == Connection::KIND && data.is_none();
        if is_gone && self.heard.remove(&key).is_some() {
            turn.forget(tenant, KIND, &connection_id(id));
        }
    }
}

impl Stateful for Notices {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(entry) = kept.data.and_then(|data| NoticeEntry::deserialize(data).ok()) else { return };
        if let Some(id) = kept.key.id.strip_prefix("connection:") {
            self.heard.insert(key(kept.key.tenant, id), entry.at.as_ms());
        } else if let Some(id) = kept.key.id.strip_prefix("project:") {
            self.over.insert(key(kept.key.tenant, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Reconciled, TenantKey},
        ports::Position,
        topics::Topic,
    };

    fn hear(notices: &mut Notices, now_ms: u64, reconciled: Option<Reconciled>) -> usize {
        let raw = json!({ "tenantId": "acme", "provider": "slack", "connectionId": "con_1", "receivedAt": Time(0) });
        let raw = raw.to_string();
        let mut webhook: Webhook<'_> = serde_json::from_str(&raw).expect("a webhook");
        webhook.reconciled = reconciled;
        let mut outputs = Vec::new();
        let source = Position { topic: Topic::WebhooksRaw, partition: 0, offset: 0 };
        notices.hear(&webhook, &mut Turn { now_ms, source, identity: 1, partitions: 1, outputs: &mut outputs });
        outputs.len()
    }

    #[test]
    fn a_connection_is_noted_once_a_minute_and_never_for_our_own_asking() {
        let mut notices = Notices::default();
        assert_eq!(hear(&mut notices, 1_000, Some(Reconciled::Missed)), 0);
        assert_eq!(hear(&mut notices, 1_000, None), 1);
        assert_eq!(hear(&mut notices, 1_000 + HEARD_EVERY_MS - 1, None), 0);
        assert_eq!(hear(&mut notices, 1_000 + HEARD_EVERY_MS, None), 1);
        let mut outputs = Vec::new();
        let source = Position { topic: Topic::Control, partition: 0, offset: 0 };
        let mut turn = Turn { now_ms: 0, source, identity: 1, partitions: 1, outputs: &mut outputs };
        notices.on_row("acme", Connection::KIND, "con_1", None, &mut turn);
        notices.on_row("acme", Connection::KIND, "con_1", None, &mut turn);
        assert_eq!(outputs.len(), 1, "it is let go once");
    }

    #[test]
    fn what_was_kept_is_known_again() {
        let (mut before, mut after) = (Notices::default(), Notices::default());
        hear(&mut before, 5_000, None);
        let data = json!({ "at": Time(5_000) });
        after.restore(StoredEntry { key: TenantKey::new("acme", KIND, "connection:con_1"), data: Some(&data) });
        after.restore(StoredEntry { key: TenantKey::new("acme", KIND, "project:prj_1"), data: Some(&data) });
        assert_eq!((hear(&mut before, 6_000, None), hear(&mut after, 6_000, None)), (0, 0));
        assert!(after.over.contains(&key("acme", "prj_1")));
    }
}
