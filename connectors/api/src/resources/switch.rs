//! The kill switch: a tenant's own for its administrators, everybody's for who
//! works across tenants; and the mirror's commands that wait meanwhile.

use axum::http::{Method, StatusCode};
use pipeline::{
    event::{EVERYBODY, Role, Scaled, Stop},
    ports::LogError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    call::{Call, problem_of},
    check::{ID, LINE},
    input::{Body, Perhaps},
    operation::{Operation, operation},
    output::{Data, Page},
    query::{Kind, LIMIT, param},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
    identity::random_hex,
    kill_switch::{
        kubernetes::{Kubernetes, NotScaled},
        switch::{Cause, Instance, Thrown},
    },
};
use store::{
    PAGE_ROWS_MAX, Paging,
    audit::query::{Waiting, WaitingFilter},
};

/// Commands that one request drops at most; the answer says whether there are
/// more.
const DROPPED_MAX: usize = 10_000;

/// Why to stop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopForm {
    /// Why, for the agents and for the trail.
    #[schemars(length(min = 1, max = 500), regex(pattern = LINE))]
    reason: String,
    /// Also scale the agents' own deployments to nothing, in Kubernetes.
    #[serde(default)]
    scale_to_zero: bool,
}

/// Why to go on.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResumeForm {
    /// Why, for the trail.
    #[schemars(length(min = 1, max = 500), regex(pattern = LINE))]
    reason: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Turned {
    #[serde(flatten)]
    thrown: Thrown,
    /// Why the deployments could not be scaled, if they could not.
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_failed: Option<String>,
}

/// How it is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Whether the tenant is stopped, by whomever.
    stopped: bool,
    /// What everybody was told last, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    everybody: Option<Stop>,
    /// What the tenant was told last, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<Stop>,
    /// Tenants that are stopped by themselves; for who works across tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_tenants: Option<Vec<String>>,
    /// The processes that act.
    instances: Vec<Instance>,
}

/// Which commands; all of what is given must fit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct DropForm {
    /// These.
    #[schemars(length(max = 1_000), inner(regex(pattern = ID)))]
    ids: Option<Vec<String>>,
    /// Those for this provider.
    #[schemars(length(max = 100), regex(pattern = LINE))]
    provider: Option<String>,
    /// Those about this task.
    #[schemars(regex(pattern = ID))]
    task_id: Option<String>,
    /// Those that this agent wants.
    #[schemars(regex(pattern = ID))]
    agent_id: Option<String>,
    /// Those through this connection.
    #[schemars(regex(pattern = ID))]
    connection_id: Option<String>,
    /// All that wait, where nothing else says which.
    all: Option<bool>,
}

/// What was dropped.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// How many commands.
    dropped: usize,
    /// Whether there may be more: ask again.
    more: bool,
}

/// `/admin/stop-all-agents` and what belongs to it.
pub fn operations() -> Vec<Operation> {
    const UNSERVED: &[StatusCode] = &[StatusCode::SERVICE_UNAVAILABLE];
    const UNDROPPED: &[StatusCode] = &[StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE];
    vec![
        operation(
            Method::POST,
            "/admin/stop-all-agents",
            Access::ADMINS,
            "Stop all agents and all that is written elsewhere; answers when it is silent",
            stop,
        )
        .keeps_own_trail()
        .errors(UNSERVED)
        .example(json!({ "reason": "an agent runs wild", "scaleToZero": false })),
        operation(Method::POST, "/admin/resume", Access::ADMINS, "Go on where it was stopped", resume)
            .keeps_own_trail()
            .errors(UNSERVED)
            .example(json!({ "reason": "the agent is mended" })),
        operation(Method::GET, "/admin/state", Access::ADMINS, "Show whether it is stopped, and who acts", state),
        operation(Method::GET, "/admin/commands", Access::ADMINS, "List what waits to be written elsewhere", list)
            .params(&[
                LIMIT,
                param("cursor", Kind::Place, "`page.next` of the page before"),
                param("provider", Kind::Text, "only those for a provider"),
                param("taskId", Kind::Id, "only those about a task"),
                param("agentId", Kind::Id, "only those that an agent wants"),
                param("connectionId", Kind::Id, "only those through a connection"),
            ]),
        operation(Method::POST, "/admin/commands/drop", Access::ADMINS, "Drop some of what waits", drop_some)
            .keeps_own_trail()
            .errors(UNDROPPED)
            .example(json!({ "agentId": "agt_1" })),
    ]
}

/// Everybody, or a tenant: one's own, or the one that is named.
fn scope(call: &Call) -> String {
    match call.who.role == Role::Platform && call.said.text("tenantId").is_none() {
        true => EVERYBODY.to_owned(),
        false => call.tenant.clone(),
    }
}

fn cause(call: &Call, reason: &str) -> Cause {
    Cause {
        by: call.who.client_id.clone(),
        role: call.who.role.name().to_owned(),
        reason: reason.to_owned(),
        trace_id: call.trace_id(),
    }
}

async fn stop(call: Call, Body(form): Body<StopForm>) -> Result<Data<Turned>, Problem> {
    let scope = scope(&call);
    let mut thrown = call.desk.switch.stop(&scope, &cause(&call, &form.reason)).await.map_err(unwritten)?;
    let mut scaling_failed = None;
    if form.scale_to_zero {
        // Agents are silenced already: this is for what they do by themselves.
        match scale_down(&call, &scope).await {
            Ok(scaled) => thrown.stop.scaled.extend(scaled),
            Err(error) => scaling_failed = Some(error.to_string()),
        }
    }
    Ok(Data(Turned { thrown, scaling_failed }))
}

