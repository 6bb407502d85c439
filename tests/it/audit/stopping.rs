//! The kill switch with agents at work and the mirror busy.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use pipeline::{event::Act, topics::Topic};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{
    super::{
        agents::{Kind, Socket, socket::Refusal},
        api::Api,
    },
    House, now_ms, until,
};

/// How often it is thrown.
const TRIALS: u64 = 20;
/// Words that the mirror has to say in each trial.
const WORDS: u64 = 12;

/// Sockets that are open when it is thrown: a hundred and fifty, or as many as
/// the benchmark asks for.
fn sockets_open() -> usize {
    std::env::var("NEXUS_TEST_SOCKETS").ok().and_then(|count| count.parse().ok()).unwrap_or(150)
}

impl House {
    /// Of all calls but the first `known`, none came after a time.
    fn is_silent_since(&self, known: usize, acknowledged_ms: u64) {
        let world = self.provider.fakes.world();
        let late: Vec<_> = world.calls.iter().skip(known).filter(|made| made.at_ms > acknowledged_ms).collect();
        assert!(late.is_empty(), "calls after the acknowledgement: {late:?}");
    }
}

/// Sockets that are opened at the same time, and sockets of one agent.
const OPENING: usize = 32;
const OF_AN_AGENT: usize = 100;

/// A socket that waits for its end: what it was told last, and when that was.
type Waiting = JoinHandle<(Option<(String, Value)>, Instant)>;

