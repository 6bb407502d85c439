//! `nexus config`: what is in force.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use runtime::config::{Config, DEFAULTS};

/// Print the settings in force, secrets masked.
#[derive(Args)]
pub struct Show {
    /// Print the manual instead: every setting with its default and reason
    #[arg(long)]
    defaults: bool,
    /// As JSON
    #[arg(long, conflicts_with = "defaults")]
    json: bool,
}

impl Show {
    /// Prints them.
    pub fn run(&self, config: &Config) -> Result<()> {
        let masked = config.masked();
        let mut out = std::io::stdout().lock();
        if self.defaults {
            write!(out, "{DEFAULTS}")?;
        } else if self.json {
            let table: toml::Table = masked.parse()?;
            writeln!(out, "{}", serde_json::to_string_pretty(&table)?)?;
        } else {
            write!(out, "{masked}")?;
        }
        Ok(())
    }
}
