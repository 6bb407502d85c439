//! `/fakes`: what is there, what shall go wrong, and what happens as if a
//! person did it at the provider.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Fakes, clickup,
    faults::Fault,
    hooks,
    limits::Limited,
    tell::{self, Telling},
    world::{CLICKUP_LIST, CLICKUP_TEAM},
};
use runtime::identity::random_hex;

pub(super) fn routes() -> Router<Fakes> {
    Router::new()
        .route("/state", get(state))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/limits/{provider}", put(set_limit).delete(clear_limit))
        .route("/telling", put(set_telling))
        .route("/tokens/{provider}", put(set_tokens))
        .route("/clickup/webhooks", post(add_webhook))
        .route("/clickup/lists", post(add_list))
        .route("/clickup/lists/{id}", put(change_list))
        .route("/clickup/tasks", post(add_task))
        .route("/clickup/tasks/{id}", put(change_task))
        .route("/clickup/tasks/{id}/comments", post(add_comment))
        .route("/slack/channels", post(add_channel))
}

pub(super) fn missing(what: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"error": format!("no such {what}")}))).into_response()
}

async fn state(State(fakes): State<Fakes>) -> Response {
    Json(&*fakes.world()).into_response()
}

async fn add_fault(State(fakes): State<Fakes>, Json(fault): Json<Fault>) -> StatusCode {
    fakes.world().faults.add(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(fakes): State<Fakes>) -> StatusCode {
    fakes.world().faults.clear();
    StatusCode::NO_CONTENT
}

async fn set_telling(State(fakes): State<Fakes>, Json(telling): Json<Telling>) -> StatusCode {
    fakes.world().telling = telling;
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    calls_max: u64,
    window_ms: u64,
}

/// A provider by the name under which its limit and its tokens are kept.
fn provider(name: &str) -> Option<&'static str> {
    ["clickup", "slack", "github", "jira"].into_iter().find(|known| *known == name)
}

/// Slack's limit counts messages by channel (the real one: 1 in 1,000 ms).
async fn set_limit(State(fakes): State<Fakes>, Path(name): Path<String>, Json(limit): Json<Limit>) -> Response {
    let Some(name) = provider(&name) else { return missing("provider") };
    fakes.world().limits.insert(name, Limited::new(limit.calls_max, limit.window_ms));
    StatusCode::NO_CONTENT.into_response()
}

async fn clear_limit(State(fakes): State<Fakes>, Path(name): Path<String>) -> StatusCode {
    fakes.world().limits.remove(name.as_str());
    StatusCode::NO_CONTENT
}

async fn set_tokens(State(fakes): State<Fakes>, Path(name): Path<String>, Json(tokens): Json<Vec<String>>) -> Response {
    let Some(name) = provider(&name) else { return missing("provider") };
    fakes.world().tokens.insert(name.to_owned(), tokens);
    StatusCode::NO_CONTENT.into_response()
}

/// A webhook as the hub already knows it: with its id and its secret.
async fn add_webhook(State(fakes): State<Fakes>, Json(body): Json<Value>) -> Response {
    let Some(endpoint) = body["endpoint"].as_str() else { return missing("endpoint") };
    let (own_id, own_secret) = (random_hex(), random_hex());
    let (id, secret) = (body["id"].as_str().unwrap_or(&own_id), body["secret"].as_str().unwrap_or(&own_secret));
    let webhook = clickup::webhook(id, secret, endpoint, &body["events"], CLICKUP_TEAM);
    fakes.world().clickup_webhooks.put(id, webhook.clone());
    (StatusCode::CREATED, Json(webhook)).into_response()
}

async fn add_list(State(fakes): State<Fakes>, Json(body): Json<Value>) -> Response {
    let mut world = fakes.world();
    let own = format!("9012003456{:05}", world.number());
    let list = clickup::list(body["id"].as_str().unwrap_or(&own), body["name"].as_str().unwrap_or("List"));
    world.clickup_lists.put(list["id"].as_str().unwrap_or_default(), list.clone());
    (StatusCode::CREATED, Json(list)).into_response()
}

async fn change_list(State(fakes): State<Fakes>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let mut world = fakes.world();
    let Some(list) = world.clickup_lists.get_mut(&id) else { return missing("list") };
    for field in ["name", "archived", "status"] {
        if !body[field].is_null() {
            list[field] = body[field].clone();
        }
    }
    Json(list.clone()).into_response()
}

/// Ada makes a task: `{name, description?, listId?, status?, priority?,
/// assignees?, id?}`.
async fn add_task(State(fakes): State<Fakes>, Json(body): Json<Value>) -> Response {
    let now_ms = fakes.now_ms();
    let (task, told) = {
        let mut world = fakes.world();
        let list = body["listId"].as_str().unwrap_or(CLICKUP_LIST);
        let Some(task) = clickup::new_task(&mut world, list, &body, now_ms) else { return missing("list") };
        let told = hooks::created(&mut world, &task, &clickup::ada(), now_ms);
        (task, told)
    };
    tell::send_all(&fakes, told);
    (StatusCode::CREATED, Json(task)).into_response()
}

/// Ada changes a task.
async fn change_task(State(fakes): State<Fakes>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let now_ms = fakes.now_ms();
    let (task, told) = {
        let mut world = fakes.world();
        let Some(before) = world.clickup_tasks.get(&id).cloned() else { return missing("task") };
        let mut after = before.clone();
        if let Err(error) = clickup::change(&mut after, &body, now_ms) {
            return (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
        }
        world.clickup_tasks.put(&id, after.clone());
        let told = hooks::updated(&mut world, &before, &after, &clickup::ada(), now_ms);
        (after, told)
    };
    tell::send_all(&fakes, told);
    Json(task).into_response()
}

/// Ada writes a comment, or the one whose token the hub has, by hand: `{text,
/// user?}`.
async fn add_comment(State(fakes): State<Fakes>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let now_ms = fakes.now_ms();
    let (comment, told) = {
        let mut world = fakes.world();
        let text = body["text"].as_str().unwrap_or_default();
        let author = if body["user"] == "us" { clickup::us() } else { clickup::ada() };
        let made = clickup::new_comment(&mut world, &id, text, &author, now_ms);
        let Some(comment) = made else { return missing("task") };
        let told = hooks::commented(&mut world, "taskCommentPosted", &comment, &author, now_ms);
        (comment, told)
    };
    tell::send_all(&fakes, told);
    (StatusCode::CREATED, Json(comment)).into_response()
}

/// A channel: `{id, name}`.
async fn add_channel(State(fakes): State<Fakes>, Json(body): Json<Value>) -> Response {
    let Some(id) = body["id"].as_str() else { return missing("id") };
    let channel = json!({
        "id": id, "name": body["name"].as_str().unwrap_or("channel"), "is_channel": true, "is_private": false,
        "is_archived": false, "is_member": true,
    });
    fakes.world().slack_channels.put(id, channel.clone());
    (StatusCode::CREATED, Json(channel)).into_response()
}
