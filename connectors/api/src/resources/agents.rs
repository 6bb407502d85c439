//! AI workers: their profiles, their secrets, and what they are told by people.
//!
//! An agent and its client are made, switched off and taken away together. One
//! that is taken away leaves its workgroups and aliases, and its mappings go.

use axum::http::{Method, StatusCode};
use pipeline::event::{Agent, Client, Role, SocketStatus, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    clients::{SecretShown, hashed, secret_of},
    users::ExternalIdForm,
};
use crate::{
    call::{Call, problem_of},
    check::LINE,
    input::Patch,
    operation::{Operation, operation},
    output::{Created, Data, Gone, Page},
    query::{CURSOR, Kind, LIMIT, param},
    rows::{New, Resource, found, id_or_new, page_of, remove, reshaped},
};
use gateway::OnlineAgent;
use runtime::{auth::Access, http::problem::Problem};
use store::Entry;

/// What people write of an agent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentForm {
    /// What it is called; `@name` is an alias of it.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: String,
    /// What it does, in its owner's words.
    #[schemars(length(max = 2_000))]
    role: Option<String>,
    /// A picture's address.
    #[schemars(length(max = 2_000), regex(pattern = crate::check::URL))]
    avatar: Option<String>,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    owner: Option<String>,
    /// What it can do.
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(min = 1, max = 100), regex(pattern = LINE)))]
    capabilities: Vec<String>,
    /// What it is called elsewhere.
    #[serde(default)]
    #[schemars(length(max = 50), extend("uniqueItems" = true))]
    external_ids: Vec<ExternalIdForm>,
    /// Whether it takes part. Off: its tokens count no more.
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

impl AgentForm {
    fn of(agent: &Agent) -> Result<AgentForm, Problem> {
        Ok(AgentForm {
            name: agent.name.clone(),
            role: agent.role.clone(),
            avatar: agent.avatar.clone(),
            owner: agent.owner.clone(),
            capabilities: agent.capabilities.clone(),
            external_ids: reshaped(&agent.external_ids)?,
            enabled: agent.enabled,
        })
    }

    fn row(self, client_id: String) -> Result<Agent, Problem> {
        Ok(Agent {
            name: self.name,
            role: self.role,
            avatar: self.avatar,
            owner: self.owner,
            capabilities: self.capabilities,
            external_ids: reshaped(&self.external_ids)?,
            client_id,
            enabled: self.enabled,
        })
    }
}

impl Resource for Agent {
    type Form = AgentForm;
    const PREFIX: &'static str = "agt";
}

/// An agent as people see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentShown {
    /// Its id.
    id: String,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
    /// Its profile.
    #[serde(flatten)]
    agent: Agent,
    /// Whether it is connected.
    status: SocketStatus,
    /// When it was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Time>,
}

/// An agent with its secret, which is shown this once.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentMade {
    /// The agent.
    #[serde(flatten)]
    agent: AgentShown,
    /// What its client proves itself with.
    client_secret: String,
}

/// `/api/agents` and what is under it but talking.
pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/api/agents";
    const ONE: &str = "/api/agents/{id}";
    const REFUSALS: &[StatusCode] = &[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY];
    let example = json!({ "name": "Atlas", "role": "plans launches", "capabilities": ["planning"] });
    vec![
        operation(Method::GET, ALL, Access::ALL, "List the agents", list).params(&[
            LIMIT,
            CURSOR,
            param("status", Kind::OneOf(&["ONLINE", "OFFLINE"]), "only those"),
        ]),
        operation(Method::POST, ALL, Access::ADMINS, "Make an agent and its client; shows its secret once", create)
            .errors(REFUSALS)
            .example(example),
        operation(Method::GET, "/api/agents/online", Access::ALL, "List the agents that are connected", online)
            .params(&[LIMIT, CURSOR]),
        operation(Method::GET, ONE, Access::ALL, "Show one agent", read),
        operation(Method::PATCH, ONE, Access::ADMINS, "Change one agent", change).errors(REFUSALS),
        operation(Method::DELETE, ONE, Access::ADMINS, "Take one agent away, with its client", delete),
        operation(
            Method::POST,
            "/api/agents/{id}/rotate-secret",
            Access::ADMINS,
            "Give an agent another secret, shown once; its tokens count no more",
            rotate,
        ),
    ]
}

