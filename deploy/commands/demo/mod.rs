//! `nexus demo`: everything embedded, in a directory that goes away, with real
//! webhooks from end to end before your eyes: from (fake) providers to agents,
//! and from agents and people back to the providers.

mod agents;
mod house;
mod sides;
mod story;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use hub::Hub;
use pipeline::{ports::Clock, topics::Topic};
use providers::samples;
use runtime::{clock::SystemClock, config::Config, identity::random_hex, tail};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::{
    agents::{Agents, Told},
    house::{House, SECRET},
    story::Story,
};
use super::{
    hub::stop_signal,
    remote,
    show::{self, excerpt, paint},
};

/// How long an event may take before the demo counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The tour behind the story: provider, event.
const TOUR: &[(&str, &str)] = &[
    ("slack", "app_mention"),
    ("github", "issues.opened"),
    ("jira", "issue_updated.status"),
    ("stripe", "invoice.paid"),
    ("clickup", "taskCreated.with_task"),
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

/// What comes out of the hub, at both of its ends.
struct Outcome {
    events: mpsc::Receiver<Result<String, pipeline::ports::LogError>>,
    agents: Agents,
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
        let house = House::open(config, directory).await?;
        let (hub, url) = (&house.hub, house.hub.url());
        self.say(
            "ready",
            json!({ "url": url, "fakes": house.fakes, "tookMs": begun.elapsed().as_millis() as u64 }),
            &format!(
                "the hub is ready at {url} after {:.0?}: one process, one directory; fake providers at {}",
                begun.elapsed(),
                house.fakes
            ),
        );
        let fakes = house.world.clone();
        let known = Arc::new(move |task: &str| fakes.world().clickup_tasks.get(task).is_some());
        let agents = Agents::connect(&url, &house.seeded.agents, known).await?;
        let names: Vec<_> = house.seeded.agents.iter().map(|agent| agent.name).collect();
        let words = format!("{} are connected; {} calls both", names.join(" and "), house.seeded.alias);
        self.say("agents", json!({ "agents": names }), &words);
        let (to, events) = mpsc::channel(64);
        let query = tail::Query { from: "start".to_owned(), follow: true, partition: None, limit: None };
        let following = tokio::spawn(tail::lines(hub.log(), Topic::Events, query, to));
        let mut outcome = Outcome { events, agents };
        let toured = self.tour(&house, &mut outcome).await;
        if toured.is_ok() && !self.once {
            self.stay(&house, &mut outcome).await?;
        }
        drop(outcome);
        following.abort();
        house.close().await?;
        toured
    }

    async fn tour(&self, house: &House, outcome: &mut Outcome) -> Result<()> {
        Story::new(self, house).tell(outcome).await?;
        let client = remote::client()?;
        let mut sent = Vec::new();
        for (number, (provider, event)) in TOUR.iter().enumerate() {
            let sender = house.sender(provider, event)?;
            let request = sender.request(number as u64, SystemClock.now_ms()).map_err(anyhow::Error::msg)?;
            let begun = Instant::now();
            let answer = post(&client, &house.hub, &request).await?;
            let id = answer["data"]["id"].as_str().context("the hub did not take the webhook")?.to_owned();
            let took = begun.elapsed();
            self.say(
                "sent",
                json!({ "provider": provider, "event": event, "id": id, "tookUs": took.as_micros() as u64 }),
                &format!("{} {provider} {event}: signed, on disk and answered in {took:.1?}", paint("▸", "33")),
            );
            self.until(outcome, begun, |event| event["id"] == id.as_str()).await?;
            sent.push(request);
        }
        self.repeat_and_forge(house, &client, &sent[0]).await?;
        let events = sent.len();
        let words = format!("{events} more webhooks, {events} events, nothing lost, nothing twice");
        self.say("done", json!({ "events": events }), &words);
        Ok(())
    }

    /// Shows what comes, until the event is there.
    async fn until(&self, outcome: &mut Outcome, begun: Instant, is_it: impl Fn(&Value) -> bool) -> Result<()> {
        let mut published = false;
        let waited = tokio::time::timeout(PATIENCE, async {
            while !published {
                tokio::select! {
                    line = outcome.events.recv() => {
                        let record: Value = serde_json::from_str(&line.context("the log ended")??)?;
                        self.show_event(&record["value"], begun);
                        published |= is_it(&record["value"]);
                    }
                    one = outcome.agents.next() => self.show_told(&one?, begun),
                }
            }
            Ok(())
        });
        waited.await.with_context(|| format!("not everything arrived within {PATIENCE:?}"))?
    }

    async fn repeat_and_forge(&self, house: &House, client: &reqwest::Client, first: &samples::Request) -> Result<()> {
        let again = post(client, &house.hub, first).await?;
        let duplicate = again["data"]["duplicate"] == true;
        let words = "▸ the first of these once more: known as a duplicate, no second event";
        self.say("repeat", json!({ "duplicate": duplicate }), words);
        let mut forged = first.clone();
        forged.body.push(b' ');
        let refused = post(client, &house.hub, &forged).await.is_err();
        self.say("forged", json!({ "refused": refused }), "▸ the same with one byte changed: refused");
        if !(duplicate && refused) {
            bail!("a repeat or a forgery was taken for an event");
        }
        Ok(())
    }

    async fn stay(&self, house: &House, outcome: &mut Outcome) -> Result<()> {
        let (url, fakes) = (house.hub.url(), &house.fakes);
        self.say(
            "staying",
            json!({ "url": url, "fakes": fakes }),
            &format!(
                "the hub stays up (Ctrl-C ends it). In another terminal:\n    \
                 curl {fakes}/fakes/clickup/tasks -H 'content-type: application/json' -d '{{\"name\":\"Mine\",\"description\":\"{}\"}}'\n    \
                 curl -s {fakes}/fakes/state | python3 -m json.tool    # what stands at the fake providers\n    \
                 nexus send clickup taskCreated --url {url} --secret {SECRET}\n    \
                 curl {url}/webhooks/health\nEvents, and what the agents are told, as they come:",
                house.seeded.alias
            ),
        );
        loop {
            let begun = Instant::now();
            tokio::select! {
                () = stop_signal() => return Ok(()),
                line = outcome.events.recv() => {
                    let Some(line) = line else { return Ok(()) };
                    let record: Value = serde_json::from_str(&line?)?;
                    self.show_event(&record["value"], begun);
                }
                told = outcome.agents.next() => self.show_told(&told?, begun),
            }
        }
    }

    fn show_event(&self, event: &Value, begun: Instant) {
        let took = begun.elapsed();
        self.say(
            "event",
            json!({ "id": event["id"], "type": event["type"], "tookUs": took.as_micros() as u64, "event": event }),
            &format!("  {} {}  {}", paint("◂", "32"), show::event(event), paint(&format!("{took:.1?}"), "2")),
        );
    }

    fn show_told(&self, told: &Told, begun: Instant) {
        let (took, data) = (begun.elapsed(), &told.data);
        let said = data["message"]["text"].as_str().or(data["task"]["title"].as_str()).unwrap_or_default();
        let said = excerpt(said);
        let kind = data["type"].as_str().unwrap_or_default();
        self.say(
            "told",
            json!({ "agent": told.agent, "event": told.name, "tookUs": took.as_micros() as u64, "data": data }),
            &format!(
                "    {} {:<10} {kind:<16} #{}  “{said}”  {}",
                paint("◂◂", "36"),
                told.agent,
                data["seq"],
                paint(&format!("{took:.1?}"), "2")
            ),
        );
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