async fn scale_down(call: &Call, scope: &str) -> Result<Vec<Scaled>, NotScaled> {
    let kubernetes = Kubernetes::open(&call.desk.kubernetes)?;
    let running = kubernetes.running(scope).await?;
    // First written down: what is not remembered would never be put back.
    let remembered = call.desk.switch.remember_scaled(scope, running.clone()).await;
    remembered.map_err(|error| NotScaled::Unreached(format!("nothing was scaled: {error}")))?;
    let nothing: Vec<_> = running.iter().map(|one| Scaled { replicas: 0, ..one.clone() }).collect();
    kubernetes.scale(&nothing).await?;
    Ok(running)
}

async fn resume(call: Call, Perhaps(form): Perhaps<ResumeForm>) -> Result<Data<Turned>, Problem> {
    let scope = scope(&call);
    let reason = form.reason.as_deref().unwrap_or("resumed");
    let (thrown, scaled) = call.desk.switch.resume(&scope, &cause(&call, reason)).await.map_err(unwritten)?;
    let mut scaling_failed = None;
    if !scaled.is_empty() {
        let restored = async { Kubernetes::open(&call.desk.kubernetes)?.scale(&scaled).await }.await;
        if let Err(error) = restored {
            tracing::error!(scope, %error, ?scaled, "deployments could not be scaled back: do it by hand");
            scaling_failed = Some(error.to_string());
        }
    }
    Ok(Data(Turned { thrown, scaling_failed }))
}

async fn state(call: Call, (): ()) -> Result<Data<State>, Problem> {
    let (kill_switch, switch) = (&call.desk.kill_switch, &call.desk.switch);
    let scopes = [EVERYBODY.to_owned(), call.tenant.clone()];
    let tenants = (call.who.role == Role::Platform).then(|| {
        let stops = kill_switch.stops().into_iter().map(|(scope, _)| scope);
        stops.filter(|scope| scope != EVERYBODY).collect()
    });
    Ok(Data(State {
        stopped: kill_switch.stopped(&call.tenant).is_some(),
        everybody: kill_switch.stop_of(EVERYBODY),
        tenant: kill_switch.stop_of(&call.tenant),
        stopped_tenants: tenants,
        instances: switch.instances(|(_, worker)| switch.state_of(worker, &scopes)),
    }))
}

fn wanted(call: &Call) -> WaitingFilter {
    let scope = scope(call);
    WaitingFilter { tenant: (scope != EVERYBODY).then_some(scope), ..WaitingFilter::default() }
}

async fn list(call: Call, (): ()) -> Result<Page<Waiting>, Problem> {
    let text = |name: &str| call.said.text(name).map(str::to_owned);
    let filter = WaitingFilter {
        provider: text("provider"),
        task_id: text("taskId"),
        agent_id: text("agentId"),
        connection_id: text("connectionId"),
        ..wanted(&call)
    };
    let page = call.desk.store.waiting_commands(&filter, &call.paging()).await.map_err(problem_of)?;
    let mut rows = page.rows;
    rows.iter_mut().for_each(|row| row.dropped = call.desk.kill_switch.is_dropped(&row.id));
    Ok(Page { rows, next: page.next })
}

async fn drop_some(call: Call, Body(form): Body<DropForm>) -> Result<Data<Dropped>, Problem> {
    let is_filtered = form.ids.is_some()
        || [&form.provider, &form.task_id, &form.agent_id, &form.connection_id].iter().any(|one| one.is_some());
    if !is_filtered && form.all != Some(true) {
        return Err(Problem::unfit(vec![FieldError::new("all", "must be true, if nothing else says which")]));
    }
    let filter = WaitingFilter {
        provider: form.provider,
        task_id: form.task_id,
        agent_id: form.agent_id,
        connection_id: form.connection_id,
        ..wanted(&call)
    };
    let is_wanted = |id: &String| form.ids.as_ref().is_none_or(|ids| ids.contains(id));
    let (mut found, mut paging) = (Vec::new(), Paging { limit: PAGE_ROWS_MAX, after: None });
    let more = loop {
        let page = call.desk.store.waiting_commands(&filter, &paging).await.map_err(problem_of)?;
        let fits = page.rows.into_iter().filter(|row| is_wanted(&row.id) && !call.desk.kill_switch.is_dropped(&row.id));
        found.extend(fits.map(|row| (row.act.tenant_id, row.id)));
        match page.next {
            _ if found.len() >= DROPPED_MAX => break true,
            None => break false,
            next => paging.after = next,
        }
    };
    if !found.is_empty() {
        let why = cause(&call, "dropped before it was done");
        call.desk.switch.drop_commands(&found, &why).await.map_err(unwritten)?;
    }
    Ok(Data(Dropped { dropped: found.len(), more }))
}

fn unwritten(error: LogError) -> Problem {
    tracing::error!(%error, "the kill switch could not be written to the log");
    Problem::unavailable("the log cannot take it now; try again")
}

impl Call {
    /// The trace that the request belongs to: its sender's, or one of its own.
    pub fn trace_id(&self) -> String {
        let given = self.headers.get("traceparent").and_then(|given| given.to_str().ok());
        let trace = given.and_then(|given| given.split('-').nth(1));
        let is_trace = |trace: &&str| udfs::hash::from_hex(trace).is_some_and(|number| number != 0);
        trace.filter(is_trace).map_or_else(random_hex, str::to_lowercase)
    }
}
