//! The records: what the value of each topic is.
//!
//! A value is JSON (UTF-8) with camelCase names; parts that are absent are left
//! out, not null. The JSON Schemas are made from these types, see [`SCHEMAS`].

mod action;
mod alert;
mod audit;
mod command;
mod control;
mod dead_letter;
mod directory;
mod inbox;
mod lookup;
mod memory;
mod mirror;
mod presence;
mod protocol;
mod standard;
mod state;
mod stop;
mod task;
mod tenant_key;
mod time;
mod webhook;

pub use action::*;
pub use alert::*;
pub use audit::*;
pub use command::*;
pub use control::*;
pub use dead_letter::*;
pub use directory::*;
pub use inbox::*;
pub use lookup::*;
pub use memory::*;
pub use mirror::*;
pub use presence::*;
pub use protocol::*;
pub use standard::*;
pub use state::*;
pub use stop::*;
pub use task::*;
pub use tenant_key::*;
pub use time::*;
pub use webhook::*;

use schemars::Schema;

/// A schema's name and how it is made.
pub type SchemaOf = (&'static str, fn() -> Schema);

/// THE list of schemas, served at `/schemas/{name}.json`.
pub const SCHEMAS: &[SchemaOf] = &[
    ("nexus.webhook.v1", || schemars::schema_for!(Webhook<'static>)),
    ("nexus.event.v1", || schemars::schema_for!(StandardEvent)),
    ("nexus.inbox.v1", || schemars::schema_for!(InboxEntry)),
    ("nexus.command.v1", || schemars::schema_for!(Command)),
    ("nexus.command-result.v1", || schemars::schema_for!(CommandResult)),
    ("nexus.action.v1", || schemars::schema_for!(AgentAction)),
    ("nexus.mirror-command.v1", || schemars::schema_for!(MirrorCommand)),
    ("nexus.mirror-result.v1", || schemars::schema_for!(MirrorResult)),
    ("nexus.memory-request.v1", || schemars::schema_for!(MemoryRequest)),
    ("nexus.memory-result.v1", || schemars::schema_for!(MemoryResult)),
    ("nexus.lookup-request.v1", || schemars::schema_for!(LookupRequest)),
    ("nexus.lookup-result.v1", || schemars::schema_for!(LookupResult)),
    ("nexus.task.v1", || schemars::schema_for!(Task)),
    ("nexus.candidate.v1", || schemars::schema_for!(Candidate)),
    ("nexus.state.v1", || schemars::schema_for!(StateEntry)),
    ("nexus.presence.v1", || schemars::schema_for!(Presence)),
    ("nexus.barred.v1", || schemars::schema_for!(Barred)),
    ("nexus.cursor.v1", || schemars::schema_for!(Cursor)),
    ("nexus.alert.v1", || schemars::schema_for!(Alert)),
    ("nexus.audit.v1", || schemars::schema_for!(Act)),
    ("nexus.control.v1", || schemars::schema_for!(Control)),
    ("nexus.dead-letter.v1", || schemars::schema_for!(DeadLetter)),
    ("nexus.agent.hello.v1", || schemars::schema_for!(Hello)),
    ("nexus.agent.resync.v1", || schemars::schema_for!(Resync)),
    ("nexus.agent.task_assigned.v1", || schemars::schema_for!(Told)),
    ("nexus.agent.context_update.v1", || schemars::schema_for!(Told)),
    ("nexus.agent.wake_up.v1", || schemars::schema_for!(Told)),
    ("nexus.agent.tool_result.v1", || schemars::schema_for!(ToolResult)),
    ("nexus.agent.action_result.v1", || schemars::schema_for!(ActionResult)),
    ("nexus.agent.stopped.v1", || schemars::schema_for!(Stopped)),
    ("nexus.agent.error.v1", || schemars::schema_for!(Fault)),
    ("nexus.agent.heartbeat.v1", || schemars::schema_for!(Heartbeat)),
    ("nexus.agent.agent_ready.v1", || schemars::schema_for!(AgentReady)),
    ("nexus.agent.status_update.v1", || schemars::schema_for!(StatusUpdate)),
    ("nexus.agent.message.v1", || schemars::schema_for!(AgentMessage)),
    ("nexus.agent.tool_request.v1", || schemars::schema_for!(ToolRequest)),
    ("nexus.agent.trace.v1", || schemars::schema_for!(TraceOf)),
    ("nexus.agent.usage.v1", || schemars::schema_for!(Usage)),
    ("nexus.agent.ack.v1", || schemars::schema_for!(Ack)),
];

/// The schema of a name, with its `$id`.
pub fn schema(name: &str) -> Option<Schema> {
    let (name, make) = SCHEMAS.iter().find(|(known, _)| *known == name)?;
    let mut schema = make();
    schema.insert("$id".into(), format!("/schemas/{name}.json").into());
    Some(schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::TOPICS;

    #[test]
    fn every_topic_has_a_schema() {
        for spec in TOPICS {
            assert!(schema(spec.schema).is_some(), "{} names {}", spec.name, spec.schema);
        }
        assert!(schema("nexus.nothing.v1").is_none());
    }
}
