//! `nexus demo`: everything embedded, in a directory that goes away, with real
//! webhooks from end to end before your eyes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use connectors::{
    clock::SystemClock,
    config::{Config, Connection},
    hub::Hub,
    identity::random_hex,
    roles::Role,
    samples::{self, Sender},
    tail,
};
use pipeline::{ports::Clock, topics::Topic};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    hub::stop_signal,
    remote,
    show::{self, paint},
};

/// What the demo's connections share; it protects nothing.
const SECRET: &str = "demo-secret";
/// How long an event may take before the demo counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tour: provider, event.
const TOUR: &[(&str, &str)] = &[
    ("clickup", "taskCreated.with_task"),
    ("slack", "app_mention"),
    ("github", "issues.opened"),
    ("jira", "issue_updated.status"),
    ("stripe", "invoice.paid"),
    ("clickup", "taskCommentPosted"),
    ("slack", "message.thread"),
    ("github", "pull_request.opened"),
];

/// Show the whole way, live, with everything embedded.
#[derive(Args)]
pub struct Demo {
    /// End after the tour, with exit code 0 only if everything arrived
    #[arg(long)]
    once: bool,
    /// One JSON object a step
    #[arg(long)]
    json: bool,
}

impl Demo {
    /// Shows it.
    pub async fn run(self, config: Config) -> Result<()> {
        let directory = std::env::temp_dir().join(format!("nexus-demo-{}", random_hex()));
        std::fs::create_dir_all(&directory).context("cannot make a directory for the demo")?;
        let shown = self.show(config, &directory).await;
        let removed = std::fs::remove_dir_all(&directory).context("cannot remove the demo's directory");
        shown.and(removed)
    }

    async fn show(&self, config: Config, directory: &std::path::Path) -> Result<()> {
        let begun = Instant::now();
        let hub = start(config, directory).await?;
        hub.ready().await;
        self.say(
            "ready",
            json!({ "url": hub.url(), "tookMs": begun.elapsed().as_millis() as u64 }),
            &format!("the hub is ready at {} after {:.0?}: one process, one journal", hub.url(), begun.elapsed()),
        );
        let (to, mut events) = mpsc::channel(64);
        let query = tail::Query { from: "start".to_owned(), follow: true, partition: None, limit: None };
        let following = tokio::spawn(tail::lines(hub.log(), Topic::Events, query, to));
        let toured = self.tour(&hub, &mut events).await;
        if toured.is_ok() && !self.once {
            self.stay(&hub, &mut events).await?;
        }
        drop(events);
        following.abort();
        hub.stop().await.map_err(|error| anyhow!(error))?;
        toured
    }

    async fn tour(&self, hub: &Hub, events: &mut Events) -> Result<()> {
        let client = remote::client()?;
        let mut sent = Vec::new();
        for (number, (provider, event)) in TOUR.iter().enumerate() {
            let sender = sender(provider, event)?;
            let request = sender.request(number as u64, SystemClock.now_ms()).map_err(|reason| anyhow!(reason))?;
            let begun = Instant::now();
            let answer = post(&client, hub, &request).await?;
            let id = answer["data"]["id"].as_str().context("the hub did not take the webhook")?.to_owned();
            let took = begun.elapsed();
            self.say(
                "sent",
                json!({ "provider": provider, "event": event, "id": id, "tookUs": took.as_micros() as u64 }),
                &format!("{} {provider} {event}: signed, on disk and answered in {took:.1?}", paint("▸", "33")),
            );
            let arrived = self.await_event(events, &id, begun).await?;
            sent.push((request, arrived));
        }
        let (first, _) = sent.first().context("the tour is empty")?;
        let again = post(&client, hub, first).await?;
        let duplicate = again["data"]["duplicate"] == true;
        self.say(
            "repeat",
            json!({ "duplicate": duplicate }),
            "▸ the first once more: known as a duplicate, no second event",
        );
        let mut forged = first.clone();
        forged.body.push(b' ');
        let refused = post(&client, hub, &forged).await.is_err();
        self.say("forged", json!({ "refused": refused }), "▸ the first with one byte changed: refused");
        if !(duplicate && refused) {
            bail!("a repeat or a forgery was taken for an event");
        }
        let events = sent.len();
        self.say(
            "done",
            json!({ "events": events }),
            &format!("{events} webhooks, {events} events, nothing lost, nothing twice"),
        );
        Ok(())
    }

