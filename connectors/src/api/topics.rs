//! A topic's records as lines of JSON.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use pipeline::topics::Topic;
use tokio::sync::mpsc;

use super::Services;
use crate::{
    http::problem::{FieldError, Problem},
    tail,
};

/// `GET /admin/topics/{topic}?from=&follow=&partition=&limit=`
pub fn router(services: Arc<Services>) -> Router {
    Router::new().route("/admin/topics/{topic}", get(tail_topic)).with_state(services)
}

async fn tail_topic(
    State(services): State<Arc<Services>>,
    Path(topic): Path<String>,
    query: Result<Query<tail::Query>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let topic = Topic::from_name(&topic).ok_or_else(|| Problem::not_found("there is no such topic"))?;
    let Query(query) = query.map_err(|error| invalid("query", error.body_text()))?;
    if query.start().is_none() {
        return Err(invalid("from", "must be `start`, `end` or an offset"));
    }
    if query.partition.is_some_and(|partition| partition >= services.log.partitions()) {
        return Err(invalid("partition", format!("must be below {}", services.log.partitions())));
    }
    let (to, lines) = mpsc::channel(64);
    let log = Arc::clone(&services.log);
    tokio::spawn(async move {
        if let Err(error) = tail::lines(log, topic, query, to.clone()).await {
            let _ = to.send(Err(error)).await;
        }
    });
    let body = Body::from_stream(stream::unfold(lines, |mut lines| async {
        let line = lines.recv().await?;
        Some((line.map(|line| line + "\n"), lines))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn invalid(field: &str, message: impl Into<String>) -> Problem {
    let error = FieldError { field: field.to_owned(), message: message.into() };
    Problem::new(StatusCode::BAD_REQUEST, "invalid", "the request is not valid").with_errors(vec![error])
}
