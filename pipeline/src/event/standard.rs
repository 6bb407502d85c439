//! The StandardEvent: one vocabulary for all providers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Reconciled, Time};

/// What happened, whoever reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // the names are the documentation
pub enum EventType {
    NewWorkItem,
    WorkItemUpdated,
    WorkItemStatusChanged,
    WorkItemDeleted,
    CommentPosted,
    CommentUpdated,
    CommentDeleted,
    MessagePosted,
    MessageChanged,
    MessageDeleted,
    ProjectCreated,
    ProjectUpdated,
    ProjectArchived,
    ChannelCreated,
    SummaryCreated,
    AgentStatusChanged,
    #[serde(rename = "external_task.updated")]
    ExternalTaskUpdated,
    CodePushed,
    CheckCompleted,
    ReleasePublished,
    /// Known to have happened, but not mapped to any of the above.
    Other,
}

impl EventType {
    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            EventType::NewWorkItem => "NewWorkItem",
            EventType::WorkItemUpdated => "WorkItemUpdated",
            EventType::WorkItemStatusChanged => "WorkItemStatusChanged",
            EventType::WorkItemDeleted => "WorkItemDeleted",
            EventType::CommentPosted => "CommentPosted",
            EventType::CommentUpdated => "CommentUpdated",
            EventType::CommentDeleted => "CommentDeleted",
            EventType::MessagePosted => "MessagePosted",
            EventType::MessageChanged => "MessageChanged",
            EventType::MessageDeleted => "MessageDeleted",
            EventType::ProjectCreated => "ProjectCreated",
            EventType::ProjectUpdated => "ProjectUpdated",
            EventType::ProjectArchived => "ProjectArchived",
            EventType::ChannelCreated => "ChannelCreated",
            EventType::SummaryCreated => "SummaryCreated",
            EventType::AgentStatusChanged => "AgentStatusChanged",
            EventType::ExternalTaskUpdated => "external_task.updated",
            EventType::CodePushed => "CodePushed",
            EventType::CheckCompleted => "CheckCompleted",
            EventType::ReleasePublished => "ReleasePublished",
            EventType::Other => "Other",
        }
    }
}

/// One thing that happened, in the words of the hub (schema `nexus.event.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StandardEvent {
    /// `evt_` and 32 hex digits, derived from where the event came from in the
    /// log: a replay gives the same.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Whose it is.
    pub tenant_id: String,
    /// When it happened, as the provider says (as received, if it does not).
    pub occurred_at: Time,
    /// When the hub received it.
    pub received_at: Time,
    /// The trace it belongs to: 32 hex digits.
    pub trace_id: String,
    /// Who reported it.
    pub source: Source,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// Where it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectRef>,
    /// The work item, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRef>,
    /// What was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Who was called by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Mention>,
    /// What became different.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// No mapped project: told to nobody until it is re-routed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrouted: bool,
    /// Its details were asked for at the provider, and did not come in time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// What the mirror wrote, come back: told to nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
    /// The hub found it by asking the provider, which had not told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciled>,
    /// Where the request is that this came from.
    pub raw: RawRef,
}

impl StandardEvent {
    /// Whether it is from before anybody listened: told to nobody.
    pub fn is_history(&self) -> bool {
        self.reconciled == Some(Reconciled::History)
    }
}

/// Who reported an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// `clickup`, `slack`, `github`, `jira`, or the sender's name.
    pub provider: String,
    /// The tenant's link to that provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// The provider's own id of the delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<String>,
    /// The provider's own name of the event.
    pub event: String,
}

/// What kind of author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum ActorKind {
    Human,
    Agent,
    Bot,
    System,
}

/// How far an author is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Trust {
    Member,
    External,
    Bot,
    Agent,
    Unknown,
}

impl Trust {
    /// As JSON says it.
    pub fn name(self) -> &'static str {
        match self {
            Trust::Member => "member",
            Trust::External => "external",
            Trust::Bot => "bot",
            Trust::Agent => "agent",
            Trust::Unknown => "unknown",
        }
    }

    /// What a name says. What is not understood is not trusted.
    pub fn from_name(name: &str) -> Trust {
        use Trust::{Agent, Bot, External, Member, Unknown};
        [Member, External, Bot, Agent].into_iter().find(|trust| trust.name() == name).unwrap_or(Unknown)
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// What kind of author.
    pub kind: ActorKind,
    /// How far it is known.
    pub trust: Trust,
    /// The provider's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The agent that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// A name to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address, where the provider tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// What it happened to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// `task`, `thread`, `message`, `comment`, `project`, `repository`, …
    pub kind: String,
    /// The provider's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// A page for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Where it belongs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectRef {
    /// The hub's id, once mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The list, repository or project key at the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Its name, where the event tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The channel it is discussed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_channel_id: Option<String>,
    /// The workgroup whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup_id: Option<String>,
}

/// A task's place in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum TaskState {
    Todo,
    InProgress,
    BlockedOnHuman,
    Done,
}

/// The work item, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRef {
    /// The hub's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The provider's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The provider's own word for its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The hub's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// The provider's own word for its priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// The provider's ids of who works on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignees: Vec<String>,
    /// The channel of its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The Slack thread it is discussed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Without markup.
    pub text: String,
    /// As Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markdown: Option<String>,
    /// The thread it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// The channel it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// Its number among the messages and comments of its task, from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_seq: Option<u64>,
    /// The mark that is in it, `id.part`: whoever copies a message copies it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// A name that was called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mention {
    /// As written: `@AI_Squad`.
    pub alias: String,
    /// Whom it names, once resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agent_ids: Vec<String>,
}

/// One field that became different. The values are the provider's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Which field, in the provider's words.
    pub field: String,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

/// Where the request is that an event came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RawRef {
    /// The topic's name.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
}
