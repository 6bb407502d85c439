//! `nexus replay`: dead letters, once more; or, with `--dry-run`, what other
//! limits would have done to the log of the last days.

use anyhow::{Result, anyhow, bail};
use api::dead_letters::{self, Replayed};
use clap::Args;

use pipeline::{event::DeadLetter, ports::Log};
use runtime::{clock::SystemClock, config::Config};

use super::{dry_run::DryRun, remote::Remote};

/// Send dead letters on their way once more. Each gets a nonce, so that it is
/// not taken for a repeat of what it was before. With --dry-run nothing is sent:
/// it shows what other limits would have done to the log of the last days,
/// beside what was done.
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
    /// Send nothing; judge the log by --rules
    #[arg(long, requires = "rules", conflicts_with_all = ["ids", "all"])]
    dry_run: bool,
    #[command(flatten)]
    rehearsal: DryRun,
}

impl Replay {
    /// Sends them.
    pub async fn run(self, config: &Config) -> Result<()> {
        if self.dry_run {
            return self.rehearsal.run(config).await;
        }
        if self.ids.is_empty() && !self.all {
            bail!("name dead letters, or say --all");
        }
        let Replayed { replayed, skipped } = match Remote::find(config).await? {
            Some(hub) => self.by_hub(&hub).await?,
            None => self.by_ourselves(config).await?,
        };
        println!("{replayed} sent once more");
        for (reason, letters) in skipped {
            println!("{letters} cannot be: {reason}");
        }
        Ok(())
    }

    async fn by_hub(&self, hub: &Remote) -> Result<Replayed> {
        if self.all {
            let filter = self
                .stage
                .as_ref()
                .map_or_else(|| serde_json::json!({}), |stage| serde_json::json!({ "stage": stage }));
            let mut answer: serde_json::Value = hub.post("/api/deadletters/replay", &filter).await?.json().await?;
            return Ok(serde_json::from_value(answer["data"].take())?);
        }
        for id in &self.ids {
            hub.post(&format!("/api/deadletters/{id}/replay"), &serde_json::json!({})).await?;
        }
        Ok(Replayed { replayed: self.ids.len() as u64, ..Replayed::default() })
    }

    async fn by_ourselves(&self, config: &Config) -> Result<Replayed> {
        let log = log::open_existing(config).await.map_err(|error| anyhow!(error))?;
        self.are_there(&*log).await?;
        let wanted = |letter: &DeadLetter| {
            let stage = self.stage.as_ref().is_none_or(|stage| *stage == letter.stage);
            if self.all { stage } else { self.ids.contains(&letter.id) }
        };
        let replayed = dead_letters::replay_all(&*log, &SystemClock, wanted).await;
        log.close().await?;
        Ok(replayed?)
    }

    /// Nothing is sent when one of the letters that were named is missing.
    async fn are_there(&self, log: &dyn Log) -> Result<()> {
        for id in &self.ids {
            if dead_letters::find(log, id).await?.is_none() {
                bail!("there is no dead letter {id}");
            }
        }
        Ok(())
    }
}
