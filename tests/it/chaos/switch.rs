//! The kill switch over processes: it is thrown at one, and all are silent. One
//! that died with its sockets is waited for as long as its lease, and no longer.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    agents::seed,
    gateways::{KEYS, run},
};
use crate::{
    agents::socket::{KINDS, Kind, Socket},
    hub::{PATIENCE, client},
    process::Process,
};

/// How often it is thrown with everybody there.
const TRIALS: usize = 5;
/// What the process does that is not a gateway or the mirror: it looks things up
/// at providers, so it is silenced too.
const CORE: &str = "ingest,pipeline,lookups,api";
/// Sockets at each gateway.
const SOCKETS: usize = 40;

fn address(gateway: &Process) -> SocketAddr {
    gateway.url.trim_start_matches("http://").parse().unwrap()
}

/// The core, where the switch is, and those whom it concerns.
struct Hub {
    core: Process,
    gateways: Vec<Process>,
    /// A platform's token, and an agent's.
    tokens: (String, String),
}

impl Hub {
    async fn ask(&self, path: &str, body: Value) -> Value {
        let request = client().post(format!("{}{path}", self.core.url)).bearer_auth(&self.tokens.0).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json::<Value>().await.unwrap()["data"].clone()
    }

    /// Opens a socket, as often as it takes until the gateway knows the agent and
    /// that it may go on.
    async fn open(&self, gateway: &Process, kind: Kind) -> Socket {
        let begun = Instant::now();
        loop {
            match Socket::open(address(gateway), kind, &self.tokens.1).await {
                Ok(mut socket) => {
                    socket.expect("hello").await;
                    return socket;
                }
                Err(refusal) => assert!(begun.elapsed() < PATIENCE, "{refusal:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sockets of both kinds at each gateway, which wait for their end: what each
    /// was told last, and when that was.
    async fn sockets(&self) -> Vec<tokio::task::JoinHandle<(Option<(String, Value)>, Instant)>> {
        let mut sockets = Vec::new();
        for gateway in &self.gateways {
            for number in 0..SOCKETS {
                let mut socket = self.open(gateway, KINDS[number % 2]).await;
                sockets.push(tokio::spawn(async move { (socket.rest().await.pop(), Instant::now()) }));
            }
        }
        sockets
    }
}

/// Those who act, by their roles, and how each fell silent.
fn states(thrown: &Value) -> Vec<(String, &str)> {
    let roles = |one: &Value| {
        let roles = one["roles"].as_array().unwrap().iter();
        roles.map(|role| role.as_str().unwrap()).collect::<Vec<_>>().join(",")
    };
    let instances = thrown["instances"].as_array().unwrap().iter();
    let mut states: Vec<_> = instances.map(|one| (roles(one), one["state"].as_str().unwrap())).collect();
    states.sort_unstable();
    states
}

fn named<const COUNT: usize>(states: [(&str, &'static str); COUNT]) -> Vec<(String, &'static str)> {
    states.map(|(roles, state)| (roles.to_owned(), state)).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_switch_silences_every_process_on_kafka() {
    let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
        println!("off: NEXUS_TEST_KAFKA is not set");
        return;
    };
    let prefix = format!("chaos-switch-{}-", std::process::id());
    let kafka = (&*brokers, &*prefix);
    let directory = tempfile::tempdir().unwrap();
    let login = seed(directory.path(), Some(kafka), &KEYS).remove(0);
    let others = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (core, mirror, gateways) = tokio::task::block_in_place(|| {
        let core = run(CORE, directory.path(), kafka, 0);
        let mirror = run("mirror", others[2].path(), kafka, 3);
        let gateways = [0, 1].map(|number| run("gateway", others[number].path(), kafka, number + 1));
        (core, mirror, gateways.into())
    });
    let asked = json!({ "client_id": login.0, "client_secret": login.1 });
    let answer = client().post(format!("{}/auth/token", core.url)).json(&asked).send().await.unwrap();
    let agents = answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
    let platforms = hub::Notice::read(directory.path()).unwrap().token;
    let mut hub = Hub { core, gateways, tokens: (platforms, agents) };

    let (silent, expired) = ("silent", "lease_expired");
    let mut took_ms = Vec::new();
    for _ in 0..TRIALS {
        let sockets = hub.sockets().await;
        let begun = Instant::now();
        let thrown = hub.ask("/admin/stop-all-agents", json!({ "reason": "an agent runs wild" })).await;
        let mut last = Instant::now();
        let all = [("gateway", silent), ("gateway", silent), (CORE, silent), ("mirror", silent)];
        assert_eq!(states(&thrown), named(all), "{thrown}");
        for socket in sockets {
            let (told, closed) = socket.await.unwrap();
            let (name, data) = told.unwrap();
            assert_eq!((&*name, &data["reason"]), ("stopped", &json!("an agent runs wild")));
            last = last.max(closed);
        }
        took_ms.push((last - begun).as_millis());
        for (gateway, kind) in hub.gateways.iter().zip(KINDS) {
            assert!(Socket::open(address(gateway), kind, &hub.tokens.1).await.is_err(), "{kind:?}: it was let in");
        }
        hub.ask("/admin/resume", json!({})).await;
    }
    took_ms.sort_unstable();
    println!("{} sockets at two gateways, on Kafka: the last closed after {took_ms:?} ms", 2 * SOCKETS);
    assert!(took_ms[TRIALS - 1] < 1_000, "{took_ms:?}");

    // One dies without a word: what it might still do is waited for, once.
    let sockets = hub.sockets().await;
    let dead = hub.gateways.remove(0);
    tokio::task::block_in_place(|| dead.kill());
    let thrown = hub.ask("/admin/stop-all-agents", json!({ "reason": "again" })).await;
    let all = [("gateway", expired), ("gateway", silent), (CORE, silent), ("mirror", silent)];
    assert_eq!(states(&thrown), named(all), "{thrown}");
    assert!(thrown["silentAfterMs"].as_u64().unwrap() < 2_000, "{thrown}");
    for socket in sockets {
        socket.await.unwrap();
    }
    hub.ask("/admin/resume", json!({})).await;
    let thrown = hub.ask("/admin/stop-all-agents", json!({ "reason": "and again" })).await;
    assert_eq!(states(&thrown), named([("gateway", silent), (CORE, silent), ("mirror", silent)]), "{thrown}");

    // Who starts while all is stopped lets nobody in, until it may.
    let third = tempfile::tempdir().unwrap();
    let late = tokio::task::block_in_place(|| run("gateway", third.path(), kafka, 4));
    assert!(Socket::open(address(&late), Kind::Plain, &hub.tokens.1).await.is_err());
    hub.ask("/admin/resume", json!({})).await;
    hub.open(&late, Kind::SocketIo).await;
    drop(mirror);
}
