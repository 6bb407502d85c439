//! Every way on which an agent acts, under everything that stops an agent: each
//! refuses, says why, and nothing has happened.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeline::{
    event::Time,
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Speaker;
use crate::{
    agents::socket::{Kind, Socket},
    api::{Api, text},
    audit::now_ms,
    hub::PATIENCE,
};

const TENANT: &str = "acme";
const CHANNEL: &str = "C0SHOP";
const THREAD: &str = "1.000100";
/// The provider's id of the task.
const TASK: &str = "86aa";

/// What stops an agent, with the status and the code that say so.
const STATES: &[(&str, StatusCode, &str)] = &[
    ("nothing", StatusCode::OK, ""),
    ("the kill switch", StatusCode::CONFLICT, "stopped"),
    ("a person", StatusCode::TOO_MANY_REQUESTS, "muted"),
    ("a spent budget", StatusCode::TOO_MANY_REQUESTS, "over_budget"),
    ("the limit of messages", StatusCode::TOO_MANY_REQUESTS, "muted"),
];

/// How an agent acts.
const WAYS: &[&str] = &[
    "PATCH state",
    "PATCH thread",
    "POST document",
    "mcp move",
    "mcp message",
    "tool move",
    "tool message",
    "tool elsewhere",
    "socket move",
];

/// What came of one attempt: a code, nothing if it was done, and whether it says
/// when to try again.
#[derive(Debug, PartialEq)]
struct Outcome {
    code: String,
    may_retry: bool,
}

impl Outcome {
    fn of_error(error: &Value) -> Outcome {
        let code = error["code"].as_str().unwrap_or_default().to_owned();
        Outcome { code, may_retry: error["retryAfterMs"].is_u64() }
    }
}

/// A hub with one agent, which may do everything, and one task.
struct Floor {
    api: Api,
    agent: Speaker,
    admin: String,
    project: String,
    asked: std::cell::Cell<u32>,
}