async fn open_sockets(house: &House, tokens: &[String], count: usize) -> Vec<Waiting> {
    let (address, mut sockets) = (house.api.hub.address(), Vec::with_capacity(count));
    while sockets.len() < count {
        let numbers = sockets.len()..(sockets.len() + OPENING).min(count);
        let opening = numbers.map(|number| async move {
            let kind = if number % 2 == 0 { Kind::Plain } else { Kind::SocketIo };
            let mut socket = Socket::open(address, kind, &tokens[number / OF_AN_AGENT]).await.unwrap();
            socket.expect("hello").await;
            socket
        });
        let opened = futures_util::future::join_all(opening).await.into_iter();
        sockets.extend(opened.map(|mut socket| {
            tokio::spawn(async move {
                let told = socket.rest().await.pop();
                (told, Instant::now())
            })
        }));
    }
    sockets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_silent_within_a_second_and_nothing_is_lost() {
    runtime::process::raise_open_files();
    let count = sockets_open();
    let house = House::open_with(|config| {
        config.agents.agent_sockets_max = OF_AN_AGENT;
        config.upkeep.health_interval_ms = 100;
    })
    .await;
    let mut tokens = vec![house.agent.2.clone()];
    while tokens.len() * OF_AN_AGENT < count {
        tokens.push(house.api.agent_of("acme", &format!("one of many {}", tokens.len())).await.2);
    }
    let issue = house.issue();
    // So slow that some are always on their way.
    house.provider.fault(json!({"provider": "github", "latencyMs": 40}));
    let (mut took_ms, mut said_ms) = (Vec::new(), Vec::new());
    for trial in 0..TRIALS {
        let sockets = open_sockets(&house, &tokens, count).await;
        for number in 0..WORDS {
            house.wants(issue.clone(), 1 + trial * WORDS + number).await;
        }
        let before = house.said().len();
        until("the mirror speaks", || house.said().len() > before).await;
        let begun = Instant::now();
        let stopped = house.stop("an agent runs wild").await;
        let (acknowledged, calls) = (now_ms(), house.provider.fakes.world().calls.len());
        let mut silent = Instant::now();
        assert_eq!(stopped["instances"][0]["state"], "silent", "{stopped}");
        for socket in sockets {
            let (told, closed) = socket.await.unwrap();
            let (name, data) = told.unwrap();
            assert_eq!((&*name, &data["reason"]), ("stopped", &json!("an agent runs wild")));
            silent = silent.max(closed);
        }
        took_ms.push((silent - begun).as_millis());
        said_ms.push(stopped["silentAfterMs"].as_u64().unwrap());
        let refused = Socket::open(house.api.hub.address(), Kind::Plain, &house.agent.2).await;
        assert!(matches!(refused, Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE))));
        assert_eq!(house.webhook("github", "issues.opened", &[]).await.status, StatusCode::OK);
        // Longer than anything takes that was not stopped.
        tokio::time::sleep(Duration::from_millis(150)).await;
        house.is_silent_since(calls, acknowledged);
        house.resume().await;
    }
    took_ms.sort_unstable();
    println!("{count} sockets: the last closed after {took_ms:?} ms; the hub says {said_ms:?}");
    assert!(took_ms[took_ms.len() - 1] < 1_000, "{took_ms:?}");
    let said = || house.said().into_iter().filter(|word| word.starts_with("word ")).collect::<Vec<_>>();
    until("all is said", || said().len() >= (TRIALS * WORDS) as usize).await;
    let all: BTreeSet<_> = said().into_iter().collect();
    assert_eq!((said().len(), all.len()), ((TRIALS * WORDS) as usize, (TRIALS * WORDS) as usize), "each once");
    // What was on its way is in the trail as uncertain, and as done later.
    let acts = house.api.hub.values(Topic::Audit, 1).await;
    let acts: Vec<Act> = acts.into_iter().map(|act| serde_json::from_value(act).unwrap()).collect();
    // With thousands of sockets to be told, a call of 40 ms ends before it is cut.
    let is_cut = acts.iter().any(|act| act.outcome == "uncertain" && act.action == "comment.posted");
    assert!(is_cut || count > 1_000, "{acts:#?}");
    house.api.hub.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_own_switch_is_its_own_and_the_platforms_is_everybodys() {
    let house = House::open().await;
    let other = house.api.agent_of("umbra", "watcher").await;
    let address = house.api.hub.address();
    let mut umbra = Socket::open(address, Kind::Plain, &other.2).await.unwrap();
    umbra.expect("hello").await;
    house.stop("ours").await;
    assert!(Socket::open(address, Kind::Plain, &house.agent.2).await.is_err());
    umbra.say("heartbeat", json!({})).await;
    umbra.hears_nothing().await;
    let state = house.ask("GET", "/admin/state", None).await;
    assert_eq!((&state["data"]["stopped"], &state["data"]["tenant"]["reason"]), (&json!(true), &json!("ours")));
    assert!(state["data"]["everybody"].is_null() && state["data"]["stoppedTenants"].is_null(), "{state}");

    let local = house.api.local();
    let stop = Some(json!({ "reason": "all of you" }));
    let stopped = house.api.ask("POST", "/admin/stop-all-agents", &local, stop).await;
    assert_eq!(
        (stopped.status, &stopped.json()["data"]["scope"]),
        (StatusCode::OK, &json!("_all")),
        "{}",
        stopped.text
    );
    assert_eq!(umbra.rest().await.last().unwrap().0, "stopped");
    // An administrator lifts the own switch, and not everybody's.
    house.resume().await;
    let refused = Socket::open(address, Kind::SocketIo, &house.agent.2).await;
    let Err(Refusal::ConnectError(why)) = refused else { panic!("it was let in") };
    assert!(why.contains("all of you"), "{why}");
    let resumed = house.api.ask("POST", "/admin/resume", &local, None).await;
    assert_eq!(resumed.status, StatusCode::OK, "{}", resumed.text);
    house.socket(Kind::Plain).await;
    Socket::open(address, Kind::Plain, &other.2).await.unwrap();
    for role in ["member", "analyst", "agent"] {
        let token = house.api.client_of("umbra", role).await.1;
        let answer = house.api.ask("POST", "/admin/stop-all-agents", &token, Some(json!({"reason": "x"}))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role}");
    }
    let alerts = house.api.hub.values(Topic::Alerts, 4).await;
    let kinds: Vec<_> = alerts.iter().map(|alert| alert["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "hub.stopped").count(), 2, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "hub.resumed").count(), 2, "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_listed_and_dropped_before_it_goes_on() {
    let house = House::open().await;
    let issue = house.issue();
    house.stop("look first").await;
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(house.wants(issue.clone(), number).await);
    }
    let listed = house
        .until("the commands", "/admin/commands?provider=github&limit=4", |page| {
            page["data"].as_array().unwrap().len() == 4 && page["page"]["next"].is_string()
        })
        .await;
    let next = listed["page"]["next"].as_str().unwrap();
    let rest = house
        .until("the rest", &format!("/admin/commands?provider=github&cursor={next}"), |page| {
            page["data"].as_array().unwrap().len() == 2
        })
        .await;
    assert_eq!(rest["page"]["next"], json!(null));
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["claimed"]), (&json!(ids[0]), &json!(false)));
    assert!(!listed.to_string().contains("word 1"), "nobody's words are shown: {listed}");
    let odd = house.ask("GET", "/admin/commands?taskId=task_1", None).await;
    assert_eq!(odd["data"].as_array().unwrap().len(), 3);

    let dropped = house.ask("POST", "/admin/commands/drop", Some(json!({ "taskId": "task_1" }))).await;
    assert_eq!(dropped["data"], json!({ "dropped": 3, "more": false }));
    let again = house.ask("POST", "/admin/commands/drop", Some(json!({ "taskId": "task_1" }))).await;
    assert_eq!(again["data"]["dropped"], 0, "those are dropped already");
    let other = house.api.client_of("umbra", "admin").await.1;
    let foreign = house.api.ask("POST", "/admin/commands/drop", &other, Some(json!({ "all": true }))).await;
    assert_eq!(foreign.json()["data"]["dropped"], 0, "{}", foreign.text);
    house.resume().await;
    house.until("all has ended", "/admin/commands", |page| page["data"] == json!([])).await;
    let mut said = house.said();
    said.sort();
    assert_eq!(said, ["word 2", "word 4", "word 6"]);
    let acts = house
        .until("the trail", "/api/actions?limit=100", |page| {
            let acts = page["data"].as_array().unwrap();
            acts.iter().filter(|act| act["outcome"] == "failed").count() == 3
        })
        .await;
    let by = |action: &str| acts["data"].as_array().unwrap().iter().filter(|act| act["action"] == action).count();
    assert_eq!((by("command.dropped"), by("hub.stopped"), by("hub.resumed")), (3, 1, 1), "{acts:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_looks_after_connections_calls_either() {
    let house = House::open_with(|config| {
        (config.upkeep.health_interval_ms, config.upkeep.reconcile_interval_ms) = (50, 50);
        config.server.public_url = "http://127.0.0.1:9".to_owned();
    })
    .await;
    let calls = || house.provider.fakes.world().calls.len();
    let before = calls();
    until("connections are looked at", || calls() > before + 10).await;
    // Something is to be changed there, and the answer is slow.
    house.provider.fault(json!({"provider": "clickup", "method": "POST", "latencyMs": 3_000}));
    let connection = json!({ "provider": "clickup", "apiToken": "token-acme" });
    let made = house.api.ask("POST", "/api/connections", &house.admin, Some(connection)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let register = |world: &fakes::world::World| {
        world.calls.iter().any(|call| call.method == "POST" && call.path.ends_with("/webhook"))
    };
    until("a webhook is asked for", || register(&house.provider.fakes.world())).await;
    house.stop("leave them alone").await;
    let (acknowledged_ms, made) = (now_ms(), calls());
    for path in ["/api/connections/con-slack/channels", "/api/connections/con-github/lists"] {
        let refused = house.api.ask("GET", path, &house.admin, None).await;
        assert_eq!(
            (refused.status, refused.json()["code"].clone()),
            (StatusCode::SERVICE_UNAVAILABLE, json!("stopped")),
            "{path}: {}",
            refused.text
        );
        assert!(refused.headers.contains_key("retry-after"));
    }
    // An event of ClickUp's has details to be asked for.
    house.api.hub.webhook("clickup", "taskCreated").await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    house.is_silent_since(made, acknowledged_ms);
    let cut = |page: &Value| {
        let mut acts = page["data"].as_array().unwrap().iter();
        acts.any(|act| act["outcome"] == "uncertain" && act["subject"]["kind"] == "clickup")
    };
    house.until("what was cut off", "/api/actions?limit=100", cut).await;
    house.resume().await;
    let before = calls();
    until("connections are looked at again", || calls() > before + 10).await;
    house.api.hub.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_survives_a_restart() {
    let house = House::open().await;
    let issue = house.issue();
    house.stop("until tomorrow").await;
    house.wants(issue, 1).await;
    let House { api, provider, agent, admin, project } = house;
    let calls = || provider.fakes.world().calls.len();
    let made = calls();
    let directory = api.hub.stop().await;
    let url = provider.url.clone();
    let api = Api::start_in(directory, |config| {
        config.providers.set("clickup_api_url", format!("{url}/clickup/api/v2"));
        config.providers.set("slack_api_url", format!("{url}/slack/api"));
        config.providers.set("github_api_url", format!("{url}/github"));
        config.providers.allow_private_targets = true;
    })
    .await;
    assert!(Socket::open(api.hub.address(), Kind::Plain, &agent.2).await.is_err());
    let state = api.ask("GET", "/admin/state", &admin, None).await.json();
    assert_eq!(
        (&state["data"]["stopped"], &state["data"]["tenant"]["reason"]),
        (&json!(true), &json!("until tomorrow"))
    );
    assert_eq!(state["data"]["instances"].as_array().unwrap().len(), 1, "who went has said so: {state}");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(calls(), made, "nothing is begun");
    let house = House { api, provider, agent, admin, project };
    house.resume().await;
    until("it goes on where it stopped", || house.said() == ["word 1"]).await;
    house.socket(Kind::Plain).await;
}
