//! Tasks and candidate projects as the pipeline keeps them: the rows that the
//! store projects from `pipeline.state`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{TaskRef, TaskState, Time};

/// A work item, complete (kind `task` of `pipeline.state`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// `task_` and 32 hex digits of tenant, provider, scope and external id.
    pub id: String,
    /// Where it is at home: `clickup`, `github`, `jira`.
    pub provider: String,
    /// The link through which it was first heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// The provider's id.
    pub external_id: String,
    /// The project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is about; the beginning of it, if it is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The provider's own word for its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Where it is in its life.
    pub state: TaskState,
    /// The provider's own word for its priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// The provider's ids of who works on it.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// The agents that were given it.
    #[serde(default)]
    pub agent_ids: Vec<String>,
    /// The channel of its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// Its thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// How many messages and comments it has had.
    #[serde(default)]
    pub thread_seq: u64,
    /// A page for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was made, as far as that is known.
    pub created_at: Time,
    /// When something of it changed last, by the log's clock.
    pub updated_at: Time,
    /// Set when it is gone at the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Task {
    /// A task of which nothing but its name is known.
    pub fn new(id: String, provider: String, external_id: String, created_at: Time) -> Task {
        Task {
            id,
            provider,
            connection_id: None,
            external_id,
            project_id: None,
            title: None,
            description: None,
            status: None,
            state: TaskState::Todo,
            priority: None,
            assignees: Vec::new(),
            agent_ids: Vec::new(),
            channel_id: None,
            thread_ts: None,
            thread_seq: 0,
            url: None,
            created_at,
            updated_at: created_at,
            deleted: false,
        }
    }

    /// What events say of it, without the description.
    pub fn to_ref(&self) -> TaskRef {
        TaskRef {
            id: Some(self.id.clone()),
            external_id: Some(self.external_id.clone()),
            title: self.title.clone(),
            description: None,
            status: self.status.clone(),
            state: Some(self.state),
            priority: self.priority.clone(),
            assignees: self.assignees.clone(),
            channel_id: self.channel_id.clone(),
            thread_ts: self.thread_ts.clone(),
        }
    }
}

/// A list, repository, Jira project or channel that could become a project
/// (kind `candidate` of `pipeline.state`, id `provider:externalId`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// `clickup`, `slack`, `github`, `jira`.
    pub provider: String,
    /// The provider's id.
    pub external_id: String,
    /// What it is called, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The link through which it was heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// A page for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The workgroup whose it would be, where its setting tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workgroup_id: Option<String>,
    /// The channel that is there for it: with one it can be mapped at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack_channel_id: Option<String>,
    /// When it was heard of, by the log's clock.
    pub at: Time,
}

/// The providers' usual words, in lower case, and the states they are.
/// A review waits for a person, so it is blocked on one.
const USUAL: &[(TaskState, &[&str])] = &[
    (TaskState::Todo, &["to do", "todo", "open", "backlog", "new", "not started", "planned", "ready", "reopened"]),
    (TaskState::InProgress, &["in progress", "doing", "started", "in development", "working on it"]),
    (
        TaskState::BlockedOnHuman,
        &[
            "blocked on human",
            "blocked",
            "on hold",
            "waiting",
            "waiting for human",
            "waiting for feedback",
            "needs input",
            "needs review",
            "in review",
            "review",
        ],
    ),
    (
        TaskState::Done,
        &[
            "done",
            "closed",
            "complete",
            "completed",
            "resolved",
            "merged",
            "finished",
            "cancelled",
            "canceled",
            "won't do",
        ],
    ),
];

impl TaskState {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            TaskState::Todo => "TODO",
            TaskState::InProgress => "IN_PROGRESS",
            TaskState::BlockedOnHuman => "BLOCKED_ON_HUMAN",
            TaskState::Done => "DONE",
        }
    }

    /// Whether a move that the API or an agent asks for is an edge. A
    /// provider's move always holds.
    pub fn may_become(self, next: TaskState) -> bool {
        use TaskState::{BlockedOnHuman, Done, InProgress, Todo};
        matches!(
            (self, next),
            (Todo, InProgress)
                | (InProgress, BlockedOnHuman)
                | (BlockedOnHuman, Done)
                | (BlockedOnHuman, InProgress)
                | (Done, InProgress)
        )
    }

    /// The state that a provider's status is: by the project's map, else by
    /// the usual words. `None`: the state stays what it was.
    pub fn of_status(status: &str, map: Option<&BTreeMap<String, TaskState>>) -> Option<TaskState> {
        let word = status.trim().to_lowercase();
        if let Some(state) = map.and_then(|map| map.get(&word)) {
            return Some(*state);
        }
        let plain = word.replace(['_', '-'], " ");
        USUAL.iter().find(|(_, words)| words.contains(&&*plain)).map(|(state, _)| *state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TaskState::{BlockedOnHuman, Done, InProgress, Todo};

    #[test]
    fn the_edges_are_those_of_the_contract() {
        let states = [Todo, InProgress, BlockedOnHuman, Done];
        let edges: Vec<_> = states
            .iter()
            .flat_map(|from| states.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        let expected = [
            (Todo, InProgress),
            (InProgress, BlockedOnHuman),
            (BlockedOnHuman, InProgress),
            (BlockedOnHuman, Done),
            (Done, InProgress),
        ];
        assert_eq!(edges, expected);
    }

    #[test]
    fn the_projects_map_goes_before_the_usual_words() {
        let map = BTreeMap::from([("open".to_owned(), Done), ("in der küche".to_owned(), InProgress)]);
        assert_eq!(TaskState::of_status("Open", Some(&map)), Some(Done));
        assert_eq!(TaskState::of_status(" In der Küche", Some(&map)), Some(InProgress));
        assert_eq!(TaskState::of_status("IN_PROGRESS", Some(&map)), Some(InProgress));
        assert_eq!(TaskState::of_status("Blocked-on-human", None), Some(BlockedOnHuman));
        assert_eq!(TaskState::of_status("frying", None), None);
    }
}
