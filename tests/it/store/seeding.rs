//! `nexus seed` and `nexus migrate`, as scripts run them; and what of a seeded
//! tenant a hub then knows.

use std::{path::Path, process::Output};

use hub::{Hub, roles::Role, seeding};
use pipeline::{
    event::{Agent, Client, Command, Connection, Notify, Project, Workgroup},
    ports::{Clock, Log},
    testing::MemoryLog,
    topics::Topic,
};
use providers::samples::{self, Sender};
use runtime::{clock::SystemClock, config::Config, directory::Directory, keys::Keys};
use serde_json::Value;
use std::sync::Arc;
use store::announce::Announcer;

use super::on_each;
use crate::{
    hub::{PATIENCE, client},
    process::nexus,
};

fn seed(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = nexus();
    command.args(arguments).env("NEXUS_DATA_DIR", directory).env("NEXUS_AUTH_BCRYPT_COST", "4");
    command.env("NEXUS_LOG_SEGMENT_MB", "4").env("WEBHOOK_SECRET_CLICKUP", "clickup-hush");
    command.current_dir(std::env::temp_dir()).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every string of an object that a field of one of these names has.
fn secrets(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
            Value::String(secret) if name.to_lowercase().ends_with("secret") => found.push(secret.clone()),
            value => secrets(value, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| secrets(item, found)),
        _ => {}
    }
}

fn hub_config(directory: &Path) -> Config {
    let mut config = Config::load(None, []).unwrap();
    config.data_dir = directory.to_path_buf();
    config.server.port = 0;
    config.log.segment_mb = 4;
    config
}

