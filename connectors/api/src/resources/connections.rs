//! Links to providers. Secrets go in and never come out: they are sealed before
//! they reach the store, and what is shown only says whether there are any.

use axum::http::{Method, StatusCode};
use hashbrown::HashMap;
use pipeline::event::{Connection, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    call::{Call, Refused, problem_of},
    check::{EMAIL, LINE, URL, WORD},
    input::Patch,
    operation::{Operation, operation},
    output::{Created, Data, Page},
    query::{CURSOR, Kind, LIMIT, param},
    rows::{New, Resource, found, id_or_new, page_of, remove},
};
use connections::health::{HEALTH, Health, Status};
use runtime::{auth::Access, http::problem::Problem, sealing::Seal};
use store::Entry;

/// What administrators write of a connection.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionForm {
    /// `clickup`, `slack`, `github`, `jira`, or the sender's name.
    #[schemars(length(max = 50), regex(pattern = WORD))]
    provider: String,
    /// The Slack team, ClickUp webhook, GitHub installation, hook or
    /// repository, Jira site; unique over all tenants.
    #[serde(default)]
    #[schemars(length(max = 200))]
    external_id: String,
    /// What people call it.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: Option<String>,
    /// What its requests are signed with. Never shown.
    #[schemars(length(min = 1, max = 500), extend("writeOnly" = true))]
    webhook_secret: Option<String>,
    /// Further ones that are believed, while one is being replaced. Never
    /// shown; another `webhookSecret` without them takes them away.
    #[serde(default)]
    #[schemars(length(max = 5), inner(length(min = 1, max = 500)), extend("writeOnly" = true))]
    previous_webhook_secrets: Vec<String>,
    /// What calls to the provider are made with. Never shown.
    #[schemars(length(min = 1, max = 4_000), extend("writeOnly" = true))]
    api_token: Option<String>,
    /// Where the provider's API is, if it has an own address.
    #[schemars(length(max = 500), regex(pattern = URL))]
    base_url: Option<String>,
    /// Who the token belongs to, where the provider asks for it (Jira).
    #[schemars(length(max = 254), regex(pattern = EMAIL))]
    email: Option<String>,
    /// Who we are there: the bot's user and bot ids. Found out by asking the
    /// provider, unless they are given.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 200), regex(pattern = LINE)))]
    own_ids: Vec<String>,
    /// What of it is taken, in the words of the connector that takes it.
    #[schemars(extend("maxProperties" = 100))]
    filters: Option<Map<String, Value>>,
    /// Whether anything is taken.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl Resource for Connection {
    type Form = ConnectionForm;
    const PREFIX: &'static str = "con";
}

/// A connection as administrators see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionShown {
    /// Its id.
    id: String,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
    /// To which provider.
    provider: String,
    /// The Slack team, ClickUp webhook, GitHub installation, hook or
    /// repository, Jira site.
    external_id: String,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// How many secrets of webhooks it has.
    webhook_secrets: usize,
    /// Whether it has an API token.
    has_api_token: bool,
    /// Where the provider's API is.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    /// Who the token belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Who we are there.
    own_ids: Vec<String>,
    /// What of it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    filters: Option<Value>,
    /// Whether anything is taken.
    enabled: bool,
    /// How it is, as far as somebody has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthShown>,
}

/// How a connection is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HealthShown {
    /// `ok`, `failing`, `suspended`, …
    status: Status,
    /// When somebody last looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<Time>,
    /// Since when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    /// When it was last heard of, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard_at: Option<Time>,
    /// What there is to know and do.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<Health> for HealthShown {
    fn from(health: Health) -> Self {
        let Health { status, checked_at, since, last_heard_at, detail, .. } = health;
        HealthShown { status, checked_at, since, last_heard_at, detail }
    }
}

impl From<Entry<Connection>> for ConnectionShown {
    fn from(entry: Entry<Connection>) -> Self {
        let Entry { id, created_at, updated_at, row } = entry;
        ConnectionShown {
            id,
            created_at,
            updated_at,
            provider: row.provider,
            external_id: row.external_id,
            name: row.name,
            webhook_secrets: row.sealed_secrets.len(),
            has_api_token: row.sealed_token.is_some(),
            base_url: row.base_url,
            email: row.email,
            own_ids: row.own_ids,
            filters: row.filters,
            enabled: row.enabled,
            health: None,
        }
    }
}

/// Connections with how they are.
async fn with_health(call: &Call, entries: Vec<Entry<Connection>>) -> Result<Vec<ConnectionShown>, Problem> {
    let ids = entries.first().map(|first| &first.id).zip(entries.last().map(|last| &last.id));
    let Some((first, last)) = ids else { return Ok(Vec::new()) };
    let notes = call.desk.store.upkeep().between(&call.tenant, HEALTH, first, last).await.map_err(problem_of)?;
    let mut notes: HashMap<String, Health> =
        notes.into_iter().filter_map(|note| Some((note.id, serde_json::from_value(note.data).ok()?))).collect();
    let shown = |entry: Entry<Connection>| {
        let health = notes.remove(&entry.id).map(HealthShown::from);
        ConnectionShown { health, ..entry.into() }
    };
    Ok(entries.into_iter().map(shown).collect())
}

