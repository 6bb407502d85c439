//! `nexus reembed`: the memory moves to another model, while it is in use.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use memory::{Recall, reembed};
use runtime::{clock::SystemClock, config::Config};
use store::Store;

use super::show;

/// Move the memory to the model of the settings (`memory.embedder`). The hub may
/// run: what is said meanwhile is learned for both models, and searches go on.
#[derive(Args)]
pub struct Reembed {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Reembed {
    /// Does it; ended half-way, it can be begun again.
    pub async fn run(self, config: &Config) -> Result<()> {
        let store = Arc::new(Store::open(config).await?);
        let recall = Recall::open(config, Arc::clone(&store), Arc::new(SystemClock)).map_err(|error| anyhow!(error))?;
        let bar = self.bar();
        let moved = reembed::reembed(&recall, |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })
        .await;
        bar.finish_and_clear();
        let moved = moved?;
        store.close().await;
        if self.json {
            println!("{}", serde_json::json!({ "from": moved.from, "to": moved.to, "texts": moved.texts }));
        } else if moved.from == moved.to {
            println!("{} texts were indexed once more for {}", moved.texts, moved.to);
        } else {
            println!("{} texts moved from {} to {}", moved.texts, moved.from, moved.to);
        }
        Ok(())
    }

    fn bar(&self) -> ProgressBar {
        if self.json || !show::is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} texts  {per_sec}  {eta} left");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}
