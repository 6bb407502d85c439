//! `nexus model`: the models that run in the hub itself.

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use memory::embed::{minilm, models_dir};
use runtime::config::Config;

use super::show;

/// The models that run in the hub itself.
#[derive(Args)]
pub struct Model {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Fetch a model's weights (80 MB), and check that they are the right ones
    Get {
        /// Which
        #[arg(value_parser = [minilm::NAME])]
        name: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Model {
    /// Does it.
    pub async fn run(self, config: &Config) -> Result<()> {
        let What::Get { name, json } = self.what;
        let folder = models_dir(config).join(name);
        let bar = bar(json);
        let fetched = minilm::fetch(&folder, |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })
        .await;
        bar.finish_and_clear();
        let is_new = fetched.map_err(|error| anyhow!(error))? == minilm::Fetched::New;
        if json {
            println!("{}", serde_json::json!({ "folder": folder, "fetched": is_new }));
        } else if is_new {
            println!("MiniLM is in {}; a hub that starts now uses it", folder.display());
            println!("what is remembered already moves to it with: nexus reembed");
        } else {
            println!("MiniLM is in {} already, and whole", folder.display());
        }
        Ok(())
    }
}

fn bar(json: bool) -> ProgressBar {
    if json || !show::is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
