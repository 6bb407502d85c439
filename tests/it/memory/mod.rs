//! The memory: what is said is found again, by those who may, and summed up.

mod crash;
mod front_door;
mod isolation;
mod models;
mod quality;
mod random_house;
pub mod suite;
mod tools;

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeline::{
    ports::{Headers, Log, NewRecord, Start, Visibility},
    topics::{Topic, partition_of},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    api::{Api, text},
    hub::PATIENCE,
};

/// A hub with two tenants, a workgroup and projects, whose agents are few.
pub struct World {
    pub api: Api,
    pub project: String,
    pub secret_project: String,
    pub agent: String,
    pub agent_token: String,
    pub admin: String,
}

pub const CHANNEL: &str = "C0ROCKET";
pub const SECRET_CHANNEL: &str = "C0SECRET";

impl World {
    pub async fn start() -> World {
        World::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut runtime::config::Config)) -> World {
        let api = Api::start_with(change).await;
        let (_, agent, agent_token) = api.agent_of("acme", "Rook").await;
        let group = json!({ "name": "Squad", "agentIds": [agent] });
        let group = text(&api.made("/api/workgroups?tenantId=acme", group).await["id"]);
        let project =
            json!({ "name": "Rocket", "workgroupId": group, "slackChannelId": CHANNEL, "clickupListId": "9011" });
        let project = text(&api.made("/api/projects?tenantId=acme", project).await["id"]);
        let others = text(&api.made("/api/workgroups?tenantId=acme", json!({ "name": "Others" })).await["id"]);
        let secret = json!({ "name": "Secret", "workgroupId": others, "slackChannelId": SECRET_CHANNEL });
        let secret_project = text(&api.made("/api/projects?tenantId=acme", secret).await["id"]);
        let (_, admin) = api.client_of("acme", "admin").await;
        let world = World { api, project, secret_project, agent, agent_token, admin };
        // Rows are announced in their order: with the last one all are known to
        // whoever reads the log behind it.
        world.announced(&world.secret_project).await;
        world
    }

    /// Waits until `control` says something.
    pub async fn announced(&self, what: &str) {
        let begun = Instant::now();
        loop {
            let rows = self.api.hub.records(Topic::Control, 1).await;
            let values = rows.iter().filter_map(|row| row.value.as_deref());
            if values.map(String::from_utf8_lossy).any(|value| value.contains(what)) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} is not announced");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Somebody says something in Slack.
    pub async fn said(&self, channel: &str, ts: &str, thread: Option<&str>, user: &str, text: &str) {
        self.slack(&said(channel, ts, thread, user, text)).await;
    }

    /// An event of Slack's, as any producer may write it.
    pub async fn slack(&self, event: &Value) {
        self.append(Topic::WebhooksRaw, &slack(event)).await;
    }

    pub async fn append(&self, topic: Topic, value: &Value) {
        let log = self.api.hub.log();
        log.append(vec![record(topic, value, log.partitions())]).await.unwrap();
    }

    /// What a search finds, as texts.
    pub async fn found(&self, token: &str, project: &str, query: &str) -> Vec<String> {
        let rows = self.search(token, json!({ "query": query, "projectId": project })).await;
        rows.iter().map(|row| text(&row["text"])).collect()
    }

    pub async fn search(&self, token: &str, form: Value) -> Vec<Value> {
        let answer = self.api.ask("POST", "/api/memory/search", token, Some(form)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["data"].as_array().cloned().unwrap()
    }

    /// Waits until a search finds what is wanted.
    pub async fn until(&self, query: &str, wanted: impl Fn(&[String]) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let found = self.found(&self.admin, &self.project, query).await;
            if wanted(&found) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "{query}: {found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What Slack tells of a message.
fn said(channel: &str, ts: &str, thread: Option<&str>, user: &str, text: &str) -> Value {
    let mut event =
        json!({ "type": "message", "text": text, "ts": ts, "event_ts": ts, "channel": channel, "user": user });
    if let Some(thread) = thread {
        event["thread_ts"] = thread.into();
    }
    event
}

/// An event of Slack's as a request that was taken in.
fn slack(event: &Value) -> Value {
    let id = format!("Ev{}", runtime::identity::random_hex());
    let body = json!({ "team_id": "T0ACME", "type": "event_callback", "event_id": id, "event": event });
    let at = udfs::time::to_rfc3339(1_795_248_000_000);
    json!({ "tenantId": "acme", "provider": "slack", "connectionId": "acme-slack", "receivedAt": at,
        "body": body.to_string() })
}

/// A record of the tenant's.
fn record(topic: Topic, value: &Value, partitions: u32) -> NewRecord {
    NewRecord {
        topic,
        partition: partition_of("acme", partitions),
        at_ms: 1_795_248_000_000,
        key: Bytes::from_static(b"acme"),
        value: Some(value.to_string().into()),
        headers: Headers::default(),
    }
}

/// All that a topic holds now.
pub async fn all<T: serde::de::DeserializeOwned>(log: &dyn Log, topic: Topic) -> Vec<T> {
    let mut values = Vec::new();
    for partition in 0..log.partitions() {
        let mut reader = log.read(topic, partition, Start::Oldest, Visibility::Durable).await.unwrap();
        loop {
            let records = reader.ready(1_000).await.unwrap();
            if records.is_empty() {
                break;
            }
            values.extend(
                records.iter().map(|record| serde_json::from_slice::<T>(record.value.as_deref().unwrap()).unwrap()),
            );
        }
    }
    values
}
