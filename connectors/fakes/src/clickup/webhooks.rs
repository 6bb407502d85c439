//! The webhooks of a team.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, put},
};
use serde_json::{Value, json};

use super::{Fakes, answer, not_found, refusal, uuid, webhook};
use runtime::identity::random_hex;

pub(super) fn routes() -> Router<Fakes> {
    Router::new()
        .route("/team/{team}/webhook", get(webhooks).post(create_webhook))
        .route("/webhook/{id}", put(update_webhook).delete(delete_webhook))
}

async fn webhooks(State(fakes): State<Fakes>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| Ok(json!({"webhooks": world.clickup_webhooks.all().collect::<Vec<_>>()})))
}

async fn create_webhook(
    State(fakes): State<Fakes>,
    Path(team): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world| {
        let Some(endpoint) = body["endpoint"].as_str() else {
            return Err(refusal(StatusCode::BAD_REQUEST, "Webhook endpoint required", "WEBHOOK_001"));
        };
        let webhook = webhook(&uuid(), &random_hex(), endpoint, &body["events"], &team);
        let id = webhook["id"].as_str().unwrap_or_default().to_owned();
        world.clickup_webhooks.put(&id, webhook.clone());
        Ok(json!({"id": id, "webhook": webhook}))
    })
}

async fn update_webhook(
    State(fakes): State<Fakes>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    answer(&fakes, &headers, |world| {
        let webhook = world.clickup_webhooks.get_mut(&id).ok_or_else(|| not_found("Webhook"))?;
        for field in ["endpoint", "events"] {
            if !body[field].is_null() {
                webhook[field] = body[field].clone();
            }
        }
        if body["status"] == "active" {
            webhook["health"] = json!({"status": "active", "fail_count": 0});
        }
        Ok(json!({"id": id, "webhook": webhook}))
    })
}

async fn delete_webhook(State(fakes): State<Fakes>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&fakes, &headers, |world| {
        world.clickup_webhooks.take(&id).map(|_| json!({})).ok_or_else(|| not_found("Webhook"))
    })
}
