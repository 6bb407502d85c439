//! Publishes what passed as a StandardEvent on `events`, and tells the agents
//! that `route` chose on `agents.inbox`. The event is written as JSON once.

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    ports::Headers,
    state::{PartitionState, seqs::Letter},
    topics::Topic,
    turn::{Turn, to_json},
};

/// See the module.
pub const STAGE: Stage = Stage { name: "publish", on, on_tick: None };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    let event = &draft.event;
    // 00-{trace}-{span}-01: the span is the event itself.
    let traceparent = ["00-", &event.trace_id, "-", &event.id[event.id.len().saturating_sub(16)..], "-01"].concat();
    let headers = Headers::new([
        ("event_id", event.id.as_bytes()),
        ("type", event.kind.name().as_bytes()),
        ("schema", b"nexus.event.v1".as_slice()),
        ("traceparent", traceparent.as_bytes()),
    ]);
    let Some(json) = to_json(event) else { return Verdict::Pass };
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
        state.seqs.send(&letter, turn);
    }
    draft.facts.json = Some(json);
    Verdict::Pass
}
