//! The squads of a tenant, and who is in them.

use axum::http::{Method, StatusCode};
use pipeline::event::{OnListCreated, Role, Workgroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    call::{Call, Refused},
    check::{ID, LINE},
    input::Body,
    operation::{Operation, operation},
    output::{Data, Part},
    query::{CURSOR, LIMIT},
    rows::{Resource, Shown, resource},
};
use runtime::{auth::Access, http::problem::Problem};
use store::{Entry, Paging};

/// What people write of a workgroup.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "WorkgroupForm")]
pub struct WorkgroupForm {
    /// What it is called, unique in the tenant.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    name: String,
    /// Its permanent channel.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    slack_channel_id: Option<String>,
    /// Its ClickUp space.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    clickup_space_id: Option<String>,
    /// Its ClickUp folder.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    clickup_folder_id: Option<String>,
    /// What becomes of new lists.
    #[serde(default)]
    on_list_created: OnListCreated,
    /// Its agents.
    #[serde(default)]
    #[schemars(length(max = 1_000), extend("uniqueItems" = true), inner(regex(pattern = ID)))]
    agent_ids: Vec<String>,
}

impl Resource for Workgroup {
    type Form = WorkgroupForm;
    const PREFIX: &'static str = "wg";

    /// An agent knows those that it is in.
    fn seen(entry: &Entry<Self>, call: &Call) -> bool {
        call.who.role != Role::Agent || entry.row.agent_ids.contains(&call.who.subject)
    }
}

/// Agents that come in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Members {
    /// Their ids.
    #[schemars(length(min = 1, max = 1_000), inner(regex(pattern = ID)))]
    agent_ids: Vec<String>,
}

/// Some of those who are in a workgroup.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberIds {
    /// Their ids, in order.
    agent_ids: Vec<String>,
}

/// `/api/workgroups` and who is in them.
pub fn operations() -> Vec<Operation> {
    const MEMBERS: &str = "/api/workgroups/{id}/agents";
    const MEMBER: &str = "/api/workgroups/{id}/agents/{agentId}";
    let example = json!({ "name": "Rocket squad", "slackChannelId": "C0ROCKET", "onListCreated": "ask" });
    let mut operations = resource!(Workgroup, "/api/workgroups", Access::ALL, Access::ADMINS, "workgroup", example);
    operations.extend([
        operation(Method::GET, MEMBERS, Access::ALL, "List the agents of a workgroup", members)
            .params(&[LIMIT, CURSOR]),
        operation(Method::POST, MEMBERS, Access::ADMINS, "Take agents into a workgroup", join)
            .errors(&[StatusCode::UNPROCESSABLE_ENTITY])
            .example(json!({ "agentIds": ["agt_1"] })),
        operation(Method::DELETE, MEMBER, Access::ADMINS, "Let an agent leave a workgroup", leave),
    ]);
    operations
}

async fn members(call: Call, (): ()) -> Result<Part<MemberIds>, Problem> {
    let entry = crate::rows::found::<Workgroup>(&call, call.id()).await?;
    let Paging { limit, after } = call.paging();
    let mut agent_ids = entry.row.agent_ids;
    agent_ids.sort_unstable();
    agent_ids.retain(|id| after.as_ref().is_none_or(|after| id > after));
    let has_more = agent_ids.len() > limit;
    agent_ids.truncate(limit);
    let next = agent_ids.last().filter(|_| has_more).cloned();
    Ok(Part { data: MemberIds { agent_ids }, next })
}

async fn join(call: Call, Body(members): Body<Members>) -> Result<Data<Shown<Workgroup>>, Problem> {
    change(call, |agent_ids| {
        for id in &members.agent_ids {
            if !agent_ids.contains(id) {
                agent_ids.push(id.clone());
            }
        }
        Ok(())
    })
    .await
}

async fn leave(call: Call, (): ()) -> Result<Data<Shown<Workgroup>>, Problem> {
    let agent_id = call.part("agentId").to_owned();
    change(call, |agent_ids| match agent_ids.iter().position(|id| *id == agent_id) {
        Some(place) => {
            agent_ids.remove(place);
            Ok(())
        }
        None => Err(Problem::not_found("there is no such agent in this workgroup")),
    })
    .await
}

async fn change(
    call: Call,
    change: impl FnOnce(&mut Vec<String>) -> Result<(), Problem> + Send,
) -> Result<Data<Shown<Workgroup>>, Problem> {
    let workgroups = call.desk.store.workgroups();
    let change = |row: &mut Workgroup| change(&mut row.agent_ids).map_err(Refused::Caller);
    let entry = workgroups.change(&call.tenant, call.id(), change).await.map_err(Problem::from)?;
    call.desk.settled(&call.tenant, &entry.id, Some(&entry.row)).await;
    Ok(Data(entry.into()))
}
