//! Who we are at the providers: what the owner of a connection's token is
//! called there, so that the pipeline knows our own voice.
//!
//! In: the directory's connections. Out: their `ownIds`, asked for at the
//! provider where a connection has a token and nobody has said, written into
//! the row and announced as any change is. The settings' tokens may become
//! others without a row that changes, so what goes through them is asked again
//! at every start; what we were called before stays ours. What cannot be told
//! now is asked again later, the longer the less likely it is to be told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use pipeline::{
    event::{Connection, House},
    ports::Clock,
};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use providers::{
    client::{Call, Caller, Fault, Http, Ledger, Limits, Outcome, Policies, Provider, Request, Stopped, WhileDown},
    credentials::{Link, Links, Way},
};
use runtime::{
    config::{Config, ProviderSettings},
    directory::Directory,
    kill_switch::KillSwitch,
    supervisor::{Failure, RoleContext},
};
use store::{Store, StoreError};

/// Connections that are asked about at the same time.
const CALLS_MAX: usize = 8;
/// Many rows change at once: they are looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// A provider that gave no answer is asked again after so long, and one that
/// refused the token: until then somebody may have done something about it.
const AGAIN_MS: u64 = 30_000;
const AGAIN_REFUSED_MS: u64 = 600_000;
/// What was written is known everywhere by then.
const SETTLED_MS: u64 = 5_000;
/// How late a wait may end that nothing else ends.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Who a GitHub app is, which the address for people does not tell.
const VIEWER: &str = "query { viewer { login } }";

/// A connection: its tenant and its id.
type Key = (Arc<str>, Arc<str>);

/// Finds out, and writes it down.
pub struct BotIdentity {
    store: Arc<Store>,
    directory: Arc<Directory>,
    links: Links,
    providers: ProviderSettings,
    caller: Caller,
    clock: Arc<dyn Clock>,
    kill_switch: Arc<KillSwitch>,
}

/// Why nobody told.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("the token is refused: {0}")]
    Refused(String),
    #[error("{0}")]
    NotNow(String),
}

