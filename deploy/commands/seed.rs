//! `nexus seed`: a tenant to begin with.
//!
//! Works beside a running hub, which announces the rows from the shared store,
//! and without one: then the command announces them itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use clap::Args;
use hub::seeding::{self, Login, Seeded};

use runtime::{config::Config, keys::Keys};
use store::{Store, announce::Announcer};

use super::remote::Remote;

/// A running hub announces within a second or two.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Make a test tenant with agents, mappings and connections, and print its
/// credentials once.
#[derive(Args)]
pub struct Seed {
    /// One JSON object; secrets that were printed before are null
    #[arg(long)]
    json: bool,
    /// Also make what the load tool expects, with secrets that everybody knows
    #[arg(long)]
    bench: bool,
}

impl Seed {
    /// Makes it, sees to it that every process knows, and prints.
    pub async fn run(self, config: &Config) -> Result<()> {
        let keys = Keys::load(config).map_err(|error| anyhow!(error))?;
        let store = Arc::new(Store::open(config).await?);
        let seeded = self.write(config, &store, &keys).await;
        // Also after a failure: what was written before it holds.
        let announced = announce(config, &store).await;
        store.close().await;
        let seeded = seeded?;
        announced?;
        if self.json {
            println!("{}", serde_json::to_string(&seeded)?);
        } else {
            print(&seeded);
        }
        Ok(())
    }

    async fn write(&self, config: &Config, store: &Store, keys: &Keys) -> Result<Seeded> {
        let mut seeded = seeding::seed(store, config, &keys.seal).await.map_err(|error| anyhow!(error))?;
        if self.bench {
            let bench = seeding::seed_bench(store, config, &keys.seal).await;
            seeded.bench = Some(bench.map_err(|error| anyhow!(error))?);
        }
        Ok(seeded)
    }
}

async fn announce(config: &Config, store: &Arc<Store>) -> Result<()> {
    let embedded = config.kafka.brokers.is_empty();
    if embedded && Remote::find(config).await?.is_some() {
        // The log is the running hub's, and so is the announcing.
        let begun = Instant::now();
        while store.waiting().await? > 0 {
            if begun.elapsed() > PATIENCE {
                eprintln!("nexus: the rows are kept, but no hub with the role `api` announces them");
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        return Ok(());
    }
    let log = log::open(config).await.map_err(|error| anyhow!(error))?;
    let announcer = Announcer { store: Arc::clone(store), log: Arc::clone(&log), house: None };
    let announced = announcer.catch_up().await;
    log.close().await?;
    announced.map(drop).map_err(|error| anyhow!(error))
}

fn print(seeded: &Seeded) {
    let secret = |secret: &Option<String>| secret.clone().unwrap_or_else(|| "(printed before)".to_owned());
    let login = |login: &Login| format!("{}  {}", login.client_id, secret(&login.client_secret));
    if !seeded.new {
        println!("The tenant was there already; its secrets were printed when it was made.");
    }
    println!("tenant      {}", seeded.tenant.id);
    println!("admin       {}", login(&seeded.admin));
    println!("analyst     {}", login(&seeded.analyst));
    for agent in &seeded.agents {
        println!("agent       {}  {}", agent.id, login(&agent.login));
    }
    println!("alias       {}", seeded.alias);
    let project = &seeded.project;
    println!("project     {}  list {}  channel {}", project.id, project.clickup_list_id, project.slack_channel_id);
    for connection in &seeded.connections {
        let (id, external_id) = (&connection.id, connection.external_id);
        println!("connection  {id}  {external_id}  {}", secret(&connection.webhook_secret));
    }
    if let Some(bench) = &seeded.bench {
        println!(
            "bench       tenants {} and {}, secrets as the load tool has them",
            bench.tenant_id, bench.quiet_tenant_id
        );
    }
}
