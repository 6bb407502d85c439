//! What there is at a provider to be mapped, and the webhook that tells of it.

use axum::http::{Method, StatusCode};
use pipeline::event::Connection;
use serde_json::json;

use crate::{
    call::Call,
    input::Perhaps,
    operation::{Operation, operation},
    output::{Data, Page},
    query::{CURSOR, LIMIT},
    rows::found,
};
use connections::{
    hooks::{Registered, Wish},
    pickers::{Asked, Choice, Picked, TaskChoice},
};
use providers::client::ProviderError;
use runtime::{auth::Access, http::problem::Problem};

/// What a provider may be the reason of.
pub(crate) const PROVIDERS_ERRORS: &[StatusCode] = &[
    StatusCode::CONFLICT,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// `/api/connections/{id}/channels`, `/lists`, `/register`
pub fn operations() -> Vec<Operation> {
    let get = Method::GET;
    vec![
        operation(get.clone(), "/api/connections/{id}/channels", Access::ADMINS, "List the channels to map", channels)
            .params(&[LIMIT, CURSOR])
            .errors(PROVIDERS_ERRORS),
        operation(
            get.clone(),
            "/api/connections/{id}/lists",
            Access::ADMINS,
            "List the lists, repositories or projects to map",
            lists,
        )
        .params(&[LIMIT, CURSOR])
        .errors(PROVIDERS_ERRORS),
        operation(
            get,
            "/api/connections/{id}/lists/{listId}/tasks",
            Access::ADMINS,
            "List the tasks of one of them",
            tasks,
        )
        .params(&[LIMIT, CURSOR])
        .errors(PROVIDERS_ERRORS),
        operation(
            Method::POST,
            "/api/connections/{id}/register",
            Access::ADMINS,
            "See to it that the provider's webhook is there",
            register,
        )
        .example(json!({}))
        .errors(PROVIDERS_ERRORS),
    ]
}

/// For whoever asked.
pub(crate) fn problem(call: &Call, error: &ProviderError) -> Problem {
    connections::problem(error, call.desk.clock.now_ms())
}

fn asked(call: &Call) -> Asked<'_> {
    Asked { limit: call.paging().limit, cursor: call.said.text("cursor") }
}

fn page<T>(picked: Picked<T>) -> Page<T> {
    Page { rows: picked.rows, next: picked.next }
}

async fn channels(call: Call, (): ()) -> Result<Page<Choice>, Problem> {
    found::<Connection>(&call, call.id()).await?;
    let picked = call.desk.connections.channels(&call.tenant, call.id(), asked(&call)).await;
    picked.map(page).map_err(|error| problem(&call, &error))
}

async fn lists(call: Call, (): ()) -> Result<Page<Choice>, Problem> {
    found::<Connection>(&call, call.id()).await?;
    let picked = call.desk.connections.lists(&call.tenant, call.id(), asked(&call)).await;
    picked.map(page).map_err(|error| problem(&call, &error))
}

async fn tasks(call: Call, (): ()) -> Result<Page<TaskChoice>, Problem> {
    found::<Connection>(&call, call.id()).await?;
    let picked = call.desk.connections.tasks(&call.tenant, call.id(), call.part("listId"), asked(&call)).await;
    picked.map(page).map_err(|error| problem(&call, &error))
}

async fn register(call: Call, Perhaps(wish): Perhaps<Wish>) -> Result<Data<Registered>, Problem> {
    found::<Connection>(&call, call.id()).await?;
    let registered = call.desk.connections.register(&call.tenant, call.id(), &wish).await;
    let registered = registered.map_err(|error| problem(&call, &error))?;
    // Its first requests may come before this answer does.
    let entry = found::<Connection>(&call, call.id()).await?;
    call.desk.settled(&call.tenant, call.id(), Some(&entry.row)).await;
    Ok(Data(registered))
}
