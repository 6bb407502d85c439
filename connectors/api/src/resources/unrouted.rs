//! Events of projects that are not mapped: kept by the pipeline until somebody
//! maps them and has them routed once more.

use axum::http::{Method, StatusCode};
use pipeline::event::Command;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    call::{Call, problem_of},
    check::ID,
    input::Perhaps,
    operation::{Operation, operation},
    output::{Data, Page},
    query::{CURSOR, LIMIT},
};
use runtime::{auth::Access, http::problem::Problem, identity::random_hex};

/// Which events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reroute {
    /// Only these; all of the tenant's when empty.
    #[serde(default)]
    #[schemars(length(max = 1_000), inner(regex(pattern = ID)))]
    event_ids: Vec<String>,
}

/// What came of it, in the words of the pipeline.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Rerouted(Map<String, Value>);

/// `/api/unrouted`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/api/unrouted", Access::PEOPLE, "List the events of no project", list)
            .params(&[LIMIT, CURSOR]),
        operation(Method::POST, "/api/unrouted/reroute", Access::ADMINS, "Route them once more", reroute)
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE])
            .example(json!({ "eventIds": [] })),
    ]
}

async fn list(call: Call, (): ()) -> Result<Page<Map<String, Value>>, Problem> {
    let page = call.desk.store.unrouted().list(&call.tenant, &call.paging()).await.map_err(problem_of)?;
    let rows = page.rows.into_iter().filter_map(|row| match row {
        Value::Object(row) => Some(row),
        _ => None,
    });
    Ok(Page { rows: rows.collect(), next: page.next })
}

async fn reroute(call: Call, Perhaps(wanted): Perhaps<Reroute>) -> Result<Data<Rerouted>, Problem> {
    let correlation_id = format!("cmd_{}", random_hex());
    let command = Command::Reroute {
        correlation_id: correlation_id.clone(),
        tenant_id: call.tenant.clone(),
        event_ids: wanted.event_ids,
        at: call.now(),
    };
    let told = call.desk.commands.ask(&call.tenant, &correlation_id, &command, call.now().as_ms()).await?;
    Ok(Data(Rerouted(told.data.and_then(|data| data.as_object().cloned()).unwrap_or_default())))
}
