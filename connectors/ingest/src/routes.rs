//! The addresses that providers are given.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use super::{Accepted, Address, Ingest};
use runtime::http::problem::Problem;

/// The routes of CONTRACT §4 'Webhooks in'.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/webhooks/clickup", post(clickup))
        .route("/webhooks/slack", post(slack))
        .route("/webhooks/github", post(github))
        .route("/webhooks/jira/{connection}", post(jira))
        .route("/api/webhooks/{provider}", post(generic))
        .route("/api/webhooks/{provider}/{connection}", post(generic_connection))
        .with_state(ingest)
}

type Answered = Result<Response, Problem>;
type Shared = State<Arc<Ingest>>;

async fn clickup(State(ingest): Shared, headers: HeaderMap, body: Body) -> Answered {
    answer(ingest.accept(Address::Clickup, &headers, body).await)
}

async fn slack(State(ingest): Shared, headers: HeaderMap, body: Body) -> Answered {
    answer(ingest.accept(Address::Slack, &headers, body).await)
}

async fn github(State(ingest): Shared, headers: HeaderMap, body: Body) -> Answered {
    answer(ingest.accept(Address::Github, &headers, body).await)
}

async fn jira(State(ingest): Shared, Path(connection): Path<String>, headers: HeaderMap, body: Body) -> Answered {
    answer(ingest.accept(Address::Jira(&connection), &headers, body).await)
}

async fn generic(State(ingest): Shared, Path(provider): Path<String>, headers: HeaderMap, body: Body) -> Answered {
    answer(ingest.accept(Address::Generic(&provider, None), &headers, body).await)
}

async fn generic_connection(
    State(ingest): Shared,
    Path((provider, connection)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answered {
    answer(ingest.accept(Address::Generic(&provider, Some(&connection)), &headers, body).await)
}

fn answer(accepted: Result<Accepted, Problem>) -> Answered {
    Ok(match accepted? {
        Accepted::Stored { id, duplicate } => {
            Json(json!({ "data": { "id": &*id, "duplicate": duplicate } })).into_response()
        }
        Accepted::Challenge(challenge) => Json(json!({ "challenge": challenge })).into_response(),
    })
}
