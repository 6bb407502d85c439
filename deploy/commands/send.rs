//! `nexus send`: sample webhooks, fresh each time, signed as the provider signs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use hub::seeding::{self, Door};
use indicatif::{ProgressBar, ProgressStyle};
use pipeline::ports::Clock;
use providers::samples::{self, Sample, Sender};
use reqwest::{Client, StatusCode};
use runtime::{clock::SystemClock, config::Config};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{remote, remote::Remote, show};

/// Requests on their way at the same time, at most.
const AT_ONCE_MAX: usize = 64;

/// Sign and post sample webhooks. `nexus send --list` names all of them.
#[derive(Args)]
pub struct Send {
    /// clickup, slack, github, jira, stripe, …
    #[arg(required_unless_present = "list")]
    provider: Option<String>,
    /// taskCreated, message, issues.opened, …
    #[arg(required_unless_present = "list")]
    event: Option<String>,
    /// Where the hub is [default: the one of the data directory, NEXUS_URL, this machine]
    #[arg(long)]
    url: Option<String>,
    /// How many
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// How many a second [default: as fast as they are answered]
    #[arg(long)]
    rate: Option<f64>,
    /// The connection to send through [default: the first of the provider]
    #[arg(long)]
    connection: Option<String>,
    /// The secret to sign with [default: the configured one]
    #[arg(long)]
    secret: Option<String>,
    /// One JSON object an answer
    #[arg(long)]
    json: bool,
    /// Name the samples
    #[arg(long)]
    list: bool,
}

impl Send {
    /// Sends them.
    pub async fn run(self, config: &Config) -> Result<()> {
        if self.list {
            samples::all().for_each(|sample| println!("{} {}", sample.provider, sample.event));
            return Ok(());
        }
        let (provider, event) =
            (self.provider.as_deref().unwrap_or_default(), self.event.as_deref().unwrap_or_default());
        let sample = samples::find(provider, event).with_context(|| unknown(provider, event))?;
        let sender = Arc::new(self.sender(config, sample).await?);
        let url = self.address(config).await?;
        let bar = self.bar();
        let outcome = Arc::new(Outcome::default());
        let client = remote::client()?;
        let begun = Instant::now();
        let mut requests: JoinSet<Result<String>> = JoinSet::new();
        for number in 0..self.count {
            if let Some(rate) = self.rate.filter(|rate| *rate > 0.0) {
                sleep_until(begun + Duration::from_secs_f64(number as f64 / rate)).await;
            }
            while requests.len() >= AT_ONCE_MAX || (self.rate.is_none() && self.count == 1 && !requests.is_empty()) {
                self.take(requests.join_next().await, &outcome, &bar);
            }
            requests.spawn(post(client.clone(), url.clone(), Arc::clone(&sender), number, Arc::clone(&outcome)));
        }
        while let Some(ended) = requests.join_next().await {
            self.take(Some(ended), &outcome, &bar);
        }
        bar.finish_and_clear();
        outcome.tell(begun.elapsed(), self.json)
    }

    async fn sender(&self, config: &Config, sample: &'static Sample) -> Result<Sender> {
        let connection = config.connections.iter().find(|connection| match &self.connection {
            Some(id) => connection.id == *id,
            None => connection.provider == sample.provider,
        });
        if connection.is_none() && self.url.is_none() && self.secret.is_none() {
            // Whoever may read the data directory may sign as its connections.
            let door = seeding::door(config, sample.provider, self.connection.as_deref()).await;
            if let Some(Door { id, external_id, secret }) = door.map_err(|error| anyhow!(error))? {
                return Ok(Sender {
                    sample,
                    secret: Some(secret),
                    connection: Some(id),
                    external_id: Some(external_id),
                });
            }
        }
        if let (Some(id), None) = (&self.connection, connection) {
            bail!("there is no connection {id:?} in the configuration or the data directory");
        }
        let own = connection.and_then(|connection| connection.all_secrets().next());
        let secret = self.secret.as_deref().or(own);
        let secret = secret.or(config.webhooks.secrets.get(sample.provider).map(String::as_str));
        Ok(Sender {
            sample,
            secret: secret.map(str::to_owned),
            connection: connection.map(|connection| connection.id.clone()).or(self.connection.clone()),
            external_id: connection.map(|connection| connection.external_id.clone()).filter(|id| !id.is_empty()),
        })
    }

    async fn address(&self, config: &Config) -> Result<String> {
        if let Some(url) = &self.url {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let hub = Remote::find(config).await?;
        Ok(hub.map_or_else(|| format!("http://127.0.0.1:{}", config.server.port), |hub| hub.url().to_owned()))
    }

    fn bar(&self) -> ProgressBar {
        if self.json || self.count < 10 || !show::is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left");
        ProgressBar::new(self.count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    fn take(
        &self,
        ended: Option<Result<Result<String>, tokio::task::JoinError>>,
        outcome: &Outcome,
        bar: &ProgressBar,
    ) {
        bar.inc(1);
        match ended {
            Some(Ok(Ok(answer))) if self.json || self.count == 1 => println!("{answer}"),
            Some(Ok(Ok(_))) | None => {}
            Some(Ok(Err(error))) => {
                // One reason is enough: the rest of a thousand is the same.
                if outcome.failed.fetch_add(1, Relaxed) == 0 {
                    eprintln!("nexus: {error:#}");
                }
            }
            Some(Err(_)) => {
                outcome.failed.fetch_add(1, Relaxed);
            }
        }
    }
}

#[derive(Default)]
struct Outcome {
    accepted: AtomicU64,
    failed: AtomicU64,
}

impl Outcome {
    fn tell(&self, took: Duration, json: bool) -> Result<()> {
        let (accepted, failed) = (self.accepted.load(Relaxed), self.failed.load(Relaxed));
        if accepted + failed > 1 && !json {
            let rate = accepted as f64 / took.as_secs_f64().max(0.001);
            println!("{accepted} accepted, {failed} not, in {:.2} s ({rate:.0} a second)", took.as_secs_f64());
        }
        if failed > 0 {
            bail!("{failed} of {} were not accepted", accepted + failed);
        }
        Ok(())
    }
}

async fn post(client: Client, url: String, sender: Arc<Sender>, number: u64, outcome: Arc<Outcome>) -> Result<String> {
    let request = sender.request(number, SystemClock.now_ms()).map_err(|reason| anyhow::anyhow!(reason))?;
    let mut post = client.post(format!("{url}{}", request.path)).body(request.body);
    for (name, value) in request.headers {
        post = post.header(name, value);
    }
    let answer = post.send().await.with_context(|| format!("cannot reach {url}"))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status != StatusCode::OK {
        bail!("{status}: {text}");
    }
    outcome.accepted.fetch_add(1, Relaxed);
    Ok(text)
}

fn unknown(provider: &str, event: &str) -> String {
    let known: Vec<_> =
        samples::all().filter(|sample| sample.provider == provider).map(|sample| sample.event).collect();
    if known.is_empty() {
        return format!("there is no sample of {provider:?}; nexus send --list names all of them");
    }
    format!("there is no sample {event:?} of {provider}; there are {}", known.join(", "))
}
