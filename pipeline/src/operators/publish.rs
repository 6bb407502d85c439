//! Publishes what passed as a StandardEvent on `events`.

use super::{Draft, Operator, Turn, Verdict};
use crate::{ports::Headers, topics::Topic};

/// The end of the chain for every event.
pub struct Publish;

impl Operator for Publish {
    const NAME: &'static str = "publish";
    type State = ();

    fn on(&self, _: &mut (), draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
        let event = &draft.event;
        // 00-{trace}-{span}-01: the span is the event itself.
        let traceparent = format!("00-{}-{}-01", event.trace_id, &event.id[event.id.len() - 16..]);
        let headers = Headers::new([
            ("event_id", event.id.as_bytes()),
            ("type", event.kind.name().as_bytes()),
            ("schema", b"nexus.event.v1".as_slice()),
            ("traceparent", traceparent.as_bytes()),
        ]);
        turn.emit(Topic::Events, &event.tenant_id, event, headers);
        Verdict::Pass
    }
}
