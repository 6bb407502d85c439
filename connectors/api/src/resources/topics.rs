//! A topic's records as lines of JSON: a tenant's own, all of them for who works
//! across tenants.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::IntoResponse,
};
use futures_util::stream;
use pipeline::{event::Role, topics::Topic};
use tokio::sync::mpsc;

use crate::{
    call::Call,
    operation::{Operation, operation},
    output::Lines,
    query::{Kind, param},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
    tail,
};

/// `GET /admin/topics/{topic}?from=&follow=&partition=&limit=`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/admin/topics/{topic}", Access::ADMINS, "Read a topic, one record a line", read)
            .over_all()
            .params(&[
                param("from", Kind::Text, "`start` (unless said), `end`, or an offset"),
                param("follow", Kind::Truth, "go on with what is written from now on"),
                param("partition", Kind::Number(0, 1_023), "only this partition"),
                param("limit", Kind::Number(0, u64::MAX >> 1), "not more than so many"),
            ]),
    ]
}

async fn read(call: Call, (): ()) -> Result<Lines, Problem> {
    let topic = Topic::from_name(call.part("topic"));
    let topic = topic.ok_or_else(|| Problem::not_found("there is no such topic"))?;
    let everybody = call.who.role == Role::Platform;
    if topic == Topic::Control && !everybody {
        let detail = "`control` is for the role `platform`; the rows themselves are under /api";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let query = tail::Query {
        from: call.said.text("from").unwrap_or("start").to_owned(),
        follow: call.said.truth("follow"),
        partition: call.said.number("partition").map(|partition| partition as u32),
        limit: call.said.number("limit"),
    };
    if query.start().is_none() {
        return Err(Problem::invalid(vec![FieldError::new("from", "must be `start`, `end` or an offset")]));
    }
    let partitions = call.desk.log.partitions();
    if query.partition.is_some_and(|partition| partition >= partitions) {
        let message = format!("must be below {partitions}");
        return Err(Problem::invalid(vec![FieldError::new("partition", message)]));
    }
    let (to, lines) = mpsc::channel(64);
    let (log, whose) = (Arc::clone(&call.desk.log), (!everybody).then(|| call.tenant.clone()));
    tokio::spawn(async move {
        if let Err(error) = tail::lines_of(log, topic, query, whose.as_deref(), to.clone()).await {
            let _ = to.send(Err(error)).await;
        }
    });
    let body = Body::from_stream(stream::unfold(lines, |mut lines| async {
        let line = lines.recv().await?;
        Some((line.map(|line| line + "\n"), lines))
    }));
    Ok(Lines(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()))
}
