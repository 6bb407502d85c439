//! Lists, repositories and channels that could become projects, and how one is
//! mapped.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use pipeline::event::{Candidate, Notify, Project, TaskState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    call::{Call, problem_of},
    check::{ID, LINE},
    input::Perhaps,
    operation::{Operation, operation},
    output::{Created, Data, Page},
    query::{CURSOR, LIMIT},
    rows::Shown,
};
use connections::mapping::project_of;
use runtime::{auth::Access, http::problem::Problem};

/// A candidate, with the id that it is mapped by.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CandidateShown {
    /// `provider:id`.
    id: String,
    #[serde(flatten)]
    row: Candidate,
}

impl CandidateShown {
    fn of(row: serde_json::Value) -> Option<CandidateShown> {
        let row: Candidate = serde_json::from_value(row).ok()?;
        Some(CandidateShown { id: format!("{}:{}", row.provider, row.external_id), row })
    }
}

/// What is said of the project that it becomes, where the candidate does not say
/// it or something else is wanted.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MappingForm {
    /// What it is called.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: Option<String>,
    /// Whose it is.
    #[schemars(regex(pattern = ID))]
    workgroup_id: Option<String>,
    /// Where it is discussed.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    slack_channel_id: Option<String>,
    /// Whom a new work item is told to.
    notify: Notify,
    /// The provider's status names, in small letters, and the states they are.
    #[schemars(extend("maxProperties" = 100, "propertyNames" = { "maxLength": 100, "pattern": LINE }))]
    status_map: BTreeMap<String, TaskState>,
}

/// `/api/candidates`
pub fn operations() -> Vec<Operation> {
    const ONE: &str = "/api/candidates/{id}";
    let example = json!({ "slackChannelId": "C0ROCKET", "notify": "mentioned" });
    vec![
        operation(Method::GET, "/api/candidates", Access::PEOPLE, "List what could become a project", list)
            .params(&[LIMIT, CURSOR]),
        operation(Method::GET, ONE, Access::PEOPLE, "Show one of them", read),
        operation(Method::POST, "/api/candidates/{id}/map", Access::ADMINS, "Make a project of it", map)
            .example(example)
            .errors(&[StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY]),
    ]
}

async fn list(call: Call, (): ()) -> Result<Page<CandidateShown>, Problem> {
    let page = call.desk.store.candidates().list(&call.tenant, &call.paging()).await.map_err(problem_of)?;
    Ok(Page { rows: page.rows.into_iter().filter_map(CandidateShown::of).collect(), next: page.next })
}

async fn found(call: &Call) -> Result<CandidateShown, Problem> {
    let row = call.desk.store.candidates().get(&call.tenant, call.id()).await.map_err(problem_of)?;
    CandidateShown::of(row).ok_or_else(|| Problem::not_found("there is no such candidate"))
}

async fn read(call: Call, (): ()) -> Result<Data<CandidateShown>, Problem> {
    found(&call).await.map(Data)
}

async fn map(call: Call, Perhaps(form): Perhaps<MappingForm>) -> Result<Created<Shown<Project>>, Problem> {
    let candidate = found(&call).await?.row;
    let mut project = project_of(&candidate);
    let MappingForm { name, workgroup_id, slack_channel_id, notify, status_map } = form;
    (project.notify, project.status_map) = (notify, status_map);
    project.name = name.unwrap_or(project.name);
    project.workgroup_id = workgroup_id.or(project.workgroup_id);
    project.slack_channel_id = slack_channel_id.or(project.slack_channel_id);
    let entry = call.desk.connections.create_project(&call.tenant, &project).await.map_err(problem_of)?;
    call.desk.settled(&call.tenant, &entry.id, Some(&entry.row)).await;
    Ok(Created(entry.into()))
}
