//! THE list of tables and their columns: which part of a record's value each
//! column shows. Names of tables are the topics' with `_` for `.`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use pipeline::topics::Topic;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; what is no text in the value is shown as JSON.
    Text,
    /// A whole number.
    Whole,
    /// True or false; false where the value does not say.
    Truth,
    /// A point in time.
    Time,
    /// A part of the value, as JSON.
    Json,
    /// A list, each of its members as text or JSON.
    List,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Where in the value it is: names, divided by dots.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
}

const fn column(name: &'static str, path: &'static str, kind: Kind) -> Column {
    Column { name, path, kind }
}

use Kind::{Json, List, Text, Time, Truth, Whole};

/// What a record says of itself, in every table, behind the columns of its value.
pub const TENANT: &str = "tenant_id";
/// The second part of a compacted topic's key: `tenant/kind/id`.
pub const KEY_KIND: &str = "key_kind";
/// What follows it.
pub const KEY_ID: &str = "key_id";
/// When the record was made.
pub const LOG_AT: &str = "log_at";
/// Its partition.
pub const LOG_PARTITION: &str = "log_partition";
/// Its offset.
pub const LOG_OFFSET: &str = "log_offset";
/// Its value as it is.
pub const RAW: &str = "raw";

/// The topics that are tables. `control` is not: what it holds of a tenant is
/// under `/api`, and secrets, though sealed, are for nobody's eyes.
pub fn tables() -> impl Iterator<Item = (String, Topic)> {
    let topics = pipeline::topics::TOPICS.iter().filter(|spec| spec.topic != Topic::Control);
    topics.map(|spec| (spec.name.replace('.', "_"), spec.topic))
}

/// The columns that show parts of a topic's values.
pub fn columns(topic: Topic) -> &'static [Column] {
    match topic {
        Topic::WebhooksRaw => WEBHOOKS_RAW,
        Topic::Events => EVENTS,
        Topic::AgentsInbox => AGENTS_INBOX,
        Topic::Commands => COMMANDS,
        Topic::CommandsResults => COMMANDS_RESULTS,
        Topic::AgentsActions => AGENTS_ACTIONS,
        Topic::MirrorCommands => MIRROR_COMMANDS,
        Topic::MirrorResults => MIRROR_RESULTS,
        Topic::MemoryRequests => MEMORY_REQUESTS,
        Topic::MemoryResults => MEMORY_RESULTS,
        Topic::LookupsRequests => LOOKUPS_REQUESTS,
        Topic::LookupsResults => LOOKUPS_RESULTS,
        Topic::PipelineState => PIPELINE_STATE,
        Topic::Presence => PRESENCE,
        Topic::AgentsCursors => AGENTS_CURSORS,
        Topic::Alerts => ALERTS,
        Topic::DeadLetters => DEAD_LETTERS,
        Topic::Audit => AUDIT,
        Topic::Control => &[],
    }
}

const WEBHOOKS_RAW: &[Column] = &[
    column("provider", "provider", Text),
    column("connection_id", "connectionId", Text),
    column("delivery_id", "deliveryId", Text),
    column("sender_id", "senderId", Text),
    column("received_at", "receivedAt", Time),
    column("content_type", "contentType", Text),
    column("headers", "headers", Json),
    column("reconciled", "reconciled", Text),
    column("body", "body", Text),
    column("body_base64", "bodyBase64", Text),
];

