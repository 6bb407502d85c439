//! Webhooks at the providers: that there is one of ours for a connection, with
//! the right events, and that we know its secret.
//!
//! Nothing is made before it was looked for: a call that had no answer may have
//! landed, and a second webhook would tell everything twice. Whoever does it
//! again finds what is there and only puts it right.

use hashbrown::HashSet;
use pipeline::event::Connection;
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Connections,
    way::{Halt, UNHURRIED, Way, rows_at, word_at},
};
use providers::client::Provider;
use runtime::identity::random_hex;
use store::Entry;

/// The kind of note that says which webhook is a connection's own.
pub(super) const HOOK: &str = "hook";

/// What ClickUp is to tell: all of tasks, and of lists.
const CLICKUP_EVENTS: &[&str] = &[
    "taskCreated",
    "taskUpdated",
    "taskDeleted",
    "taskPriorityUpdated",
    "taskStatusUpdated",
    "taskAssigneeUpdated",
    "taskDueDateUpdated",
    "taskTagUpdated",
    "taskMoved",
    "taskCommentPosted",
    "taskCommentUpdated",
    "listCreated",
    "listUpdated",
    "listDeleted",
];

/// What GitHub is to tell.
const GITHUB_EVENTS: &[&str] = &[
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "discussion_comment",
    "push",
    "release",
    "check_run",
    "workflow_run",
    "repository",
];

/// Pages of a repository's hooks that are looked through; GitHub allows twenty
/// hooks for each event.
const HOOK_PAGES_MAX: usize = 5;
const HOOKS_OF_PAGE: usize = 100;

/// Where a webhook is to be.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Wish {
    /// The ClickUp workspace, where the token reaches several.
    #[schemars(length(min = 1, max = 64))]
    pub team_id: Option<String>,
    /// The GitHub repository, `owner/name`, where the connection names none.
    #[schemars(length(min = 3, max = 200))]
    pub repository: Option<String>,
}

/// The webhook that there is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    /// The provider's id of it.
    pub webhook_id: String,
    /// Where it sends what happens.
    pub endpoint: String,
    /// What it tells.
    pub events: Vec<String>,
    /// Whether it was made now.
    pub created: bool,
}

/// What is noted of a webhook of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Own {
    pub hook_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
}

impl Connections {
    /// Sees to it that a connection has its webhook.
    pub async fn register(&self, tenant: &str, id: &str, wish: &Wish) -> Result<Registered, Halt> {
        // Two that look at the same time would both find nothing and make two.
        let turn = udfs::hash::content(format!("{tenant}/{id}")) as usize % self.registering.len().max(1);
        let _turn = match self.registering.get(turn) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let entry = self.store.connections().get(tenant, id).await?;
        let way = Way::open(self, tenant, id, UNHURRIED)?;
        let registered = match way.provider {
            Provider::ClickUp => self.register_clickup(&way, &entry, wish).await?,
            Provider::GitHub => self.register_github(&way, &entry, wish).await?,
            Provider::Slack => {
                return Err(Halt::Unsupported("Slack's events are set up in the app's own settings, at Slack"));
            }
            Provider::Jira | Provider::Other => {
                return Err(Halt::Unsupported("webhooks of this provider are set up there, by hand"));
            }
        };
        tracing::info!(
            tenant,
            connection = id,
            webhook = registered.webhook_id,
            created = registered.created,
            "registered"
        );
        Ok(registered)
    }

    /// What is noted of a connection's webhook.
    pub(super) async fn own_hook(&self, tenant: &str, id: &str) -> Result<Option<Own>, Halt> {
        let note = self.store.upkeep().get(tenant, HOOK, id).await?;
        Ok(note.and_then(|note| serde_json::from_value(note.data).ok()))
    }

    /// Whether a connection wants a webhook that nobody has made yet: it can
    /// call, and has nothing that requests could be believed by.
    pub(super) fn wants_hook(&self, row: &Connection) -> bool {
        let is_named = match row.provider.as_str() {
            "clickup" => row.external_id.is_empty(),
            "github" => row.external_id.contains('/'),
            _ => false,
        };
        // Where one secret is all apps', an app's own webhook tells everything.
        let is_apps = row.provider == "github" && self.has_github_secret;
        !is_apps && is_named && row.enabled && row.sealed_token.is_some() && row.sealed_secrets.is_empty()
    }

    /// Where a provider's webhooks come in.
    fn endpoint(&self, provider: &str) -> Result<String, Halt> {
        let public = self.public_url().ok_or_else(no_public_url)?;
        Ok(format!("{public}/webhooks/{provider}"))
    }

    /// What other connections call their webhooks: of whichever tenant, they are
    /// not this one's.
    fn others(&self, tenant: &str, id: &str, provider: &str) -> HashSet<String> {
        let all = self.directory.everywhere::<Connection>();
        let others = all.iter().filter(|(owner, other, row)| {
            row.provider == provider && !row.external_id.is_empty() && (&**owner, &**other) != (tenant, id)
        });
        others.map(|(.., row)| row.external_id.clone()).collect()
    }

