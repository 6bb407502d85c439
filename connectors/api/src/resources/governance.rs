//! What another set of limits would have done.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use pipeline::event::{Role, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dry_run::{self, NoReport, Query, Report};
use crate::{
    call::Call,
    input::Body,
    limits::LimitsForm,
    operation::{Operation, operation},
    output::Data,
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
};

/// The days that are looked at unless said.
const WEEK_MS: u64 = 7 * 86_400_000;

/// A question to the log.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DryRunForm {
    /// Limits that are supposed, over those that are in force.
    rules: LimitsForm,
    /// From when on; a week ago unless said.
    from: Option<Time>,
    /// Until when; now unless said.
    to: Option<Time>,
}

/// `POST /api/governance/dry-run`
pub fn operations() -> Vec<Operation> {
    let example = json!({ "rules": { "messages": { "limit": 5 } }, "from": "2026-11-14T00:00:00Z" });
    vec![
        operation(
            Method::POST,
            "/api/governance/dry-run",
            Access::ADMINS,
            "Ask what other limits would have done to the log of the last days",
            dry_run,
        )
        .over_all()
        .errors(&[StatusCode::UNPROCESSABLE_ENTITY])
        .example(example),
    ]
}

async fn dry_run(call: Call, Body(form): Body<DryRunForm>) -> Result<Data<Report>, Problem> {
    let to_ms = form.to.unwrap_or_else(|| call.now()).as_ms();
    let from_ms = form.from.map_or(to_ms.saturating_sub(WEEK_MS), Time::as_ms);
    if from_ms > to_ms {
        let detail = "`from` must not be after `to`";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_range", detail));
    }
    let rules = serde_json::to_value(&form.rules).unwrap_or(Value::Null);
    let tenant = (call.who.role != Role::Platform).then(|| call.tenant.clone());
    let Ok(_turn) = call.desk.dry_runs.try_acquire() else {
        return Err(Problem::unavailable("another dry run is under way"));
    };
    let log = Arc::clone(&call.desk.log);
    let query = Query { rules, from_ms, to_ms, tenant };
    dry_run::run(log, &call.desk.limits, &query).await.map(Data).map_err(|error| match error {
        NoReport::Log(error) => Problem::unavailable(error.to_string()),
        NoReport::TooMany { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many", error.to_string()),
        NoReport::Rules(_) | NoReport::Unknown(_) => {
            Problem::invalid(vec![FieldError::new("rules", error.to_string())])
        }
    })
}