impl Floor {
    async fn open() -> Floor {
        let api = Api::start().await;
        let (_, id, token) = api.agent_of(TENANT, "ada").await;
        let (_, admin) = api.client_of(TENANT, "admin").await;
        let may = json!({ "capabilities": ["tool:github.create_issue"] });
        let changed = api.ask("PATCH", &format!("/api/agents/{id}"), &admin, Some(may)).await;
        assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
        let squad = api.made("/api/workgroups?tenantId=acme", json!({ "name": "Squad", "agentIds": [id] })).await;
        let project =
            json!({ "name": "Shop", "workgroupId": squad["id"], "slackChannelId": CHANNEL, "clickupListId": "9011" });
        let project = text(&api.made("/api/projects?tenantId=acme", project).await["id"]);
        let task = json!({ "projectId": project, "provider": "clickup", "externalId": TASK, "threadTs": THREAD });
        let begun = Instant::now();
        // The pipeline knows the project a moment after it is made.
        while api.ask("POST", "/api/tasks", &admin, Some(task.clone())).await.status != StatusCode::CREATED {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let floor = Floor { api, agent: Speaker { id, token }, admin, project, asked: Default::default() };
        while floor.task(&floor.agent.token).await["state"] != "TODO" {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        floor
    }

    async fn task(&self, token: &str) -> Value {
        self.api.ask("GET", &format!("/api/tasks/{TASK}"), token, None).await.json()["data"].clone()
    }

    async fn administer(&self, method: &str, path: &str, body: Value) {
        let answer = self.api.ask(method, path, &self.admin, Some(body)).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text);
    }

    /// A name that was not used before.
    fn fresh(&self) -> String {
        self.asked.set(self.asked.get() + 1);
        format!("r{}", self.asked.get())
    }

    /// Something that the agent said at its socket.
    async fn said(&self, name: &str, data: Value) {
        let log = self.api.hub.log();
        let at_ms = now_ms();
        let action = json!({
            "id": format!("act_{}", runtime::identity::random_hex()), "tenantId": TENANT, "agentId": self.agent.id,
            "name": name, "data": data, "at": Time::from_ms(at_ms),
        });
        let record = NewRecord {
            topic: Topic::AgentsActions,
            partition: partition_of(TENANT, log.partitions()),
            at_ms,
            key: Bytes::from(TENANT),
            value: Some(action.to_string().into()),
            headers: Headers::new([("type", name.as_bytes())]),
        };
        log.append(vec![record]).await.unwrap();
    }

    /// What the agent was told about a request.
    async fn told(&self, name: &str, request: &str) -> Value {
        let begun = Instant::now();
        loop {
            let mut told = self.api.hub.values(Topic::AgentsInbox, 0).await.into_iter();
            if let Some(entry) = told.find(|entry| entry["name"] == name && entry["data"]["requestId"] == request) {
                return entry["data"].clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{request} is not answered");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn http(&self, method: &str, path: &str, body: Value) -> Outcome {
        let answer = self.api.ask(method, path, &self.agent.token, Some(body)).await;
        if answer.status.is_success() {
            return Outcome { code: String::new(), may_retry: false };
        }
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status.as_u16(), "{}", answer.text);
        assert!(!text(&problem["detail"]).is_empty());
        let code = text(&problem["code"]);
        let status = STATES.iter().find(|(_, _, known)| *known == code).map(|(_, status, _)| *status);
        assert_eq!(Some(answer.status), status, "{}", answer.text);
        Outcome { code, may_retry: answer.headers.contains_key("retry-after") }
    }

    async fn mcp(&self, tool: &str, arguments: Value) -> Outcome {
        let call = json!({ "name": tool, "arguments": arguments });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call });
        let request = self.api.request(Method::POST, "/mcp").bearer_auth(&self.agent.token).json(&body);
        let answer = self.api.send(request.header("accept", "application/json, text/event-stream")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        Outcome::of_error(&answer.json()["result"]["structuredContent"]["error"])
    }

    async fn tool(&self, tool: &str, action: Option<&str>, args: Value) -> Outcome {
        let request = self.fresh();
        let asked = json!({ "requestId": request, "tool": tool, "action": action, "args": args });
        self.said("tool_request", asked).await;
        let told = self.told("tool_result", &request).await;
        if told["decision"] == "denied" {
            let reason = text(&told["reason"]);
            let code = reason.split(':').next().unwrap_or_default().to_owned();
            return Outcome { code, may_retry: told["retryAfterMs"].is_u64() };
        }
        Outcome::of_error(&told["error"])
    }

    async fn attempt(&self, way: &str) -> Outcome {
        let (task, words) = (format!("/api/tasks/{TASK}"), format!("words {}", self.fresh()));
        let state = "IN_PROGRESS";
        match way {
            "PATCH state" => self.http("PATCH", &task, json!({ "state": state })).await,
            "PATCH thread" => self.http("PATCH", &task, json!({ "threadTs": "2.000200" })).await,
            "POST document" => {
                let document = json!({ "projectId": self.project, "title": "Runbook", "text": words });
                self.http("POST", "/api/memory/documents", document).await
            }
            "mcp move" => self.mcp("task_update_status", json!({ "taskId": TASK, "status": state })).await,
            "mcp message" => self.mcp("message_post", json!({ "taskId": TASK, "text": words })).await,
            "tool move" => self.tool("task_update_status", None, json!({ "taskId": TASK, "status": state })).await,
            "tool message" => self.tool("message_post", None, json!({ "taskId": TASK, "text": words })).await,
            "tool elsewhere" => self.tool("github", Some("create_issue"), json!({ "title": words })).await,
            "socket move" => {
                let request = self.fresh();
                self.said("status_update", json!({ "requestId": request, "taskId": TASK, "status": state })).await;
                let told = self.told("action_result", &request).await;
                let code = if told["status"] == "accepted" { String::new() } else { text(&told["status"]) };
                Outcome { code, may_retry: told["retryAfterMs"].is_u64() }
            }
            other => panic!("{other}"),
        }
    }

    async fn enter(&self, state: &str) {
        let agent = &self.agent.id;
        match state {
            "nothing" => {}
            "the kill switch" => {
                self.administer("POST", "/admin/stop-all-agents", json!({ "reason": "runaway" })).await;
            }
            "a person" => self.administer("POST", &format!("/api/agents/{agent}/mute"), json!({})).await,
            "a spent budget" => {
                let budget = json!({ "period": "month", "limit": 1.0, "hardStop": true });
                self.administer("PATCH", &format!("/api/budgets/{agent}"), budget).await;
                self.said("usage", json!({ "model": "m", "inputTokens": 1, "outputTokens": 1, "cost": 2.0 })).await;
                let begun = Instant::now();
                while Socket::open(self.api.hub.address(), Kind::Plain, &self.agent.token).await.is_ok() {
                    assert!(begun.elapsed() < PATIENCE, "the agent is never held");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            "the limit of messages" => {
                let limits = json!({ "limits": { "messages": { "limit": 1, "windowMs": 600_000 } } });
                self.administer("PATCH", "/api/tenant", limits).await;
                // The mute begins with the first that is refused.
                let begun = Instant::now();
                while self.attempt("mcp message").await.code != "muted" {
                    assert!(begun.elapsed() < PATIENCE, "the limit is never reached");
                }
            }
            other => panic!("{other}"),
        }
    }

    async fn leave(&self, state: &str) {
        let agent = &self.agent.id;
        match state {
            "the kill switch" => self.administer("POST", "/admin/resume", json!({})).await,
            "a person" => self.administer("POST", &format!("/api/agents/{agent}/unmute"), json!({})).await,
            "a spent budget" => {
                let budget = json!({ "period": "month", "limit": 100.0, "hardStop": true });
                self.administer("PATCH", &format!("/api/budgets/{agent}"), budget).await;
                let begun = Instant::now();
                while Socket::open(self.api.hub.address(), Kind::Plain, &self.agent.token).await.is_err() {
                    assert!(begun.elapsed() < PATIENCE, "the agent is never let go");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            _ => {}
        }
    }
}

/// Whether a state is asked about on a way: a socket is cut by what its gateway
/// knows, and a document is neither said nor a move.
fn is_asked(state: &str, way: &str) -> bool {
    match way {
        "socket move" => matches!(state, "a person" | "the limit of messages"),
        "POST document" => matches!(state, "the kill switch" | "a spent budget"),
        _ => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_act_is_refused_on_every_way() {
    let floor = Floor::open().await;
    let mut wrong = Vec::new();
    for (state, status, code) in STATES.iter().skip(1) {
        floor.enter(state).await;
        for way in WAYS.iter().filter(|way| is_asked(state, way)) {
            let outcome = floor.attempt(way).await;
            // A person's mute ends when a person says so; HTTP names a time all
            // the same, as its status wants it.
            let names_a_time = *status == StatusCode::TOO_MANY_REQUESTS;
            let is_optional = way.starts_with("socket") || way.ends_with("elsewhere");
            if outcome.code != *code || (outcome.may_retry != names_a_time && !is_optional) {
                wrong.push(format!("{way}, stopped by {state}: {outcome:?}"));
            }
        }
        floor.leave(state).await;
        let task = floor.task(&floor.admin).await;
        if (&task["state"], &task["threadTs"]) != (&json!("TODO"), &json!(THREAD)) {
            wrong.push(format!("it was done all the same, stopped by {state}: {task}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_act_does_so_under_its_own_name() {
    let floor = Floor::open().await;
    for way in ["PATCH thread", "POST document", "mcp message", "tool message", "tool elsewhere", "PATCH state"] {
        assert_eq!(floor.attempt(way).await.code, "", "{way}");
    }
    let events = floor.api.hub.values(Topic::Events, 3).await;
    let of_agent: Vec<_> = events.iter().filter(|event| event["actor"]["agentId"] == floor.agent.id.as_str()).collect();
    assert_eq!(of_agent.len(), 3, "two messages and a move, by the agent: {events:#?}");
    // A person is nobody's agent.
    floor.administer("POST", "/admin/stop-all-agents", json!({ "reason": "runaway" })).await;
    floor.administer("PATCH", &format!("/api/tasks/{TASK}"), json!({ "state": "BLOCKED_ON_HUMAN" })).await;
}