    async fn register_clickup(
        &self,
        way: &Way<'_>,
        entry: &Entry<Connection>,
        wish: &Wish,
    ) -> Result<Registered, Halt> {
        let endpoint = self.endpoint("clickup")?;
        let team = self.team_of(way, wish).await?;
        let known = way.get(&["team", &team, "webhook"], &[]).await?;
        let known = rows_at(&known, "/webhooks")?;
        let others = self.others(way.tenant, way.id, "clickup");
        let named = |row: &&Value| !entry.row.external_id.is_empty() && row["id"] == entry.row.external_id.as_str();
        let ours = |row: &&Value| {
            row["endpoint"] == endpoint.as_str() && word_at(row, "/id").is_some_and(|id| !others.contains(&id))
        };
        let found = known.iter().find(named).or_else(|| known.iter().find(ours));
        let is_held = |row: &Value| !entry.row.sealed_secrets.is_empty() && row["id"] == entry.row.external_id.as_str();
        let usable = found.filter(|row| word_at(row, "/secret").is_some() || is_held(row));
        let (webhook, created) = match usable {
            Some(webhook) => {
                self.mend_clickup(way, webhook, &endpoint).await?;
                (webhook.clone(), false)
            }
            None => {
                if let Some(id) = found.and_then(|row| word_at(row, "/id")) {
                    // Nobody knows its secret any more.
                    way.ask(Method::DELETE, &["webhook", &id], &[], None).await?;
                }
                let body = json!({ "endpoint": endpoint, "events": CLICKUP_EVENTS });
                let made = way.ask(Method::POST, &["team", &team, "webhook"], &[], Some(&body)).await?;
                (made["webhook"].clone(), true)
            }
        };
        let webhook_id = word_at(&webhook, "/id").ok_or_else(|| Halt::nonsense("the webhook has no id"))?;
        let secret = word_at(&webhook, "/secret");
        if secret.is_none() && created {
            return Err(Halt::nonsense("the webhook has no secret"));
        }
        self.keep_secret(way, &webhook_id, secret.as_deref()).await?;
        self.note_hook(way, Own { hook_id: webhook_id.clone(), team_id: Some(team) }).await?;
        Ok(Registered { webhook_id, endpoint, events: owned(CLICKUP_EVENTS), created })
    }

