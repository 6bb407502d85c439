//! `nexus backfill`: has the running hub ask the providers for what their
//! webhooks did not tell, and shows how it goes on.

use std::{io::IsTerminal, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::config::Config;
use serde_json::{Value, json};

use super::remote::Remote;

/// How often it is asked how a job is.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Find what webhooks did not tell (messages, comments, tasks), and feed it in
/// as they would have. What is known already is not told again.
#[derive(Args)]
pub struct Backfill {
    /// Only this connection; else all that can be asked
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// From when on, as RFC 3339 or as a time ago (6h, 3d) [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = from)]
    from: Option<String>,
    /// Only this project's channel, list or repository
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// One JSON object a job, when it is over
    #[arg(long)]
    json: bool,
}

/// A moment, as the API takes it.
fn from(text: &str) -> Result<String, String> {
    let ago_ms = |text: &str| {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let unit_ms: i64 = match unit {
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.parse::<u32>().ok().map(|number| i64::from(number) * unit_ms)
    };
    if udfs::time::from_rfc3339(text).is_some() {
        return Ok(text.to_owned());
    }
    let now_ms = pipeline::ports::Clock::now_ms(&runtime::clock::SystemClock);
    let ago_ms = ago_ms(text).ok_or("give it as 2026-11-20T08:00:00Z, or as 90m, 6h, 3d")?;
    Ok(udfs::time::to_rfc3339((now_ms as i64).saturating_sub(ago_ms).max(0)))
}

impl Backfill {
    /// Runs the jobs to their end.
    pub async fn run(self, config: &Config) -> Result<()> {
        let hub = Remote::find(config).await?;
        let hub = hub.context("no hub runs here: start one with `nexus up`, or name one with NEXUS_URL")?;
        let connections = self.connections(&hub).await?;
        let mut wanted = json!({});
        for (field, value) in [("from", &self.from), ("projectId", &self.project)] {
            if let Some(value) = value {
                wanted[field] = json!(value);
            }
        }
        let mut failed = 0;
        for (id, name) in connections {
            let started = hub.post(&format!("/api/connections/{id}/backfill"), &wanted).await;
            let job = match started {
                Ok(answer) => data(answer.json().await?),
                // Of many, one that cannot be asked keeps nobody else.
                Err(error) if self.connection.is_none() => {
                    failed += 1;
                    eprintln!("{name}: {error:#}");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let job = self.follow(&hub, &name, job).await?;
            failed += usize::from(job["status"] != "done");
            self.say(&name, &job);
        }
        if failed > 0 {
            bail!("{failed} could not be done");
        }
        Ok(())
    }

    /// The connections to be asked, by id and name.
    async fn connections(&self, hub: &Remote) -> Result<Vec<(String, String)>> {
        if let Some(id) = &self.connection {
            return Ok(vec![(id.clone(), id.clone())]);
        }
        let mut found = Vec::new();
        let mut query = json!({ "limit": 200 });
        loop {
            let page: Value = hub.get("/api/connections", &query).await?.json().await?;
            for row in page["data"].as_array().into_iter().flatten() {
                let can = row["hasApiToken"] == true && row["enabled"] == true;
                let provider = row["provider"].as_str().unwrap_or_default();
                if can && providers::of(provider).backfill().is_some() {
                    let id = row["id"].as_str().unwrap_or_default().to_owned();
                    let name = row["name"].as_str().map_or_else(|| id.clone(), str::to_owned);
                    found.push((id, format!("{provider} {}", super::show::plain(&name))));
                }
            }
            match page["page"]["next"].as_str() {
                Some(next) => query["cursor"] = json!(next),
                None => break,
            }
        }
        if found.is_empty() {
            bail!("no connection to Slack, ClickUp or GitHub has an API token");
        }
        Ok(found)
    }

    /// Looks at a job until it is over.
    async fn follow(&self, hub: &Remote, name: &str, mut job: Value) -> Result<Value> {
        let id = job["id"].as_str().context("the hub named no job")?.to_owned();
        let bar = (!self.json && std::io::stderr().is_terminal()).then(|| bar(name));
        let mut last = String::new();
        while !matches!(job["status"].as_str(), Some("done" | "failed")) {
            tokio::time::sleep(LOOK_EVERY).await;
            job = data(hub.get(&format!("/api/backfills/{id}"), &json!({})).await?.json().await?);
            let words = words(&job);
            if let Some(bar) = &bar {
                let (done, waiting) = (job["done"].as_u64().unwrap_or(0), job["waiting"].as_u64().unwrap_or(0));
                bar.set_length((done + waiting).max(1));
                bar.set_position(done);
                bar.set_message(words);
            } else if !self.json && words != last {
                println!("{name}: {words}");
                last = words;
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        Ok(job)
    }

    fn say(&self, name: &str, job: &Value) {
        match self.json {
            true => println!("{job}"),
            false => println!("{name}: {}, {}", job["status"].as_str().unwrap_or_default(), words(job)),
        }
    }
}

fn data(mut answer: Value) -> Value {
    answer["data"].take()
}

fn words(job: &Value) -> String {
    let detail = job["detail"].as_str().map(|detail| format!(" ({})", super::show::plain(detail))).unwrap_or_default();
    format!("{} looked at, {} fed in{detail}", job["found"], job["fed"])
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}");
    let bar = ProgressBar::new(1).with_prefix(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::from;

    #[test]
    fn a_moment_is_a_date_or_so_long_ago() {
        assert_eq!(from("2026-11-20T08:00:00Z").as_deref(), Ok("2026-11-20T08:00:00Z"));
        let day = from("1d").expect("a time ago");
        assert!(from("25h").expect("a time ago") < day && day < from("90m").expect("a time ago"));
        for nonsense in ["", "d", "3w", "yesterday", "-1d", "1é"] {
            assert!(from(nonsense).is_err(), "{nonsense}");
        }
    }
}
