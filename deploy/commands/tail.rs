//! `nexus tail`: a topic's records, one JSON object a line.

use std::io::Write;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use pipeline::topics::{TOPICS, Topic};
use runtime::{config::Config, tail};
use tokio::sync::mpsc;

use super::{remote, remote::Remote, show};

/// Print a topic's records as lines of JSON.
#[derive(Args)]
pub struct Tail {
    /// The topic: webhooks.raw, events, dead.letters, …
    topic: String,
    /// Where to begin: start, end, or an offset
    #[arg(long, default_value = "start", value_parser = from)]
    from: String,
    /// Go on with what is written from now on
    #[arg(long)]
    follow: bool,
    /// Only this partition
    #[arg(long)]
    partition: Option<u32>,
    /// Not more than so many records
    #[arg(long)]
    limit: Option<u64>,
    /// One JSON object a line (what is printed anyway where no person looks on)
    #[arg(long)]
    json: bool,
}

fn from(text: &str) -> Result<String, String> {
    let fits = matches!(text, "start" | "end") || text.parse::<u64>().is_ok();
    if fits { Ok(text.to_owned()) } else { Err("must be start, end or an offset".to_owned()) }
}

impl Tail {
    /// Prints them.
    pub async fn run(self, config: &Config) -> Result<()> {
        let Some(topic) = Topic::from_name(&self.topic) else {
            let names: Vec<_> = TOPICS.iter().map(|spec| spec.name).collect();
            bail!("there is no topic {:?}; the topics are {}", self.topic, names.join(", "));
        };
        let query = tail::Query { from: self.from, follow: self.follow, partition: self.partition, limit: self.limit };
        let json = self.json || !show::is_terminal();
        match Remote::find(config).await? {
            Some(hub) => {
                let answer = hub.get(&format!("/admin/topics/{}", topic.name()), &query).await?;
                remote::lines(answer, |line| print(line, json)).await
            }
            None => from_log(config, topic, query, json).await,
        }
    }
}

/// Without a hub the log is read by ourselves.
async fn from_log(config: &Config, topic: Topic, query: tail::Query, json: bool) -> Result<()> {
    let log = log::open_existing(config).await.map_err(|error| anyhow!(error))?;
    let (to, mut lines) = mpsc::channel(64);
    let reading = tokio::spawn(tail::lines(log.clone(), topic, query, to));
    while let Some(line) = lines.recv().await {
        print(&line?, json)?;
    }
    reading.await??;
    log.close().await?;
    Ok(())
}

fn print(line: &str, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{}", show::record(line))?;
    }
    out.flush()?;
    Ok(())
}
