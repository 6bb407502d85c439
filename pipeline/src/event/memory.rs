//! What is to be remembered, and what was.
//!
//! A [`MemoryRequest`] asks the role `memory` to learn a text, to forget, to
//! summarise a thread, or to use a tool that looks into the memory; requests of
//! one tenant are done in their order. A [`MemoryResult`] says what became of
//! it. What a tool answers goes back as a command.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Time, Trust};

/// The value of `memory.requests` (schema `nexus.memory-request.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MemoryRequest {
    /// Learn a text, or another wording of it.
    Remember(Text),
    /// Let texts go: one by its id, or a thread's.
    Forget(Forget),
    /// Sum up what was said in a task's thread since its last summary.
    Summarise(Span),
    /// Use one of the hub's tools for an agent.
    UseTool(ToolCall),
}

impl MemoryRequest {
    /// Names the request.
    pub fn id(&self) -> &str {
        match self {
            MemoryRequest::Remember(text) => &text.id,
            MemoryRequest::Forget(forget) => &forget.id,
            MemoryRequest::Summarise(span) => &span.id,
            MemoryRequest::UseTool(call) => &call.id,
        }
    }

    /// Whose it is.
    pub fn tenant_id(&self) -> &str {
        match self {
            MemoryRequest::Remember(text) => &text.tenant_id,
            MemoryRequest::Forget(forget) => &forget.tenant_id,
            MemoryRequest::Summarise(span) => &span.tenant_id,
            MemoryRequest::UseTool(call) => &call.tenant_id,
        }
    }

    /// The word that metrics and headers have for it.
    pub fn name(&self) -> &'static str {
        match self {
            MemoryRequest::Remember(_) => "remember",
            MemoryRequest::Forget(_) => "forget",
            MemoryRequest::Summarise(_) => "summarise",
            MemoryRequest::UseTool(_) => "use_tool",
        }
    }
}

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are the documentation
pub enum TextKind {
    Message,
    Comment,
    Task,
    Document,
    Summary,
}

impl TextKind {
    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            TextKind::Message => "message",
            TextKind::Comment => "comment",
            TextKind::Task => "task",
            TextKind::Document => "document",
            TextKind::Summary => "summary",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<TextKind> {
        use TextKind::{Comment, Document, Message, Summary, Task};
        [Message, Comment, Task, Document, Summary].into_iter().find(|kind| kind.name() == name)
    }
}

/// A text to be remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// Names the text, for as long as it lives: another wording replaces.
    pub id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// The project that alone may find it.
    pub project_id: String,
    /// What kind of text.
    pub kind: TextKind,
    /// What it says.
    pub text: String,
    /// The task it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The channel it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The thread it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Its number among the messages and comments of its task, from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_seq: Option<u64>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How far the author is known.
    pub trust: Trust,
    /// When it was written.
    pub at: Time,
    /// When it got this wording: an older one never replaces a newer one.
    pub revised_at: Time,
    /// Only the wording is new: who wrote it and when stays as it is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_edit: bool,
}

/// What is to be let go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forget {
    /// Names the request.
    pub id: String,
    /// Whose texts.
    pub tenant_id: String,
    /// One text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_id: Option<String>,
    /// All of a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// In this channel only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// When they were taken away: what is written later stays.
    pub at: Time,
}

/// What is to be summed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Names the request.
    pub id: String,
    /// Whose thread.
    pub tenant_id: String,
    /// Whose project.
    pub project_id: String,
    /// The thread is this task's.
    pub task_id: String,
    /// Where it is discussed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// In which thread there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Up to and with the message of this number.
    pub through: u64,
    /// When it was asked for.
    pub at: Time,
}

/// A tool that is to be used for an agent, whose rights were looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// Names the call: the agent's action.
    pub id: String,
    /// Whose agent.
    pub tenant_id: String,
    /// Which.
    pub agent_id: String,
    /// What the agent called it.
    pub request_id: String,
    /// Which tool.
    pub tool: String,
    /// With what.
    pub args: serde_json::Value,
    /// What the agent may see: these projects and no others.
    pub project_ids: Vec<String>,
    /// When it was asked for.
    pub at: Time,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// The value of `memory.results` (schema `nexus.memory-result.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MemoryResult {
    /// These texts can be found now.
    Indexed {
        /// Whose.
        tenant_id: String,
        /// Which.
        text_ids: Vec<String>,
        /// By which model.
        model: String,
        /// When.
        at: Time,
    },
    /// So many texts are gone.
    Forgotten {
        /// The request that it answers.
        request_id: String,
        /// Whose they were.
        tenant_id: String,
        /// How many.
        texts: u64,
        /// When.
        at: Time,
    },
    /// A thread was summed up.
    Summarised {
        /// The request that it answers.
        request_id: String,
        /// Whose thread.
        tenant_id: String,
        /// The summary.
        summary: ThreadSummary,
        /// When.
        at: Time,
    },
    /// It could not be done; the request is in `dead.letters`.
    Failed {
        /// The request that it answers.
        request_id: String,
        /// Whose it was.
        tenant_id: String,
        /// Why.
        error: String,
        /// When.
        at: Time,
    },
}

impl MemoryResult {
    /// Whose it is.
    pub fn tenant_id(&self) -> &str {
        match self {
            MemoryResult::Indexed { tenant_id, .. }
            | MemoryResult::Forgotten { tenant_id, .. }
            | MemoryResult::Summarised { tenant_id, .. }
            | MemoryResult::Failed { tenant_id, .. } => tenant_id,
        }
    }

    /// The word that headers have for it.
    pub fn name(&self) -> &'static str {
        match self {
            MemoryResult::Indexed { .. } => "indexed",
            MemoryResult::Forgotten { .. } => "forgotten",
            MemoryResult::Summarised { .. } => "summarised",
            MemoryResult::Failed { .. } => "failed",
        }
    }
}

/// A summary of a thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadSummary {
    /// The project that alone may find it.
    pub project_id: String,
    /// The task that is discussed.
    pub task_id: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// In which thread there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Up to and with the message of this number.
    pub through: u64,
    /// What it says.
    pub text: String,
    /// The least of its authors' trust.
    pub trust: Trust,
    /// Who made it: `extractive`, or a model's name.
    pub model: String,
}
