//! Governance through the front door: agents at their sockets, people at the
//! API, providers that are fakes, a log that is real.

mod cut;
mod dry_run;
mod guards;
mod limits;
mod offline;
mod rates;

use std::time::{Duration, Instant};

use pipeline::topics::Topic;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    agents::socket::{Kind, Refusal, Socket},
    api::{Api, text},
    hub::PATIENCE,
};

/// A hub with a project that agents may speak in, in both tenants.
pub struct House {
    pub api: Api,
}

/// An agent that has a token.
pub struct Speaker {
    pub id: String,
    pub token: String,
}

impl House {
    pub async fn open() -> House {
        let house = House { api: Api::start().await };
        for tenant in ["acme", "umbra"] {
            house.project(tenant).await;
        }
        house
    }

    pub async fn project(&self, tenant: &str) {
        let project = json!({ "id": "prj_1", "name": "Shop", "slackChannelId": "C0SHOP" });
        self.api.made(&format!("/api/projects?tenantId={tenant}"), project).await;
    }

    pub async fn agent(&self, tenant: &str, name: &str) -> Speaker {
        let (_, id, token) = self.api.agent_of(tenant, name).await;
        Speaker { id, token }
    }

    /// A tenant's own limits, set by its own administrator.
    pub async fn limit(&self, tenant: &str, limits: Value) {
        let path = format!("/api/tenant?tenantId={tenant}");
        let answer = self.api.ask("PATCH", &path, &self.api.local(), Some(json!({ "limits": limits }))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    pub async fn open_socket(&self, kind: Kind, token: &str) -> Result<Socket, Refusal> {
        Socket::open(self.api.hub.address(), kind, token).await
    }

    /// A socket that hears what it is answered.
    pub async fn connect(&self, kind: Kind, token: &str) -> Socket {
        let mut socket = self.open_socket(kind, token).await.unwrap();
        socket.expect("hello").await;
        socket.say("agent_ready", json!({ "protocol": "nexus.v1" })).await;
        socket
    }

    /// The alerts of these kinds, with their subjects, once there are so many.
    pub async fn alerts(&self, kinds: &[&str], count: usize) -> Vec<(String, String, String)> {
        let begun = Instant::now();
        loop {
            let alerts = self.api.hub.values(Topic::Alerts, 0).await;
            let of = |alert: &Value| (text(&alert["kind"]), text(&alert["tenantId"]), text(&alert["subject"]));
            let found: Vec<_> = alerts.iter().map(of).filter(|(kind, ..)| kinds.contains(&&**kind)).collect();
            if found.len() >= count {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} alerts: {found:?}", found.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Says something in a thread, and gives the answer.
pub async fn say(socket: &mut Socket, words: &str) -> Value {
    say_in(socket, "1.000100", words).await
}

pub async fn say_in(socket: &mut Socket, thread_ts: &str, words: &str) -> Value {
    let thread = json!({ "channelId": "C0SHOP", "threadTs": thread_ts });
    socket.say("message", json!({ "requestId": words, "thread": thread, "text": words })).await;
    answer(socket, words).await
}

/// The answer to a request.
pub async fn answer(socket: &mut Socket, request: &str) -> Value {
    loop {
        let (name, data) = socket.next().await.unwrap_or_else(|| panic!("the socket ended before {request}"));
        if name == "action_result" && data["requestId"] == request {
            return data;
        }
    }
}

/// Says something again and again, each time in other words, until it may be
/// said.
pub async fn say_until_accepted(socket: &mut Socket, words: &str) -> Value {
    let begun = Instant::now();
    for number in 0.. {
        let answer = say(socket, &format!("{words} {number}")).await;
        if answer["status"] == "accepted" {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("numbers do not end")
}
