//! The whole way: the hub dies under load while agents are at their sockets.
//! Each is told of every event once, in order and without a gap, and of nothing
//! that is not an event.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{event_ids, lacking::lacking, rounds, sender, settings, start};
use crate::{
    agents::socket::{Kind, Socket},
    hub::{PATIENCE, client},
    process::nexus,
};

pub const TENANT: &str = "orchard";
pub const SENDERS: usize = 4;

/// What an agent has in its books.
#[derive(Default)]
pub struct Books {
    pub seqs: BTreeMap<String, u64>,
    last: u64,
    pub repeats: usize,
    pub faults: Vec<String>,
}

impl Books {
    fn take(&mut self, name: &str, event: &Value) -> Option<String> {
        let Some(id) = event["eventId"].as_str() else {
            if name != "hello" {
                self.faults.push(format!("{name} {event}"));
            }
            return None;
        };
        let (seq, prev_seq) = (event["seq"].as_u64().unwrap(), event["prevSeq"].as_u64().unwrap());
        match self.seqs.get(id) {
            Some(known) if *known == seq => self.repeats += 1,
            Some(known) => self.faults.push(format!("{id} was {known} and is {seq}")),
            None => {
                if seq != self.last + 1 || prev_seq != self.last {
                    self.faults.push(format!("{id}: {prev_seq} → {seq} after {}", self.last));
                }
                self.last = seq;
                self.seqs.insert(id.to_owned(), seq);
            }
        }
        Some(id.to_owned())
    }
}

/// Comes back as often as the hub does, and forgets an acknowledgement now and
/// then, which it makes good later. Its tokens come from `desk`, its sockets
/// lead to `door`.
pub async fn agent(
    login: (String, String),
    kind: Kind,
    (desk, door): (Arc<Mutex<String>>, Arc<Mutex<String>>),
    over: Arc<AtomicBool>,
    books: Arc<Mutex<Books>>,
) {
    let client = client();
    while !over.load(Relaxed) {
        // One after the other: they may be the same.
        let desk = desk.lock().unwrap().clone();
        let door = door.lock().unwrap().clone();
        let asked = json!({ "client_id": login.0, "client_secret": login.1 });
        let answer = client.post(format!("{desk}/auth/token")).json(&asked).send().await;
        let token = match answer {
            Ok(answer) if answer.status().is_success() => answer.json::<Value>().await.unwrap_or_default(),
            _ => Value::Null,
        };
        let Some(token) = token["access_token"].as_str().map(str::to_owned) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let address: SocketAddr = door.trim_start_matches("http://").parse().unwrap();
        let (books, over) = (Arc::clone(&books), Arc::clone(&over));
        // A task of its own: where the hub dies in a handshake, the helper
        // panics.
        let stay = tokio::spawn(async move {
            let Ok(mut socket) = Socket::open(address, kind, &token).await else { return };
            let mut count = 0;
            while !over.load(Relaxed) {
                let Ok(next) = tokio::time::timeout(Duration::from_millis(200), socket.next()).await else { continue };
                let Some((name, event)) = next else { return };
                let id = books.lock().unwrap().take(&name, &event);
                if name == "hello" {
                    socket.say("agent_ready", json!({"ack": true})).await;
                }
                count += 1;
                match id {
                    // All up to it: what was forgotten is made good.
                    Some(_) if count % 20 == 0 => socket.say("ack", json!({ "seq": event["seq"] })).await,
                    Some(id) if count % 7 > 0 => socket.say("ack", json!({ "id": id })).await,
                    _ => {}
                }
            }
        });
        let _ = stay.await;
    }
}

pub fn seed(directory: &Path, kafka: Option<(&str, &str)>, keys: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut command = nexus();
    command.args(["seed", "--json"]).envs(keys.iter().copied());
    settings(&mut command, directory, TENANT, kafka);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seeded: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let agents = seeded["agents"].as_array().unwrap();
    agents.iter().map(|agent| (text(&agent["clientId"]), text(&agent["clientSecret"]))).collect()
}

/// Waits until the agents know of everything, and looks into their books; how
/// often they were told again.
pub async fn audit(all_books: &[Arc<Mutex<Books>>], sent: usize, url: &str, token: &str) -> usize {
    let begun = Instant::now();
    let told = |books: &Arc<Mutex<Books>>| books.lock().unwrap().seqs.len();
    while all_books.iter().any(|books| told(books) < sent) {
        if begun.elapsed() >= PATIENCE {
            panic!("not all agents were told of everything: {}", lacking(all_books, sent, url, token).await);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let events: BTreeSet<_> = event_ids(url, token).await.into_iter().collect();
    let mut repeats = 0;
    for books in all_books {
        let books = books.lock().unwrap();
        assert!(books.faults.is_empty(), "{:?}", books.faults);
        let known: BTreeSet<_> = books.seqs.keys().cloned().collect();
        assert_eq!(known, events, "what an agent was told and what there is");
        repeats += books.repeats;
    }
    repeats
}

async fn story(rounds: usize, kafka: Option<(&str, &str)>) {
    let directory = tempfile::tempdir().unwrap();
    let logins = seed(directory.path(), kafka, &[]);
    let mut hub = start(directory.path(), TENANT, kafka);
    let url = Arc::new(Mutex::new(hub.url.clone()));
    let (stop, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let number = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (url, stop, number) = (Arc::clone(&url), Arc::clone(&stop), Arc::clone(&number));
            tokio::spawn(sender("taskCreated.with_task", url, stop, number))
        })
        .collect();
    let mut all_books = Vec::new();
    let mut agents = Vec::new();
    for (login, kind) in logins.into_iter().zip([Kind::Plain, Kind::SocketIo]) {
        let books = Arc::new(Mutex::new(Books::default()));
        all_books.push(Arc::clone(&books));
        agents.push(tokio::spawn(agent(login, kind, (Arc::clone(&url), Arc::clone(&url)), Arc::clone(&over), books)));
    }
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(50 + (round as u64 * 7919) % 400)).await;
        let old = hub;
        let directory = directory.path().to_owned();
        let kafka = kafka.map(|(brokers, prefix)| (brokers.to_owned(), prefix.to_owned()));
        hub = tokio::task::spawn_blocking(move || {
            old.kill();
            start(&directory, TENANT, kafka.as_ref().map(|(brokers, prefix)| (brokers.as_str(), prefix.as_str())))
        })
        .await
        .unwrap();
        hub.url.clone_into(&mut url.lock().unwrap());
    }
    stop.store(true, Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let sent = number.load(Relaxed) as usize;
    let token = hub::Notice::read(directory.path()).unwrap().token;
    let repeats = audit(&all_books, sent, &hub.url, &token).await;
    over.store(true, Relaxed);
    for agent in agents {
        agent.await.unwrap();
    }
    println!(
        "{rounds} kills: {sent} webhooks, each told to 2 agents once, in order; {repeats} repeats of unacknowledged ones"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_told_everything_once_whatever_dies() {
    story(rounds(6), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_told_everything_once_on_kafka() {
    let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
        println!("off: NEXUS_TEST_KAFKA is not set");
        return;
    };
    let prefix = format!("chaos-agents-{}-", std::process::id());
    story(rounds(3).min(20), Some((&brokers, &prefix))).await;
}
