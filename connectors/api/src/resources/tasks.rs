//! Work items: shown as the pipeline keeps them, moved and tracked by it.

use axum::http::{Method, StatusCode};
use pipeline::event::{Command, Project, Role, Task, TaskState};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    call::{Call, problem_of, unknown_reference},
    check::{ID, LINE, WORD},
    input::Body,
    operation::{Operation, operation},
    output::{Created, Data, Page},
    query::{CURSOR, Kind, LIMIT, param},
    rows::found,
};
use runtime::{auth::Access, http::problem::Problem, identity::random_hex};
use store::{StoreError, TaskFilter};

/// A task as the pipeline keeps it.
#[derive(Debug, Serialize)]
pub struct AsKept(Value);

impl JsonSchema for AsKept {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Task::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Task::json_schema(generator)
    }
}

/// The states, as the query names them.
const STATES: &[&str] = &["TODO", "IN_PROGRESS", "BLOCKED_ON_HUMAN", "DONE"];

/// A change of a task: its state, its thread, or both (the thread first).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct TaskChange {
    /// To where it moves.
    state: Option<TaskState>,
    /// The channel of its thread.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    channel_id: Option<String>,
    /// Its thread.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    thread_ts: Option<String>,
}

/// A task that is followed from now on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskForm {
    /// The project it belongs to.
    #[schemars(regex(pattern = ID))]
    project_id: String,
    /// Where it is at home: `clickup`, `github`, `jira`.
    #[schemars(length(max = 50), regex(pattern = WORD))]
    provider: String,
    /// The provider's id of it.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    external_id: String,
    /// What it is called.
    #[schemars(length(min = 1, max = 500))]
    title: Option<String>,
    /// The channel of its thread.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    channel_id: Option<String>,
    /// Its thread.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    thread_ts: Option<String>,
}

/// `/api/tasks`
pub fn operations() -> Vec<Operation> {
    const ALL: &str = "/api/tasks";
    const ONE: &str = "/api/tasks/{id}";
    const REFUSALS: &[StatusCode] =
        &[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE];
    vec![
        operation(Method::GET, ALL, Access::ALL, "List the tasks", list).params(&[
            LIMIT,
            CURSOR,
            param("state", Kind::OneOf(STATES), "only those in a state"),
            param("projectId", Kind::Id, "only those of a project"),
        ]),
        operation(Method::POST, ALL, Access::MEMBERS, "Follow a task, and its thread", track).errors(REFUSALS).example(
            json!({
                "projectId": "prj_1", "provider": "clickup", "externalId": "86abc", "title": "Launch",
                "channelId": "C0ROCKET", "threadTs": "1700000000.000100",
            }),
        ),
        operation(Method::GET, ONE, Access::ALL, "Show one task, by the hub's id or the provider's", read),
        operation(Method::PATCH, ONE, Access::WORKERS, "Move one task, or follow another thread of it", change)
            .errors(REFUSALS)
            .example(json!({ "state": "IN_PROGRESS" })),
    ]
}

async fn list(call: Call, (): ()) -> Result<Page<AsKept>, Problem> {
    let project = call.said.text("projectId").map(str::to_owned);
    let project_ids = match (call.desk.reach(&call.who), project) {
        (Some(reach), Some(project)) => Some(reach.into_iter().filter(|id| *id == project).collect()),
        (reach, None) => reach,
        (None, Some(project)) => Some(vec![project]),
    };
    let filter = TaskFilter { state: call.said.text("state").map(str::to_owned), project_ids };
    let page = call.desk.store.tasks().list(&call.tenant, &filter, &call.paging()).await.map_err(problem_of)?;
    Ok(Page { rows: page.rows.into_iter().map(AsKept).collect(), next: page.next })
}

async fn read(call: Call, (): ()) -> Result<Data<AsKept>, Problem> {
    let task = task(&call).await?;
    Ok(Data(AsKept(task)))
}

