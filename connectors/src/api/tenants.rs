//! Companies, for who works across them.

use axum::http::{Method, StatusCode};
use pipeline::event::Tenant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    call::{Call, Refused, problem_of},
    check::LINE,
    input::Patch,
    operation::{Operation, operation},
    output::{Created, Data, Gone, Page},
    query::{CURSOR, LIMIT},
    rows::{New, Shown, id_or_new, reshaped, shown},
};
use crate::{auth::Access, http::problem::Problem};

/// What is written of a tenant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantForm {
    /// What it is called.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: String,
    /// Where its people are told of alerts.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    admin_slack_channel_id: Option<String>,
}

/// `/admin/tenants`
pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/admin/tenants";
    const ONE: &str = "/admin/tenants/{id}";
    let example = json!({ "id": "acme", "name": "Acme" });
    [
        operation(Method::GET, ALL, Access::PLATFORM, "List the tenants", list).params(&[LIMIT, CURSOR]),
        operation(Method::POST, ALL, Access::PLATFORM, "Make a new tenant", create)
            .errors(&[StatusCode::CONFLICT])
            .example(example),
        operation(Method::GET, ONE, Access::PLATFORM, "Show one tenant", read),
        operation(Method::PATCH, ONE, Access::PLATFORM, "Change one tenant", change),
        operation(Method::DELETE, ONE, Access::PLATFORM, "Take one tenant away, with all its rows", delete),
    ]
    .into_iter()
    .map(Operation::over_all)
    .collect()
}

async fn list(call: Call, (): ()) -> Result<Page<Shown<Tenant>>, Problem> {
    let page = call.desk.store.tenants().all(&call.paging()).await.map_err(problem_of)?;
    shown(Page { rows: page.rows, next: page.next })
}

async fn read(call: Call, (): ()) -> Result<Data<Shown<Tenant>>, Problem> {
    let entry = call.desk.store.tenants().get(call.id(), call.id()).await.map_err(problem_of)?;
    Ok(Data(entry.into()))
}

async fn create(call: Call, New { id, form }: New<TenantForm>) -> Result<Created<Shown<Tenant>>, Problem> {
    let (id, row) = (id_or_new(id, "ten"), reshaped::<Tenant>(&form)?);
    let entry = call.desk.store.tenants().create(&id, &id, &row).await.map_err(problem_of)?;
    call.desk.settled(&id, &id, Some(&row)).await;
    Ok(Created(entry.into()))
}

async fn change(call: Call, patch: Patch<TenantForm>) -> Result<Data<Shown<Tenant>>, Problem> {
    let change = |row: &mut Tenant| {
        let changed = reshaped(row).and_then(|form| patch.over(&form)).and_then(|form| reshaped(&form));
        changed.map(|changed| *row = changed).map_err(Refused::Caller)
    };
    let entry = call.desk.store.tenants().change(call.id(), call.id(), change).await.map_err(Problem::from)?;
    call.desk.settled(call.id(), call.id(), Some(&entry.row)).await;
    Ok(Data(entry.into()))
}

async fn delete(call: Call, (): ()) -> Result<Data<Gone>, Problem> {
    call.desk.recall.forget_tenant(call.id()).await.map_err(super::memory::problem_of)?;
    call.desk.store.tenants().delete_all(call.id()).await.map_err(problem_of)?;
    call.desk.settled::<Tenant>(call.id(), call.id(), None).await;
    Ok(Gone::id(call.id()))
}
