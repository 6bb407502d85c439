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
use serde_json::{Value, json};

use super::Services;
use crate::{dead_letters, http::problem::Problem, identity::random_hex};

/// Letters in one answer, at most.
const PAGE_MAX: usize = 500;
/// Letters replayed by one request, at most.
const REPLAYED_MAX: usize = 10_000;

/// `/api/deadletters`
pub fn router(services: Arc<Services>) -> Router {
    Router::new()
        .route("/api/deadletters", get(list))
        .route("/api/deadletters/replay", post(replay_all))
        .route("/api/deadletters/{id}/replay", post(replay))
        .with_state(services)
}

/// Which letters: all of what is given must fit.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    stage: Option<String>,
    tenant_id: Option<String>,
    topic: Option<String>,
    /// The id of the last letter of the page before.
    cursor: Option<String>,
    limit: Option<usize>,
}

impl Filter {
    fn fits(&self, letter: &DeadLetter) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        fits(&self.stage, &letter.stage)
            && fits(&self.tenant_id, &letter.tenant_id)
            && fits(&self.topic, &letter.original.topic)
    }
}

type Shared = State<Arc<Services>>;

async fn list(State(services): Shared, Query(filter): Query<Filter>) -> Result<Json<Value>, Problem> {
    let limit = filter.limit.unwrap_or(50).clamp(1, PAGE_MAX);
    let mut passed = filter.cursor.is_none();
    let wanted = |letter: &DeadLetter| {
        let on_this_page = passed;
        passed |= filter.cursor.as_deref() == Some(&letter.id);
        on_this_page && filter.fits(letter)
    };
    let mut letters = dead_letters::list(&*services.log, limit + 1, wanted).await.map_err(unavailable)?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = more.then(|| letters.last().map(|letter| letter.id.clone())).flatten();
    Ok(Json(json!({ "data": letters, "page": { "next": next } })))
}

async fn replay(State(services): Shared, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let letters = dead_letters::list(&*services.log, 1, |letter| letter.id == id).await.map_err(unavailable)?;
    let letter = letters.first().ok_or_else(|| Problem::not_found("there is no such dead letter"))?;
    let nonce = random_hex();
    let replayed = dead_letters::replay(&*services.log, letter, &nonce, services.clock.now_ms()).await;
    replayed.map_err(unavailable)?.ok_or_else(not_replayable)?;
    Ok(Json(json!({ "data": { "id": id, "nonce": nonce } })))
}

async fn replay_all(State(services): Shared, body: Bytes) -> Result<Json<Value>, Problem> {
    let filter: Filter = match body.trim_ascii() {
        b"" => Filter::default(),
        text => serde_json::from_slice(text)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid", error.to_string()))?,
    };
    let letters = dead_letters::list(&*services.log, REPLAYED_MAX, |letter| filter.fits(letter)).await;
    let mut replayed = 0;
    for letter in letters.map_err(unavailable)? {
        let now_ms = services.clock.now_ms();
        let position = dead_letters::replay(&*services.log, &letter, &random_hex(), now_ms).await;
        replayed += usize::from(position.map_err(unavailable)?.is_some());
    }
    Ok(Json(json!({ "data": { "replayed": replayed } })))
}

fn not_replayable() -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_replayable", "the original cannot be appended again")
}

fn unavailable(error: pipeline::ports::LogError) -> Problem {
    Problem::unavailable(error.to_string())
}
