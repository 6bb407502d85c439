//! How the hub is: for load balancers, for people, for Prometheus.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use pipeline::{
    ports::{Lag, LogError},
    topics::{TOPICS, Topic},
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    Services,
    operation::{Given, Operation, Served, described},
};
use runtime::sessions::PIPELINE_GROUP;
use runtime::{
    auth::{Access as Needed, Gate},
    config::Access,
    http::problem::Problem,
    supervisor::Status,
};

/// How long the log is asked how far a group is.
const LAG_TIMEOUT: Duration = Duration::from_secs(1);

/// `/health*`, `/webhooks/health` and `/metrics`, which every process serves.
pub fn operations() -> Vec<Operation> {
    const UNAVAILABLE: &[StatusCode] = &[StatusCode::SERVICE_UNAVAILABLE];
    const GUARDED: &[StatusCode] = &[StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE];
    let json = Given { status: StatusCode::OK, media: "application/json", schema: state };
    let text = Given { status: StatusCode::OK, media: "text/plain", schema: lines };
    let serve = |method, path, summary, given, route: MethodRouter<Arc<Services>>| {
        described(method, path, summary, given, Served::Always(Box::new(route)))
    };
    vec![
        serve(Method::GET, "/health", "How the hub is, for people", json, get(whole)),
        serve(Method::GET, "/health/live", "Whether the process serves", json, get(live)),
        serve(Method::GET, "/health/ready", "Whether all roles are at work", json, get(ready)).errors(UNAVAILABLE),
        serve(Method::GET, "/webhooks/health", "How taking webhooks goes", json, get(webhooks)).errors(GUARDED),
        serve(Method::POST, "/webhooks/health", "The same, for senders that only post", json, post(webhooks))
            .errors(GUARDED),
        serve(Method::GET, "/metrics", "What is counted, for Prometheus", text, get(metrics)),
    ]
}

fn state(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(json_schema!({ "type": "object", "required": ["data"], "properties": { "data": { "type": "object" } } }))
}

fn lines(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(json_schema!({ "type": "string" }))
}

type Shared = State<Arc<Services>>;

async fn live() -> Json<Value> {
    Json(json!({ "data": { "status": "ok" } }))
}

/// What is wrong, in words; nothing when all is well.
fn complaints(services: &Services) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Err(error) = services.log.ready() {
        complaints.push(format!("log: {error}"));
    }
    for (role, status) in services.board.all() {
        match status {
            Status::Running => {}
            Status::Starting => complaints.push(format!("{role}: starting")),
            Status::Stopping => complaints.push(format!("{role}: stopping")),
            Status::Restarting { error, failures } => {
                complaints.push(format!("{role}: failed {failures} times in a row, begins again: {error}"));
            }
        }
    }
    complaints
}

async fn ready(State(services): Shared) -> Response {
    let complaints = complaints(&services);
    // The depth is worth a look, but no reason to wait for a slow broker.
    let depth = services.log.lag(PIPELINE_GROUP, &[Topic::WebhooksRaw]);
    let depth = match timeout(LAG_TIMEOUT, depth).await {
        Ok(Ok(lags)) => Some(lags.iter().map(unread).sum::<u64>()),
        _ => None,
    };
    let data = json!({
        "status": if complaints.is_empty() { "ready" } else { "not_ready" },
        "reasons": complaints,
        "roles": services.board.all(),
        "queueDepth": depth,
    });
    let status = if complaints.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "data": data }))).into_response()
}

async fn whole(State(services): Shared) -> Json<Value> {
    let complaints = complaints(&services);
    Json(json!({ "data": {
        "status": if complaints.is_empty() { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "reasons": complaints,
        "roles": services.board.all(),
        "partitions": services.log.partitions(),
    } }))
}

async fn webhooks(State(services): Shared, headers: HeaderMap) -> Result<Response, Problem> {
    if services.webhooks_health == Access::Admin {
        Gate::admit(Needed::ADMINS, &services.gate.principal(&headers)?)?;
    }
    let accepting = match &services.ingest {
        Some(ingest) => ingest.ready(),
        None => Err(LogError::Closed),
    };
    let lags = all_lags(&services).await.map_err(|error| Problem::unavailable(error.to_string()))?;
    let now_ms = services.clock.now_ms();
    let topics: Vec<Value> = TOPICS.iter().map(|spec| of_topic(spec.topic, &lags, now_ms)).collect();
    let dead_letters: u64 = lags.iter().filter(|lag| lag.topic == Topic::DeadLetters).map(depth).sum();
    let data = json!({
        "status": if accepting.is_ok() { "ok" } else { "unavailable" },
        "reason": accepting.as_ref().err().map(ToString::to_string),
        "topics": topics,
        "deadLetters": dead_letters,
    });
    let status = if accepting.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, Json(json!({ "data": data }))).into_response();
    if accepting.is_err() {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    Ok(response)
}

async fn all_lags(services: &Services) -> Result<Vec<Lag>, LogError> {
    let topics: Vec<Topic> = TOPICS.iter().map(|spec| spec.topic).collect();
    services.log.lag(PIPELINE_GROUP, &topics).await
}

fn of_topic(topic: Topic, lags: &[Lag], now_ms: u64) -> Value {
    let lags: Vec<&Lag> = lags.iter().filter(|lag| lag.topic == topic).collect();
    let is_input = pipeline::flow::INPUTS.contains(&topic);
    let oldest = lags.iter().filter_map(|lag| lag.oldest_unread_at_ms).min();
    json!({
        "topic": topic.name(),
        "depth": lags.iter().map(|lag| depth(lag)).sum::<u64>(),
        "lag": is_input.then(|| lags.iter().map(|lag| unread(lag)).sum::<u64>()),
        "oldestAgeMs": is_input.then(|| oldest.map_or(0, |oldest| now_ms.saturating_sub(oldest))),
    })
}

fn depth(lag: &Lag) -> u64 {
    lag.end_offset.saturating_sub(lag.first_offset)
}

fn unread(lag: &Lag) -> u64 {
    lag.end_offset.saturating_sub(lag.group_offset.unwrap_or(lag.first_offset))
}

async fn metrics(State(services): Shared) -> Response {
    let lags = all_lags(&services).await.unwrap_or_default();
    services.metrics.update(&services.progress, &lags);
    let now_ms = services.clock.now_ms();
    for (group, topic, load) in services.board.groups() {
        // How far behind is worth a look, but no reason to wait for a slow broker.
        let lags = timeout(LAG_TIMEOUT, services.log.lag(group, &[topic])).await;
        let lag = lags.ok().and_then(Result::ok).map(|lags| lags.iter().map(unread).sum());
        services.metrics.update_group(group, &load, lag, now_ms);
    }
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], services.metrics.text()).into_response()
}