    /// Puts a webhook right: where it sends, what it tells, that it is active.
    async fn mend_clickup(&self, way: &Way<'_>, webhook: &Value, endpoint: &str) -> Result<(), Halt> {
        let told: HashSet<&str> =
            webhook["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let tells_all = told.contains("*") || CLICKUP_EVENTS.iter().all(|event| told.contains(event));
        let is_active = webhook["health"]["status"] == "active";
        if tells_all && is_active && webhook["endpoint"] == endpoint {
            return Ok(());
        }
        let Some(id) = word_at(webhook, "/id") else { return Ok(()) };
        let body = json!({ "endpoint": endpoint, "events": CLICKUP_EVENTS, "status": "active" });
        way.ask(Method::PUT, &["webhook", &id], &[], Some(&body)).await.map(drop)
    }

    /// The workspace: as asked for, as noted, or the only one.
    async fn team_of(&self, way: &Way<'_>, wish: &Wish) -> Result<String, Halt> {
        if let Some(team) = &wish.team_id {
            return Ok(team.clone());
        }
        let noted = self.own_hook(way.tenant, way.id).await?.and_then(|own| own.team_id);
        if let Some(team) = noted.or(self.workspace_of(way.tenant, way.id).await?) {
            return Ok(team);
        }
        let teams = way.get(&["team"], &[]).await?;
        let teams: Vec<_> = rows_at(&teams, "/teams")?.iter().filter_map(|team| word_at(team, "/id")).collect();
        match &teams[..] {
            [only] => Ok(only.clone()),
            [] => Err(Halt::Gone("the token reaches no workspace".to_owned())),
            several => Err(Halt::First("choose_team", format!("say which with teamId: {}", several.join(", ")))),
        }
    }

    /// The webhook's id is what its requests are found by, its secret what they
    /// are believed by.
    async fn keep_secret(&self, way: &Way<'_>, webhook_id: &str, secret: Option<&str>) -> Result<(), Halt> {
        let (tenant, id) = (way.tenant, way.id);
        let change = |row: &mut Connection| {
            let held = row.sealed_secrets.first().and_then(|sealed| self.seal.open(tenant, id, sealed));
            if let Some(secret) = secret.filter(|secret| held.as_deref() != Some(secret)) {
                row.sealed_secrets = vec![self.seal.seal(tenant, id, secret)];
            }
            webhook_id.clone_into(&mut row.external_id);
            Ok::<(), store::StoreError>(())
        };
        self.store.connections().change(tenant, id, change).await?;
        Ok(())
    }

    async fn register_github(&self, way: &Way<'_>, entry: &Entry<Connection>, wish: &Wish) -> Result<Registered, Halt> {
        let endpoint = self.endpoint("github")?;
        let named = Some(entry.row.external_id.as_str()).filter(|id| !id.is_empty());
        if named.is_some_and(|id| !id.contains('/')) {
            let detail = "the connection is an app's installation, whose webhook is set up in the app's settings";
            return Err(Halt::First("app_installation", detail.to_owned()));
        }
        let repository = match (named, wish.repository.as_deref()) {
            (Some(named), Some(wanted)) if !named.eq_ignore_ascii_case(wanted) => {
                let detail = format!("this connection is that of {named}; another repository needs one of its own");
                return Err(Halt::First("other_repository", detail));
            }
            (Some(named), _) => named.to_owned(),
            (None, Some(wanted)) => wanted.to_owned(),
            (None, None) => return Err(Halt::First("choose_repository", "say which with repository".to_owned())),
        };
        let (owner, name) =
            repository.split_once('/').ok_or_else(|| Halt::Gone("a repository is owner/name".to_owned()))?;
        let own = self.own_hook(way.tenant, way.id).await?;
        let found = self.github_hook(way, (owner, name), own.as_ref(), &endpoint).await?;
        // Before the provider: what is taken by another connection is refused
        // while nothing has been made.
        let is_known = own.is_some() && found.is_some();
        let secret = self.github_secret(way, &repository, is_known).await?;
        let body = json!({
            "name": "web", "active": true, "events": GITHUB_EVENTS,
            "config": { "url": endpoint, "content_type": "json", "insecure_ssl": "0", "secret": secret },
        });
        let hooks = ["repos", owner, name, "hooks"];
        let (hook, created) = match found.as_ref().and_then(|hook| word_at(hook, "/id")) {
            Some(id) if is_known && found.as_ref().is_some_and(|hook| is_right(hook, &endpoint)) => {
                (json!({ "id": id }), false)
            }
            Some(id) => {
                let one = [&hooks[..], &[&*id]].concat();
                (way.ask(Method::PATCH, &one, &[], Some(&body)).await?, false)
            }
            None => (way.ask(Method::POST, &hooks, &[], Some(&body)).await?, true),
        };
        let webhook_id = word_at(&hook, "/id").ok_or_else(|| Halt::nonsense("the hook has no id"))?;
        self.note_hook(way, Own { hook_id: webhook_id.clone(), team_id: None }).await?;
        Ok(Registered { webhook_id, endpoint, events: owned(GITHUB_EVENTS), created })
    }

    /// The repository's hook that is ours.
    pub(super) async fn github_hook(
        &self,
        way: &Way<'_>,
        (owner, name): (&str, &str),
        own: Option<&Own>,
        endpoint: &str,
    ) -> Result<Option<Value>, Halt> {
        for page in 1..=HOOK_PAGES_MAX {
            let query = [("per_page", &*HOOKS_OF_PAGE.to_string()), ("page", &*page.to_string())];
            let found = way.get(&["repos", owner, name, "hooks"], &query).await?;
            let hooks = rows_at(&found, "")?;
            let is_own = |hook: &&Value| own.is_some_and(|own| word_at(hook, "/id").as_deref() == Some(&own.hook_id));
            let is_ours = |hook: &&Value| !endpoint.is_empty() && hook["config"]["url"] == endpoint;
            if let Some(hook) = hooks.iter().find(is_own).or_else(|| hooks.iter().find(is_ours)) {
                return Ok(Some(hook.clone()));
            }
            if hooks.len() < HOOKS_OF_PAGE {
                break;
            }
        }
        Ok(None)
    }

    /// The secret that a hook is to sign with: the one that is there, or a new
    /// one, kept before the provider is told.
    async fn github_secret(&self, way: &Way<'_>, repository: &str, is_known: bool) -> Result<String, Halt> {
        let (tenant, id) = (way.tenant, way.id);
        let mut secret = random_hex() + &random_hex();
        let change = |row: &mut Connection| {
            let held = row.sealed_secrets.first().and_then(|sealed| self.seal.open(tenant, id, sealed));
            match held.filter(|_| is_known) {
                Some(held) => secret = held,
                None => row.sealed_secrets = vec![self.seal.seal(tenant, id, &secret)],
            }
            repository.clone_into(&mut row.external_id);
            Ok::<(), store::StoreError>(())
        };
        self.store.connections().change(tenant, id, change).await?;
        Ok(secret)
    }

    async fn note_hook(&self, way: &Way<'_>, own: Own) -> Result<(), Halt> {
        let data = serde_json::to_value(&own).unwrap_or_default();
        self.note(way.tenant, HOOK, way.id, None, data).await
    }
}

fn is_right(hook: &Value, endpoint: &str) -> bool {
    let told: HashSet<&str> = hook["events"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let tells_all = told.contains("*") || GITHUB_EVENTS.iter().all(|event| told.contains(event));
    hook["active"] == true && hook["config"]["url"] == endpoint && tells_all
}

fn owned(events: &[&str]) -> Vec<String> {
    events.iter().map(|event| (*event).to_owned()).collect()
}

/// What to say where the hub does not know how it is reached.
pub(super) fn no_public_url() -> Halt {
    let detail = "the hub does not know how it is reached from outside: set server.public_url (NEXUS_PUBLIC_URL)";
    Halt::First("no_public_url", detail.to_owned())
}
