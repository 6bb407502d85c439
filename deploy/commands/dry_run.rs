//! `nexus replay --dry-run`: what other limits would have done.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context, Result, anyhow};
use api::dry_run::{self, Query, Report, Tally};
use clap::Args;

use pipeline::{event::Time, ports::Clock};
use runtime::{
    clock::SystemClock,
    config::{Config, GovernanceSettings},
};
use serde_json::json;

use super::{remote::Remote, show};

/// The other limits, and the time that they are tried on.
#[derive(Args)]
pub struct DryRun {
    /// Limits in TOML (as [governance]) or JSON (as the API takes them); what
    /// is left out is as it is in force
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    rules: Option<PathBuf>,
    /// Since when: a time as 2026-11-21T08:00:00Z, or an age as 7d, 12h, 30m
    #[arg(long, default_value = "7d", value_parser = when, requires = "dry_run")]
    from: When,
    /// Until when
    #[arg(long, default_value = "0m", value_parser = when, requires = "dry_run")]
    to: When,
    /// The answer as one JSON object
    #[arg(long, requires = "dry_run")]
    json: bool,
}

/// A time, or so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    At(u64),
    AgoMs(u64),
}

fn when(text: &str) -> Result<When, String> {
    if let Ok(at) = serde_json::from_value::<Time>(json!(text)) {
        return Ok(When::At(at.as_ms()));
    }
    let unit_ms = match text.chars().last() {
        Some('d') => 86_400_000,
        Some('h') => 3_600_000,
        Some('m') => 60_000,
        _ => 0,
    };
    let count = text.get(..text.len().saturating_sub(1)).and_then(|count| count.parse::<u64>().ok());
    match count.filter(|_| unit_ms > 0) {
        Some(count) => Ok(When::AgoMs(count.saturating_mul(unit_ms))),
        None => Err("must be a time as 2026-11-21T08:00:00Z, or an age as 7d, 12h, 30m".to_owned()),
    }
}

impl When {
    fn ms(self, now_ms: u64) -> u64 {
        match self {
            When::At(at_ms) => at_ms,
            When::AgoMs(age_ms) => now_ms.saturating_sub(age_ms),
        }
    }
}

impl DryRun {
    /// Asks the hub, or reads the log of the data directory where none runs.
    pub async fn run(&self, config: &Config) -> Result<()> {
        let path = self.rules.as_ref().context("name the limits: --rules FILE")?;
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let rules = GovernanceSettings::document(&text).map_err(|error| anyhow!("{}: {error}", path.display()))?;
        let now_ms = SystemClock.now_ms();
        let (from_ms, to_ms) = (self.from.ms(now_ms), self.to.ms(now_ms));
        let report = match Remote::find(config).await? {
            Some(hub) => {
                let body = json!({ "rules": rules, "from": Time::from_ms(from_ms), "to": Time::from_ms(to_ms) });
                let mut answer: serde_json::Value = hub.post("/api/governance/dry-run", &body).await?.json().await?;
                serde_json::from_value(answer["data"].take())?
            }
            None => {
                let log = log::open_existing(config).await.map_err(|error| anyhow!(error))?;
                let query = Query { rules, from_ms, to_ms, tenant: None };
                let report = dry_run::run(Arc::clone(&log), &config.governance.0, &query).await;
                log.close().await?;
                report?
            }
        };
        match self.json {
            true => println!("{}", serde_json::to_string(&report)?),
            false => table(&report),
        }
        Ok(())
    }
}

fn table(report: &Report) {
    let time = |time: Time| serde_json::to_value(time).ok().and_then(|time| time.as_str().map(str::to_owned));
    let (from, to) = (time(report.from).unwrap_or_default(), time(report.to).unwrap_or_default());
    println!("{from} to {to}: {} messages, {} commands to providers", report.messages, report.syncs);
    println!();
    println!("{:<16}{:>18}{:>18}{:>18}", "", "refused", "alerts", "subjects");
    println!("{:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}", "rule", "was", "would", "was", "would", "was", "would");
    for line in &report.rules {
        let (was, would) = (&line.was, &line.would);
        println!(
            "{:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
            line.rule, was.refused, would.refused, was.alerts, would.alerts, was.subjects, would.subjects
        );
    }
    for line in &report.rules {
        for (tally, what) in [(&line.was, "found"), (&line.would, "would find")] {
            if !tally.first.is_empty() {
                println!();
                println!("{} {what}: {}", line.rule, named(tally));
            }
        }
    }
}

fn named(tally: &Tally) -> String {
    let first: Vec<_> = tally.first.iter().map(|subject| show::plain(subject)).collect();
    let more = tally.subjects as usize - first.len().min(tally.subjects as usize);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    first.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_ages_are_understood() {
        assert_eq!(when("7d"), Ok(When::AgoMs(604_800_000)));
        assert_eq!(when("2026-11-21T08:00:00Z"), Ok(When::At(1_795_248_000_000)));
        assert!(["", "d", "7", "seven d", "-1d", "tomorrow"].iter().all(|text| when(text).is_err()));
        assert_eq!((When::AgoMs(5).ms(7), When::AgoMs(9).ms(7), When::At(3).ms(7)), (2, 0, 3));
    }
}
