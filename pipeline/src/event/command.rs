//! What people and clocks ask of the pipeline, and its answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TaskState, Time};

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
        /// When.
        at: Time,
    },
    /// Tell one agent something by itself.
    Wake {
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
    /// Tell all agents of a tenant something.
    Broadcast {
        /// Whose agents.
        tenant_id: String,
        /// What to say.
        message: String,
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
    /// Route once more what had no project.
    Reroute {
        /// Whose events.
        tenant_id: String,
        /// When.
        at: Time,
    },
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
    /// When, by the log's clock.
    pub at: Time,
}
