//! What is to be done at the providers, and what became of it.
//!
//! The pipeline decides: it writes a [`MirrorCommand`], at most one a lane
//! until its [`MirrorResult`] is there. The mirror performs: it appends
//! `claimed`, calls, and appends the outcome. A command's id is the mark that
//! what it makes carries at the provider, so an echo and a lookup after a crash
//! know it again.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{ActorKind, TaskState, Time};

/// The value of `mirror.commands` (schema `nexus.mirror-command.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorCommand {
    /// `mir_` and 32 hex digits: names the command, and our mark at the provider.
    pub id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// Through which connection.
    pub connection_id: String,
    /// What is to stay in order: the commands of a tenant with the same lane
    /// are done one after the other.
    pub lane: String,
    /// What to do.
    pub work: MirrorWork,
    /// Which try this is, from one: a second one follows an `uncertain`.
    pub attempt: u32,
    /// The project it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The agent's action that asked for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<String>,
    /// When it was decided, by the log's clock.
    pub at: Time,
    /// After this it is not begun any more: the result is `failed`, `expired`.
    pub deadline: Time,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// What to do at a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MirrorWork {
    /// Say something. In Slack without a thread it begins one, and the result
    /// names it.
    Post {
        /// Where.
        place: MirrorPlace,
        /// What.
        text: MirrorText,
        /// Under whose name; nobody's: it is the hub that speaks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author: Option<MirrorAuthor>,
    },
    /// Say something else instead. Further parts are posted behind those that
    /// are there; the result has all of them.
    Edit {
        /// Where it stands.
        place: MirrorPlace,
        /// As what, in their order.
        parts: Vec<MirrorPart>,
        /// The limit that the parts were cut with, if it was not the usual one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// What it is to say.
        text: MirrorText,
        /// Under whose name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        author: Option<MirrorAuthor>,
    },
    /// Take it back.
    Retract {
        /// Where it stands.
        place: MirrorPlace,
        /// As what, in their order.
        parts: Vec<MirrorPart>,
        /// Whether something is to be left there.
        how: MirrorRemoval,
        /// Who deleted it, to be shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Move a task at its provider.
    SetStatus {
        /// The task.
        place: MirrorPlace,
        /// The provider's word. Without one the provider's own status of the
        /// kind that fits the state is to be taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<String>,
        /// What the task is to be in.
        state: TaskState,
    },
    /// Tell one person in Slack something that nobody else sees.
    Whisper {
        /// In which channel.
        channel_id: String,
        /// In which thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_ts: Option<String>,
        /// Slack's id of the person.
        user_id: String,
        /// What.
        text: MirrorText,
    },
    /// Make a channel in Slack for a list that was created; the result names it.
    CreateChannel {
        /// What it is to be called, before Slack's rules for names.
        name: String,
        /// The list, repository or project that it is for.
        provider: String,
        /// The provider's id of that.
        external_id: String,
        /// The workgroup whose setting asks for it.
        workgroup_id: String,
    },
}

/// Where something is said: a discussion at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "system", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum MirrorPlace {
    /// A channel, or a thread in it.
    Slack {
        /// The channel.
        channel_id: String,
        /// The thread. Slack's times are strings, and stay so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread_ts: Option<String>,
    },
    /// A task's comments.
    Clickup {
        /// The task.
        task_id: String,
    },
    /// The comments of an issue or a pull request.
    Github {
        /// `owner/name`.
        repository: String,
        /// Its number.
        number: u64,
    },
    /// An issue's comments.
    Jira {
        /// The issue's id or key.
        issue: String,
    },
}

impl MirrorPlace {
    /// The provider's name.
    pub fn provider(&self) -> &'static str {
        match self {
            MirrorPlace::Slack { .. } => "slack",
            MirrorPlace::Clickup { .. } => "clickup",
            MirrorPlace::Github { .. } => "github",
            MirrorPlace::Jira { .. } => "jira",
        }
    }

    /// The provider's name of it, for people.
    pub fn id(&self) -> String {
        match self {
            MirrorPlace::Slack { channel_id, thread_ts: Some(thread) } => format!("{channel_id}/{thread}"),
            MirrorPlace::Slack { channel_id, thread_ts: None } => channel_id.clone(),
            MirrorPlace::Clickup { task_id } => task_id.clone(),
            MirrorPlace::Github { repository, number } => format!("{repository}#{number}"),
            MirrorPlace::Jira { issue } => issue.clone(),
        }
    }

    /// Whether what is said there is a message of a chat, not a comment on a task.
    pub fn is_chat(&self) -> bool {
        matches!(self, MirrorPlace::Slack { .. })
    }
}

impl MirrorWork {
    /// The provider's name. Only Slack has whispers and channels.
    pub fn provider(&self) -> &'static str {
        match self {
            MirrorWork::Post { place, .. }
            | MirrorWork::Edit { place, .. }
            | MirrorWork::Retract { place, .. }
            | MirrorWork::SetStatus { place, .. } => place.provider(),
            MirrorWork::Whisper { .. } | MirrorWork::CreateChannel { .. } => "slack",
        }
    }
}

