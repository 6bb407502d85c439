//! Agents that come and go, and gateways that die without a word. A seed
//! chooses; a seed that fails is printed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use gateway::{Settings, session::Limits};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Credentials, Instance, Kind, Socket, World, settings, until};

/// Seeds, unless `NEXUS_CHAOS_SEEDS` says otherwise.
const SEEDS: u64 = 20;
/// Seeds at the same time: each waits much more than it computes.
const AT_ONCE: usize = 5;
const AGENTS: usize = 3;
const EVENTS: usize = 60;

/// Numbers that a seed determines.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What an agent has in its books.
#[derive(Default)]
struct Books {
    received: Vec<(u64, String)>,
    ids: BTreeSet<String>,
    acked: BTreeSet<String>,
    faults: Vec<String>,
}

impl Books {
    fn take(&mut self, event: &Value) -> String {
        let id = event["eventId"].as_str().unwrap().to_owned();
        let (seq, prev_seq) = (event["seq"].as_u64().unwrap(), event["prevSeq"].as_u64().unwrap());
        if self.ids.insert(id.clone()) {
            let last = self.received.last().map_or(0, |(seq, _)| *seq);
            if seq != last + 1 || prev_seq != last {
                self.faults.push(format!("{id} has {prev_seq} → {seq} after {last}"));
            }
            self.received.push((seq, id.clone()));
        }
        id
    }
}

/// Lives for as long as it is told to: connects somewhere, takes what comes,
/// acknowledges most of it, goes, comes back.
async fn agent(
    who: Credentials,
    gateways: Arc<RwLock<Vec<std::net::SocketAddr>>>,
    books: Arc<Mutex<Books>>,
    over: Arc<AtomicBool>,
    mut dice: Dice,
) {
    while !over.load(SeqCst) {
        let address = {
            let gateways = gateways.read().unwrap();
            gateways[dice.roll(gateways.len() as u64) as usize]
        };
        let kind = if dice.roll(2) == 0 { Kind::Plain } else { Kind::SocketIo };
        // A gateway that just died refuses, or never answers.
        let opening = tokio::spawn({
            let token = who.token.clone();
            async move { Socket::open(address, kind, &token).await }
        });
        let Ok(Ok(Ok(socket))) = timeout(Duration::from_secs(1), opening).await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let stays = if over.load(SeqCst) { u64::MAX } else { dice.roll(25) };
        let mut held = Some(socket);
        for turn in 0..stays {
            // A task of its own: where the gateway dies, the helper panics.
            let Some(mut socket) = held.take() else { break };
            let heard = tokio::spawn(async move {
                let next = timeout(Duration::from_millis(300), socket.next()).await;
                (socket, next)
            });
            let Ok((mut socket, next)) = heard.await else { break };
            match next {
                Err(_) if over.load(SeqCst) => return,
                Err(_) => {}
                Ok(None) => break,
                Ok(Some((name, _))) if name == "hello" => {
                    socket.say("agent_ready", json!({"ack": true})).await;
                }
                Ok(Some((name, event))) if event["eventId"].is_null() => {
                    books.lock().unwrap().faults.push(format!("{name} {event}"));
                }
                Ok(Some((_, event))) => {
                    let id = books.lock().unwrap().take(&event);
                    // Now and then it forgets to say that it has something.
                    if dice.roll(5) > 0 || turn > 20 {
                        socket.say("ack", json!({ "id": id })).await;
                        books.lock().unwrap().acked.insert(id);
                    }
                }
            }
            held = Some(socket);
        }
        if dice.roll(2) == 0
            && let Some(socket) = held
        {
            let _ = timeout(Duration::from_millis(200), socket.close()).await;
        }
    }
}

async fn shake(seed: u64) {
    let world = World::new().await;
    let settings = || Settings {
        limits: Limits { ack_timeout_ms: 150, unacked_max: 8, grace_ms: 50, ..settings().limits },
        ..settings()
    };
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9) + 1);
    let mut instances: Vec<Instance> = vec![world.gateway_with(settings()).await, world.gateway_with(settings()).await];
    let addresses = Arc::new(RwLock::new(instances.iter().map(|one| one.address).collect::<Vec<_>>()));
    let over = Arc::new(AtomicBool::new(false));
    let (mut all_books, mut lives) = (Vec::new(), tokio::task::JoinSet::new());
    let names: Vec<String> = (0..AGENTS).map(|number| format!("agent-{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let (who, books) = (world.agent(name).await, Arc::new(Mutex::new(Books::default())));
        all_books.push(Arc::clone(&books));
        let dice = Dice(seed * 31 + number as u64);
        lives.spawn(agent(who, Arc::clone(&addresses), books, Arc::clone(&over), dice));
    }
    for _ in 0..EVENTS {
        let to: Vec<&str> = names.iter().filter(|_| dice.roll(3) > 0).map(String::as_str).collect();
        world.tell(&to, "wake_up").await;
        match dice.roll(12) {
            0 => {
                let victim = dice.roll(instances.len() as u64) as usize;
                let next = world.gateway_with(settings()).await;
                addresses.write().unwrap()[victim] = next.address;
                std::mem::replace(&mut instances[victim], next).kill();
            }
            1 => sleep(Duration::from_millis(dice.roll(30))).await,
            _ => {}
        }
    }
    for (name, books) in names.iter().zip(&all_books) {
        let all = world.seq(name);
        until(&format!("{name} has all with seed {seed}"), || books.lock().unwrap().ids.len() as u64 >= all).await;
    }
    over.store(true, SeqCst);
    while lives.join_next().await.is_some() {}
    for (name, books) in names.iter().zip(&all_books) {
        let books = books.lock().unwrap();
        assert!(books.faults.is_empty(), "seed {seed}, {name}: {:?}", books.faults);
        let seqs: Vec<u64> = books.received.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=world.seq(name)).collect::<Vec<_>>(), "seed {seed}, {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_once_in_order_whoever_comes_and_goes() {
    let seeds = std::env::var("NEXUS_CHAOS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    stream::iter(0..seeds).for_each_concurrent(AT_ONCE, shake).await;
}
