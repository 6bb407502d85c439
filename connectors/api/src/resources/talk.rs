//! What people tell agents: one is woken, told something, silenced; all are
//! told at once. Each becomes a command to the pipeline, which gives it its
//! place in every agent's sequence.

use axum::http::Method;
use pipeline::event::{Agent, Command};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    call::Call,
    input::{Body, Perhaps},
    operation::{Operation, operation},
    output::{Promised, Sent},
    rows::found,
};
use runtime::{auth::Access, http::problem::Problem, identity::random_hex};

/// A wake-up call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WakeForm {
    /// What to say.
    #[schemars(length(max = 16_000))]
    message: Option<String>,
}

/// The events that one agent can be told of.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// Something it may want to know.
    #[default]
    ContextUpdate,
    /// Something to do.
    TaskAssigned,
    /// Something to look at.
    WakeUp,
    /// What a tool gave.
    ToolResult,
}

impl EventName {
    fn name(self) -> &'static str {
        match self {
            EventName::ContextUpdate => "context_update",
            EventName::TaskAssigned => "task_assigned",
            EventName::WakeUp => "wake_up",
            EventName::ToolResult => "tool_result",
        }
    }
}

/// An event for one agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventForm {
    /// Its name; `context_update` unless said.
    #[serde(default)]
    name: EventName,
    /// What to say: joined into what the agent gets.
    #[schemars(extend("maxProperties" = 100))]
    data: Map<String, Value>,
}

/// Something for all agents.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BroadcastForm {
    /// What to say.
    #[schemars(length(min = 1, max = 16_000))]
    message: String,
    /// What else.
    #[schemars(extend("maxProperties" = 100))]
    data: Option<Map<String, Value>>,
}

/// Whether an agent may speak.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Muted {
    /// Which.
    agent_id: String,
    /// Silence or speech.
    muted: bool,
}

/// `/api/agents/{id}/…` and `/api/broadcast`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::POST, "/api/agents/{id}/wake", Access::MEMBERS, "Wake one agent", wake)
            .example(json!({ "message": "Are you there?" })),
        operation(Method::POST, "/api/agents/{id}/events", Access::MEMBERS, "Tell one agent of an event", tell)
            .example(json!({ "name": "context_update", "data": { "note": "the launch moved to Friday" } })),
        operation(Method::POST, "/api/agents/{id}/mute", Access::ADMINS, "Silence one agent", mute),
        operation(Method::POST, "/api/agents/{id}/unmute", Access::ADMINS, "Let one agent speak again", unmute),
        operation(Method::POST, "/api/broadcast", Access::MEMBERS, "Tell all agents of the tenant", broadcast)
            .example(json!({ "message": "The hub is updated at noon." })),
    ]
}

async fn wake(call: Call, Perhaps(form): Perhaps<WakeForm>) -> Result<Promised<Sent>, Problem> {
    to_one(&call, |correlation_id, tenant_id, agent_id| Command::Wake {
        correlation_id,
        tenant_id,
        agent_id,
        message: form.message,
        at: call.now(),
    })
    .await
}

async fn tell(call: Call, Body(form): Body<EventForm>) -> Result<Promised<Sent>, Problem> {
    to_one(&call, |correlation_id, tenant_id, agent_id| Command::Tell {
        correlation_id,
        tenant_id,
        agent_id,
        name: form.name.name().to_owned(),
        data: form.data,
        at: call.now(),
    })
    .await
}

async fn broadcast(call: Call, Body(form): Body<BroadcastForm>) -> Result<Promised<Sent>, Problem> {
    let id = format!("cmd_{}", random_hex());
    let command = Command::Broadcast {
        correlation_id: id.clone(),
        tenant_id: call.tenant.clone(),
        message: form.message,
        data: form.data,
        at: call.now(),
    };
    call.desk.commands.tell(&call.tenant, &command, call.now().as_ms()).await?;
    Ok(Promised(Sent { id }))
}

async fn mute(call: Call, (): ()) -> Result<Promised<Muted>, Problem> {
    set_muted(call, true).await
}

async fn unmute(call: Call, (): ()) -> Result<Promised<Muted>, Problem> {
    set_muted(call, false).await
}

async fn set_muted(call: Call, muted: bool) -> Result<Promised<Muted>, Problem> {
    let agent_id = found::<Agent>(&call, call.id()).await?.id;
    let command = Command::Mute { tenant_id: call.tenant.clone(), agent_id: agent_id.clone(), muted, at: call.now() };
    call.desk.commands.tell(&call.tenant, &command, call.now().as_ms()).await?;
    Ok(Promised(Muted { agent_id, muted }))
}

/// A command for an agent that is there.
async fn to_one(
    call: &Call,
    command: impl FnOnce(String, String, String) -> Command,
) -> Result<Promised<Sent>, Problem> {
    let agent_id = found::<Agent>(call, call.id()).await?.id;
    let id = format!("cmd_{}", random_hex());
    let command = command(id.clone(), call.tenant.clone(), agent_id);
    call.desk.commands.tell(&call.tenant, &command, call.now().as_ms()).await?;
    Ok(Promised(Sent { id }))
}