const EVENTS: &[Column] = &[
    column("id", "id", Text),
    column("type", "type", Text),
    column("occurred_at", "occurredAt", Time),
    column("received_at", "receivedAt", Time),
    column("trace_id", "traceId", Text),
    column("provider", "source.provider", Text),
    column("source_event", "source.event", Text),
    column("connection_id", "source.connectionId", Text),
    column("delivery_id", "source.deliveryId", Text),
    column("actor_kind", "actor.kind", Text),
    column("actor_trust", "actor.trust", Text),
    column("actor_id", "actor.externalId", Text),
    column("actor_agent_id", "actor.agentId", Text),
    column("actor_name", "actor.name", Text),
    column("actor_email", "actor.email", Text),
    column("subject_kind", "subject.kind", Text),
    column("subject_id", "subject.externalId", Text),
    column("subject_url", "subject.url", Text),
    column("project_id", "project.id", Text),
    column("project_external_id", "project.externalId", Text),
    column("project_name", "project.name", Text),
    column("workgroup_id", "project.workgroupId", Text),
    column("task_id", "task.id", Text),
    column("task_external_id", "task.externalId", Text),
    column("task_title", "task.title", Text),
    column("task_description", "task.description", Text),
    column("task_status", "task.status", Text),
    column("task_state", "task.state", Text),
    column("task_priority", "task.priority", Text),
    column("task_assignees", "task.assignees", List),
    column("task_thread_ts", "task.threadTs", Text),
    column("message_text", "message.text", Text),
    column("message_markdown", "message.markdown", Text),
    column("channel_id", "message.channelId", Text),
    column("thread_ts", "message.threadTs", Text),
    column("thread_seq", "message.threadSeq", Whole),
    column("mentioned", "mentions", List),
    column("changes", "changes", Json),
    column("unrouted", "unrouted", Truth),
    column("incomplete", "incomplete", Truth),
    column("echo", "echo", Truth),
    column("reconciled", "reconciled", Text),
    column("raw_offset", "raw.offset", Whole),
];

const AGENTS_INBOX: &[Column] = &[
    column("id", "id", Text),
    column("name", "name", Text),
    column("at", "at", Time),
    column("trace_id", "traceId", Text),
    column("addressees", "to", List),
    column("event_id", "event.id", Text),
    column("event_type", "event.type", Text),
    column("event_received_at", "event.receivedAt", Time),
    column("project_id", "event.project.id", Text),
    column("task_id", "event.task.id", Text),
    column("data", "data", Json),
];

const COMMANDS: &[Column] = &[
    column("kind", "kind", Text),
    column("correlation_id", "correlationId", Text),
    column("agent_id", "agentId", Text),
    column("project_id", "projectId", Text),
    column("task_id", "taskId", Text),
    column("state", "state", Text),
    column("actor_id", "actorId", Text),
    column("at", "at", Time),
];

const COMMANDS_RESULTS: &[Column] = &[
    column("correlation_id", "correlationId", Text),
    column("accepted", "accepted", Truth),
    column("code", "code", Text),
    column("reason", "reason", Text),
    column("data", "data", Json),
    column("at", "at", Time),
];

const AGENTS_ACTIONS: &[Column] = &[
    column("id", "id", Text),
    column("agent_id", "agentId", Text),
    column("name", "name", Text),
    column("data", "data", Json),
    column("at", "at", Time),
    column("trace_id", "traceId", Text),
];

const MIRROR_COMMANDS: &[Column] = &[
    column("id", "id", Text),
    column("connection_id", "connectionId", Text),
    column("lane", "lane", Text),
    column("kind", "work.kind", Text),
    column("provider", "work.place.system", Text),
    column("text", "work.text.markdown", Text),
    column("agent_id", "work.author.agentId", Text),
    column("attempt", "attempt", Whole),
    column("project_id", "projectId", Text),
    column("task_id", "taskId", Text),
    column("action_id", "actionId", Text),
    column("at", "at", Time),
    column("deadline", "deadline", Time),
    column("trace_id", "traceId", Text),
    column("work", "work", Json),
];

const MIRROR_RESULTS: &[Column] = &[
    column("command_id", "commandId", Text),
    column("stage", "stage", Text),
    column("channel_id", "channelId", Text),
    column("thread_ts", "threadTs", Text),
    column("status", "status", Text),
    column("code", "code", Text),
    column("error", "error", Text),
    column("at", "at", Time),
];

const MEMORY_REQUESTS: &[Column] = &[
    column("id", "id", Text),
    column("project_id", "projectId", Text),
    column("kind", "kind", Text),
    column("text", "text", Text),
    column("task_id", "taskId", Text),
    column("thread_ts", "threadTs", Text),
    column("author", "author", Text),
    column("trust", "trust", Text),
    column("at", "at", Time),
];

const MEMORY_RESULTS: &[Column] = &[
    column("request_id", "requestId", Text),
    column("outcome", "outcome", Text),
    column("summary", "summary", Text),
    column("error", "error", Text),
    column("at", "at", Time),
];

const LOOKUPS_REQUESTS: &[Column] = &[
    column("id", "id", Text),
    column("connection_id", "connectionId", Text),
    column("kind", "kind", Text),
    column("external_id", "externalId", Text),
    column("deadline", "deadline", Time),
];

