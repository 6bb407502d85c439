//! Dead letters over HTTP.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use pipeline::event::DeadLetter;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Services;
use crate::{
    dead_letters::{self, Cursor, NotReplayed},
    http::problem::Problem,
    identity::random_hex,
};

/// Letters in one answer: as many, and at most.
const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

/// `/api/deadletters`
pub fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/api/deadletters", get(list))
        .route("/api/deadletters/replay", post(replay_all))
        .route("/api/deadletters/{id}/replay", post(replay))
        .with_state(services)
}

/// Which letters: all of what is given must fit. A field that is not known is
/// refused, because without it everything would fit.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Filter {
    stage: Option<String>,
    tenant_id: Option<String>,
    topic: Option<String>,
}

impl Filter {
    fn fits(&self, letter: &DeadLetter) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        fits(&self.stage, &letter.stage)
            && fits(&self.tenant_id, &letter.tenant_id)
            && fits(&self.topic, &letter.original.topic)
    }
}

/// A [`Filter`] and which page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    stage: Option<String>,
    tenant_id: Option<String>,
    topic: Option<String>,
    /// `page.next` of the page before.
    cursor: Option<String>,
    limit: Option<usize>,
}

type Shared = State<Arc<Services>>;

async fn list(State(services): Shared, Query(asked): Query<Asked>) -> Result<Json<Value>, Problem> {
    let Asked { stage, tenant_id, topic, cursor, limit } = asked;
    let filter = Filter { stage, tenant_id, topic };
    let from = match cursor.as_deref().map(str::parse::<Cursor>) {
        None => Cursor::default(),
        Some(Ok(cursor)) => cursor,
        Some(Err(_)) => return Err(invalid("cursor is not one of a page before")),
    };
    let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let page = dead_letters::page(&*services.log, from, limit, |letter| filter.fits(letter)).await;
    let page = page.map_err(unavailable)?;
    let next = page.next.map(|next| next.to_string());
    Ok(Json(json!({ "data": page.letters, "page": { "next": next } })))
}

async fn replay(State(services): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let letter = dead_letters::find(&*services.log, &id).await.map_err(unavailable)?;
    let letter = letter.ok_or_else(|| Problem::not_found("there is no such dead letter"))?;
    let nonce = random_hex();
    match dead_letters::replay(&*services.log, &letter, &nonce, services.clock.now_ms()).await {
        Ok(_) => Ok(Json(json!({ "data": { "id": id, "nonce": nonce } }))),
        Err(NotReplayed::Unfit(reason)) => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_replayable", reason.to_string()))
        }
        Err(NotReplayed::Log(error)) => Err(unavailable(error)),
    }
}

async fn replay_all(State(services): Shared, body: Bytes) -> Result<Json<Value>, Problem> {
    let filter: Filter = match body.trim_ascii() {
        b"" => Filter::default(),
        // By way of an object: an empty list would do for a struct as well.
        text => serde_json::from_slice::<Map<String, Value>>(text)
            .and_then(|fields| Filter::deserialize(Value::Object(fields)))
            .map_err(|error| invalid(error.to_string()))?,
    };
    let replayed = dead_letters::replay_all(&*services.log, &*services.clock, |letter| filter.fits(letter)).await;
    let replayed = replayed.map_err(|interrupted| Problem::unavailable(interrupted.to_string()))?;
    Ok(Json(json!({ "data": replayed })))
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid", detail)
}

fn unavailable(error: pipeline::ports::LogError) -> Problem {
    Problem::unavailable(error.to_string())
}
