//! What people and clocks ask of the pipeline, and its answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{TaskState, Time};

/// The value of `commands` (schema `nexus.command.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Command {
    /// Time has passed: one a second in every partition, so that windows close
    /// and things expire where nothing else happens.
    Tick {
        /// The wall clock of who wrote it.
        at: Time,
    },
    /// Move a task; answered on `commands.results`.
    MoveTask {
        /// Names the answer.
        correlation_id: String,
        /// Whose task.
        tenant_id: String,
        /// The hub's id of it.
        task_id: String,
        /// To where.
        state: TaskState,
        /// Who asks.
        actor_id: String,
        /// Whether that is an agent: then it must be allowed to act now.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_agent: bool,
        /// When.
        at: Time,
    },
    /// Follow a thread: the task is discussed there from now on. Makes the task
    /// known if it was not; answered on `commands.results`.
    TrackTask {
        /// Names the answer.
        correlation_id: String,
        /// Whose task.
        tenant_id: String,
        /// The project it belongs to.
        project_id: String,
        /// Where the task is at home: `clickup`, `github`, `jira`.
        provider: String,
        /// The provider's id of it.
        external_id: String,
        /// What it is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// The channel of the thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel_id: Option<String>,
        /// The thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_ts: Option<String>,
        /// The agent that asks, if it is one: it must be allowed to act now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
        /// When.
        at: Time,
    },
    /// Wake one agent.
    Wake {
        /// Names what the agent gets, so that a repeat is one.
        correlation_id: String,
        /// Whose agent.
        tenant_id: String,
        /// Which.
        agent_id: String,
        /// What to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// When.
        at: Time,
    },
    /// Tell one agent something, under any of the server's event names.
    Tell {
        /// Names what the agent gets, so that a repeat is one.
        correlation_id: String,
        /// Whose agent.
        tenant_id: String,
        /// Which.
        agent_id: String,
        /// `context_update`, `task_assigned`, `wake_up`, …
        name: String,
        /// What to say.
        data: serde_json::Map<String, serde_json::Value>,
        /// When.
        at: Time,
    },
    /// Tell all agents of a tenant something, as a `context_update`.
    Broadcast {
        /// Names what the agents get, so that a repeat is one.
        correlation_id: String,
        /// Whose agents.
        tenant_id: String,
        /// What to say.
        message: String,
        /// What else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<serde_json::Map<String, serde_json::Value>>,
        /// When.
        at: Time,
    },
    /// Silence an agent, or lift that.
    Mute {
        /// Whose agent.
        tenant_id: String,
        /// Which.
        agent_id: String,
        /// Silence or speech.
        muted: bool,
        /// When.
        at: Time,
    },
    /// Route once more what had no project; answered on `commands.results`.
    Reroute {
        /// Names the answer.
        correlation_id: String,
        /// Whose events.
        tenant_id: String,
        /// Only these; all of the tenant's when empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        event_ids: Vec<String>,
        /// When.
        at: Time,
    },
}

impl Command {
    /// Whose it is and how its answer is named; ticks are nobody's.
    pub fn names(&self) -> Option<(&str, Option<&str>)> {
        match self {
            Command::Tick { .. } => None,
            Command::MoveTask { tenant_id, correlation_id, .. }
            | Command::TrackTask { tenant_id, correlation_id, .. }
            | Command::Wake { tenant_id, correlation_id, .. }
            | Command::Tell { tenant_id, correlation_id, .. }
            | Command::Broadcast { tenant_id, correlation_id, .. }
            | Command::Reroute { tenant_id, correlation_id, .. } => Some((tenant_id, Some(correlation_id))),
            Command::Mute { tenant_id, .. } => Some((tenant_id, None)),
        }
    }
}

/// The value of `commands.results` (schema `nexus.command-result.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandResult {
    /// The command that is answered.
    pub correlation_id: String,
    /// Whose it was.
    pub tenant_id: String,
    /// Whether it was done.
    pub accepted: bool,
    /// Why not, as a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What came of it, in the words of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// When, by the log's clock.
    pub at: Time,
}

impl CommandResult {
    /// The code for an agent that may not act now. The reason is the rule that
    /// says so, and `data.retryAfterMs` the time after which it may, if time helps.
    pub const MUTED: &str = "muted";
}