impl BotIdentity {
    /// One that asks the providers of the settings.
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        directory: Arc<Directory>,
        links: Links,
        clock: Arc<dyn Clock>,
        (ledger, kill_switch): (Ledger, Arc<KillSwitch>),
    ) -> Result<BotIdentity, Failure> {
        let providers = config.providers.clone();
        let limits = Limits { allow_private_targets: providers.allow_private_targets, ..Limits::default() };
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), Policies::default(), ledger);
        Ok(BotIdentity { store, directory, links, providers, caller, clock, kill_switch })
    }

    /// Keeps all connections' ids known until told to stop.
    pub async fn run(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        tokio::select! {
            () = self.directory.until_known() => {}
            () = context.told_to_stop() => return Ok(()),
        }
        context.running();
        self.kill_switch.leased().await;
        let mut changes = self.directory.changes();
        // The settings may name another token than they did: once in a run they
        // are asked, whatever is written down.
        let (mut asked, mut asked_of_house) = (Vec::new(), BTreeSet::new());
        let mut later = BTreeMap::new();
        loop {
            changes.mark_unchanged();
            asked.extend(self.house_connections().into_iter().filter(|key| asked_of_house.insert(key.clone())));
            asked.extend(self.nameless(&later));
            asked.sort();
            asked.dedup();
            for some in asked.chunks(CALLS_MAX) {
                let told = tokio::select! {
                    told = join_all(some.iter().map(|key| self.look(key))) => told,
                    () = context.told_to_stop() => return Ok(()),
                };
                let now_ms = self.clock.now_ms();
                let again = some.iter().zip(told).filter_map(|(key, again_ms)| Some((key.clone(), now_ms + again_ms?)));
                later.extend(again);
            }
            asked.clear();
            let now_ms = self.clock.now_ms();
            later.retain(|_, at_ms| *at_ms > now_ms);
            tokio::select! {
                changed = changes.changed() => changed?,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = context.told_to_stop() => return Ok(()),
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// What the settings' tokens are used for.
    fn house_connections(&self) -> Vec<Key> {
        let of_house = |(tenant, _, house): (Arc<str>, Arc<str>, Arc<House>)| {
            let rows = self.directory.all::<Connection>(&tenant).into_iter();
            let uses_ours =
                move |row: &Connection| row.enabled && row.sealed_token.is_none() && house.has(&row.provider);
            rows.filter(move |(_, row)| uses_ours(row)).map(move |(id, _)| (Arc::clone(&tenant), id))
        };
        self.directory.everywhere::<House>().into_iter().flat_map(of_house).collect()
    }

    /// Connections with a token of which nobody has said whose it is.
    fn nameless(&self, later: &BTreeMap<Key, u64>) -> Vec<Key> {
        let now_ms = self.clock.now_ms();
        let rows = self.directory.everywhere::<Connection>().into_iter();
        let may_ask = |row: &Connection| row.enabled && row.own_ids.is_empty() && question(row).is_some();
        let keys = rows.filter(|(.., row)| may_ask(row)).map(|(tenant, id, _)| (tenant, id));
        let is_due = |key: &Key| later.get(key).is_none_or(|at_ms| *at_ms <= now_ms);
        let has_token = |(tenant, id): &Key| self.links.find(tenant, id).is_some_and(|link| link.token.is_some());
        keys.filter(is_due).filter(has_token).collect()
    }

    /// Asks about one; after how long again, if that is of any use.
    async fn look(&self, key: &Key) -> Option<u64> {
        let (tenant, id) = (&*key.0, &*key.1);
        let row = self.directory.get::<Connection>(tenant, id)?;
        let link = self.links.find(tenant, id)?;
        let told = match self.ask(tenant, id, &link).await {
            Ok(ids) => self.write(tenant, id, &row, ids).await.map_err(|error| Unknown::NotNow(error.to_string())),
            Err(error) => Err(error),
        };
        match told {
            // Until the row has come round.
            Ok(()) => Some(SETTLED_MS),
            Err(error) => {
                tracing::warn!(tenant, connection = id, %error, "nobody tells who we are there");
                Some(if matches!(error, Unknown::Refused(_)) { AGAIN_REFUSED_MS } else { AGAIN_MS })
            }
        }
    }

    async fn ask(&self, tenant: &str, id: &str, link: &Link) -> Result<Vec<String>, Unknown> {
        let way = link.way(&self.providers).map_err(|(_, detail)| Unknown::Refused(detail.to_owned()))?;
        let connection = format!("{tenant}/{id}");
        let asked = request(&way).ok_or_else(|| Unknown::Refused("there is nobody to ask".to_owned()))?;
        let answer = match self.call(tenant, &connection, asked).await {
            // An app is nobody's account: it is asked about otherwise.
            Err(Unknown::Refused(_)) if way.provider == Provider::GitHub => {
                let viewer = post_json(&way, &["graphql"], &json!({ "query": VIEWER }));
                let asked = viewer.ok_or_else(|| Unknown::Refused("there is nobody to ask".to_owned()))?;
                self.call(tenant, &connection, asked).await?
            }
            answer => answer?,
        };
        let ids = ids(way.provider, &answer);
        if ids.is_empty() { Err(Unknown::Refused("the answer names nobody".to_owned())) } else { Ok(ids) }
    }

    async fn call(&self, tenant: &str, connection: &str, request: Request) -> Result<Value, Unknown> {
        let call = Call {
            connection: connection.to_owned(),
            request,
            scope: None,
            deadline_ms: None,
            while_down: WhileDown::Tell,
        };
        let answered = self.kill_switch.run(tenant, self.caller.call(&call)).await;
        // It only asks: cut off or never begun is the same.
        match answered.map_err(|_| Unknown::NotNow("the hub is stopped".to_owned()))? {
            Ok(answer) => {
                serde_json::from_slice(&answer.body).map_err(|_| Unknown::NotNow("the answer is not JSON".to_owned()))
            }
            Err(Stopped::Answered(Outcome::Unauthorised(trouble))) => Err(Unknown::Refused(trouble.detail)),
            Err(Stopped::Answered(Outcome::Permanent(trouble))) if trouble.fault != Fault::Provider => {
                Err(Unknown::Refused(trouble.detail))
            }
            Err(stopped) => Err(Unknown::NotNow(stopped.to_string())),
        }
    }

    /// Writes it into the row, unless that has another token by now, or somebody
    /// has said it meanwhile. What goes through the settings' tokens keeps what
    /// it had: an older bot's posts are ours, too.
    async fn write(&self, tenant: &str, id: &str, asked: &Connection, ids: Vec<String>) -> Result<(), StoreError> {
        let change = |row: &mut Connection| {
            let before = row.own_ids.clone();
            if row.sealed_token == asked.sealed_token && row.own_ids == asked.own_ids {
                row.own_ids.extend(ids);
                row.own_ids.sort();
                row.own_ids.dedup();
            }
            if row.own_ids == before { Err(Written::Already) } else { Ok(()) }
        };
        match self.store.connections().change(tenant, id, change).await {
            Ok(_) | Err(Written::Already | Written::Failed(StoreError::NotFound { .. })) => Ok(()),
            Err(Written::Failed(error)) => Err(error),
        }
    }
}

/// Why a row was not written.
enum Written {
    Already,
    Failed(StoreError),
}

impl From<StoreError> for Written {
    fn from(error: StoreError) -> Self {
        Written::Failed(error)
    }
}

/// Where a provider tells whose a token is, below its API's address.
fn question(row: &Connection) -> Option<&'static [&'static str]> {
    of_provider(Provider::from_name(&row.provider))
}

fn of_provider(provider: Provider) -> Option<&'static [&'static str]> {
    match provider {
        Provider::Slack => Some(&["auth.test"]),
        Provider::ClickUp | Provider::GitHub => Some(&["user"]),
        Provider::Jira => Some(&["rest", "api", "3", "myself"]),
        Provider::Other => None,
    }
}

