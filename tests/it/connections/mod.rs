//! Connections through the front door: a running hub, and the fakes as its
//! providers.

mod backfill;
mod hooks;
mod installs;
mod mapping;
mod pickers;

use std::time::{Duration, Instant};

use pipeline::topics::Topic;
use reqwest::StatusCode;
use runtime::config::Config;
use serde_json::{Value, json};
use udfs::signature::{self, CLICKUP, GITHUB, SLACK, Scheme};

use super::{
    api::{Api, text},
    hub::{Answer, PATIENCE, Port},
    lookups::Provider,
};

/// What nobody may ever see of a connection.
pub const TOKEN: &str = "hush-token-4711";
/// The Slack app's signing secret.
const SIGNING: &str = "hush-signing-4711";

/// What is made there is a row, which the pipeline must know.
const ROWS: [&str; 4] = ["/api/projects", "/api/workgroups", "/api/connections", "/api/agents"];

/// A hub with a tenant `orchard`, whose administrator asks; the fakes beside it.
pub struct House {
    pub api: Api,
    pub provider: Provider,
    pub admin: String,
    _port: Port,
}

impl House {
    pub async fn open() -> House {
        House::open_with(|_| {}).await
    }

    pub async fn open_with(change: impl FnOnce(&mut Config)) -> House {
        let provider = Provider::start().await;
        // The hub has to know how it is reached before it listens.
        let held = Port::hold();
        let port = held.number();
        let url = provider.url.clone();
        let api = Api::start_with(|config| {
            config.server.port = port;
            config.server.public_url = format!("http://127.0.0.1:{port}");
            config.providers.allow_private_targets = true;
            config.providers.set("clickup_api_url", format!("{url}/clickup/api/v2"));
            config.providers.set("slack_api_url", format!("{url}/slack/api"));
            config.providers.set("github_api_url", format!("{url}/github"));
            config.providers.set("jira_api_url", format!("{url}/jira"));
            config.webhooks.secrets.insert("slack".to_owned(), SIGNING.to_owned());
            config.upkeep.health_interval_ms = 100;
            config.upkeep.fresh_ms = 0;
            // Its first turn comes at any time within the interval: what it found
            // would be missing in what a test asks for.
            config.upkeep.reconcile_interval_ms = 0;
            // What is mapped here is looked at by the test alone.
            config.upkeep.history_days = 0;
            let oauth = &mut config.oauth;
            for provider in ["slack", "clickup", "github"] {
                oauth.set(&format!("{provider}_client_id"), "app-1");
                oauth.set(&format!("{provider}_client_secret"), "hush-app-secret");
            }
            oauth.set("slack_authorize_url", format!("{url}/slack/oauth/authorize"));
            oauth.set("clickup_authorize_url", format!("{url}/clickup/oauth/authorize"));
            oauth.set("github_oauth_url", format!("{url}/github/oauth"));
            change(config);
        })
        .await;
        api.made("/admin/tenants", json!({ "id": "orchard", "name": "Orchard" })).await;
        let admin = api.client_of("orchard", "admin").await.1;
        House { api, provider, admin, _port: held }
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.api.ask(method, path, &self.admin, body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }

    pub async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.ask("POST", path, Some(body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        let made = answer.json()["data"].clone();
        if ROWS.contains(&path) {
            self.announced(&text(&made["id"])).await;
        }
        made
    }

    /// Waits until `control` has a row: what the log is given from then on, the
    /// pipeline reads with the row known. The API shows a row before that.
    pub async fn announced(&self, id: &str) {
        self.until(&format!("the announcement of {id}"), || async {
            let records = self.api.hub.records(Topic::Control, 0).await;
            let is_it = |key: &[u8]| key.rsplit(|byte| *byte == b'/').next() == Some(id.as_bytes());
            records.iter().any(|record| record.value.is_some() && is_it(&record.key)).then_some(())
        })
        .await;
    }

    /// A connection with a token; its id.
    pub async fn connection(&self, provider: &str, more: Value) -> String {
        let mut body = json!({ "provider": provider, "name": format!("our {provider}"), "apiToken": TOKEN });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = text(&self.make("/api/connections", body).await["id"]);
        if provider == "slack" {
            // Until it is looked after, its team's webhooks are nobody's.
            let path = format!("/api/connections/{id}");
            self.until("a first look", || async {
                self.get(&path).await["data"]["health"]["checkedAt"].is_string().then_some(())
            })
            .await;
        }
        id
    }

    /// Asks again and again until there is something.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, look: impl Fn() -> F) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} did not come");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A backfill's end.
    pub async fn backfill(&self, connection: &str, body: Value) -> Value {
        let started = self.ask("POST", &format!("/api/connections/{connection}/backfill"), Some(body)).await;
        assert_eq!(started.status, StatusCode::ACCEPTED, "{}", started.text);
        self.job(&text(&started.json()["data"]["id"])).await
    }

    pub async fn job(&self, id: &str) -> Value {
        let path = format!("/api/backfills/{id}");
        self.until("the backfill's end", || async {
            let job = self.get(&path).await["data"].clone();
            matches!(job["status"].as_str(), Some("done" | "failed")).then_some(job)
        })
        .await
    }

    /// The tenant's events, once all that was accepted so far has become one.
    pub async fn events(&self) -> Vec<Value> {
        let all = self.settled().await;
        all.into_iter().filter(|event| event["tenantId"] == "orchard").collect()
    }

    async fn settled(&self) -> Vec<Value> {
        let lags = self.api.hub.log().lag("", &[Topic::WebhooksRaw]).await.unwrap();
        let ends: Vec<(u64, u64)> =
            lags.iter().map(|lag| (u64::from(lag.partition), lag.end_offset)).filter(|(_, end)| *end > 0).collect();
        self.until("the pipeline", || async {
            let read = self.api.hub.log().lag("nexus-pipeline", &[Topic::WebhooksRaw]).await.unwrap();
            let is_read = |(partition, end): &(u64, u64)| {
                let lag = read.iter().find(|lag| u64::from(lag.partition) == *partition);
                lag.and_then(|lag| lag.group_offset).is_some_and(|offset| offset >= *end)
            };
            ends.iter().all(is_read).then_some(())
        })
        .await;
        // What is held for details or for our own voice goes on by a tick.
        self.api.hub.values(Topic::Events, 0).await
    }

    /// Those of a type about something.
    pub async fn about(&self, kind: &str, subject: &str) -> Vec<Value> {
        let is_it = |event: &Value| event["type"] == kind && event["subject"]["externalId"] == subject;
        self.events().await.into_iter().filter(is_it).collect()
    }

    /// Waits until there is one of a type about something, and that it stays one.
    pub async fn one(&self, kind: &str, subject: &str) -> Value {
        self.until(&format!("{kind} of {subject}"), || async {
            let found = self.about(kind, subject).await;
            assert!(found.len() <= 1, "{kind} of {subject} is there twice: {found:#?}");
            found.into_iter().next()
        })
        .await
    }

    async fn signed(
        &self,
        path: &str,
        scheme: &Scheme,
        secret: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let (body, now_ms) = (body.to_string(), pipeline::ports::Clock::now_ms(&runtime::clock::SystemClock));
        let mut request = self.api.request("POST".parse().unwrap(), path);
        request = request.header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in signature::sign(scheme, secret, "", now_ms / 1000, body.as_bytes()).unwrap() {
            request = request.header(name, value);
        }
        self.api.send(request.body(body)).await
    }

    /// As Slack tells something of the team `T0ORCHARD1`.
    pub async fn slack_says(&self, event_id: &str, event: Value) {
        let body = json!({ "type": "event_callback", "team_id": "T0ORCHARD1", "event_id": event_id, "event": event });
        let answer = self.signed("/webhooks/slack", &SLACK, SIGNING, &[], &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    /// As ClickUp tells something, through the webhook that it has.
    pub async fn clickup_says(&self, mut body: Value) {
        let (id, secret) = {
            let world = self.provider.fakes.world();
            let webhook = world.clickup_webhooks.all().next().unwrap();
            (text(&webhook["id"]), text(&webhook["secret"]))
        };
        body["webhook_id"] = json!(id);
        // It has the webhook a moment before every process knows its secret.
        self.until("a known secret", || async {
            let answer = self.signed("/webhooks/clickup", &CLICKUP, &secret, &[], &body).await;
            let is_early = answer.status == StatusCode::BAD_REQUEST && answer.text.contains("no usable secret");
            assert!(is_early || answer.status == StatusCode::OK, "{}", answer.text);
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
    }

    pub async fn github_says(&self, secret: &str, event: &str, guid: &str, body: &Value) -> Answer {
        let headers = [("x-github-event", event), ("x-github-delivery", guid)];
        self.signed("/webhooks/github", &GITHUB, secret, &headers, body).await
    }

    /// Nothing of what is secret is in what the hub says of its own accord.
    pub async fn keeps_secrets(&self, secrets: &[&str]) {
        let mut said = self.api.hub.get("/metrics").await.text;
        for path in ["/api/connections", "/api/backfills", "/api/candidates", "/api/projects"] {
            said += &self.ask("GET", path, None).await.text;
        }
        for topic in [Topic::Control, Topic::Alerts, Topic::DeadLetters, Topic::PipelineState, Topic::WebhooksRaw] {
            for record in self.api.hub.records(topic, 0).await {
                said += &String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
            }
        }
        for secret in secrets {
            assert!(!said.contains(secret), "{secret} was told");
        }
    }
}
