//! Companies: all of them for who works across them, the own one for its people.

use axum::http::{Method, StatusCode};
use pipeline::{
    event::Tenant,
    governance::{BadLimits, Limits},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    call::{Call, Refused, problem_of},
    check::LINE,
    input::Patch,
    limits::LimitsForm,
    operation::{Operation, operation},
    output::{Created, Data, Gone, Page},
    query::{CURSOR, LIMIT},
    rows::{New, Shown, id_or_new, reshaped, shown},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
};
use store::Entry;

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
    /// What its agents may do, where that differs from the hub's own limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsForm>,
}

/// The own tenant, with the limits that hold for it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnTenant {
    /// The tenant.
    #[serde(flatten)]
    tenant: Shown<Tenant>,
    /// What its agents may do.
    limits_in_force: Limits,
}

/// `/admin/tenants`, `/api/tenant`
pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/admin/tenants";
    const ONE: &str = "/admin/tenants/{id}";
    const OWN: &str = "/api/tenant";
    let example = json!({ "id": "acme", "name": "Acme" });
    let over_all = [
        operation(Method::GET, ALL, Access::PLATFORM, "List the tenants", list).params(&[LIMIT, CURSOR]),
        operation(Method::POST, ALL, Access::PLATFORM, "Make a new tenant", create)
            .errors(&[StatusCode::CONFLICT])
            .example(example),
        operation(Method::GET, ONE, Access::PLATFORM, "Show one tenant", read),
        operation(Method::PATCH, ONE, Access::PLATFORM, "Change one tenant", change),
        operation(Method::DELETE, ONE, Access::PLATFORM, "Take one tenant away, with all its rows", delete),
    ]
    .map(Operation::over_all);
    let own = [
        operation(Method::GET, OWN, Access::PEOPLE, "Show the own tenant, with the limits in force", read_own),
        operation(
            Method::PATCH,
            OWN,
            Access::ADMINS,
            "Change the own tenant: its name, its admin channel, its limits",
            change_own,
        ),
    ];
    over_all.into_iter().chain(own).collect()
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
    in_force(&call.desk.limits, &row)?;
    let entry = call.desk.store.tenants().create(&id, &id, &row).await.map_err(problem_of)?;
    call.desk.settled(&id, &id, Some(&row)).await;
    Ok(Created(entry.into()))
}

async fn read_own(call: Call, (): ()) -> Result<Data<OwnTenant>, Problem> {
    let entry = call.desk.store.tenants().get(&call.tenant, &call.tenant).await.map_err(problem_of)?;
    own(&call, entry)
}

async fn change_own(call: Call, patch: Patch<TenantForm>) -> Result<Data<OwnTenant>, Problem> {
    let entry = changed(&call, &call.tenant, patch).await?;
    own(&call, entry)
}

fn own(call: &Call, entry: Entry<Tenant>) -> Result<Data<OwnTenant>, Problem> {
    let limits_in_force = in_force(&call.desk.limits, &entry.row)?;
    Ok(Data(OwnTenant { tenant: entry.into(), limits_in_force }))
}

/// The limits of a tenant, which are checked once more as a whole.
fn in_force(house: &Limits, tenant: &Tenant) -> Result<Limits, Problem> {
    let Some(own) = &tenant.limits else { return Ok(house.clone()) };
    house.over(&Value::Object(own.clone())).map_err(|bad| {
        let field = match &bad {
            BadLimits::OutOfRange { field, .. } => format!("limits.{field}"),
            BadLimits::Shape { .. } => "limits".to_owned(),
        };
        Problem::invalid(vec![FieldError::new(field, bad.to_string())])
    })
}

async fn change(call: Call, patch: Patch<TenantForm>) -> Result<Data<Shown<Tenant>>, Problem> {
    Ok(Data(changed(&call, call.id(), patch).await?.into()))
}

async fn changed(call: &Call, id: &str, patch: Patch<TenantForm>) -> Result<Entry<Tenant>, Problem> {
    let change = |row: &mut Tenant| {
        let changed = reshaped(row).and_then(|form| patch.over(&form)).and_then(|form| reshaped(&form));
        let checked = changed.and_then(|changed: Tenant| in_force(&call.desk.limits, &changed).map(|_| changed));
        checked.map(|changed| *row = changed).map_err(Refused::Caller)
    };
    let entry = call.desk.store.tenants().change(id, id, change).await.map_err(Problem::from)?;
    call.desk.settled(id, id, Some(&entry.row)).await;
    Ok(entry)
}

/// What is left of a tenant that was taken away.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TenantGone {
    /// Its rows and what is remembered of it are gone.
    #[serde(flatten)]
    gone: Gone,
    /// Whether nothing of it is in the lake any more; otherwise the process that
    /// writes the lake will see to it.
    lake_deleted: bool,
}

async fn delete(call: Call, (): ()) -> Result<Data<TenantGone>, Problem> {
    call.desk.recall.forget_tenant(call.id()).await.map_err(super::memory::problem_of)?;
    call.desk.store.tenants().delete_all(call.id()).await.map_err(problem_of)?;
    call.desk.settled::<Tenant>(call.id(), call.id(), None).await;
    let lake_deleted = match &call.desk.engine {
        Some(engine) => engine.forget(call.id().to_owned()).await.map_err(|error| {
            tracing::error!(%error, tenant = call.id(), "the lake was not told to forget a tenant");
            Problem::unavailable("the lake could not be told; delete the tenant once more")
        })?,
        None => true,
    };
    let Data(gone) = Gone::id(call.id());
    Ok(Data(TenantGone { gone, lake_deleted }))
}