/// Words on their way from one system to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorText {
    /// The words, as Markdown. `@name` in it is a mention: what follows the
    /// sign is an id or a name where the text comes from.
    pub markdown: String,
    /// The text has no markup: everything in it is meant as it stands.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain: bool,
    /// Where it comes from: `slack`, `clickup`, `github`, `jira`, or `nexus`
    /// for what agents and the hub itself say.
    pub from: String,
    /// A link back, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<MirrorLink>,
}

/// A link with its words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorLink {
    /// What it says.
    pub label: String,
    /// Where it leads.
    pub url: String,
}

/// Under whose name something is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorAuthor {
    /// What kind of author.
    pub kind: ActorKind,
    /// The name to show, if the event tells it; else whoever renders looks it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A picture's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// The system whose id follows.
    pub provider: String,
    /// The author's id there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The agent that it is, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}

/// One message or comment of ours at a provider; long texts have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorPart {
    /// The provider's id of it: in Slack its `ts`.
    pub id: String,
    /// The content hash of what it says, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// What is left where something was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MirrorRemoval {
    /// A line that says so: answers to it keep their sense.
    #[default]
    Tombstone,
    /// Nothing.
    Delete,
}

/// What a connection lets be copied to the other side: the key `mirror` of its
/// `filters`. Of each list that is given, one must fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MirrorFilter {
    /// Only what says one of these; case does not matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Nothing that says one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_keywords: Vec<String>,
    /// Only what these wrote: ids or names at the provider.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// Nothing that these wrote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_authors: Vec<String>,
    /// Only events that have these values: JSON pointers into the event
    /// (`/actor/trust`), all of which must hold.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

impl MirrorFilter {
    /// The filter in a connection's `filters`. One that cannot be read lets
    /// nothing pass, which is seen at once; the other way nobody would see it.
    pub fn of(filters: &serde_json::Value) -> Option<MirrorFilter> {
        let filter = filters.get("mirror").filter(|filter| !filter.is_null())?;
        let nobody = || MirrorFilter { authors: vec![String::new()], ..MirrorFilter::default() };
        Some(MirrorFilter::deserialize(filter).unwrap_or_else(|_| nobody()))
    }

    /// As `filters` that hold nothing else.
    pub fn kept(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok().map(|filter| serde_json::json!({ "mirror": filter }))
    }
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MirrorStage {
    /// It is about to be done. Written before the first call.
    Claimed,
    /// It stands at the provider.
    Done,
    /// It was not done, for good: retries are over. `parts` has what of it
    /// stands there all the same.
    Failed,
    /// It may have been done, and the provider cannot tell. It was not sent
    /// again: the pipeline decides about that.
    Uncertain,
}

/// The value of `mirror.results` (schema `nexus.mirror-result.v1`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorResult {
    /// The command that it is about.
    pub command_id: String,
    /// Whose it is.
    pub tenant_id: String,
    /// How far it is.
    pub stage: MirrorStage,
    /// When claimed: the content hashes of the parts that are about to be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<String>,
    /// Otherwise: everything of the message that stands there now, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<MirrorPart>,
    /// The limit that the parts were cut with, if it was not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The thread that a post began or stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// The channel that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The provider's word for the status that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What failed, as a stable code: `expired`, `not_found`, `unauthorised`,
    /// `refused`, `rate_limited`, `unavailable`, `no_connection`, `no_token`,
    /// `unsupported`, `defect`. `not_found` of an edit or a retraction says
    /// that somebody deleted it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When.
    pub at: Time,
}

impl MirrorResult {
    /// A result that says no more than how far it is.
    pub fn of(command: &MirrorCommand, stage: MirrorStage, at: Time) -> Self {
        MirrorResult {
            command_id: command.id.clone(),
            tenant_id: command.tenant_id.clone(),
            stage,
            hashes: Vec::new(),
            parts: Vec::new(),
            limit: None,
            thread_ts: None,
            channel_id: None,
            status: None,
            code: None,
            error: None,
            at,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_reads_as_it_is_written() {
        let written = json!({
            "id": "mir_00000000000000000000000000000001", "tenantId": "acme", "connectionId": "con_slack",
            "lane": "slack/task_1", "attempt": 1, "at": "2026-11-21T08:00:00.000Z",
            "deadline": "2026-11-22T08:00:00.000Z",
            "work": {
                "kind": "edit", "place": {"system": "slack", "channelId": "C1", "threadTs": "1700000000.000100"},
                "parts": [{"id": "1700000001.000100"}],
                "text": {"markdown": "**Done**", "from": "nexus"},
                "author": {"kind": "agent", "name": "Ada", "provider": "nexus", "agentId": "agt_1"},
            },
        });
        let command: MirrorCommand = serde_json::from_value(written.clone()).expect("a command");
        assert_eq!(serde_json::to_value(&command).expect("JSON"), written);
    }
}
