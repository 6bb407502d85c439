//! SQL over the streams: one statement that looks, over the tenant's own rows.

use std::sync::Arc;

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    call::Call,
    input::Body,
    operation::{Operation, operation},
    output::Output,
};
use runtime::{
    auth::{Access, Authenticate},
    http::{
        problem::{FieldError, Problem},
        sse::{self, Event},
    },
    sql::{Engine, Format, Question, Refused, Told},
};

/// Rows that wait for a slow listener; beyond it the query waits.
const EVENTS_WAITING_MAX: usize = 64;

/// What is asked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlForm {
    /// One statement: SELECT, EXPLAIN, SHOW or DESCRIBE.
    #[schemars(length(min = 1, max = 65_536))]
    sql: String,
    /// How the answer is written; `json` unless said.
    #[serde(default)]
    format: Format,
    /// Go on with what is written from now on, as server-sent events: each row
    /// one, as JSON. Over windows (`tumble`, `hop`) the rows of each window come
    /// when it is over, and an event `late` says how many rows came after that.
    /// `Last-Event-ID` goes on where a listener left off.
    #[serde(default)]
    follow: bool,
}

/// The rows, in the format that was asked for.
pub struct Rows(Response);

impl Output for Rows {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["data"],
            "properties": { "data": { "type": "array", "items": { "type": "object" } } },
        })
    }

    fn respond(self) -> Response {
        self.0
    }
}

/// `POST /api/sql`
pub fn operations() -> Vec<Operation> {
    let example = json!({ "sql": "SELECT provider, count(*) AS events FROM events GROUP BY provider" });
    vec![
        operation(Method::POST, "/api/sql", Access::ANALYSTS, "Ask the streams in SQL", ask)
            .errors(&[StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::TOO_MANY_REQUESTS])
            .example(example),
    ]
}

async fn ask(call: Call, Body(form): Body<SqlForm>) -> Result<Rows, Problem> {
    let Some(engine) = call.desk.engine.clone() else {
        let detail = "this hub was built without its SQL engine; build it with `--features sql`";
        return Err(Problem::new(StatusCode::NOT_FOUND, "sql_absent", detail));
    };
    let question = Question { tenant: call.tenant.clone(), text: form.sql, format: form.format };
    if form.follow {
        return follow(call, engine, question).await;
    }
    let bytes = engine.ask(question).await.map_err(problem_of)?;
    Ok(Rows(([(header::CONTENT_TYPE, form.format.media())], bytes).into_response()))
}

async fn follow(call: Call, engine: Arc<dyn Engine>, question: Question) -> Result<Rows, Problem> {
    let after = match call.headers.get("last-event-id") {
        Some(id) => match id.to_str().ok().and_then(|id| id.parse().ok()) {
            Some(after) => Some(after),
            None => {
                return Err(Problem::invalid(vec![FieldError::new("Last-Event-ID", "must be an id of this stream")]));
            }
        },
        None => None,
    };
    let place = call.desk.listeners.take(&call.tenant)?;
    let mut rows = engine.follow(question, after).await.map_err(problem_of)?;
    let (to, events) = mpsc::channel(EVENTS_WAITING_MAX);
    let desk = Arc::clone(&call.desk);
    tokio::spawn(async move {
        let mut changes = desk.directory.changes();
        loop {
            let row = tokio::select! {
                row = rows.recv() => row,
                () = to.closed() => return,
                // Who is revoked hears no more.
                _ = changes.changed() => {
                    if desk.may_stay(&call.who) { continue } else { return }
                }
            };
            let (event, is_last) = match row {
                Some(Ok(Told::Row { cursor, json })) => {
                    (Event { id: Some(cursor.to_string()), name: None, data: json }, false)
                }
                Some(Ok(Told::Late { rows })) => {
                    (Event { id: None, name: Some("late"), data: json!({ "rows": rows }).to_string() }, false)
                }
                Some(Err(refused)) => (Event { id: None, name: Some("error"), data: refused.to_string() }, true),
                None => return,
            };
            if to.send(event).await.is_err() || is_last {
                return;
            }
        }
    });
    Ok(Rows(sse::respond(events, place)))
}

fn problem_of(refused: Refused) -> Problem {
    let (status, code) = match refused {
        Refused::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "sql_invalid"),
        Refused::Forbidden(_) => (StatusCode::UNPROCESSABLE_ENTITY, "sql_refused"),
        Refused::Rows { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "sql_rows"),
        Refused::Bytes { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "sql_bytes"),
        Refused::Slow { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "sql_slow"),
        Refused::Memory { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "sql_memory"),
        Refused::Busy => return Problem::unavailable(refused.to_string()),
        Refused::Failed(detail) => {
            tracing::warn!(%detail, "a query was not answered");
            return Problem::unavailable("the query could not be answered now; try again");
        }
    };
    Problem::new(status, code, refused.to_string())
}
