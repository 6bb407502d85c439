//! `nexus fakes`: providers that are not there, until it is told to stop.

use std::{net::IpAddr, sync::Arc};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use fakes::{self, Fakes};
use runtime::clock::SystemClock;
use tokio::net::TcpListener;

/// Serve fake providers: ClickUp, Slack, GitHub, Jira.
#[derive(Args)]
pub struct Serve {
    /// Where to listen; 0 takes a free port
    #[arg(long, default_value_t = 4010)]
    port: u16,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// Tell this hub of all that happens there, as `nexus seed` connects it
    #[arg(long, value_name = "URL")]
    hub: Option<String>,
    /// What the hub's webhooks are signed with (WEBHOOK_SECRET_CLICKUP,
    /// SLACK_SIGNING_SECRET and WEBHOOK_SECRET_GITHUB when it was seeded)
    #[arg(long, default_value = "fakes-secret", requires = "hub")]
    secret: String,
    /// One JSON object with the addresses
    #[arg(long)]
    json: bool,
}

impl Serve {
    /// Serves them.
    pub async fn run(self) -> Result<()> {
        let fakes = Fakes::new(Arc::new(SystemClock)).map_err(|error| anyhow!(error))?;
        let listener = TcpListener::bind((self.host, self.port))
            .await
            .with_context(|| format!("cannot listen on {}:{}", self.host, self.port))?;
        let url = format!("http://{}", listener.local_addr()?);
        if let Some(hub) = &self.hub {
            fakes.tell(hub.trim_end_matches('/'), &self.secret);
        }
        let addresses = fakes::addresses(&url);
        if self.json {
            println!(
                "{}",
                serde_json::Value::Object(
                    addresses.iter().map(|(name, url)| ((*name).to_owned(), url.as_str().into())).collect()
                )
            );
        } else {
            println!("fake providers at {url} (what they have and what they were asked: {url}/fakes/state)");
            println!("for a hub that asks them:");
            addresses.iter().for_each(|(name, url)| println!("  {name}={url}"));
            println!("  NEXUS_ALLOW_PRIVATE_TARGETS=true");
        }
        tokio::select! {
            served = fakes::serve(listener, fakes) => served.context("the fakes ended"),
            stopped = tokio::signal::ctrl_c() => stopped.context("cannot hear a stop"),
        }
    }
}
