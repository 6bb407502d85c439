//! SQL over the streams: by HTTP, over the wire protocol, at the command line;
//! what it shows, and what it refuses.

mod alike;
mod bucket;
mod follow;
mod hostile;
mod http;
mod isolation;
mod lake;
mod parity;
mod questions;
mod windows;
mod wire;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{api::Api, hub::Answer};

/// What never ends, in little memory.
const ENDLESS: &str =
    "SELECT sum((a.value + b.value) % 7) AS n FROM generate_series(1, 50000) a, generate_series(1, 1000000000) b";

/// A hub with some events of two tenants, and an analyst of each.
pub struct Asked {
    pub api: Api,
    pub acme: String,
    pub umbra: String,
}

impl Asked {
    pub async fn start() -> Asked {
        Asked::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut runtime::config::Config)) -> Asked {
        let api = Api::start_with(change).await;
        let (_, acme) = api.client_of("acme", "analyst").await;
        let (_, umbra) = api.client_of("umbra", "analyst").await;
        for (provider, event) in
            [("clickup", "taskCreated"), ("slack", "message"), ("github", "issues.opened"), ("slack", "message")]
        {
            assert_eq!(api.hub.webhook(provider, event).await.status, StatusCode::OK, "{provider} {event}");
        }
        let theirs = api.hub.sample("umbra", "slack", "message");
        assert_eq!(api.hub.post(theirs).await.status, StatusCode::OK);
        // One more that marks the end; after it all of them are there.
        api.hub.all_events().await;
        let asked = Asked { api, acme, umbra };
        // The other tenant may live in another partition.
        let begun = std::time::Instant::now();
        while asked.rows(&asked.umbra, "SELECT id FROM events").await.is_empty() {
            assert!(begun.elapsed() < super::hub::PATIENCE, "umbra's event does not come");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        asked
    }

    pub async fn ask(&self, token: &str, sql: &str, format: &str) -> Answer {
        self.api.ask("POST", "/api/sql", token, Some(json!({ "sql": sql, "format": format }))).await
    }

    /// The rows of an answer.
    pub async fn rows(&self, token: &str, sql: &str) -> Vec<Value> {
        let answer = self.ask(token, sql, "json").await;
        assert_eq!(answer.status, StatusCode::OK, "{sql}: {}", answer.text);
        answer.json()["data"].as_array().cloned().unwrap_or_else(|| panic!("{sql}: {}", answer.text))
    }

    /// The code of a refusal.
    pub async fn code(&self, sql: &str) -> String {
        let answer = self.ask(&self.acme, sql, "json").await;
        assert!(answer.status.is_client_error(), "{sql}: {} {}", answer.status, answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        super::api::text(&answer.json()["code"])
    }
}
