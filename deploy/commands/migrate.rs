//! `nexus migrate`: brings the database's schema up to date.

use anyhow::Result;
use clap::Args;
use runtime::config::Config;
use store::Store;

/// Bring the database's schema up to date (DIRECT_URL, else DATABASE_URL, else
/// the embedded database).
#[derive(Args)]
pub struct Migrate {
    /// One JSON object
    #[arg(long)]
    json: bool,
}

impl Migrate {
    /// Does it; harmless when there is nothing to do.
    pub async fn run(self, config: &Config) -> Result<()> {
        let version = Store::migrate(config).await?;
        if self.json {
            println!("{}", serde_json::json!({ "version": version }));
        } else {
            println!("the schema is at version {version}");
        }
        Ok(())
    }
}
