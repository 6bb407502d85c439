//! The events that the hub itself makes, of what people and agents ask of it.

use udfs::hash::{Parts, from_hex, hex};

use crate::{
    event::{Actor, EventType, Source, StandardEvent},
    turn::Turn,
};

/// What tells one of them from another.
pub struct EventBuilder<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// What happened.
    pub kind: EventType,
    /// Our own name of it, as `source.event`.
    pub event: &'a str,
    /// The stage that makes it, part of its id.
    pub operator: &'a str,
    /// The trace that it belongs to, if there is one.
    pub trace_id: Option<&'a str>,
}

impl EventBuilder<'_> {
    /// An event of the hub's, with nothing in it yet.
    pub fn event(&self, actor: Actor, turn: &Turn<'_>) -> StandardEvent {
        let id = turn.id("evt", self.operator, 0);
        let given = self.trace_id.filter(|trace| from_hex(trace).is_some_and(|trace| trace != 0));
        StandardEvent {
            kind: self.kind,
            tenant_id: self.tenant.to_owned(),
            occurred_at: turn.now(),
            received_at: turn.now(),
            trace_id: given.map_or_else(|| trace(&id), str::to_lowercase),
            source: Source {
                provider: "nexus".to_owned(),
                connection_id: None,
                delivery_id: None,
                event: self.event.to_owned(),
            },
            actor: Some(actor),
            subject: None,
            project: None,
            task: None,
            message: None,
            mentions: Vec::new(),
            changes: Vec::new(),
            unrouted: false,
            incomplete: false,
            echo: false,
            reconciled: None,
            raw: turn.raw(),
            id,
        }
    }
}

/// A trace of its own, for what began here.
pub fn trace(id: &str) -> String {
    hex(Parts::new().add("trace").add(id).finish())
}
