//! Fake providers and the people in them, for a whole hub: what is said there is
//! told to the hub, and what the hub says there is looked at.

use std::time::{Duration, Instant};

use fakes::{
    addresses,
    world::{SLACK_CHANNEL, SLACK_TEAM, World},
};
use serde_json::{Value, json};

use crate::{
    hub::{PATIENCE, SECRET, client},
    lookups::Provider,
};

/// What `nexus seed` connects.
pub const WEBHOOK: &str = "5d0c8a61-3f0e-4b7e-9d27-6b1f0a2c9e44";
pub const TENANT: &str = "orchard";
pub const REPOSITORY: &str = "orchard/shop";

pub struct Scene {
    pub provider: Provider,
    client: reqwest::Client,
}

impl Scene {
    pub async fn open() -> Scene {
        Scene { provider: Provider::start().await, client: client() }
    }

    /// The settings of a hub that knows the fakes, with tokens of its own and
    /// nobody else's.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let house = ["SLACK_BOT_TOKEN", "CLICKUP_API_TOKEN", "GITHUB_TOKEN"].map(|name| (name, "house".to_owned()));
        let secrets = ["WEBHOOK_SECRET_CLICKUP", "SLACK_SIGNING_SECRET", "WEBHOOK_SECRET_GITHUB"];
        let more = [("NEXUS_ALLOW_PRIVATE_TARGETS", "true".to_owned())];
        let secrets = secrets.map(|name| (name, SECRET.to_owned()));
        addresses(&self.provider.url).into_iter().chain(house).chain(secrets).chain(more).collect()
    }

    /// The hub at this address hears of everything.
    pub async fn tell(&self, hub: &str) {
        let to = |path: &str| format!("{hub}/webhooks/{path}");
        let clickup = json!({"id": WEBHOOK, "secret": SECRET, "endpoint": to("clickup")});
        self.post("clickup/webhooks", clickup).await;
        let slack = json!({"teamId": SLACK_TEAM, "secret": SECRET, "endpoint": to("slack")});
        self.post("slack/apps", slack).await;
        self.post(&format!("github/{REPOSITORY}/hooks"), json!({"secret": SECRET, "endpoint": to("github")})).await;
    }

    /// Webhooks come twice, late and in any order, and answers later than what
    /// they answer to is told.
    pub fn misbehave(&self) {
        let telling = json!({"twicePercent": 60, "lateMsMax": 80, "attemptsMax": 500, "againMs": 50});
        self.provider.fakes.world().telling = serde_json::from_value(telling).unwrap();
        self.provider.fault(json!({"method": "POST", "answerLateMs": 120}));
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let url = format!("{}/fakes/{path}", self.provider.url);
        let answer = self.client.request(method, &url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.send(reqwest::Method::POST, path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Value {
        self.send(reqwest::Method::PUT, path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.send(reqwest::Method::PATCH, path, body).await
    }

    pub async fn delete(&self, path: &str) {
        self.send(reqwest::Method::DELETE, path, Value::Null).await;
    }

    /// Somebody makes a task; its id.
    pub async fn task(&self, name: &str) -> String {
        let body = json!({"name": name, "description": "@AI_Squad please find out why"});
        text(&self.post("clickup/tasks", body).await["id"])
    }

    /// Somebody says something in a thread; its ts.
    pub async fn say(&self, thread: &str, words: &str) -> String {
        let path = format!("slack/channels/{SLACK_CHANNEL}/messages");
        let message = self.post(&path, json!({"text": words, "threadTs": thread, "user": "U0ADA"})).await;
        text(&message["ts"])
    }

    pub async fn say_otherwise(&self, ts: &str, words: &str) {
        self.put(&format!("slack/channels/{SLACK_CHANNEL}/messages/{ts}"), json!({ "text": words })).await;
    }

    pub async fn unsay(&self, ts: &str) {
        self.delete(&format!("slack/channels/{SLACK_CHANNEL}/messages/{ts}")).await;
    }

    /// Somebody comments on a task; the comment's id.
    pub async fn comment(&self, task: &str, words: &str) -> String {
        text(&self.post(&format!("clickup/tasks/{task}/comments"), json!({ "text": words })).await["id"])
    }

    /// What can be seen there, once it can.
    pub async fn until<T>(&self, what: &str, look: impl Fn(&World) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            let found = look(&self.provider.fakes.world());
            if let Some(found) = found {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                let (slack, clickup) = (self.said("slack"), self.said("clickup"));
                panic!("{what} did not come; Slack: {slack:#?}; ClickUp: {clickup:#?}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The one message there that says this.
    pub async fn finds(&self, provider: &str, words: &str) -> Value {
        self.until(&format!("{words:?} in {provider}"), |world| one(world, provider, words)).await
    }

    /// What stands there.
    pub fn said(&self, provider: &str) -> Vec<String> {
        let world = self.provider.fakes.world();
        rows(&world, provider).map(|row| words_of(provider, row)).collect()
    }

    /// It stands there once.
    pub fn stands_once(&self, provider: &str, words: &str) {
        let count = self.said(provider).iter().filter(|said| said.contains(words)).count();
        assert_eq!(count, 1, "{words:?} in {provider}: {:#?}", self.said(provider));
    }

    /// Calls that write.
    pub fn writes(&self) -> usize {
        let world = self.provider.fakes.world();
        let asks = |path: &str| path.ends_with("auth.test") || path.contains("conversations.");
        world.calls.iter().filter(|made| made.method != "GET" && !asks(&made.path)).count()
    }

    /// Nothing more is written: looked at for a while, since what does not
    /// happen cannot be waited for.
    pub async fn rests(&self) -> usize {
        let mut before = self.writes();
        loop {
            tokio::time::sleep(Duration::from_millis(600)).await;
            let now = self.writes();
            if std::mem::replace(&mut before, now) == now {
                return now;
            }
        }
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn rows<'w>(world: &'w World, provider: &str) -> Box<dyn Iterator<Item = &'w Value> + 'w> {
    match provider {
        "slack" => Box::new(world.slack_messages.all()),
        "clickup" => Box::new(world.clickup_comments.all()),
        _ => Box::new(world.github_comments.all()),
    }
}

pub fn words_of(provider: &str, row: &Value) -> String {
    let field =
        ["text", "comment_text", "body"][["slack", "clickup"].iter().position(|name| *name == provider).unwrap_or(2)];
    row[field].as_str().unwrap_or_default().to_owned()
}

pub fn one(world: &World, provider: &str, words: &str) -> Option<Value> {
    rows(world, provider).find(|row| words_of(provider, row).contains(words)).cloned()
}
