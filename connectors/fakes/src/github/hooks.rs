//! The hooks of a repository, and what was delivered to them.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{Fakes, INVALID, NOT_FOUND, Repository, World, answer, key, of_repository};

pub(super) fn routes() -> Router<Fakes> {
    Router::new()
        .route("/hooks", get(hooks).post(create_hook))
        .route("/hooks/{id}", get(get_hook).patch(update_hook).delete(delete_hook))
        .route("/hooks/{id}/deliveries", get(deliveries))
        .route("/hooks/{id}/deliveries/{delivery}", get(delivery))
        .route("/hooks/{id}/deliveries/{delivery}/attempts", post(attempt))
}

async fn hooks(State(fakes): State<Fakes>, Path(repository): Path<Repository>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world, _| {
        let own: Vec<_> = world.github_hooks.all().filter(|row| of_repository(&repository, row)).map(shown).collect();
        Ok((StatusCode::OK, json!(own)))
    })
}

async fn create_hook(
    State(fakes): State<Fakes>,
    Path(repository): Path<Repository>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        if !body["config"]["url"].is_string() {
            return Err(INVALID);
        }
        Ok((StatusCode::CREATED, shown(&new_hook(world, &repository, &body["config"], &body["events"]))))
    })
}

async fn get_hook(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let hook = world.github_hooks.get(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, shown(hook)))
    })
}

async fn update_hook(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let hook = world.github_hooks.get_mut(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        for field in ["active", "events", "config"] {
            if !body[field].is_null() {
                hook[field] = body[field].clone();
            }
        }
        Ok((StatusCode::OK, shown(hook)))
    })
}

async fn delete_hook(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_hooks.take(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
}

/// A hook of a repository.
pub(crate) fn new_hook(world: &mut World, repository: &Repository, config: &Value, events: &Value) -> Value {
    let id = world.number();
    let (owner, name) = repository;
    let hook = json!({
        "type": "Repository", "id": id, "name": "web", "active": true, "events": events, "config": config,
        "repository_url": format!("https://api.github.com/repos/{owner}/{name}"),
    });
    world.github_hooks.put(&key(repository, &id.to_string()), hook.clone());
    hook
}

/// As the API shows it: the secret is not told again.
fn shown(hook: &Value) -> Value {
    let mut hook = hook.clone();
    if !hook["config"]["secret"].is_null() {
        hook["config"]["secret"] = json!("********");
    }
    if let Some(fields) = hook.as_object_mut() {
        fields.remove("repository_url");
    }
    hook
}

async fn deliveries(
    State(fakes): State<Fakes>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        let hook = key(&(owner, name), &id);
        world.github_hooks.get(&hook).ok_or(NOT_FOUND)?;
        let own: Vec<_> = world.github_deliveries.with("hook", &hook).rev().collect();
        Ok((StatusCode::OK, json!(own)))
    })
}

/// One delivery, with what was sent.
async fn delivery(
    State(fakes): State<Fakes>,
    Path((owner, name, id, delivery)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_hooks.get(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        let row = world.github_deliveries.get(&delivery).ok_or(NOT_FOUND)?;
        Ok((StatusCode::OK, row.clone()))
    })
}

/// Asks for a delivery once more; that it was asked for is what is kept.
async fn attempt(
    State(fakes): State<Fakes>,
    Path((owner, name, id, delivery)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(&fakes, &headers, |world, _| {
        world.github_hooks.get(&key(&(owner, name), &id)).ok_or(NOT_FOUND)?;
        let row = world.github_deliveries.get_mut(&delivery).ok_or(NOT_FOUND)?;
        row["redelivery"] = json!(true);
        Ok((StatusCode::ACCEPTED, json!({})))
    })
}