    async fn await_event(&self, events: &mut Events, id: &str, begun: Instant) -> Result<Value> {
        loop {
            let line = tokio::time::timeout(PATIENCE, events.recv()).await;
            let line = line.ok().flatten().with_context(|| format!("no event within {PATIENCE:?}"))??;
            let record: Value = serde_json::from_str(&line)?;
            if record["value"]["id"] != id {
                continue;
            }
            let took = begun.elapsed();
            self.say(
                "event",
                json!({ "id": id, "type": record["value"]["type"], "tookUs": took.as_micros() as u64, "event": record["value"] }),
                &format!("  {} {}  {}", paint("◂", "32"), show::event(&record["value"]), paint(&format!("{took:.1?}"), "2")),
            );
            return Ok(record);
        }
    }

    async fn stay(&self, hub: &Hub, events: &mut Events) -> Result<()> {
        let url = hub.url();
        self.say(
            "staying",
            json!({ "url": url }),
            &format!(
                "the hub stays up (Ctrl-C ends it). In another terminal:\n    \
                 nexus send clickup taskCreated --url {url} --secret {SECRET}\n    \
                 curl {url}/webhooks/health\nEvents as they come:"
            ),
        );
        loop {
            let line = tokio::select! {
                () = stop_signal() => return Ok(()),
                line = events.recv() => line,
            };
            let Some(line) = line else { return Ok(()) };
            let record: Value = serde_json::from_str(&line?)?;
            let shown = format!("  {} {}", paint("◂", "32"), show::event(&record["value"]));
            self.say("event", json!({ "event": record["value"] }), &shown);
        }
    }

    fn say(&self, step: &str, mut fields: Value, words: &str) {
        if self.json {
            fields["step"] = step.into();
            println!("{fields}");
        } else {
            println!("{words}");
        }
    }
}

type Events = mpsc::Receiver<Result<String, pipeline::ports::LogError>>;

/// The demo's own configuration, whatever else is configured.
async fn start(mut config: Config, directory: &std::path::Path) -> Result<Hub> {
    directory.clone_into(&mut config.data_dir);
    config.kafka.brokers.clear();
    config.allow_unsigned = true;
    config.default_tenant = "demo".to_owned();
    config.connections = connections();
    config.log.segment_mb = config.log.segment_mb.min(16);
    println_warning(&config);
    let roles = Role::all();
    match Hub::start(&config, &roles).await {
        Ok(hub) => Ok(hub),
        // Somebody else has the usual address; the demo can do without it.
        Err(error) if error.to_string().contains("cannot listen") => {
            config.server.port = 0;
            Hub::start(&config, &roles).await.map_err(|error| anyhow!(error))
        }
        Err(error) => Err(anyhow!(error)),
    }
}

fn println_warning(config: &Config) {
    eprintln!(
        "{}",
        paint(
            &format!(
                "demo: unsigned webhooks are accepted on {}; never run it where others reach it",
                config.server.host
            ),
            "33"
        )
    );
}

fn connections() -> Vec<Connection> {
    [
        ("clickup", "7689a169-a000-4985-8676-6902b96d6627"),
        ("slack", "T0DEMO"),
        ("github", "acme/rocket"),
        ("jira", ""),
        ("stripe", ""),
    ]
    .into_iter()
    .map(|(provider, external_id)| Connection {
        id: format!("demo-{provider}"),
        tenant: "demo".to_owned(),
        provider: provider.to_owned(),
        external_id: external_id.to_owned(),
        secret: Some(SECRET.to_owned()),
        secrets: Vec::new(),
    })
    .collect()
}

fn sender(provider: &str, event: &str) -> Result<Sender> {
    let sample = samples::find(provider, event).with_context(|| format!("no sample {provider} {event}"))?;
    let connection = connections().into_iter().find(|connection| connection.provider == provider);
    Ok(Sender {
        sample,
        secret: Some(SECRET.to_owned()),
        connection: connection.as_ref().map(|connection| connection.id.clone()),
        external_id: connection.map(|connection| connection.external_id).filter(|id| !id.is_empty()),
    })
}

async fn post(client: &reqwest::Client, hub: &Hub, request: &samples::Request) -> Result<Value> {
    let mut post = client.post(format!("{}{}", hub.url(), request.path)).body(request.body.clone());
    for (name, value) in &request.headers {
        post = post.header(*name, value);
    }
    let answer = post.send().await.context("cannot reach the hub")?;
    if !answer.status().is_success() {
        bail!("{}: {}", answer.status(), answer.text().await.unwrap_or_default());
    }
    Ok(answer.json().await?)
}
