//! Lists, repositories and project keys, and where they are discussed. What is
//! not mapped yet is a candidate: known to the pipeline, and shown beside them.

use std::collections::BTreeMap;

use axum::http::Method;
use pipeline::event::{Candidate, Notify, Project, Role, TaskState, Time, Workgroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    call::{Call, problem_of},
    check::{ID, LINE, REPOSITORY},
    operation::{Operation, operation},
    output::Page,
    query::{CURSOR, Kind, LIMIT, param},
    rows::{Resource, Shown, page_of, resource, shown},
};
use runtime::{
    auth::{Access, Principal},
    http::problem::Problem,
};
use store::Entry;

/// What people write of a project.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProjectForm {
    /// What it is called.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: String,
    /// Whose it is.
    #[schemars(regex(pattern = ID))]
    workgroup_id: Option<String>,
    /// Its ClickUp list.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    clickup_list_id: Option<String>,
    /// Its GitHub repository, `owner/name`; case does not matter.
    #[schemars(length(max = 200), regex(pattern = REPOSITORY))]
    github_repository: Option<String>,
    /// Its Jira project key.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    jira_project_key: Option<String>,
    /// Where it is discussed.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    slack_channel_id: Option<String>,
    /// Whom a new work item is told to.
    #[serde(default)]
    notify: Notify,
    /// The provider's status names, in small letters, and the states they are.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 100, "propertyNames" = { "maxLength": 100, "pattern": LINE }))]
    status_map: BTreeMap<String, TaskState>,
    /// Set when it is over.
    #[serde(default)]
    archived: bool,
    /// When it begins: told to people and agents. What comes before belongs to it
    /// all the same.
    starts_at: Option<Time>,
    /// When it ends. It is archived then; to go on, move its end and set `archived`
    /// to false.
    ends_at: Option<Time>,
}

impl Resource for Project {
    type Form = ProjectForm;
    const PREFIX: &'static str = "prj";

    /// An agent knows those of its workgroups.
    fn seen(entry: &Entry<Self>, call: &Call) -> bool {
        call.who.role != Role::Agent
            || entry.row.workgroup_id.as_deref().is_some_and(|id| call.desk.is_in(&call.who, id))
    }
}

impl crate::Desk {
    /// Whether an agent is in a workgroup.
    pub fn is_in(&self, agent: &Principal, workgroup_id: &str) -> bool {
        let workgroup = self.directory.get::<Workgroup>(&agent.tenant_id, workgroup_id);
        workgroup.is_some_and(|workgroup| workgroup.agent_ids.contains(&agent.subject))
    }

    /// The projects that a caller reaches; nothing when it is all of them.
    pub fn reach(&self, who: &Principal) -> Option<Vec<String>> {
        if who.role != Role::Agent {
            return None;
        }
        let projects = self.directory.all::<Project>(&who.tenant_id);
        let reached =
            projects.iter().filter(|(_, row)| row.workgroup_id.as_deref().is_some_and(|id| self.is_in(who, id)));
        Some(reached.map(|(id, _)| id.to_string()).collect())
    }
}

/// A project, or what could become one.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Listed {
    /// A project.
    Project(Box<Shown<Project>>),
    /// A list, repository or channel that nobody mapped yet.
    Candidate(Candidate),
}

/// `/api/projects`
pub fn operations() -> Vec<Operation> {
    let example = json!({
        "name": "Rocket", "workgroupId": "wg_1", "clickupListId": "901100000001", "slackChannelId": "C0ROCKET",
        "notify": "mentioned", "statusMap": { "in review": "BLOCKED_ON_HUMAN" },
    });
    let mut operations = resource!(Project, "/api/projects", Access::ALL, Access::ADMINS, "project", example);
    // The list is more than the rows.
    operations.remove(0);
    operations.insert(
        0,
        operation(Method::GET, "/api/projects", Access::ALL, "List the projects, or what could become one", list)
            .params(&[
                LIMIT,
                CURSOR,
                param(
                    "status",
                    Kind::OneOf(&["active", "archived", "candidate"]),
                    "only those; all projects unless said",
                ),
                param("workgroupId", Kind::Id, "only those of a workgroup"),
            ]),
    );
    operations
}

async fn list(call: Call, (): ()) -> Result<Page<Listed>, Problem> {
    let (status, workgroup) = (call.said.text("status"), call.said.text("workgroupId"));
    if status == Some("candidate") {
        // Nobody's project is no agent's.
        if call.who.role == Role::Agent {
            return Ok(Page { rows: Vec::new(), next: None });
        }
        let page = call.desk.store.candidates().list(&call.tenant, &call.paging()).await.map_err(problem_of)?;
        let rows = page.rows.into_iter().filter_map(|row| serde_json::from_value(row).ok());
        return Ok(Page { rows: rows.map(Listed::Candidate).collect(), next: page.next });
    }
    let page = page_of(&call, |entry: &Entry<Project>| {
        status.is_none_or(|status| entry.row.archived == (status == "archived"))
            && workgroup.is_none_or(|workgroup| entry.row.workgroup_id.as_deref() == Some(workgroup))
    });
    let page = shown(page.await?)?;
    Ok(Page { rows: page.rows.into_iter().map(|row| Listed::Project(Box::new(row))).collect(), next: page.next })
}