fn shown(online: &[OnlineAgent], entry: Entry<Agent>) -> AgentShown {
    let Entry { id, created_at, updated_at, row: agent } = entry;
    let seen = online.iter().find(|online| online.agent_id == id);
    let status = seen.map_or(SocketStatus::Offline, |seen| seen.status);
    AgentShown { id, created_at, updated_at, agent, status, last_seen: seen.map(|seen| seen.last_seen) }
}

fn shown_now(call: &Call, entry: Entry<Agent>) -> AgentShown {
    shown(&call.desk.online.list(&call.tenant), entry)
}

async fn list(call: Call, (): ()) -> Result<Page<AgentShown>, Problem> {
    let online = call.desk.online.list(&call.tenant);
    let wanted = call.said.text("status").map(|status| status == "ONLINE");
    let is_online = |entry: &Entry<Agent>| {
        online.iter().any(|online| online.agent_id == entry.id && online.status == SocketStatus::Online)
    };
    let page = page_of(&call, |entry| wanted.is_none_or(|wanted| is_online(entry) == wanted)).await?;
    Ok(Page { rows: page.rows.into_iter().map(|entry| shown(&online, entry)).collect(), next: page.next })
}

async fn online(call: Call, (): ()) -> Result<Page<OnlineAgent>, Problem> {
    let paging = call.paging();
    let mut rows = call.desk.online.list(&call.tenant);
    let is_behind = |agent: &OnlineAgent| paging.after.as_ref().is_none_or(|after| agent.agent_id > *after);
    rows.retain(|agent| agent.status == SocketStatus::Online && is_behind(agent));
    rows.sort_unstable_by(|one, other| one.agent_id.cmp(&other.agent_id));
    let more = rows.len() > paging.limit;
    rows.truncate(paging.limit);
    let next = rows.last().filter(|_| more).map(|last| last.agent_id.clone());
    Ok(Page { rows, next })
}

async fn read(call: Call, (): ()) -> Result<Data<AgentShown>, Problem> {
    let entry = found::<Agent>(&call, call.id()).await?;
    Ok(Data(shown_now(&call, entry)))
}

async fn create(call: Call, New { id, form }: New<AgentForm>) -> Result<Created<AgentMade>, Problem> {
    let (id, client_id) = (id_or_new(id, Agent::PREFIX), id_or_new(None, "cli"));
    let (secret, hash) = hashed(&call).await?;
    let agent = form.row(client_id.clone())?;
    let client = Client {
        role: Role::Agent,
        agent_id: Some(id.clone()),
        name: Some(agent.name.clone()),
        enabled: agent.enabled,
        tokens_from: Time::default(),
    };
    let mut work = call.desk.store.work(&call.tenant).await.map_err(problem_of)?;
    let entry = work.create(&id, &agent).await.map_err(problem_of)?;
    work.create(&client_id, &client).await.map_err(problem_of)?;
    work.set_secret(&client_id, &hash).await.map_err(problem_of)?;
    work.commit().await.map_err(problem_of)?;
    call.desk.settled(&call.tenant, &client_id, Some(&client)).await;
    Ok(Created(AgentMade { agent: shown_now(&call, entry), client_secret: secret }))
}

async fn change(call: Call, patch: Patch<AgentForm>) -> Result<Data<AgentShown>, Problem> {
    let mut work = call.desk.store.work(&call.tenant).await.map_err(problem_of)?;
    let before: Entry<Agent> = work.get(call.id()).await.map_err(problem_of)?;
    let row = patch.over(&AgentForm::of(&before.row)?)?.row(before.row.client_id.clone())?;
    let entry = work.replace(call.id(), &row).await.map_err(problem_of)?;
    if row.enabled != before.row.enabled {
        let mut client: Entry<Client> = work.get(&row.client_id).await.map_err(problem_of)?;
        client.row.enabled = row.enabled;
        work.replace(&row.client_id, &client.row).await.map_err(problem_of)?;
    }
    work.commit().await.map_err(problem_of)?;
    call.desk.settled(&call.tenant, call.id(), Some(&entry.row)).await;
    Ok(Data(shown_now(&call, entry)))
}

async fn delete(call: Call, (): ()) -> Result<Data<Gone>, Problem> {
    remove::<Agent>(call, ()).await
}

async fn rotate(call: Call, (): ()) -> Result<Data<SecretShown>, Problem> {
    let agent = found::<Agent>(&call, call.id()).await?;
    secret_of(&call, &agent.row.client_id).await.map(Data)
}
