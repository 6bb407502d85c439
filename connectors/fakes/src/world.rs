//! What is there: things as JSON in the providers' own shapes, in tables that
//! are bounded (the oldest go first).

use std::collections::{BTreeMap, VecDeque};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{faults::Faults, limits::Limited, tell::Telling};

/// Things of one kind that are kept.
const ROWS_MAX: usize = 5_000;
/// Calls that are remembered.
const CALLS_MAX: usize = 5_000;

/// Things of one kind, in the order in which they came.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<u64, Value>,
    places: BTreeMap<String, u64>,
    next: u64,
}

/// As a list.
impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all())
    }
}

impl Table {
    /// Puts one there, in the place of the one with this id, if there is one.
    pub fn put(&mut self, id: &str, row: Value) {
        let place = *self.places.entry(id.to_owned()).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.rows.insert(place, row);
        while self.rows.len() > ROWS_MAX
            && let Some((place, _)) = self.rows.pop_first()
        {
            self.places.retain(|_, known| *known != place);
        }
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Value> {
        self.rows.get(self.places.get(id)?)
    }

    /// One of them, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Value> {
        self.rows.get_mut(self.places.get(id)?)
    }

    /// Takes one away.
    pub fn take(&mut self, id: &str) -> Option<Value> {
        self.rows.remove(&self.places.remove(id)?)
    }

    /// All, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.rows.values()
    }

    /// Those whose `field` is `value`, oldest first.
    pub fn with<'a>(&'a self, field: &'a str, value: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
        self.all().filter(move |row| row[field] == value)
    }
}

/// A call that was made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// When.
    pub at_ms: u64,
    /// To whom.
    pub provider: &'static str,
    /// How.
    pub method: String,
    /// Where, below the provider's root.
    pub path: String,
    /// What it was answered; nothing while it is being.
    pub status: Option<u16>,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the names are the providers'
pub struct World {
    pub clickup_lists: Table,
    pub clickup_tasks: Table,
    pub clickup_comments: Table,
    /// With their secrets: these are fakes.
    pub clickup_webhooks: Table,
    /// Who listens, with their secrets.
    pub slack_apps: Table,
    pub slack_channels: Table,
    pub slack_messages: Table,
    pub slack_users: Table,
    pub github_issues: Table,
    pub github_comments: Table,
    pub github_hooks: Table,
    pub github_deliveries: Table,
    pub jira_issues: Table,
    pub jira_comments: Table,
    /// Codes, and what tokens are renewed with.
    #[serde(skip)]
    pub oauth: Table,
    /// How long tokens live; for ever, where nothing is said.
    pub oauth_lifetime_s: Option<u64>,
    /// What was asked of them, oldest first.
    pub calls: VecDeque<Made>,
    /// How they misbehave.
    pub faults: Faults,
    /// How they send webhooks.
    pub telling: Telling,
    /// What they allow.
    pub limits: BTreeMap<&'static str, Limited>,
    /// Tokens that are good; any is, where none are named.
    #[serde(skip)]
    pub tokens: BTreeMap<String, Vec<String>>,
    numbers: u64,
}

/// The list that is there from the beginning, and its team.
pub const CLICKUP_LIST: &str = "901200345678";
/// See [`CLICKUP_LIST`].
pub const CLICKUP_TEAM: &str = "90120000";
/// The channel that is there from the beginning, and its team; the list and the
/// channel are those that `nexus seed` maps to each other.
pub const SLACK_CHANNEL: &str = "C0SHOPDEV1";
/// See [`SLACK_CHANNEL`].
pub const SLACK_TEAM: &str = "T0ORCHARD1";

/// The webhook and the repository that `nexus seed` connects.
pub const CLICKUP_WEBHOOK: &str = "5d0c8a61-3f0e-4b7e-9d27-6b1f0a2c9e44";
/// See [`CLICKUP_WEBHOOK`].
pub const GITHUB_REPOSITORY: (&str, &str) = ("orchard", "shop");

impl World {
    pub(super) fn new() -> World {
        let mut world = World { numbers: 1_000, ..World::default() };
        world.limits.insert("clickup", Limited::new(100, 60_000));
        world.limits.insert("github", Limited::new(5_000, 3_600_000));
        world.clickup_lists.put(CLICKUP_LIST, super::clickup::list(CLICKUP_LIST, "Orchard shop"));
        let channel = json!({
            "id": SLACK_CHANNEL, "name": "orchard-shop", "is_channel": true, "is_private": false, "is_archived": false,
            "is_member": true, "is_im": false, "topic": {"value": ""}, "purpose": {"value": ""}, "num_members": 3,
        });
        world.slack_channels.put(SLACK_CHANNEL, channel);
        for (id, name, is_bot) in
            [("U0ADA", "Ada Novak", false), ("U0BO", "Bo Lind", false), ("U0NEXUS", "nexus", true)]
        {
            let profile = json!({"real_name": name, "display_name": name, "email": format!("{id}@orchard.example")});
            let user = json!({
                "id": id, "team_id": SLACK_TEAM, "name": name.to_ascii_lowercase().replace(' ', "."), "deleted": false,
                "real_name": name, "is_bot": is_bot, "profile": profile,
            });
            world.slack_users.put(id, user);
        }
        world
    }

    /// A number that was not given before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn made(&mut self, made: Made) {
        if self.calls.len() >= CALLS_MAX {
            self.calls.pop_front();
        }
        self.calls.push_back(made);
    }

    /// How often a provider was asked this (by the path's beginning).
    pub fn count(&self, provider: &str, method: &str, path: &str) -> usize {
        let is_it = |made: &&Made| made.provider == provider && made.method == method && made.path.starts_with(path);
        self.calls.iter().filter(is_it).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_order_and_bounds() {
        let mut table = Table::default();
        for number in 0..ROWS_MAX as u64 + 10 {
            table.put(&number.to_string(), json!({"number": number}));
        }
        assert_eq!(table.all().count(), ROWS_MAX);
        assert_eq!((table.get("9"), table.get("10").is_some()), (None, true));
        table.put("10", json!({"number": 0}));
        assert_eq!(table.all().next(), Some(&json!({"number": 0})), "in its place");
        assert_eq!(table.take("10"), Some(json!({"number": 0})));
        assert_eq!(table.places.len(), table.rows.len());
    }
}
