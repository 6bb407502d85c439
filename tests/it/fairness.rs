//! One sender's flood is its own: others are served, and a log that cannot
//! take more says so without forgetting or inventing anything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ingest::{self, Ingest};
use pipeline::{
    ports::{Clock, LogError},
    testing::MemoryLog,
    topics::Topic,
};
use providers::samples::{self, Request, Sender};
use reqwest::StatusCode;
use runtime::{
    clock::SystemClock,
    config::Config,
    directory::Directory,
    http::server,
    sealing::{Seal, new_key},
    telemetry::metrics::Metrics,
};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::hub::{Hub, PATIENCE, SECRET, client, config};

/// Ingest alone, over a log that fails and waits when told to.
struct Door {
    log: MemoryLog,
    address: SocketAddr,
    client: reqwest::Client,
    _stop: watch::Sender<bool>,
}

/// What an answer says.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    retry_after: Option<String>,
    json: Value,
}

impl Door {
    async fn open(change: impl FnOnce(&mut Config)) -> Door {
        let mut config = config(std::path::Path::new("unused"));
        change(&mut config);
        let log = MemoryLog::new(4);
        let (clock, metrics) = (Arc::new(SystemClock), Metrics::new().unwrap());
        let directory = Arc::new(Directory::default());
        directory.set_known();
        let seal = Arc::new(Seal::new(&new_key()).unwrap());
        let ingest = Arc::new(Ingest::new(&config, Arc::new(log.clone()), clock, metrics, directory, seal));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let settings = server::Settings {
            connections_max: config.server.connections_max,
            head_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(1),
        };
        tokio::spawn(server::serve(listener, ingest::router(ingest), settings, stopped));
        Door { log, address, client: client(), _stop: stop }
    }

    fn post(&self, request: Request) -> impl Future<Output = Answer> + use<> {
        let mut post = self.client.post(format!("http://{}{}", self.address, request.path)).body(request.body);
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        async {
            let answer = post.send().await.unwrap();
            let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            Answer { status: answer.status(), retry_after, json: answer.json().await.unwrap() }
        }
    }

