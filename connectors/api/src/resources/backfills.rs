//! What webhooks did not tell, asked for afterwards.

use axum::http::Method;
use pipeline::event::{Connection, Project, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::pickers::{PROVIDERS_ERRORS, problem};
use crate::{
    call::{Call, problem_of, unknown_reference},
    check::ID,
    input::Perhaps,
    operation::{Operation, operation},
    output::{Data, Page, Promised},
    query::{CURSOR, LIMIT},
    rows::found,
};
use connections::backfill::{BACKFILL, Job, Status};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
};
use store::StoreError;

/// What is asked for.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BackfillForm {
    /// From when on; the last day unless said.
    from: Option<Time>,
    /// Only this project's channel, list or repository.
    #[schemars(regex(pattern = ID))]
    project_id: Option<String>,
}

/// A backfill, as administrators see it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackfillShown {
    /// Its id.
    id: String,
    /// Which connection's.
    connection_id: String,
    /// Only this project's.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<String>,
    /// `missed`: what should have come, which acts as if it had; `history`: what
    /// was before, which is told to nobody.
    kind: &'static str,
    /// How it is.
    status: Status,
    /// From when on.
    from: Time,
    /// Steps that are done.
    done: u64,
    /// Steps that are known to be still to be done.
    waiting: u64,
    /// Messages, comments and tasks that were looked at.
    found: u64,
    /// Those of them that were fed in.
    fed: u64,
    /// Why it failed or waits, or what it left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// When it was asked for.
    created_at: Time,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Time>,
}

impl BackfillShown {
    fn of(id: String, job: Job) -> Self {
        BackfillShown {
            id,
            kind: if job.is_history { "history" } else { "missed" },
            waiting: job.waiting() as u64,
            connection_id: job.connection_id,
            project_id: job.project_id,
            status: job.status,
            from: job.from,
            done: job.done,
            found: job.found,
            fed: job.fed,
            detail: job.detail,
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}

/// `/api/connections/{id}/backfill`, `/api/backfills`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(
            Method::POST,
            "/api/connections/{id}/backfill",
            Access::ADMINS,
            "Find what webhooks did not tell, and feed it in",
            start,
        )
        .example(json!({ "from": "2026-11-20T08:00:00Z" }))
        .errors(PROVIDERS_ERRORS),
        operation(Method::GET, "/api/backfills", Access::ADMINS, "List the backfills", list).params(&[LIMIT, CURSOR]),
        operation(Method::GET, "/api/backfills/{id}", Access::ADMINS, "Show how a backfill is", read),
    ]
}

async fn start(call: Call, Perhaps(form): Perhaps<BackfillForm>) -> Result<Promised<BackfillShown>, Problem> {
    found::<Connection>(&call, call.id()).await?;
    if form.from.is_some_and(|from| from.0 < 0 || from > call.now()) {
        return Err(Problem::unfit(vec![FieldError::new("from", "must not be in the future")]));
    }
    if let Some(project) = &form.project_id {
        let known = call.desk.store.rows::<Project>().get(&call.tenant, project).await;
        match known {
            Err(StoreError::NotFound { .. }) => return Err(unknown_reference("projectId")),
            known => drop(known.map_err(problem_of)?),
        }
    }
    let connections = &call.desk.connections;
    let started = connections.backfill(&call.tenant, call.id(), form.from, form.project_id, false).await;
    let (id, job) = started.map_err(|error| problem(&call, &error))?;
    Ok(Promised(BackfillShown::of(id, job)))
}

async fn list(call: Call, (): ()) -> Result<Page<BackfillShown>, Problem> {
    let page = call.desk.store.upkeep().page(&call.tenant, BACKFILL, &call.paging()).await.map_err(problem_of)?;
    let shown = page.rows.into_iter().filter_map(|note| Some(BackfillShown::of(note.id.clone(), Job::of(&note)?)));
    Ok(Page { rows: shown.collect(), next: page.next })
}

async fn read(call: Call, (): ()) -> Result<Data<BackfillShown>, Problem> {
    let note = call.desk.store.upkeep().get(&call.tenant, BACKFILL, call.id()).await.map_err(problem_of)?;
    let shown = note.and_then(|note| Some(BackfillShown::of(note.id.clone(), Job::of(&note)?)));
    shown.map(Data).ok_or_else(|| Problem::not_found("there is no such backfill"))
}
