//! What agents' calls to models took, and what they may take.

use axum::http::{Method, StatusCode};
use pipeline::event::{Agent, EVERYBODY};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::actions::time;
use crate::{
    call::{Call, problem_of},
    input::Body,
    limits::without_format,
    operation::{Operation, operation},
    output::{Data, Gone, Page},
    query::{CURSOR, Kind, LIMIT, param},
    rows::found,
};
use runtime::{auth::Access, http::problem::Problem};
use store::{
    audit::spending::Period,
    audit::{
        query::{UsageFilter, UsageOfDay},
        tables::Budget,
    },
};

/// What is written of a budget.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetForm {
    /// In which time.
    period: Period,
    /// How many dollars.
    #[schemars(range(min = 0.01, max = 1_000_000_000), transform = without_format)]
    limit: f64,
    /// Whether agents that have spent it have no sockets until the period ends.
    #[serde(default)]
    hard_stop: bool,
}

/// A budget.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetShown {
    /// An agent, or `all`: the tenant's.
    id: String,
    /// In which time.
    period: Period,
    /// How many dollars.
    limit: f64,
    /// Whether agents that have spent it are held.
    hard_stop: bool,
    /// How many dollars were spent in the period that is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    spent: Option<f64>,
}

/// The name of the tenant's own budget.
const ALL_AGENTS: &str = "all";

/// `/api/usage` and `/api/budgets`
pub fn operations() -> Vec<Operation> {
    const ONE: &str = "/api/budgets/{id}";
    vec![
        operation(Method::GET, "/api/usage", Access::PEOPLE, "List tokens, calls and cost by day", usage)
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY])
            .params(&[
                LIMIT,
                CURSOR,
                param("agentId", Kind::Id, "only an agent's"),
                param("projectId", Kind::Id, "only a project's"),
                param("model", Kind::Text, "only a model's"),
                param("from", Kind::Text, "only from this day on"),
                param("to", Kind::Text, "only up to this day"),
            ]),
        operation(Method::GET, "/api/budgets", Access::PEOPLE, "List the budgets and what is spent", list)
            .params(&[LIMIT, CURSOR]),
        operation(Method::PATCH, ONE, Access::ADMINS, "Set the budget of an agent, or of `all`", set)
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY])
            .example(json!({ "period": "month", "limit": 250.0, "hardStop": true })),
        operation(Method::DELETE, ONE, Access::ADMINS, "Take a budget away", delete),
    ]
}

async fn usage(call: Call, (): ()) -> Result<Page<UsageOfDay>, Problem> {
    let text = |name: &str| call.said.text(name).map(str::to_owned);
    let day = |name: &str| time(&call, name).map(|time| time.map(day_of));
    let filter = UsageFilter {
        agent_id: text("agentId"),
        project_id: text("projectId"),
        model: text("model"),
        from: day("from")?,
        to: day("to")?,
    };
    let page = call.desk.store.usage(&call.tenant, &filter, &call.paging()).await.map_err(problem_of)?;
    Ok(Page { rows: page.rows, next: page.next })
}

fn day_of(ms: i64) -> String {
    udfs::time::to_rfc3339(ms).chars().take(10).collect()
}

fn shown(budget: &Budget, spent: Option<i64>) -> BudgetShown {
    BudgetShown {
        id: if budget.scope == EVERYBODY { ALL_AGENTS.to_owned() } else { budget.scope.clone() },
        period: budget.period,
        limit: budget.limit_micros as f64 / 1e6,
        hard_stop: budget.hard_stop,
        spent: spent.map(|micros| micros as f64 / 1e6),
    }
}

async fn list(call: Call, (): ()) -> Result<Page<BudgetShown>, Problem> {
    let today = day_of(call.now().0);
    let page = call.desk.store.budgets(&call.tenant, &today, &call.paging()).await.map_err(problem_of)?;
    let rows = page.rows.iter().map(|(budget, spent)| shown(budget, Some(*spent))).collect();
    Ok(Page { rows, next: page.next })
}

/// The scope that an address names: of an agent that is there, or the tenant.
async fn scope(call: &Call) -> Result<String, Problem> {
    if call.id() == ALL_AGENTS {
        return Ok(EVERYBODY.to_owned());
    }
    found::<Agent>(call, call.id()).await?;
    Ok(call.id().to_owned())
}

async fn set(call: Call, Body(form): Body<BudgetForm>) -> Result<Data<BudgetShown>, Problem> {
    let limit_micros = (form.limit * 1e6).round() as i64;
    let scope = scope(&call).await?;
    let budget = Budget { scope, period: form.period, limit_micros, hard_stop: form.hard_stop };
    call.desk.store.set_budget(&call.tenant, &budget).await.map_err(problem_of)?;
    Ok(Data(shown(&budget, None)))
}

async fn delete(call: Call, (): ()) -> Result<Data<Gone>, Problem> {
    // Also that of an agent that is not there any more.
    let scope = if call.id() == ALL_AGENTS { EVERYBODY } else { call.id() };
    call.desk.store.delete_budget(&call.tenant, scope).await.map_err(problem_of)?;
    Ok(Gone::id(call.id()))
}