    /// Waits until so many webhooks are in the log's hands.
    async fn stored(&self, count: usize) {
        timeout(PATIENCE, async {
            while self.log.records(Topic::WebhooksRaw).len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .expect("they are stored");
    }
}

fn message(tenant: &str, team: &str) -> Request {
    let sample = samples::find("slack", "message").unwrap();
    let (secret, external_id) = (Some(SECRET.to_owned()), Some(team.to_owned()));
    let sender = Sender { sample, secret, connection: Some(format!("{tenant}-slack")), external_id };
    sender.request(0, SystemClock.now_ms()).unwrap()
}

fn acmes() -> Request {
    message("acme", "T0ACME")
}

fn umbras() -> Request {
    message("umbra", "T0UMBRA")
}

#[tokio::test]
async fn a_flooded_tenant_is_told_to_come_back_and_the_other_is_not() {
    let door = Door::open(|config| {
        config.server.tenant_requests_max = 4;
        config.server.tenant_waiting_max = 6;
    })
    .await;
    door.log.hold();
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        flood.spawn(door.post(acmes()));
    }
    // Ninety find no place, and are told at once, while the log takes nothing.
    for _ in 0..90 {
        let answer = timeout(PATIENCE, flood.join_next()).await.expect("an answer").unwrap().unwrap();
        assert_eq!((answer.status, &answer.json["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"tenant_busy".into()));
        assert_eq!(answer.retry_after.as_deref(), Some("1"));
    }
    let mut others = JoinSet::new();
    for _ in 0..10 {
        others.spawn(door.post(umbras()));
    }
    assert!(timeout(Duration::from_millis(50), others.join_next()).await.is_err(), "they wait, and are not refused");
    door.log.release();
    door.stored(14).await;
    for answer in others.join_all().await.iter().chain(&flood.join_all().await) {
        assert_eq!((answer.status, &answer.json["data"]["duplicate"]), (StatusCode::OK, &false.into()));
    }
    assert_eq!(door.log.records(Topic::WebhooksRaw).len(), 20);
    assert_eq!(door.post(acmes()).await.status, StatusCode::OK, "when the flood is over");
}

#[tokio::test]
async fn who_gives_up_leaves_its_place() {
    let door = Door::open(|config| {
        config.server.tenant_requests_max = 1;
        config.server.tenant_waiting_max = 1;
    })
    .await;
    door.log.hold();
    for _ in 0..5 {
        assert!(timeout(Duration::from_millis(60), door.post(acmes())).await.is_err(), "waits, and hangs up");
    }
    door.log.release();
    assert_eq!(door.post(acmes()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_the_log_does_not_take_is_not_remembered() {
    let door = Door::open(|_| {}).await;
    for error in [
        LogError::Busy { bound_bytes: 1 },
        LogError::Unavailable { detail: "the disk is full".to_owned() },
        LogError::Lost { detail: "a sync failed".to_owned() },
    ] {
        let request = acmes();
        for _ in 0..2 {
            door.log.fail_next_append(error.clone());
            let answer = door.post(request.clone()).await;
            assert_eq!((answer.status, answer.retry_after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
            assert!(!answer.json.to_string().contains("disk"), "{} is ours to know", answer.json);
        }
        let first = door.post(request.clone()).await;
        assert_eq!((first.status, &first.json["data"]["duplicate"]), (StatusCode::OK, &false.into()));
        let again = door.post(request).await;
        assert_eq!(again.json["data"]["duplicate"], true);
        assert_eq!(again.json["data"]["id"], first.json["data"]["id"]);
    }
    assert_eq!(door.log.records(Topic::WebhooksRaw).len(), 3);
    door.log.fail_next_append(LogError::TooLarge { bytes: 2, max_bytes: 1 });
    assert_eq!(door.post(acmes()).await.status, StatusCode::PAYLOAD_TOO_LARGE, "never to be sent again");
}

/// While the first is under way its repeats wait; when it fails, one of them is
/// the first.
#[tokio::test]
async fn repeats_of_a_delivery_that_failed_are_not_all_refused() {
    let door = Door::open(|_| {}).await;
    door.log.fail_next_append(LogError::Unavailable { detail: "once".to_owned() });
    let request = acmes();
    let mut posts = JoinSet::new();
    for _ in 0..20 {
        posts.spawn(door.post(request.clone()));
    }
    let answers = posts.join_all().await;
    let count = |wanted: &dyn Fn(&Answer) -> bool| answers.iter().filter(|answer| wanted(answer)).count();
    assert_eq!(count(&|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE), 1, "{answers:#?}");
    assert_eq!(count(&|answer| answer.json["data"]["duplicate"] == false), 1);
    assert_eq!(count(&|answer| answer.json["data"]["duplicate"] == true), 18);
    assert_eq!(door.log.records(Topic::WebhooksRaw).len(), 1);
}

/// Slow strangers on many connections, each with a large body that never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_and_big_bodies_delay_nobody() {
    // They stay for longer than anybody waits for an answer here, so an answer
    // is one that did not wait for them.
    let hub = Hub::start_with(|config| {
        config.server.body_idle_timeout_ms = 600_000;
        config.server.body_timeout_ms = 600_000;
    })
    .await;
    let mut slow = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(hub.address()).await.unwrap();
        let route = if number % 2 == 0 { "github" } else { "slack" };
        let head = format!(
            "POST /webhooks/{route} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut big = hub.sample("acme", "github", "issues.opened");
    big.body.extend(vec![b' '; 900_000]);
    let hub = Arc::new(hub);
    let mut flood = JoinSet::new();
    for _ in 0..100 {
        let (hub, big) = (Arc::clone(&hub), big.clone());
        flood.spawn(async move { hub.post(big).await.status });
    }
    for stream in &mut slow {
        let _ = stream.write_all(b" ").await;
    }
    for _ in 0..30 {
        let answer = hub.post(hub.sample("umbra", "slack", "message")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let refused = flood.join_all().await;
    assert!(refused.iter().all(|status| *status == StatusCode::UNAUTHORIZED), "their signature is another body's");
    hub.is_unharmed().await;
}

#[tokio::test]
async fn beyond_its_connections_a_hub_lets_wait_and_still_stops() {
    let hub = Hub::start_with(|config| {
        config.server.connections_max = 4;
        config.server.head_timeout_ms = 300;
    })
    .await;
    // The client of the tests keeps one open; strangers take the rest, say
    // nothing, and are shown out one after the other.
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(TcpStream::connect(hub.address()).await.unwrap());
    }
    hub.webhook("slack", "message").await.id();
    hub.events(1).await;
    for _ in 0..12 {
        idle.push(TcpStream::connect(hub.address()).await.unwrap());
    }
    hub.stop().await;
}
