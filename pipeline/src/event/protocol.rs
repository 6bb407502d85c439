//! What the hub and an agent say to each other over a socket: the `data` of
//! each event, both ways, under the schemas `nexus.agent.NAME.v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Actor, Change, Mention, ProjectRef, Source, StandardEvent, Subject, TaskRef, Time};

/// The version that `agent_ready` names.
pub const PROTOCOL: &str = "nexus.v1";

/// The first thing that an agent is told on a socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// `HELLO`.
    #[serde(rename = "type")]
    pub kind: String,
    /// All up to this is acknowledged: the next event's `prevSeq`.
    pub seq: u64,
    /// What `seq` counts in. A new one says that what was seen behind `seq` in
    /// the old one does not count.
    pub epoch: u64,
    /// Whether the hub knows the agent from an earlier socket.
    pub resumed: bool,
}

/// Why an agent's sequence has a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResyncReason {
    /// What is missing is older than what the hub keeps.
    Retention,
    /// The log began a new epoch.
    Epoch,
}

/// The sequence begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resync {
    /// `RESYNC`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why.
    pub reason: ResyncReason,
    /// The epoch in force.
    pub epoch: u64,
    /// The first number that follows; what is between it and the last one seen
    /// will not come.
    pub from_seq: u64,
}

/// The discussion that something belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// Its channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// Its first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// How many messages it has so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

/// What of a StandardEvent stands under `event`; its other parts stand beside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    /// Its id.
    pub id: String,
    /// Its type in the hub's vocabulary.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, as the provider says.
    pub occurred_at: Time,
    /// Who reported it.
    pub source: Source,
    /// Who did it, and how far they are known: text of people who are not
    /// members is to be handled with care.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Who was called by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
    /// What became different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl From<&StandardEvent> for Happened {
    fn from(event: &StandardEvent) -> Self {
        Happened {
            id: event.id.clone(),
            kind: event.kind.name().to_owned(),
            occurred_at: event.occurred_at,
            source: event.source.clone(),
            actor: event.actor.clone(),
            subject: event.subject.clone(),
            mentions: event.mentions.clone(),
            changes: event.changes.clone(),
        }
    }
}

/// `task_assigned`, `context_update` and `wake_up`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The event's name in upper case: `TASK_ASSIGNED`.
    #[serde(rename = "type")]
    pub kind: String,
    /// To be acknowledged, and by which a repeat is known.
    pub event_id: String,
    /// Its number in the agent's sequence.
    pub seq: u64,
    /// The number before it that this socket gets.
    pub prev_seq: u64,
    /// Whose.
    pub tenant_id: String,
    /// To whom.
    pub agent_id: String,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// When it was decided, by the log's clock.
    pub at: Time,
    /// Where it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectRef>,
    /// The work item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
    /// What was said: an event's message, or the words of who woke the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Value>,
    /// Where it is discussed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Happened>,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ActionStatus {
    Accepted,
    Muted,
    Failed,
}

/// The answer to `message` and `status_update`. What never came as far as the
/// log is answered by the gateway, without a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionResult {
    /// `ACTION_RESULT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What became of it.
    pub status: ActionStatus,
    /// Why, as a code or a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// What the agent called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// After which to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// See [`Told`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// See [`Told`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// See [`Told`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_seq: Option<u64>,
}

/// The answer to `tool_request`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// `TOOL_RESULT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the agent called it.
    pub request_id: String,
    /// See [`Told`].
    pub event_id: String,
    /// See [`Told`].
    pub seq: u64,
    /// See [`Told`].
    pub prev_seq: u64,
    /// `execute_locally` or `denied`, for tools that are not the hub's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Proves the decision, for a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What the hub's own tool answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it answered nothing: a stable `code` and a `reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

/// The kill switch was used; the socket is cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// `STOPPED`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why.
    pub reason: String,
}

/// What the agent sent was not understood, or the socket is about to be cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// `ERROR`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For programs: `bad_json`, `unknown_event`, `rate_limited`, …
    pub code: String,
    /// For people.
    pub detail: String,
}

/// Nothing but a sign of life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {}

/// Which events a socket wants; of each list that is given, one must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribe {
    /// Names of agent events (`task_assigned`) or types of events
    /// (`MessagePosted`). Answers to the agent's own requests come anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Projects. What belongs to none comes anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_ids: Option<Vec<String>>,
}

/// What an agent has, by its own books.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ResumeFrom {
    /// All up to this number, in the epoch that `hello` told.
    Seq(u64),
    /// All up to this number, in this epoch.
    Place {
        /// The number.
        seq: u64,
        /// The epoch.
        epoch: u64,
    },
}

/// How an agent acknowledges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AckMode {
    /// With `ack`, or not at all.
    Explicit(bool),
    /// `callback`: by Socket.IO's own acknowledgement of each event.
    Named(String),
}

/// The agent takes events from now on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReady {
    /// What it can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// `nexus.v1`; left out, the same is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Whether it acknowledges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<AckMode>,
    /// What it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_from: Option<ResumeFrom>,
    /// What it wants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Subscribe>,
}

/// How a piece of work is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusUpdate {
    /// Names the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The status.
    pub status: String,
    /// Of which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// What to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// Something to say in a task's discussion, or in a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentMessage {
    /// Names the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The task, by the hub's id or the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The thread, where there is no task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// What to say, as Markdown.
    pub text: String,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A tool that the agent wants used, or wants to use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolRequest {
    /// Names the answer.
    pub request_id: String,
    /// Which tool.
    pub tool: String,
    /// Which of its actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Value>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// The trace of an action, known only later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceOf {
    /// The action.
    pub action_id: String,
    /// Its trace.
    pub trace_id: String,
}

/// What calls to a model took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Which model.
    pub model: String,
    /// Tokens in.
    pub input_tokens: u64,
    /// Tokens out.
    pub output_tokens: u64,
    /// How many calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// What they cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// An event is done with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// This one, by its `eventId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// All up to this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}