impl ConnectionForm {
    /// What there is to change; secrets do not come back.
    fn of(row: &Connection) -> ConnectionForm {
        ConnectionForm {
            provider: row.provider.clone(),
            external_id: row.external_id.clone(),
            name: row.name.clone(),
            webhook_secret: None,
            previous_webhook_secrets: Vec::new(),
            api_token: None,
            base_url: row.base_url.clone(),
            email: row.email.clone(),
            own_ids: row.own_ids.clone(),
            filters: row.filters.as_ref().and_then(Value::as_object).cloned(),
            enabled: row.enabled,
        }
    }

    fn row(self, seal: &Seal, tenant: &str, id: &str) -> Connection {
        let secrets = self.webhook_secret.iter().chain(&self.previous_webhook_secrets);
        Connection {
            sealed_secrets: secrets.map(|secret| seal.seal(tenant, id, secret)).collect(),
            sealed_token: self.api_token.as_deref().map(|token| seal.seal(tenant, id, token)),
            provider: self.provider,
            external_id: self.external_id,
            name: self.name,
            base_url: self.base_url,
            email: self.email,
            own_ids: self.own_ids,
            filters: self.filters.map(Value::Object),
            enabled: self.enabled,
        }
    }
}

/// `/api/connections`
pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/api/connections";
    const ONE: &str = "/api/connections/{id}";
    let example = json!({
        "provider": "slack", "externalId": "T0ACME", "name": "Acme's Slack",
        "webhookSecret": "8f742231b10e8888abcd99yyyzzz85a5", "apiToken": "xoxb-…",
    });
    vec![
        operation(Method::GET, ALL, Access::ADMINS, "List the connections", list).params(&[
            LIMIT,
            CURSOR,
            param("provider", Kind::Text, "only those to a provider"),
        ]),
        operation(Method::POST, ALL, Access::ADMINS, "Make a new connection", create)
            .errors(&[StatusCode::CONFLICT])
            .example(example),
        operation(Method::GET, ONE, Access::ADMINS, "Show one connection", read),
        operation(Method::PATCH, ONE, Access::ADMINS, "Change one connection", change).errors(&[StatusCode::CONFLICT]),
        operation(Method::DELETE, ONE, Access::ADMINS, "Take one connection away", remove::<Connection>),
    ]
}

async fn list(call: Call, (): ()) -> Result<Page<ConnectionShown>, Problem> {
    let provider = call.said.text("provider");
    let fits = |entry: &Entry<Connection>| provider.is_none_or(|provider| entry.row.provider == provider);
    let page = page_of(&call, fits).await?;
    Ok(Page { rows: with_health(&call, page.rows).await?, next: page.next })
}

async fn read(call: Call, (): ()) -> Result<Data<ConnectionShown>, Problem> {
    let entry = found::<Connection>(&call, call.id()).await?;
    let shown = with_health(&call, vec![entry]).await?.pop();
    shown.map(Data).ok_or_else(|| Problem::not_found("there is no such connection"))
}

async fn create(call: Call, New { id, form }: New<ConnectionForm>) -> Result<Created<ConnectionShown>, Problem> {
    let id = id_or_new(id, Connection::PREFIX);
    let row = form.row(&call.desk.seal, &call.tenant, &id);
    let entry = call.desk.store.connections().create(&call.tenant, &id, &row).await.map_err(problem_of)?;
    call.desk.settled(&call.tenant, &id, Some(&row)).await;
    Ok(Created(entry.into()))
}

async fn change(call: Call, patch: Patch<ConnectionForm>) -> Result<Data<ConnectionShown>, Problem> {
    let change = |row: &mut Connection| {
        let wanted = patch.over(&ConnectionForm::of(row)).map_err(Refused::Caller)?;
        let mut wanted = wanted.row(&call.desk.seal, &call.tenant, call.id());
        if !patch.names("webhookSecret") {
            let mut there = std::mem::take(&mut row.sealed_secrets);
            let kept = if patch.names("previousWebhookSecrets") { 1 } else { there.len() };
            there.truncate(kept);
            wanted.sealed_secrets.splice(0..0, there);
        }
        if !patch.names("apiToken") {
            wanted.sealed_token = row.sealed_token.take();
        } else if !patch.names("ownIds") {
            // Another token may be somebody else's: the provider is asked.
            wanted.own_ids.clear();
        }
        *row = wanted;
        Ok::<(), Refused>(())
    };
    let entry = call.desk.store.connections().change(&call.tenant, call.id(), change).await.map_err(Problem::from)?;
    call.desk.settled(&call.tenant, call.id(), Some(&entry.row)).await;
    Ok(Data(entry.into()))
}
