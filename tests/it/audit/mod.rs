//! The kill switch and the audit trail, through the front door: a hub with the
//! fakes for providers, agents at their sockets, and people at the API.

mod alerts;
mod governed;
mod kubernetes;
mod monitoring;
mod stopping;
mod traces;
mod usage;
mod verified;

use std::time::{Duration, Instant};

use fakes::world::{CLICKUP_LIST, SLACK_CHANNEL};
use pipeline::{
    event::{MirrorCommand, MirrorPlace, MirrorText, MirrorWork, Time},
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use providers::samples::{self, Sender};
use reqwest::StatusCode;
use runtime::config::Config;
use serde_json::{Value, json};

use super::{
    agents::{Kind, Socket},
    api::{Api, text},
    hub::{Answer, PATIENCE, SECRET},
    lookups::Provider,
};

/// A repository of the project that there is.
pub const REPOSITORY: &str = "orchard/shop";
/// Where acme's administrators are told of alerts.
pub const ADMINS: &str = "C0ADMINS01";

/// A hub, its providers, a project of acme, and an agent.
pub struct House {
    pub api: Api,
    pub provider: Provider,
    pub project: String,
    /// Its client, its id, its token.
    pub agent: (String, String, String),
    /// The administrator's token.
    pub admin: String,
}

impl House {
    pub async fn open() -> House {
        House::open_with(|_| {}).await
    }

    pub async fn open_with(change: impl FnOnce(&mut Config)) -> House {
        let provider = Provider::start().await;
        let url = provider.url.clone();
        let api = Api::start_with(|config| {
            config.providers.set("clickup_api_url", format!("{url}/clickup/api/v2"));
            config.providers.set("slack_api_url", format!("{url}/slack/api"));
            config.providers.set("github_api_url", format!("{url}/github"));
            config.providers.set("jira_api_url", format!("{url}/jira"));
            config.providers.allow_private_targets = true;
            (config.mirror.settle_ms, config.mirror.timeout_ms) = (100, 5_000);
            change(config);
        })
        .await;
        provider
            .fakes
            .world()
            .slack_channels
            .put(ADMINS, json!({"id": ADMINS, "name": "admins", "is_channel": true, "is_archived": false}));
        for (name, external_id) in [("slack", "T0HOUSE"), ("clickup", "wh-house"), ("github", REPOSITORY)] {
            let connection = json!({
                "id": format!("con-{name}"), "provider": name, "externalId": external_id,
                "webhookSecret": SECRET, "apiToken": "token-acme",
            });
            api.made("/api/connections?tenantId=acme", connection).await;
        }
        let patch = json!({ "adminSlackChannelId": ADMINS });
        let patched = api.ask("PATCH", "/admin/tenants/acme", &api.local(), Some(patch)).await;
        assert_eq!(patched.status, StatusCode::OK, "{}", patched.text);
        let project = json!({
            "name": "Shop", "clickupListId": CLICKUP_LIST, "githubRepository": REPOSITORY,
            "slackChannelId": SLACK_CHANNEL, "notify": "all",
        });
        let project = text(&api.made("/api/projects?tenantId=acme", project).await["id"]);
        let agent = api.agent_of("acme", "fixer").await;
        let admin = api.client_of("acme", "admin").await.1;
        House { api, provider, project, agent, admin }
    }

    pub async fn socket(&self, kind: Kind) -> Socket {
        let mut socket = Socket::open(self.api.hub.address(), kind, &self.agent.2).await.unwrap();
        socket.expect("hello").await;
        socket.say("agent_ready", json!({"ack": true, "protocol": "nexus.v1"})).await;
        socket
    }

    /// Something that happened at a provider, as acme's connection tells it.
    pub async fn webhook(&self, provider: &str, event: &str, headers: &[(&'static str, &str)]) -> Answer {
        let sample = samples::find(provider, event).unwrap();
        let external_id = if provider == "github" { REPOSITORY } else { "T0HOUSE" };
        let sender = Sender {
            sample,
            secret: Some(SECRET.to_owned()),
            connection: Some(format!("con-{provider}")),
            external_id: Some(external_id.to_owned()),
        };
        let begun = Instant::now();
        loop {
            let mut request = sender.request(0, now_ms()).unwrap();
            request.headers.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
            let answer = self.api.hub.post(request).await;
            // A connection is known a moment after it is made.
            if answer.status != StatusCode::UNAUTHORIZED || begun.elapsed() > PATIENCE {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The administrator asks.
    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.api.ask(method, path, &self.admin, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}: {}", answer.text);
        answer.json()
    }

    pub async fn stop(&self, reason: &str) -> Value {
        self.ask("POST", "/admin/stop-all-agents", Some(json!({ "reason": reason }))).await["data"].take()
    }

    pub async fn resume(&self) {
        self.ask("POST", "/admin/resume", Some(json!({}))).await;
    }

    /// Has the mirror say something at a task, an issue or in a channel; the
    /// command's id. The number names it.
    pub async fn wants(&self, place: MirrorPlace, number: u64) -> String {
        let id = format!("mir_{number:032x}");
        let now_ms = now_ms();
        let command = MirrorCommand {
            id: id.clone(),
            tenant_id: "acme".to_owned(),
            connection_id: format!("con-{}", place.provider()),
            lane: format!("lane-{number}"),
            work: MirrorWork::Post {
                place,
                text: MirrorText { markdown: format!("word {number}"), from: "nexus".to_owned(), ..Default::default() },
                author: None,
            },
            attempt: 1,
            project_id: None,
            task_id: Some(format!("task_{}", number % 2)),
            action_id: None,
            at: Time::from_ms(now_ms),
            deadline: Time::from_ms(now_ms + 600_000),
            trace_id: None,
        };
        let log = self.api.hub.log();
        let record = NewRecord {
            topic: Topic::MirrorCommands,
            partition: partition_of("acme", log.partitions()),
            at_ms: now_ms,
            key: "acme".into(),
            value: Some(serde_json::to_vec(&command).unwrap().into()),
            headers: Headers::new([("type", b"post".as_slice()), ("schema", b"nexus.mirror-command.v1")]),
        };
        log.append(vec![record]).await.unwrap();
        id
    }

    /// An issue that can be spoken about.
    pub fn issue(&self) -> MirrorPlace {
        self.issue_of(7)
    }

    /// The same, of a number.
    pub fn issue_of(&self, number: u64) -> MirrorPlace {
        let issue = json!({
            "id": number, "number": number, "title": "Checkout fails", "state": "open", "state_reason": null,
            "updated_at": "2026-11-20T08:00:00Z", "closed_at": null, "comments": 0,
            "repository_url": format!("https://api.github.com/repos/{REPOSITORY}"),
        });
        self.provider.fakes.world().github_issues.put(&format!("{REPOSITORY} {number}"), issue);
        MirrorPlace::Github { repository: REPOSITORY.to_owned(), number }
    }

    /// What was said about the issue.
    pub fn said(&self) -> Vec<String> {
        let world = self.provider.fakes.world();
        let words = |row: &Value| row["body"].as_str().unwrap().lines().next().unwrap_or_default().to_owned();
        world.github_comments.all().map(words).collect()
    }

    /// Asks until the answer is as it should be.
    pub async fn until(&self, what: &str, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.ask("GET", path, None).await;
            if fits(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} did not come: {answer:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Waits for something to become so.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
