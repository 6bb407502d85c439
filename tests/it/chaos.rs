//! kill -9 under load: every webhook that was answered 200 becomes exactly one
//! event, however often the hub dies, and each agent is told of it once.

mod agents;
mod gateways;
mod lacking;
mod mirror;
mod rebalance;
mod switch;

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use pipeline::ports::Clock;
use providers::samples::{self, Sender};
use runtime::clock::SystemClock;
use serde_json::Value;

use super::{
    hub::{PATIENCE, SECRET, client},
    process::{Process, nexus},
};

const SENDERS: usize = 16;

fn rounds(unless_told: usize) -> usize {
    std::env::var("NEXUS_CHAOS_ROUNDS").map_or(unless_told, |rounds| rounds.parse().unwrap())
}

fn start(directory: &Path, tenant: &str, kafka: Option<(&str, &str)>) -> Process {
    let mut command = nexus();
    command.args(["up"]);
    settings(&mut command, directory, tenant, kafka);
    Process::start(command)
}

fn settings(command: &mut Command, directory: &Path, tenant: &str, kafka: Option<(&str, &str)>) {
    command
        .env("NEXUS_DATA_DIR", directory)
        .env("PORT", "0")
        .env("NEXUS_AUTH_BCRYPT_COST", "4")
        .env("NEXUS_DEFAULT_TENANT", tenant)
        .env("NEXUS_LOG_SEGMENT_MB", "2")
        .env("WEBHOOK_SECRET_CLICKUP", SECRET);
    if let Some((brokers, prefix)) = kafka {
        command
            .env("KAFKA_BROKERS", brokers)
            .env("NEXUS_KAFKA_TOPIC_PREFIX", prefix)
            .env("NEXUS_KAFKA_GROUP_INSTANCE_ID", format!("{prefix}0"));
    }
}

/// Sends until told to stop; a request that fails is sent again, unchanged,
/// as providers do.
async fn sender(
    sample: &'static str,
    url: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    number: Arc<AtomicU64>,
) -> Vec<(String, bool)> {
    let client = client();
    let sample = samples::find("clickup", sample).unwrap();
    let sender = Sender { sample, secret: Some(SECRET.to_owned()), connection: None, external_id: None };
    let mut accepted = Vec::new();
    while !stop.load(Relaxed) {
        let request = sender.request(number.fetch_add(1, Relaxed), SystemClock.now_ms()).unwrap();
        loop {
            let target = format!("{}{}", url.lock().unwrap(), request.path);
            let mut post = client.post(target).body(request.body.clone());
            for (name, value) in &request.headers {
                post = post.header(*name, value);
            }
            if let Ok(answer) = post.send().await
                && answer.status().is_success()
                && let Ok(answer) = answer.json::<Value>().await
            {
                let data = &answer["data"];
                accepted.push((data["id"].as_str().unwrap().to_owned(), data["duplicate"] == true));
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    accepted
}

async fn event_ids(url: &str, token: &str) -> Vec<String> {
    let client = client();
    let answer = client.get(format!("{url}/admin/topics/events")).bearer_auth(token).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["value"]["id"].as_str().unwrap().to_owned();
    text.lines().map(id).collect()
}

async fn story(rounds: usize, kafka: Option<(&str, &str)>) {
    let directory = tempfile::tempdir().unwrap();
    let mut hub = start(directory.path(), "acme", kafka);
    let url = Arc::new(Mutex::new(hub.url.clone()));
    let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| tokio::spawn(sender("taskCreated", Arc::clone(&url), Arc::clone(&stop), Arc::clone(&number))))
        .collect();
    for round in 0..rounds {
        // Anywhere between the first requests after a start and a long run.
        tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 7919) % 300)).await;
        let old = hub;
        let directory = directory.path().to_owned();
        let kafka = kafka.map(|(brokers, prefix)| (brokers.to_owned(), prefix.to_owned()));
        hub = tokio::task::spawn_blocking(move || {
            old.kill();
            start(&directory, "acme", kafka.as_ref().map(|(brokers, prefix)| (brokers.as_str(), prefix.as_str())))
        })
        .await
        .unwrap();
        hub.url.clone_into(&mut url.lock().unwrap());
    }
    stop.store(true, Relaxed);
    let mut accepted = Vec::new();
    for sender in senders {
        accepted.extend(sender.await.unwrap());
    }
    // A webhook that was durable when the hub died before its answer was sent
    // again: that second record is dropped inside, so its id has no event.
    let token = hub::Notice::read(directory.path()).unwrap().token;
    let begun = std::time::Instant::now();
    let sent: BTreeSet<_> = (0..number.load(Relaxed)).collect();
    loop {
        let ids = event_ids(&hub.url, &token).await;
        let unique: BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len(), "an event id stands twice");
        if ids.len() >= sent.len() {
            assert_eq!(ids.len(), sent.len(), "more events than webhooks");
            let missing = accepted.iter().filter(|(id, _)| !unique.contains(id)).count();
            println!(
                "{rounds} kills: {} webhooks, {} events, {missing} taken twice at the door",
                sent.len(),
                ids.len()
            );
            assert!(missing <= rounds * SENDERS, "only what was under way at a kill may be taken twice");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{} of {} accepted webhooks have an event", ids.len(), sent.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accepted_webhook_is_lost_or_doubled_by_kill_9() {
    story(rounds(8), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_on_kafka() {
    let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
        println!("off: NEXUS_TEST_KAFKA is not set");
        return;
    };
    let prefix = format!("chaos-{}-", std::process::id());
    story(rounds(4).min(20), Some((&brokers, &prefix))).await;
}
