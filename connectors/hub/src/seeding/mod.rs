//! A tenant to begin with: two agents, a squad, a mapped project and connections
//! to ClickUp, Slack and GitHub, as the samples of `nexus send` know them.
//!
//! In: a store. Out: its rows, and once the secrets that nobody can be told
//! again. Guaranteed: all of a tenant is made or nothing; what is there already
//! is left as it is.

mod bench;
mod door;

use pipeline::event::{Agent, Alias, Client, Connection, Project, Role, Row, Tenant, Time, Workgroup};
use serde::Serialize;

use runtime::{config::Config, identity::random_hex, sealing::Seal, supervisor::Failure};
use store::{Store, StoreError, Work};

pub use bench::{SeededBench, seed_bench};
pub use door::{Door, door};

const TENANT: &str = "orchard";
const WORKGROUP: &str = "wg_orchard";
const PROJECT: &str = "prj_orchard";
const ALIAS: &str = "@AI_Squad";
const CLICKUP_LIST: &str = "901200345678";
const SLACK_CHANNEL: &str = "C0SHOPDEV1";
/// The agents: their names, and what they do.
const AGENTS: &[(&str, &str)] = &[("builder", "writes the code"), ("reviewer", "reads what was written")];
/// Provider and workspace of each connection.
const CONNECTIONS: &[(&str, &str)] =
    &[("clickup", "5d0c8a61-3f0e-4b7e-9d27-6b1f0a2c9e44"), ("slack", "T0ORCHARD1"), ("github", "orchard/shop")];

/// What `nexus seed --json` prints. Secrets are there the first time; `null`
/// says that they were printed before.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seeded {
    /// Whether it was made now.
    #[serde(skip)]
    pub new: bool,
    /// The tenant.
    pub tenant: Named,
    /// Who may change it.
    pub admin: Login,
    /// Who may ask SQL.
    pub analyst: Login,
    /// Its agents.
    pub agents: Vec<SeededAgent>,
    /// The alias of both.
    pub alias: &'static str,
    /// The mapped project.
    pub project: SeededProject,
    /// The links to providers.
    pub connections: Vec<SeededConnection>,
    /// What the load tool expects, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bench: Option<SeededBench>,
}

/// Something with an id.
#[derive(Serialize)]
pub struct Named {
    /// Its id.
    pub id: &'static str,
}

/// How a client gets tokens.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// The client.
    pub client_id: String,
    /// Its secret, the first time.
    pub client_secret: Option<String>,
}

/// An agent and its client.
#[derive(Serialize)]
pub struct SeededAgent {
    /// The agent.
    pub id: String,
    /// What it is called.
    pub name: &'static str,
    /// How it gets tokens.
    #[serde(flatten)]
    pub login: Login,
}

/// The mapped project.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeededProject {
    /// Its id.
    pub id: &'static str,
    /// Its list.
    pub clickup_list_id: &'static str,
    /// Where it is discussed.
    pub slack_channel_id: &'static str,
}

/// A link to a provider.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeededConnection {
    /// Its id.
    pub id: String,
    /// To whom.
    pub provider: &'static str,
    /// To which workspace.
    pub external_id: &'static str,
    /// What its webhooks are signed with, the first time.
    pub webhook_secret: Option<String>,
}

/// Makes the tenant, or tells what it has.
pub async fn seed(store: &Store, config: &Config, seal: &Seal) -> Result<Seeded, Failure> {
    let new = is_missing(store, TENANT).await?;
    let secret = || new.then(random_hex);
    let login = |name: &str| Login { client_id: format!("{TENANT}-{name}"), client_secret: secret() };
    let connection = |&(provider, external_id): &(&'static str, &'static str)| SeededConnection {
        id: format!("con_{TENANT}_{provider}"),
        provider,
        external_id,
        webhook_secret: new.then(|| webhook_secret(config, provider).unwrap_or_else(random_hex)),
    };
    let agent = |&(name, _): &(&'static str, &str)| SeededAgent {
        id: format!("agt_{TENANT}_{name}"),
        name,
        login: login(name),
    };
    let seeded = Seeded {
        new,
        tenant: Named { id: TENANT },
        admin: login("admin"),
        analyst: login("analyst"),
        agents: AGENTS.iter().map(agent).collect(),
        alias: ALIAS,
        project: SeededProject { id: PROJECT, clickup_list_id: CLICKUP_LIST, slack_channel_id: SLACK_CHANNEL },
        connections: CONNECTIONS.iter().map(connection).collect(),
        bench: None,
    };
    if new {
        write(store, config, seal, &seeded).await?;
    }
    Ok(seeded)
}

