//! Many dead letters, and large ones: looked through in pages and sent once
//! more in bounded memory, each once in a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pipeline::{
    ports::{Clock, Headers, Log, NewRecord},
    topics::{Topic, partition_of},
};
use reqwest::{Method, StatusCode};
use runtime::{clock::SystemClock, config::Config};
use serde_json::{Value, json};

use super::{Hub, open_doors};
use crate::{
    hub::{PATIENCE, client},
    process::{Process, nexus},
};

/// A letter about a webhook of `acme` with this value.
fn letter(number: usize, value: Option<&str>) -> Value {
    let mut original = json!({ "topic": "webhooks.raw", "partition": 0, "offset": 1_000_000 + number, "key": "acme" });
    if let Some(value) = value {
        original["value"] = value.into();
    }
    json!({
        "id": format!("dl_{number:032}"), "tenantId": "acme", "stage": "normalize", "reason": "a test", "attempts": 1,
        "at": "2026-11-21T08:00:00.000Z", "original": original,
    })
}

fn record(topic: Topic, tenant: &str, value: &Value, partitions: u32) -> NewRecord {
    NewRecord {
        topic,
        partition: partition_of(tenant, partitions),
        at_ms: SystemClock.now_ms(),
        key: tenant.to_owned().into(),
        value: Some(value.to_string().into()),
        headers: Headers::default(),
    }
}

async fn put(log: &dyn Log, letters: impl IntoIterator<Item = Value>) {
    let records = letters.into_iter().map(|letter| {
        let tenant = letter["tenantId"].as_str().unwrap().to_owned();
        record(Topic::DeadLetters, &tenant, &letter, log.partitions())
    });
    log.append(records.collect()).await.unwrap();
}

async fn count(log: &dyn Log, topic: Topic) -> u64 {
    log.lag("", &[topic]).await.unwrap().iter().map(|lag| lag.end_offset - lag.first_offset).sum()
}

