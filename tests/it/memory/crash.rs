//! kill -9 while the memory learns: what was accepted is found afterwards, once,
//! and every thread has the summaries that it should have.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use hub::Notice;

use pipeline::{
    event::{MemoryResult, StandardEvent},
    ports::Log,
    topics::Topic,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use store::Store;

use super::{CHANNEL, World, all, record, said, slack};
use crate::{
    hub::{PATIENCE, client, config},
    process::{Process, nexus},
};

const DOCUMENTS: usize = 120;

fn start(directory: &Path) -> Process {
    let mut command = nexus();
    command.args(["up"]);
    command.env("NEXUS_DATA_DIR", directory).env("PORT", "0").env("NEXUS_LOG_SEGMENT_MB", "2");
    command.env("NEXUS_DEFAULT_TENANT", "acme").env("NEXUS_SERVER_CLIENT_REQUESTS_PER_S", "0");
    Process::start(command)
}

async fn ask(
    client: &Client,
    hub: &Process,
    directory: &Path,
    path: &str,
    body: &Value,
) -> Option<(StatusCode, Value)> {
    let token = Notice::read(directory)?.token;
    let answer = client.post(format!("{}{path}", hub.url)).bearer_auth(token).json(body).send().await.ok()?;
    let status = answer.status();
    Some((status, answer.json().await.ok()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_found_once_however_often_the_hub_dies() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, client) = (directory.path(), client());
    let mut hub = start(folder);
    let made = ask(&client, &hub, folder, "/admin/tenants", &json!({ "id": "acme", "name": "Acme" })).await.unwrap();
    assert_eq!(made.0, StatusCode::CREATED, "{}", made.1);
    let made = ask(&client, &hub, folder, "/api/projects", &json!({ "name": "Rocket", "slackChannelId": "C0ROCKET" }))
        .await
        .unwrap();
    let project = made.1["data"]["id"].as_str().unwrap().to_owned();
    for number in 0..DOCUMENTS {
        if number % 30 == 17 {
            hub.kill();
            hub = start(folder);
        }
        let document = json!({ "projectId": project, "id": format!("doc{number}"), "text": format!("part number zz{number}q of the rocket") });
        loop {
            match ask(&client, &hub, folder, "/api/memory/documents", &document).await {
                Some((StatusCode::ACCEPTED, _)) => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    hub.kill();
    let hub = start(folder);
    let begun = std::time::Instant::now();
    for number in 0..DOCUMENTS {
        let query = json!({ "query": format!("zz{number}q"), "projectId": project, "limit": 5 });
        loop {
            let found = ask(&client, &hub, folder, "/api/memory/search", &query).await;
            let texts: Vec<Value> =
                found.and_then(|(_, answer)| answer["data"].as_array().cloned()).unwrap_or_default();
            let wanted = format!("zz{number}q");
            let with_it = texts.iter().filter(|hit| hit["text"].as_str().unwrap().contains(&wanted)).count();
            assert!(with_it <= 1, "{texts:?}");
            if with_it == 1 {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{wanted} is lost: {texts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Threads, unless `NEXUS_CHAOS_THREADS` says otherwise.
const THREADS: usize = 20;
const MESSAGES: usize = 150;

/// Threads grow to 50, 100 and 150 messages while the process is killed again
/// and again: each has three summaries, each is announced once.
#[tokio::test(flavor = "multi_thread")]
async fn every_thread_has_three_summaries_however_often_the_hub_dies() {
    let threads = std::env::var("NEXUS_CHAOS_THREADS").map_or(THREADS, |threads| threads.parse().unwrap());
    let thread = |number: usize| format!("17950{number:05}.000100");
    let World { api, project, .. } = World::start().await;
    let directory = api.hub.stop().await;
    let config = config(directory.path());
    let opened = log::open(&config).await.unwrap();
    let track = |number: usize| {
        let (id, root) = (format!("86t{number}"), thread(number));
        json!({ "kind": "trackTask", "tenantId": "acme", "at": "2026-11-21T08:00:00.000Z", "correlationId": id,
            "projectId": project, "provider": "clickup", "externalId": id, "threadTs": root, "channelId": CHANNEL,
            "title": "Fuel" })
    };
    let tracked: Vec<_> =
        (0..threads).map(|number| record(Topic::Commands, &track(number), opened.partitions())).collect();
    opened.append(tracked).await.unwrap();
    for message in 0..MESSAGES {
        let say = |number: usize| {
            let text = format!("We decided {message} for tank {number}.");
            let event =
                said(CHANNEL, &format!("18{message:03}{number:05}.000100"), Some(&thread(number)), "U0MARA", &text);
            record(Topic::WebhooksRaw, &slack(&event), opened.partitions())
        };
        opened.append((0..threads).map(say).collect()).await.unwrap();
    }
    opened.close().await.unwrap();
    drop(opened);

    let (begun, mut deaths) = (Instant::now(), 0);
    let patience = PATIENCE.max(Duration::from_millis(600 * threads as u64));
    let mut hub = start(directory.path());
    loop {
        // Sooner and later in what it does, until it has seen all.
        tokio::time::sleep(Duration::from_millis(150 + 190 * (deaths % 5))).await;
        let store = Store::open(&config).await.unwrap();
        let mut done = 0;
        for number in 0..threads {
            let task = store.texts().task_in("acme", CHANNEL, &thread(number)).await.unwrap();
            let Some(task) = task else { continue };
            let kept = store.texts().summary("acme", &task, u64::MAX >> 1).await.unwrap();
            done += usize::from(kept.is_some_and(|(kept, _)| kept.through == MESSAGES as u64));
        }
        store.close().await;
        if done == threads && deaths >= 5 {
            break;
        }
        assert!(begun.elapsed() < patience, "{done} of {threads} threads after {deaths} deaths");
        if deaths < 5 || deaths < threads as u64 / 10 {
            hub.kill();
            deaths += 1;
            hub = start(directory.path());
        }
    }
    // What is kept may not be announced yet.
    let (made, told) = loop {
        assert!(hub.terminate().success());
        let opened = log::open(&config).await.unwrap();
        let seen = (summed_up(&*opened).await, announced(&*opened).await);
        opened.close().await.unwrap();
        if seen.1.values().map(Vec::len).sum::<usize>() >= 3 * threads {
            break seen;
        }
        assert!(begun.elapsed() < patience, "{:?}", seen.1);
        hub = start(directory.path());
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert_eq!(made.len(), threads);
    assert!(made.values().all(|through| through == &[50, 100, 150]), "{made:?}");
    assert_eq!(told, made);
    let store = Store::open(&config).await.unwrap();
    for task in made.keys() {
        for through in [50, 100, 150] {
            let (kept, _) = store.texts().summary("acme", task, through).await.unwrap().unwrap();
            assert_eq!(kept.through, through);
        }
    }
    store.close().await;
    println!("{threads} threads, {deaths} deaths, {:.0} s", begun.elapsed().as_secs_f64());
}

/// The summaries that the memory made, by task.
async fn summed_up(log: &dyn Log) -> BTreeMap<String, Vec<u64>> {
    let mut summed_up: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for result in all::<MemoryResult>(log, Topic::MemoryResults).await {
        if let MemoryResult::Summarised { summary, .. } = result {
            summed_up.entry(summary.task_id).or_default().push(summary.through);
        }
    }
    summed_up
}

/// Those that the pipeline told of.
async fn announced(log: &dyn Log) -> BTreeMap<String, Vec<u64>> {
    let mut announced: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in all::<StandardEvent>(log, Topic::Events).await {
        if event.source.event == "summary.created" {
            let through = event.message.and_then(|message| message.thread_seq).unwrap();
            announced.entry(event.task.unwrap().id.unwrap()).or_default().push(through);
        }
    }
    announced
}
