//! What the load tool expects: a busy tenant and a quiet one. Their secrets are
//! the tool's own and known to everybody: never on a hub that is reachable.

use pipeline::event::{Agent, Alias, Command, Notify, Project, Role, Tenant, Workgroup};
use serde::Serialize;

use super::{client, connection, hash, is_missing, webhook_secret};
use runtime::{config::Config, sealing::Seal, supervisor::Failure};
use store::{Store, StoreError, Work};

const BUSY: &str = "bench";
const QUIET: &str = "quiet";
const BUSY_AGENTS: usize = 10;
const QUIET_AGENTS: usize = 100;
const BUSY_SECRET: &str = "bench-secret";
const QUIET_SECRET: &str = "idle-secret";
/// The tool signs with this unless it is told otherwise.
const WEBHOOK_SECRET: &str = "bench-webhook-secret";
const LIST: &str = "901100000001";
const CHANNEL: &str = "C0BENCH0001";
const THREAD: &str = "1700000000.000100";
const PROJECT: &str = "prj_bench";
const CONNECTIONS: &[(&str, &str)] = &[("clickup", "7fa3ec74-69a8-4530-a251-8a13730bd204"), ("slack", "T0BENCH")];

/// What was prepared.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeededBench {
    /// The busy tenant.
    pub tenant_id: &'static str,
    /// The quiet one.
    pub quiet_tenant_id: &'static str,
    /// The busy agents are `bench-0` and so on.
    pub agents: usize,
    /// The quiet ones are `idle-0` and so on.
    pub quiet_agents: usize,
    /// What webhooks are signed with; `null` says that it was printed before.
    pub webhook_secret: Option<String>,
}

/// Makes both tenants, or tells that they are there.
pub async fn seed_bench(store: &Store, config: &Config, seal: &Seal) -> Result<SeededBench, Failure> {
    let cost = config.auth.bcrypt_cost;
    let busy_is_new = is_missing(store, BUSY).await?;
    if busy_is_new {
        // One hash for all: a hundred of them would take a while.
        let hash = hash(BUSY_SECRET.to_owned(), cost).await?;
        busy(store, config, seal, &hash).await?;
    }
    if is_missing(store, QUIET).await? {
        let hash = hash(QUIET_SECRET.to_owned(), cost).await?;
        let mut work = store.work(QUIET).await?;
        work.create(QUIET, &Tenant { name: "Quiet".to_owned(), ..Tenant::default() }).await?;
        agents(&mut work, "idle", QUIET_AGENTS, &hash).await?;
        work.commit().await?;
    }
    Ok(SeededBench {
        tenant_id: BUSY,
        quiet_tenant_id: QUIET,
        agents: BUSY_AGENTS,
        quiet_agents: QUIET_AGENTS,
        webhook_secret: busy_is_new.then(|| secret_of(config, "clickup")),
    })
}

async fn busy(store: &Store, config: &Config, seal: &Seal, hash: &str) -> Result<(), Failure> {
    let mut work = store.work(BUSY).await?;
    work.create(BUSY, &Tenant { name: "Bench".to_owned(), ..Tenant::default() }).await?;
    let agent_ids = agents(&mut work, BUSY, BUSY_AGENTS, hash).await?;
    let squad = Workgroup { name: "Bench".to_owned(), agent_ids: agent_ids.clone(), ..Workgroup::default() };
    work.create("wg_bench", &squad).await?;
    work.create("als_bench", &Alias { alias: "@AI_Squad".to_owned(), agent_ids }).await?;
    let project = Project {
        name: "Bench".to_owned(),
        workgroup_id: Some("wg_bench".to_owned()),
        clickup_list_id: Some(LIST.to_owned()),
        slack_channel_id: Some(CHANNEL.to_owned()),
        notify: Notify::All,
        ..Project::default()
    };
    work.create(PROJECT, &project).await?;
    for &(provider, external_id) in CONNECTIONS {
        let (id, secret) = (format!("con_bench_{provider}"), secret_of(config, provider));
        connection(&mut work, seal, BUSY, &id, (provider, external_id), (&secret, None)).await?;
    }
    let track = Command::TrackTask {
        correlation_id: "seed_bench".to_owned(),
        tenant_id: BUSY.to_owned(),
        project_id: PROJECT.to_owned(),
        provider: "clickup".to_owned(),
        external_id: "bench-task".to_owned(),
        title: Some("Bench".to_owned()),
        channel_id: Some(CHANNEL.to_owned()),
        thread_ts: Some(THREAD.to_owned()),
        agent_id: None,
        at: work.now(),
    };
    work.command("seed_bench", &track).await?;
    Ok(work.commit().await?)
}

/// Agents of one name and ever another number, each its own client.
async fn agents(work: &mut Work<'_>, name: &str, count: usize, hash: &str) -> Result<Vec<String>, StoreError> {
    let ids: Vec<_> = (0..count).map(|number| format!("{name}-{number}")).collect();
    for id in &ids {
        let row = Agent { name: id.clone(), client_id: id.clone(), enabled: true, ..Agent::default() };
        work.create(id, &row).await?;
        client(work, id, Role::Agent, Some(id.clone()), hash).await?;
    }
    Ok(ids)
}

fn secret_of(config: &Config, provider: &str) -> String {
    webhook_secret(config, provider).unwrap_or_else(|| WEBHOOK_SECRET.to_owned())
}