fn request(way: &Way) -> Option<Request> {
    let path = of_provider(way.provider)?;
    match way.provider {
        Provider::Slack => post_json(way, path, &json!({})),
        provider => {
            let request = Request::new(provider, Method::GET, url(way, path)?).credential(way.credential.clone());
            Some(request)
        }
    }
}

fn post_json(way: &Way, path: &[&str], body: &Value) -> Option<Request> {
    let request = Request::new(way.provider, Method::POST, url(way, path)?).credential(way.credential.clone());
    let mut request = request.json(body);
    // It only asks.
    request.is_repeatable = true;
    Some(request)
}

fn url(way: &Way, path: &[&str]) -> Option<Url> {
    let mut url = way.base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

/// The names in an answer, as the provider's events have them.
fn ids(provider: Provider, answer: &Value) -> Vec<String> {
    let places: &[&str] = match provider {
        Provider::Slack => &["/user_id", "/bot_id"],
        Provider::ClickUp => &["/user/id"],
        Provider::GitHub => &["/login", "/data/viewer/login"],
        Provider::Jira => &["/accountId"],
        Provider::Other => &[],
    };
    let id = |place: &&str| match answer.pointer(place)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    places.iter().filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_calls_us_as_its_events_do() {
        let slack =
            json!({"ok": true, "user_id": "U0NEXUS", "bot_id": "B0NEXUS", "team_id": "T0ACME", "user": "nexus"});
        assert_eq!(ids(Provider::Slack, &slack), ["U0NEXUS", "B0NEXUS"]);
        let person = json!({"ok": true, "user_id": "U0ADA", "team_id": "T0ACME"});
        assert_eq!(ids(Provider::Slack, &person), ["U0ADA"], "a person's token has no bot");
        assert_eq!(ids(Provider::ClickUp, &json!({"user": {"id": 40118800, "username": "Nexus"}})), ["40118800"]);
        assert_eq!(ids(Provider::GitHub, &json!({"login": "nexus-bot", "id": 1})), ["nexus-bot"]);
        let app = json!({"data": {"viewer": {"login": "nexus[bot]"}}});
        assert_eq!(ids(Provider::GitHub, &app), ["nexus[bot]"]);
        assert_eq!(ids(Provider::Jira, &json!({"accountId": "5b10a", "displayName": "Nexus"})), ["5b10a"]);
        assert!(ids(Provider::GitHub, &json!({"data": {"viewer": null}})).is_empty());
    }

    /// What the providers' documentation and recordings answer, where the
    /// machine has it beside the repository.
    #[test]
    fn what_is_recorded_names_us() {
        let Some(folder) = std::env::var_os("NEXUS_FIXTURES").map(std::path::PathBuf::from) else {
            println!("NEXUS_FIXTURES is not set: nothing recorded was read");
            return;
        };
        for (provider, file, place, count) in [
            (Provider::Slack, "slack/http.auth_test_success.0.json", "/body", 2),
            (Provider::ClickUp, "clickup/api_recorded.GetAuthorizedUser.Success.json", "", 1),
            (Provider::Jira, "jira/api.myself.200.json", "", 1),
        ] {
            let bytes = std::fs::read(folder.join(file)).expect("the fixture can be read");
            let json: Value = serde_json::from_slice(&bytes).expect("the fixture is JSON");
            let answer = json.pointer(place).expect("an answer");
            assert_eq!(ids(provider, answer).len(), count, "{file}");
        }
    }
}