/// A task that the caller reaches.
async fn task(call: &Call) -> Result<Value, Problem> {
    let tasks = call.desk.store.tasks();
    let task = match tasks.get(&call.tenant, call.id()).await {
        Err(StoreError::NotFound { .. }) => tasks.by_external_id(&call.tenant, call.id()).await,
        found => found,
    };
    let task = task.map_err(problem_of)?;
    match call.desk.reach(&call.who) {
        Some(reach) if !task["projectId"].as_str().is_some_and(|id| reach.iter().any(|known| known == id)) => {
            Err(Problem::not_found("there is no such task"))
        }
        _ => Ok(task),
    }
}

async fn track(call: Call, Body(form): Body<TaskForm>) -> Result<Created<AsKept>, Problem> {
    // An unknown project is the form's fault, not the address's.
    found::<Project>(&call, &form.project_id).await.map_err(|problem| match problem.status() {
        StatusCode::NOT_FOUND => unknown_reference("projectId"),
        _ => problem,
    })?;
    let there = json!({
        "projectId": form.project_id, "provider": form.provider, "externalId": form.external_id,
        "title": form.title, "channelId": form.channel_id, "threadTs": form.thread_ts,
    });
    let told = follow(&call, &there).await?;
    let mut task = Value::Object(Default::default());
    lay_over(&mut task, &there);
    lay_over(&mut task, &told);
    Ok(Created(AsKept(task)))
}

async fn change(call: Call, Body(change): Body<TaskChange>) -> Result<Data<AsKept>, Problem> {
    let mut task = task(&call).await?;
    if change.channel_id.is_some() || change.thread_ts.is_some() {
        lay_over(&mut task, &json!({ "channelId": change.channel_id, "threadTs": change.thread_ts }));
        let told = follow(&call, &task).await?;
        lay_over(&mut task, &told);
    }
    if let Some(state) = change.state {
        let correlation_id = format!("cmd_{}", random_hex());
        let command = Command::MoveTask {
            correlation_id: correlation_id.clone(),
            tenant_id: call.tenant.clone(),
            task_id: task["id"].as_str().unwrap_or_default().to_owned(),
            state,
            actor_id: call.who.subject.clone(),
            by_agent: call.who.role == Role::Agent,
            at: call.now(),
        };
        let told = call.desk.commands.ask(&call.tenant, &correlation_id, &command, call.now().as_ms()).await?;
        lay_over(&mut task, &json!({ "state": state }));
        lay_over(&mut task, &told.data.unwrap_or_default());
    }
    Ok(Data(AsKept(task)))
}

/// Has the pipeline follow a task's thread; what it tells of the task.
async fn follow(call: &Call, task: &Value) -> Result<Value, Problem> {
    let text = |name: &str| task[name].as_str().map(str::to_owned);
    let correlation_id = format!("cmd_{}", random_hex());
    let command = Command::TrackTask {
        correlation_id: correlation_id.clone(),
        tenant_id: call.tenant.clone(),
        project_id: text("projectId").unwrap_or_default(),
        provider: text("provider").unwrap_or_default(),
        external_id: text("externalId").unwrap_or_default(),
        title: text("title"),
        channel_id: text("channelId"),
        thread_ts: text("threadTs"),
        agent_id: (call.who.role == Role::Agent).then(|| call.who.subject.clone()),
        at: call.now(),
    };
    let told = call.desk.commands.ask(&call.tenant, &correlation_id, &command, call.now().as_ms()).await?;
    Ok(told.data.unwrap_or_default())
}

/// What is known of a task, with what is newer of it.
fn lay_over(task: &mut Value, newer: &Value) {
    let (Some(task), Some(newer)) = (task.as_object_mut(), newer.as_object()) else { return };
    // The pipeline may wrap the task, or tell only what changed.
    let newer = newer.get("task").and_then(Value::as_object).unwrap_or(newer);
    for (name, value) in newer.iter().filter(|(_, value)| !value.is_null()) {
        let name = if name == "taskId" { "id" } else { name };
        task.insert(name.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pipeline_tells_is_laid_over() {
        let mut task = json!({ "id": "task_1", "title": "a" });
        lay_over(&mut task, &json!({ "taskId": "task_2", "state": "DONE", "title": null }));
        assert_eq!(task, json!({ "id": "task_2", "title": "a", "state": "DONE" }));
        lay_over(&mut task, &json!({ "task": { "title": "b" } }));
        assert_eq!(task["title"], "b");
    }
}