async fn write(store: &Store, config: &Config, seal: &Seal, seeded: &Seeded) -> Result<(), Failure> {
    let logins: Vec<_> = [(&seeded.admin, Role::Admin, None), (&seeded.analyst, Role::Analyst, None)]
        .into_iter()
        .chain(seeded.agents.iter().map(|agent| (&agent.login, Role::Agent, Some(agent.id.clone()))))
        .collect();
    // Before the transaction: hashing is slow on purpose.
    let mut hashes = Vec::new();
    for (login, ..) in &logins {
        hashes.push(hash(login.client_secret.clone().unwrap_or_default(), config.auth.bcrypt_cost).await?);
    }
    let agent_ids: Vec<_> = seeded.agents.iter().map(|agent| agent.id.clone()).collect();
    let mut work = store.work(TENANT).await?;
    work.create(TENANT, &Tenant { name: "Orchard".to_owned(), ..Tenant::default() }).await?;
    for (agent, (name, role)) in seeded.agents.iter().zip(AGENTS) {
        let row = Agent {
            name: (*name).to_owned(),
            role: Some((*role).to_owned()),
            client_id: agent.login.client_id.clone(),
            enabled: true,
            ..Agent::default()
        };
        work.create(&agent.id, &row).await?;
    }
    for ((login, role, agent_id), hash) in logins.into_iter().zip(hashes) {
        client(&mut work, &login.client_id, role, agent_id, &hash).await?;
    }
    let squad = Workgroup { name: "Shop".to_owned(), agent_ids: agent_ids.clone(), ..Workgroup::default() };
    work.create(WORKGROUP, &squad).await?;
    work.create("als_orchard", &Alias { alias: ALIAS.to_owned(), agent_ids }).await?;
    let project = Project {
        name: "Shop".to_owned(),
        workgroup_id: Some(WORKGROUP.to_owned()),
        clickup_list_id: Some(CLICKUP_LIST.to_owned()),
        slack_channel_id: Some(SLACK_CHANNEL.to_owned()),
        github_repository: Some("orchard/shop".to_owned()),
        ..Project::default()
    };
    work.create(PROJECT, &project).await?;
    for seeded in &seeded.connections {
        let secret = seeded.webhook_secret.as_deref().unwrap_or_default();
        // Where the settings' tokens serve the tenant anyway, a copy would only
        // outlive them.
        let token = providers::credentials::default_token(seeded.provider, &config.providers)
            .filter(|_| config.default_tenant != TENANT);
        connection(&mut work, seal, TENANT, &seeded.id, (seeded.provider, seeded.external_id), (secret, token)).await?;
    }
    Ok(work.commit().await?)
}

async fn is_missing(store: &Store, tenant: &str) -> Result<bool, StoreError> {
    match store.tenants().get(tenant, tenant).await {
        Ok(_) => Ok(false),
        Err(StoreError::NotFound { kind: Tenant::KIND }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// The secret that the environment gives a provider.
fn webhook_secret(config: &Config, provider: &str) -> Option<String> {
    config.webhooks.secrets.get(provider).filter(|secret| !secret.is_empty()).cloned()
}

/// A client with its secret's hash.
async fn client(
    work: &mut Work<'_>,
    id: &str,
    role: Role,
    agent_id: Option<String>,
    hash: &str,
) -> Result<(), StoreError> {
    let row = Client { role, agent_id, name: Some(id.to_owned()), enabled: true, tokens_from: Time::default() };
    work.create(id, &row).await?;
    work.set_secret(id, hash).await
}

/// A connection to a provider's workspace with its secret.
async fn connection(
    work: &mut Work<'_>,
    seal: &Seal,
    tenant: &str,
    id: &str,
    (provider, external_id): (&str, &str),
    (secret, token): (&str, Option<&str>),
) -> Result<(), StoreError> {
    let row = Connection {
        provider: provider.to_owned(),
        external_id: external_id.to_owned(),
        sealed_secrets: vec![seal.seal(tenant, id, secret)],
        sealed_token: token.map(|token| seal.seal(tenant, id, token)),
        enabled: true,
        ..Connection::default()
    };
    work.create(id, &row).await.map(drop)
}

/// The bcrypt hash of a secret, made where it holds nobody up.
async fn hash(secret: String, cost: u32) -> Result<String, Failure> {
    Ok(tokio::task::spawn_blocking(move || bcrypt::hash(secret, cost)).await??)
}
