//! What each tool takes: one type a tool, from which its schema is made too.

use pipeline::event::{TaskState, Time};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::Refused;

/// Of `memory_search`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Search {
    /// What to look for: a question, a name, an identifier.
    #[schemars(length(min = 1, max = 4_000))]
    pub query: String,
    /// In this project only; in all that you reach unless said.
    #[serde(default)]
    pub project_id: Option<String>,
    /// How many texts at most, from 1 to 50; 10 unless said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<usize>,
    /// Only what belongs to this task.
    #[serde(default)]
    pub task_id: Option<String>,
    /// Only what stands in this thread.
    #[serde(default)]
    pub thread_ts: Option<String>,
    /// Only what this author wrote.
    #[serde(default)]
    pub author: Option<String>,
    /// Only what was written then or later (RFC 3339).
    #[serde(default)]
    pub from: Option<Time>,
    /// Only what was written then or before (RFC 3339).
    #[serde(default)]
    pub to: Option<Time>,
}

/// Of `thread_history`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct History {
    /// The task whose thread it is.
    #[serde(default)]
    pub task_id: Option<String>,
    /// The channel of the thread.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// The thread.
    #[serde(default)]
    pub thread_ts: Option<String>,
    /// How many messages at most, from 1 to 200; 50 unless said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<usize>,
    /// `next` of the part before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// Of `task_get`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// The hub's id of the task, or the provider's.
    pub task_id: String,
}

/// Of `task_update_status`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Status {
    /// The hub's id of the task, or the provider's.
    pub task_id: String,
    /// To where it moves.
    pub status: TaskState,
}

/// Of `message_post`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// What to say.
    #[schemars(length(min = 1, max = 40_000))]
    pub text: String,
    /// To the thread and comments of this task.
    #[serde(default)]
    pub task_id: Option<String>,
    /// Or to a thread in this channel.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// Which thread there.
    #[serde(default)]
    pub thread_ts: Option<String>,
}

/// Of `agents_online`: nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agents {}

/// The arguments of a tool.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each is its tool's
pub enum Arguments {
    Search(Search),
    History(History),
    Task(Task),
    Status(Status),
    Message(Message),
    Agents(Agents),
}

impl Arguments {
    /// The arguments of a tool, as it was given them.
    pub fn read(tool: &str, args: Value) -> Result<Arguments, Refused> {
        let args = if args.is_null() { Value::Object(Default::default()) } else { args };
        Ok(match tool {
            "memory_search" => Arguments::Search(typed(args)?),
            "thread_history" => Arguments::History(typed(args)?),
            "task_get" => Arguments::Task(typed(args)?),
            "task_update_status" => Arguments::Status(typed(args)?),
            "message_post" => Arguments::Message(typed(args)?),
            "agents_online" => Arguments::Agents(typed(args)?),
            other => return Err(Refused::new("not_found", format!("there is no tool {other}"))),
        })
    }
}

fn typed<T: DeserializeOwned>(args: Value) -> Result<T, Refused> {
    serde_json::from_value(args).map_err(|error| Refused::new("invalid", error.to_string()))
}

/// The schema of a tool's arguments, whole.
pub fn schema<T: JsonSchema>() -> Value {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.to_value()
}