const LOOKUPS_RESULTS: &[Column] = &[
    column("request_id", "requestId", Text),
    column("name", "name", Text),
    column("task", "task", Json),
    column("project_external_id", "projectExternalId", Text),
    column("error", "error", Text),
    column("at", "at", Time),
];

const PIPELINE_STATE: &[Column] = &[column("data", "data", Json)];

const PRESENCE: &[Column] = &[
    column("agent_id", "agentId", Text),
    column("instance", "instance", Text),
    column("socket_id", "socketId", Text),
    column("ready", "ready", Truth),
    column("status", "status", Text),
    column("transport", "transport", Text),
    column("connected_at", "connectedAt", Time),
    column("last_seen", "lastSeen", Time),
];

const AGENTS_CURSORS: &[Column] = &[
    column("agent_id", "agentId", Text),
    column("epoch", "epoch", Whole),
    column("seq", "seq", Whole),
    column("next_offset", "nextOffset", Whole),
];

const ALERTS: &[Column] = &[
    column("kind", "kind", Text),
    column("severity", "severity", Text),
    column("subject", "subject", Text),
    column("message", "message", Text),
    column("at", "at", Time),
    column("trace_id", "traceId", Text),
];

const DEAD_LETTERS: &[Column] = &[
    column("id", "id", Text),
    column("stage", "stage", Text),
    column("reason", "reason", Text),
    column("attempts", "attempts", Whole),
    column("at", "at", Time),
    column("original_topic", "original.topic", Text),
    column("original_offset", "original.offset", Whole),
    column("original_value", "original.value", Text),
];

const AUDIT: &[Column] = &[
    column("id", "id", Text),
    column("action", "action", Text),
    column("outcome", "outcome", Text),
    column("actor_kind", "actor.kind", Text),
    column("actor_id", "actor.id", Text),
    column("actor_role", "actor.role", Text),
    column("subject_kind", "subject.kind", Text),
    column("subject_id", "subject.id", Text),
    column("agent_id", "agentId", Text),
    column("project_id", "projectId", Text),
    column("task_id", "taskId", Text),
    column("command_id", "commandId", Text),
    column("changed", "changed", List),
    column("reason", "reason", Text),
    column("at", "at", Time),
    column("trace_id", "traceId", Text),
];

/// The type of a point in time.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()))
}

impl Kind {
    /// Its type in Arrow.
    pub fn data_type(self) -> DataType {
        match self {
            Text | Json => DataType::Utf8,
            Whole => DataType::Int64,
            Truth => DataType::Boolean,
            Time => time_type(),
            List => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
        }
    }
}

/// The schema of a topic's table.
pub fn schema(topic: Topic) -> SchemaRef {
    let mut fields: Vec<Field> = columns(topic)
        .iter()
        .map(|column| Field::new(column.name, column.kind.data_type(), column.kind != Truth))
        .collect();
    fields.push(Field::new(TENANT, DataType::Utf8, false));
    if topic.is_compacted() {
        fields.push(Field::new(KEY_KIND, DataType::Utf8, true));
        fields.push(Field::new(KEY_ID, DataType::Utf8, true));
    }
    fields.push(Field::new(LOG_AT, time_type(), false));
    fields.push(Field::new(LOG_PARTITION, DataType::Int32, false));
    fields.push(Field::new(LOG_OFFSET, DataType::Int64, false));
    fields.push(Field::new(RAW, DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_one_of_the_topics_own_schema() {
        for (table, topic) in tables() {
            let schema = pipeline::event::schema(topic.spec().schema).expect("a schema").to_value().to_string();
            assert!(!columns(topic).is_empty(), "{table} has no columns");
            for column in columns(topic) {
                for name in column.path.split('.') {
                    assert!(schema.contains(&format!("\"{name}\"")), "{table}.{}: {name}", column.name);
                }
            }
        }
    }

    #[test]
    fn names_are_unique_within_a_table() {
        for (table, topic) in tables() {
            let schema = schema(topic);
            let names: std::collections::BTreeSet<_> = schema.fields().iter().map(|field| field.name()).collect();
            assert_eq!(names.len(), schema.fields().len(), "{table}");
        }
    }
}