async fn is_taken(hub: &Hub, secret: &str, webhook: &str) -> bool {
    let sample = samples::find("clickup", "taskCreated").unwrap();
    let sender =
        Sender { sample, secret: Some(secret.to_owned()), connection: None, external_id: Some(webhook.to_owned()) };
    let request = sender.request(0, SystemClock.now_ms()).unwrap();
    let mut post = client().post(format!("{}{}", hub.url(), request.path)).body(request.body);
    for (name, value) in request.headers {
        post = post.header(name, value);
    }
    post.send().await.unwrap().status().is_success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_seeded_once_with_the_hub_stopped_or_running() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path();
    assert!(json(&seed(directory, &["migrate", "--json"]))["version"].as_i64().unwrap() > 0);
    let first = json(&seed(directory, &["seed", "--json"]));
    let mut shown = Vec::new();
    secrets(&first, &mut shown);
    assert_eq!(shown.len(), 2 + 2 + 3, "admin, analyst, two agents, three connections: {first}");
    assert_eq!(first["connections"][0]["webhookSecret"], "clickup-hush", "the environment's");
    let again = json(&seed(directory, &["seed", "--json"]));
    let mut shown_again = Vec::new();
    secrets(&again, &mut shown_again);
    assert_eq!(shown_again, Vec::<String>::new(), "printed once");
    assert_eq!(again["agents"][1]["clientId"], first["agents"][1]["clientId"]);
    assert!(again["admin"]["clientSecret"].is_null());
    let text = String::from_utf8(seed(directory, &["seed"]).stdout).unwrap();
    assert!(text.contains("was there already"), "{text}");

    // Nothing of it lies about in clear: not in the store, not in the log.
    let mut files = vec![directory.to_path_buf()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for secret in &shown {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }

    let hub = Hub::start(&hub_config(directory), &Role::all()).await.unwrap();
    tokio::time::timeout(PATIENCE, hub.ready()).await.unwrap();
    let webhook = first["connections"][0]["externalId"].as_str().unwrap();
    assert!(is_taken(&hub, "clickup-hush", webhook).await, "the store's connection is known at the door");
    assert!(!is_taken(&hub, "another", webhook).await);
    let bench = "7fa3ec74-69a8-4530-a251-8a13730bd204";
    assert!(!is_taken(&hub, "clickup-hush", bench).await, "not seeded yet");
    let path = directory.to_path_buf();
    let seeded = tokio::task::spawn_blocking(move || json(&seed(&path, &["seed", "--bench", "--json"]))).await.unwrap();
    assert_eq!(seeded["bench"]["webhookSecret"], "clickup-hush");
    let begun = std::time::Instant::now();
    while !is_taken(&hub, "clickup-hush", bench).await {
        assert!(begun.elapsed() < PATIENCE, "the running hub does not hear of it");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    hub.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_seeded_is_what_every_process_knows() {
    on_each("seeding", |bench| async move {
        let mut config = bench.config.clone();
        config.webhooks.secrets.insert("slack".to_owned(), "slack-hush".to_owned());
        let keys = Keys::load(&config).expect("keys");
        let store = Arc::new(bench.another().await);
        let seeded = seeding::seed(&store, &config, &keys.seal).await.expect("seeded");
        assert!(seeded.new && !seeding::seed(&store, &config, &keys.seal).await.expect("seeded").new);
        let prepared = seeding::seed_bench(&store, &config, &keys.seal).await.expect("prepared");
        assert_eq!(prepared.webhook_secret.as_deref(), Some("bench-webhook-secret"));
        let again = seeding::seed_bench(&store, &config, &keys.seal).await.expect("prepared");
        assert_eq!(again.webhook_secret, None);

        let log = MemoryLog::new(4);
        let announcer =
            Announcer { store: Arc::clone(&store), log: Arc::new(log.clone()) as Arc<dyn Log>, house: None };
        announcer.catch_up().await.expect("announced");
        let known = Directory::default();
        log.records(Topic::Control).iter().for_each(|record| known.apply(record));
        for login in [&seeded.admin, &seeded.analyst, &seeded.agents[0].login, &seeded.agents[1].login] {
            let (tenant, _) = known.client(&login.client_id).expect("a client");
            assert_eq!(&*tenant, seeded.tenant.id);
            let hash = store.clients().credentials(&login.client_id).await.expect("asked").expect("there").bcrypt_hash;
            assert!(bcrypt_holds(login.client_secret.as_deref().expect("shown"), &hash));
        }
        let slack = seeded.connections.iter().find(|connection| connection.provider == "slack").expect("Slack");
        let row = known.get::<Connection>(seeded.tenant.id, &slack.id).expect("known");
        let secret = keys.seal.open(seeded.tenant.id, &slack.id, &row.sealed_secrets[0]);
        assert_eq!((slack.webhook_secret.as_deref(), secret.as_deref()), (Some("slack-hush"), Some("slack-hush")));

        assert_eq!(known.all::<Agent>("bench").len(), 10);
        assert_eq!(known.all::<Client>("quiet").len(), 100);
        let project = known.get::<Project>("bench", "prj_bench").expect("known");
        assert_eq!((project.clickup_list_id.as_deref(), project.notify), (Some("901100000001"), Notify::All));
        let squad = known.get::<Workgroup>("bench", project.workgroup_id.as_deref().expect("a squad"));
        assert_eq!(squad.expect("known").agent_ids.len(), 10);
        for (client, secret) in [("bench-9", "bench-secret"), ("idle-99", "idle-secret")] {
            let hash = store.clients().credentials(client).await.expect("asked").expect("there").bcrypt_hash;
            assert!(bcrypt_holds(secret, &hash));
        }
        let commands = log.records(Topic::Commands);
        let track = serde_json::from_slice::<Command>(commands[0].value.as_deref().expect("a value")).expect("read");
        let Command::TrackTask { channel_id, thread_ts, .. } = track else { panic!("not {track:?}") };
        assert_eq!((channel_id.as_deref(), thread_ts.as_deref()), (Some("C0BENCH0001"), Some("1700000000.000100")));
    })
    .await;
}

fn bcrypt_holds(secret: &str, hash: &str) -> bool {
    bcrypt::verify(secret, hash).expect("a hash")
}
