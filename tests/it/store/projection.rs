//! The tables of what the pipeline keeps: the same after any repeat.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    ports::{Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::{Topic, partition_of},
};
use runtime::supervisor::RoleContext;
use serde_json::{Value, json};
use store::{Paging, Store, StoreError, TaskFilter, project::Projector};
use tokio::sync::watch;

use super::{Bench, on_each};
use crate::hub::PATIENCE;

const PARTITIONS: u32 = 3;

async fn append(log: &MemoryLog, key: &str, data: Option<Value>) {
    let tenant = key.split('/').next().expect("a tenant");
    let value = data.map(|data| Bytes::from(json!({ "data": data }).to_string()));
    let record = NewRecord {
        topic: Topic::PipelineState,
        partition: partition_of(tenant, PARTITIONS),
        at_ms: 1,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value,
        headers: Headers::default(),
    };
    log.append(vec![record]).await.expect("appended");
}

fn task(id: &str, project: &str, state: &str) -> Value {
    json!({
        "id": id, "externalId": format!("ext-{id}"), "projectId": project, "state": state,
        "updatedAt": "2026-11-21T08:00:00.123Z", "title": "✓ whole",
    })
}

async fn projector(bench: &Bench, log: &MemoryLog) -> Projector {
    Projector { store: Arc::new(bench.another().await), log: Arc::new(log.clone()) }
}

async fn ids(store: &Store, tenant: &str, filter: TaskFilter) -> Vec<String> {
    let page = store.tasks().list(tenant, &filter, &Paging::default()).await.expect("a page");
    page.rows.iter().map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn tasks_are_listed_as_they_are_now() {
    on_each("tasks", |bench| async move {
        let log = MemoryLog::new(PARTITIONS);
        append(&log, "a/task/1", Some(task("1", "p", "TODO"))).await;
        append(&log, "a/task/2", Some(task("2", "p_2", "TODO"))).await;
        append(&log, "a/task/3", Some(json!({ "id": "3" }))).await;
        append(&log, "b/task/1", Some(task("1", "p", "DONE"))).await;
        append(&log, "a/window/1", Some(json!({ "not": "ours" }))).await;
        append(&log, "a/unrouted/evt_1", Some(json!({ "id": "evt_1" }))).await;
        append(&log, "a/candidate/clickup:901", Some(json!({ "name": "Sprint" }))).await;
        let projector = projector(&bench, &log).await;
        projector.catch_up().await.expect("projected");
        let store = &bench.store;
        assert_eq!(store.tasks().get("a", "1").await.expect("there"), task("1", "p", "TODO"));
        assert_eq!(store.tasks().by_external_id("b", "ext-1").await.expect("there")["state"], "DONE");
        assert!(matches!(store.tasks().get("b", "2").await, Err(StoreError::NotFound { kind: "task" })));
        let all = || TaskFilter::default();
        let of = |projects: &[&str]| TaskFilter {
            project_ids: Some(projects.iter().map(|project| (*project).to_owned()).collect()),
            ..TaskFilter::default()
        };
        assert_eq!(ids(store, "a", all()).await, ["1", "2", "3"]);
        assert_eq!(ids(store, "a", of(&["p"])).await, ["1"]);
        assert_eq!(ids(store, "a", of(&["p", "p_2"])).await, ["1", "2"]);
        assert_eq!(ids(store, "a", of(&["P", "px2", "_", "%", ""])).await, Vec::<String>::new());
        assert_eq!(ids(store, "a", of(&[])).await, Vec::<String>::new());
        let todo = TaskFilter { state: Some("TODO".to_owned()), ..of(&["p_2"]) };
        assert_eq!(ids(store, "a", todo).await, ["2"]);
        let unrouted = store.unrouted().list("a", &Paging::default()).await.expect("a page").rows;
        assert_eq!(unrouted, [json!({ "id": "evt_1" })]);
        assert_eq!(store.candidates().get("a", "clickup:901").await.expect("there")["name"], "Sprint");
        assert!(store.candidates().list("b", &Paging::default()).await.expect("a page").rows.is_empty());

        append(&log, "a/task/1", Some(task("1", "p", "DONE"))).await;
        append(&log, "a/task/2", None).await;
        append(&log, "a/unrouted/evt_1", None).await;
        projector.catch_up().await.expect("projected");
        assert_eq!(store.tasks().get("a", "1").await.expect("there")["state"], "DONE");
        assert_eq!(ids(store, "a", all()).await, ["1", "3"]);
        assert!(store.unrouted().get("a", "evt_1").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_restart_reads_on_and_another_log_begins_anew() {
    on_each("restart", |bench| async move {
        let log = MemoryLog::new(PARTITIONS);
        append(&log, "a/task/1", Some(task("1", "p", "TODO"))).await;
        append(&log, "a/task/2", Some(task("2", "p", "TODO"))).await;
        // Two processes at once: the second finds the work done.
        let (first, second) = (projector(&bench, &log).await, projector(&bench, &log).await);
        let (one, two) = tokio::join!(first.catch_up(), second.catch_up());
        one.expect("projected");
        two.expect("projected");
        append(&log, "a/task/1", None).await;
        projector(&bench, &log).await.catch_up().await.expect("projected");
        assert_eq!(ids(&bench.store, "a", TaskFilter::default()).await, ["2"]);
        let another = MemoryLog::new(PARTITIONS).with_identity(9);
        append(&another, "a/task/7", Some(task("7", "p", "TODO"))).await;
        projector(&bench, &another).await.catch_up().await.expect("projected");
        assert_eq!(ids(&bench.store, "a", TaskFilter::default()).await, ["7"], "the old log's rows are gone");
    })
    .await;
}

#[tokio::test]
async fn it_follows_while_it_runs_and_writes_what_is_left_when_it_stops() {
    on_each("following", |bench| async move {
        let log = MemoryLog::new(PARTITIONS);
        let (stop, stopped) = watch::channel(false);
        let context = RoleContext { role: "projector", board: Arc::default(), stop: stopped };
        let running = tokio::spawn(projector(&bench, &log).await.run(context));
        for number in 0..50 {
            append(&log, &format!("a/task/{number:02}"), Some(task(&format!("{number:02}"), "p", "TODO"))).await;
        }
        let begun = std::time::Instant::now();
        while bench.store.tasks().get("a", "49").await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "the last task is not there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(ids(&bench.store, "a", TaskFilter::default()).await.len(), 50);
        stop.send_replace(true);
        running.await.expect("no panic").expect("a good end");
    })
    .await;
}
