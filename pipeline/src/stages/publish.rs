//! Publishes what passed as a StandardEvent on `events`, and tells the agents
//! that `route` chose on `agents.inbox`. The event is written as JSON once.

use bytes::Bytes;

use crate::{
    ports::Headers,
    stages::route::{Letter, Seqs},
    topics::Topic,
    turn::{Draft, Turn, to_json},
};

/// The stage's name.
pub const NAME: &str = "publish";

/// The end of the chain for every event. The answer is the event as JSON.
pub fn on(seqs: &mut Seqs, draft: &Draft, turn: &mut Turn<'_>) -> Option<Bytes> {
    let event = &draft.event;
    // 00-{trace}-{span}-01: the span is the event itself.
    let traceparent = ["00-", &event.trace_id, "-", &event.id[event.id.len().saturating_sub(16)..], "-01"].concat();
    let headers = Headers::new([
        ("event_id", event.id.as_bytes()),
        ("type", event.kind.name().as_bytes()),
        ("schema", b"nexus.event.v1".as_slice()),
        ("traceparent", traceparent.as_bytes()),
    ]);
    let json = to_json(event)?;
    turn.emit_bytes(Topic::Events, &event.tenant_id, json.clone(), headers);
    if let Some(told) = &draft.facts.told {
        let letter = Letter {
            id: &event.id,
            tenant: &event.tenant_id,
            trace_id: Some(&event.trace_id),
            name: told.name,
            to: &told.to,
            event: Some(&json),
            data: None,
        };
        seqs.send(&letter, turn);
    }
    Some(json)
}
