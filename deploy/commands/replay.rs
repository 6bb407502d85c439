//! `nexus replay`: dead letters, once more.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use connectors::{clock::SystemClock, config::Config, dead_letters, identity::random_hex, log};
use pipeline::{event::DeadLetter, ports::Clock};

use super::remote::Remote;

/// Letters that one call replays at most.
const REPLAYED_MAX: usize = 10_000;

/// Send dead letters on their way once more. Each gets a nonce, so that it is
/// not taken for a repeat of what it was before.
#[derive(Args)]
pub struct Replay {
    /// The letters' ids
    ids: Vec<String>,
    /// All of them, or all that --stage names
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Only those that this stage gave up
    #[arg(long, requires = "all")]
    stage: Option<String>,
}

impl Replay {
    /// Sends them.
    pub async fn run(self, config: &Config) -> Result<()> {
        if self.ids.is_empty() && !self.all {
            bail!("name dead letters, or say --all");
        }
        let replayed = match Remote::find(config).await? {
            Some(hub) => self.by_hub(&hub).await?,
            None => self.by_ourselves(config).await?,
        };
        println!("{replayed} sent once more");
        Ok(())
    }

    async fn by_hub(&self, hub: &Remote) -> Result<u64> {
        if self.all {
            let filter = self
                .stage
                .as_ref()
                .map_or_else(|| serde_json::json!({}), |stage| serde_json::json!({ "stage": stage }));
            let answer: serde_json::Value = hub.post("/api/deadletters/replay", &filter).await?.json().await?;
            return Ok(answer["data"]["replayed"].as_u64().unwrap_or_default());
        }
        for id in &self.ids {
            hub.post(&format!("/api/deadletters/{id}/replay"), &serde_json::json!({})).await?;
        }
        Ok(self.ids.len() as u64)
    }

    async fn by_ourselves(&self, config: &Config) -> Result<u64> {
        let log = log::open_existing(config).await.map_err(|error| anyhow!(error))?;
        let wanted = |letter: &DeadLetter| {
            let stage = self.stage.as_ref().is_none_or(|stage| *stage == letter.stage);
            if self.all { stage } else { self.ids.contains(&letter.id) }
        };
        let letters = dead_letters::list(&*log, REPLAYED_MAX, wanted).await?;
        if !self.all && letters.len() != self.ids.len() {
            bail!("{} of these letters are not there", self.ids.len() - letters.len());
        }
        let mut replayed = 0;
        for letter in &letters {
            let position = dead_letters::replay(&*log, letter, &random_hex(), SystemClock.now_ms()).await?;
            replayed += u64::from(position.is_some());
        }
        log.close().await?;
        Ok(replayed)
    }
}
