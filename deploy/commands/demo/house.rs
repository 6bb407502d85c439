//! What the demo runs on: a directory that goes away, a seeded tenant, fake
//! providers, and a hub that knows all of them.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow};
use fakes::{self, Fakes};
use hub::{
    Hub,
    roles::Role,
    seeding::{self, Seeded},
};
use pipeline::event::{ExternalId, User};
use providers::samples::{self, Sender};
use runtime::{
    clock::SystemClock,
    config::{Config, ConnectionSettings},
    keys::Keys,
};
use serde_json::Value;
use store::Store;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::commands::{remote, show::paint, sql::ENGINE};

/// What the demo's webhooks are signed with; it protects nothing.
pub const SECRET: &str = "demo-secret";

/// Connections beside the seeded ones.
const MORE: &[&str] = &["jira", "stripe"];

/// All of it, up.
pub struct House {
    /// The hub.
    pub hub: Hub,
    /// What is in it.
    pub seeded: Seeded,
    /// Where the fake providers are.
    pub fakes: String,
    /// What is in them.
    pub world: Fakes,
    serving: JoinHandle<std::io::Result<()>>,
}

impl House {
    /// Opens it in a directory of its own, whatever else is configured.
    pub async fn open(mut config: Config, directory: &Path) -> Result<House> {
        let fakes = Fakes::new(Arc::new(SystemClock)).map_err(|error| anyhow!(error))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for the fake providers")?;
        let url = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(fakes::serve(listener, fakes.clone()));
        configure(&mut config, directory, &url);
        let seeded = seed(&config).await?;
        config.connections = MORE.iter().map(|provider| connection(provider, &seeded)).collect();
        let hub = start(config).await?;
        hub.ready().await;
        fakes.tell(&hub.url(), SECRET);
        Ok(House { hub, seeded, fakes: url, world: fakes, serving })
    }

    /// Somebody does something at a (fake) provider.
    pub async fn does(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = remote::client()?.post(format!("{}/fakes/{path}", self.fakes)).json(body).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    fn workspace(&self, provider: &str) -> Option<&'static str> {
        let known = self.seeded.connections.iter().find(|known| known.provider == provider);
        known.map(|known| known.external_id)
    }

    /// Sends a sample to the connection of its provider.
    pub fn sender(&self, provider: &str, event: &str) -> Result<Sender> {
        let sample = samples::find(provider, event).with_context(|| format!("no sample {provider} {event}"))?;
        Ok(Sender {
            sample,
            secret: Some(SECRET.to_owned()),
            connection: MORE.contains(&provider).then(|| format!("demo-{provider}")),
            external_id: self.workspace(provider).map(str::to_owned),
        })
    }

    /// Ends it.
    pub async fn close(self) -> Result<()> {
        let stopped = self.hub.stop().await.map_err(|error| anyhow!(error));
        self.serving.abort();
        stopped
    }
}

fn configure(config: &mut Config, directory: &Path, fakes: &str) {
    directory.clone_into(&mut config.data_dir);
    config.store.url.clear();
    config.kafka.brokers.clear();
    config.allow_unsigned = true;
    config.log.segment_mb = config.log.segment_mb.min(16);
    config.auth.bcrypt_cost = 4;
    config.server.cors_origins = vec!["*".to_owned()];
    for provider in ["clickup", "slack", "github"] {
        config.webhooks.secrets.insert(provider.to_owned(), SECRET.to_owned());
    }
    let settings = &mut config.providers;
    settings.allow_private_targets = true;
    for key in providers::PROVIDERS.iter().filter_map(|provider| provider.api().token_key()) {
        settings.set(key, "demo-token");
    }
    // Each address is named as its variable is.
    for (name, url) in fakes::addresses(fakes) {
        settings.set(&name.to_ascii_lowercase(), url);
    }
    let host = config.server.host;
    let warning = format!("demo: unsigned webhooks are accepted on {host}; never run it where others reach it");
    eprintln!("{}", paint(&warning, "33"));
}

async fn seed(config: &Config) -> Result<Seeded> {
    let keys = Keys::load(config).map_err(|error| anyhow!(error))?;
    let store = Store::open(config).await?;
    let seeded = seeding::seed(&store, config, &keys.seal).await.map_err(|error| anyhow!(error))?;
    // Somebody whom the hub knows by name in Slack.
    let external_ids = vec![ExternalId { provider: "slack".to_owned(), id: "U0BO".to_owned() }];
    let bo = User { name: "Bo Lind".to_owned(), external_ids, ..User::default() };
    store.users().create(seeded.tenant.id, "usr_bo", &bo).await?;
    store.close().await;
    Ok(seeded)
}

fn connection(provider: &str, seeded: &Seeded) -> ConnectionSettings {
    ConnectionSettings {
        id: format!("demo-{provider}"),
        tenant: seeded.tenant.id.to_owned(),
        provider: provider.to_owned(),
        external_id: String::new(),
        secret: Some(SECRET.to_owned()),
        secrets: Vec::new(),
    }
}

async fn start(mut config: Config) -> Result<Hub> {
    let roles = Role::all();
    match Hub::start_with(&config, &roles, ENGINE).await {
        Ok(hub) => Ok(hub),
        // Somebody else has the usual address; the demo can do without it.
        Err(error) if error.to_string().contains("cannot listen") => {
            config.server.port = 0;
            config.sql.pg_port = 0;
            Hub::start_with(&config, &roles, ENGINE).await.map_err(|error| anyhow!(error))
        }
        Err(error) => Err(anyhow!(error)),
    }
}