async fn page(hub: &Hub, query: &str, cursor: Option<&str>) -> (Vec<String>, Option<String>) {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let answer = hub.admin(Method::GET, &format!("/api/deadletters?{query}{cursor}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer = answer.json();
    let ids = answer["data"].as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap().to_owned());
    (ids.collect(), answer["page"]["next"].as_str().map(str::to_owned))
}

/// The sizes of all pages; no letter may stand on two of them.
async fn pages(hub: &Hub, query: &str) -> Vec<usize> {
    let (mut sizes, mut seen, mut cursor) = (Vec::new(), BTreeSet::new(), None);
    loop {
        let (ids, next) = page(hub, query, cursor.as_deref()).await;
        sizes.push(ids.len());
        let all = seen.len() + ids.len();
        seen.extend(ids);
        assert_eq!(seen.len(), all, "a letter stands on two pages of {query}");
        cursor = next;
        if cursor.is_none() {
            return sizes;
        }
    }
}

#[tokio::test]
async fn letters_are_paged_by_number_and_by_size() {
    let hub = Hub::start_with(open_doors).await;
    let log = hub.log();
    let of = |number: usize, tenant: &str, stage: &str| {
        let mut letter = letter(number, Some("x"));
        letter["tenantId"] = tenant.into();
        letter["stage"] = stage.into();
        letter
    };
    put(&*log, (0..130).map(|number| of(number, &format!("tenant-{}", number % 13), "normalize"))).await;
    put(&*log, (130..140).map(|number| of(number, "umbra", "enrich"))).await;
    // What somebody else wrote there is nobody's letter.
    log.append(vec![record(Topic::DeadLetters, "acme", &json!("?"), log.partitions())]).await.unwrap();
    assert_eq!(pages(&hub, "limit=60").await, [60, 60, 20]);
    assert_eq!(pages(&hub, "limit=70").await, [70, 70], "no empty page behind the last");
    assert_eq!(pages(&hub, "limit=200").await, [140]);
    assert_eq!(pages(&hub, "").await, [50, 50, 40]);
    assert_eq!(pages(&hub, "stage=enrich&limit=4").await, [4, 4, 2]);
    assert_eq!(pages(&hub, "stage=enrich&tenantId=umbra&topic=webhooks.raw").await, [10]);
    assert_eq!(pages(&hub, "stage=enrich&tenantId=tenant-1").await, [0]);

    // Twenty of a megabyte each are more than one page takes.
    put(&*log, (200..220).map(|number| letter(number, Some(&"x".repeat(1 << 20))))).await;
    assert_eq!(pages(&hub, "tenantId=acme&limit=100").await, [15, 5]);
    for cursor in ["x", "1", "1.x", "dl_00000000000000000000000000000001"] {
        let answer = hub.admin(Method::GET, &format!("/api/deadletters?cursor={cursor}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::BAD_REQUEST, &"invalid".into()));
    }
    assert_eq!(page(&hub, "", Some("400000000.7")).await, (Vec::new(), None));
    hub.is_unharmed().await;
}

/// A run ends where the letters ended when it began: those that die again
/// while it lasts are of the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_die_again_are_not_replayed_twice_in_one_run() {
    const LETTERS: usize = 1_000;
    let hub = Hub::start_with(open_doors).await;
    let log = hub.log();
    let bad = json!({ "tenantId": "acme", "provider": "slack", "body": "no JSON" }).to_string();
    put(&*log, (0..LETTERS).map(|number| letter(number, Some(&bad)))).await;
    let (mut nowhere, mut unreadable) = (letter(LETTERS, Some(&bad)), letter(LETTERS + 1, None));
    nowhere["original"]["topic"] = "no.such.topic".into();
    unreadable["original"]["valueBase64"] = "***".into();
    // Their originals' place has never held anything.
    let gone = [letter(LETTERS + 2, None), letter(LETTERS + 3, None)];
    put(&*log, [nowhere, unreadable].into_iter().chain(gone)).await;

    let answer = hub.admin(Method::POST, "/api/deadletters/replay").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let skipped = json!({ "gone": 2, "unknown_topic": 1, "unreadable": 1 });
    assert_eq!(answer.json()["data"], json!({ "replayed": LETTERS, "skipped": skipped }));
    // All of them died again, each once.
    let letters = hub.values(Topic::DeadLetters, 2 * LETTERS + 4).await;
    hub.all_events().await;
    assert_eq!(letters.len(), 2 * LETTERS + 4);
    assert_eq!(count(&*log, Topic::DeadLetters).await, 2 * LETTERS as u64 + 4);
    assert_eq!(count(&*log, Topic::WebhooksRaw).await, LETTERS as u64 + 1, "and the marker's");
    let mut replays = BTreeMap::<_, usize>::new();
    for record in hub.records(Topic::WebhooksRaw, LETTERS).await {
        if let Some(id) = record.headers.get("replay_of") {
            *replays.entry(id.to_owned()).or_default() += 1;
        }
    }
    assert_eq!((replays.len(), replays.values().max()), (LETTERS, Some(&1)));

    let unfit = hub.admin(Method::POST, &format!("/api/deadletters/dl_{:032}/replay", LETTERS + 3)).await;
    assert_eq!((unfit.status, &unfit.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &"not_replayable".into()));
    hub.is_unharmed().await;
}

/// What would fit everything because its filter is misspelt replays nothing.
#[tokio::test]
async fn a_filter_that_is_not_known_is_refused() {
    let hub = Hub::start_with(open_doors).await;
    put(&*hub.log(), [letter(1, Some("x"))]).await;
    let replay = async |body: &str| {
        let token = hub::Notice::read(hub.directory.path()).unwrap().token;
        let path = "/api/deadletters/replay".to_owned();
        let json = ("content-type", "application/json".to_owned());
        let headers = vec![json, ("authorization", format!("Bearer {token}"))];
        hub.post(providers::samples::Request { path, headers, body: body.into() }).await
    };
    for (body, code) in [
        ("{\"tenant\":\"umbra\"}", "invalid"),
        ("{\"stage\":7}", "invalid"),
        ("[]", "invalid"),
        ("all", "invalid_json"),
    ] {
        let answer = replay(body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::BAD_REQUEST, &code.into()), "{body}");
    }
    assert_eq!(replay("{\"tenantId\":\"umbra\"}").await.json()["data"]["replayed"], 0);
    assert_eq!(replay("{\"tenantId\":\"acme\"}").await.json()["data"]["replayed"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_replays_without_a_hub_as_well() {
    let hub = Hub::start_with(open_doors).await;
    put(&*hub.log(), [letter(1, Some("x")), letter(2, Some("y")), letter(3, None)]).await;
    let directory = hub.stop().await;
    let replay = |arguments: &[&str]| {
        let mut command = nexus();
        let output = command.arg("replay").args(arguments).env("NEXUS_DATA_DIR", directory.path()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let [first, missing] = [1, 9].map(|number| format!("dl_{number:032}"));
    let (code, said, reason) = replay(&[&first, &missing]);
    assert_eq!(
        (code, &*said, reason.contains(&missing)),
        (Some(1), "", true),
        "all that were named, or none: {reason}"
    );
    assert_eq!(replay(&[&first]).1, "1 sent once more\n");
    assert_eq!(replay(&["--all"]).1, "2 sent once more\n1 cannot be: gone\n");
    assert_eq!(replay(&["--all", "--stage", "enrich"]).1, "0 sent once more\n");
}

/// Three hundred letters of a megabyte, which die again while they are
/// replayed, by a hub in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_letters_are_replayed_in_bounded_memory() {
    const LETTERS: usize = 300;
    /// Less than the letters alone. What waits for a slow disk (64 MB) and the
    /// journal's cache (32 MB) are the most of what a busy hub takes.
    const MEMORY_MB_MAX: u64 = 280;
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    directory.path().clone_into(&mut config.data_dir);
    let log = log::open(&config).await.unwrap();
    let padding = "x".repeat(1 << 20);
    let bad = json!({ "tenantId": "acme", "provider": "slack", "body": padding }).to_string();
    for number in 0..LETTERS {
        put(&*log, [letter(number, Some(&bad))]).await;
    }
    log.close().await.unwrap();
    drop(log);

    let of_directory = |arguments: &[&str]| {
        let mut command = nexus();
        command.args(arguments).env("NEXUS_DATA_DIR", directory.path()).env("PORT", "0");
        command
    };
    let hub = Process::start(of_directory(&["up"]));
    let before_mb = hub.memory_peak_mb();
    let output = of_directory(&["replay", "--all", "--stage", "normalize"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{LETTERS} sent once more\n"), "{}", String::from_utf8_lossy(&output.stderr));
    let begun = std::time::Instant::now();
    let deaths = async || {
        let health = client().get(format!("{}/webhooks/health", hub.url)).send().await.unwrap();
        health.json::<Value>().await.unwrap()["data"]["deadLetters"].as_u64().unwrap()
    };
    while deaths().await < 2 * LETTERS as u64 {
        assert!(begun.elapsed() < PATIENCE, "{} letters", deaths().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let peak_mb = hub.memory_peak_mb();
    println!("peak: {before_mb} MB before, {peak_mb} MB in the end");
    assert!(peak_mb < MEMORY_MB_MAX, "{peak_mb} MB");
    assert!(hub.terminate().success());
    let log = log::open(&config).await.unwrap();
    assert_eq!(count(&*log, Topic::WebhooksRaw).await, LETTERS as u64);
    assert_eq!(count(&*log, Topic::DeadLetters).await, 2 * LETTERS as u64);
    log.close().await.unwrap();
}
