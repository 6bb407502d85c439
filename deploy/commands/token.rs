//! `nexus token`: an access token for a client's id and secret.

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime::config::Config;
use serde::{Deserialize, Serialize};

use super::{remote, remote::Remote};

/// Print an access token for a client.
#[derive(Args)]
pub struct Token {
    #[command(flatten)]
    client: Credentials,
    /// Where the hub is [default: the one of the data directory, NEXUS_URL, this machine]
    #[arg(long)]
    url: Option<String>,
    /// The whole answer as JSON
    #[arg(long)]
    json: bool,
}

/// A client, by its id and secret.
#[derive(Args, Clone)]
pub struct Credentials {
    /// The client's id
    #[arg(long, required = true)]
    pub client_id: String,
    /// The client's secret
    #[arg(long, required = true)]
    pub client_secret: String,
}

/// What the hub answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Issued {
    /// The token.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u64,
}

impl Token {
    /// Prints it.
    pub async fn run(self, config: &Config) -> Result<()> {
        let url = hub_url(config, self.url).await?;
        let issued = issue(&url, &self.client.client_id, &self.client.client_secret).await?;
        match self.json {
            true => println!("{}", serde_json::to_string(&issued)?),
            false => println!("{}", issued.access_token),
        }
        Ok(())
    }
}

/// Where the hub is.
pub async fn hub_url(config: &Config, given: Option<String>) -> Result<String> {
    if let Some(url) = given {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let found = Remote::find(config).await?;
    Ok(found.map_or_else(|| format!("http://127.0.0.1:{}", config.server.port), |hub| hub.url().to_owned()))
}

/// Asks the hub for a token.
pub async fn issue(url: &str, client_id: &str, client_secret: &str) -> Result<Issued> {
    let asked = serde_json::json!({"client_id": client_id, "client_secret": client_secret});
    let answer = remote::client()?.post(format!("{url}/auth/token")).json(&asked).send().await;
    let answer = answer.with_context(|| format!("cannot reach {url}"))?;
    let status = answer.status();
    if !status.is_success() {
        let problem: serde_json::Value = answer.json().await.unwrap_or_default();
        bail!("{}: {}", status, problem["detail"].as_str().unwrap_or("no reason given"));
    }
    answer.json().await.context("the answer is not understood")
}
