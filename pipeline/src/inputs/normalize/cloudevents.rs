//! CloudEvents over HTTP: structured, batched and binary, each an `Other`
//! whose `source.event` is the event's type.
//!
//! A batch is taken whole or not at all, as at the door. A repeat is known by
//! source and id, which the specification makes unique together.

use udfs::cloudevents::{CloudEvent, Invalid, Mode, batch, binary, mode, structured};

use crate::{
    draft::Draft,
    event::EventType,
    inputs::normalize::{
        Rejected,
        request::{Request, Said, subject},
    },
};

/// Events in one batch at most: what one turn may put into a commit.
const BATCH_EVENTS_MAX: usize = 2_000;

/// The events of a request, if it is one of CloudEvents at all.
pub(super) fn read(request: &Request<'_>) -> Result<Option<Vec<Draft>>, Rejected> {
    let Some(mode) = mode(request.content_type(), request.header("ce-specversion").is_some()) else { return Ok(None) };
    let body = request.body.as_bytes();
    let invalid = |error: Invalid| Rejected::new(format!("no CloudEvent: {error}"));
    let events = match mode {
        Mode::Batch => batch(body).map_err(invalid)?,
        Mode::Structured => vec![structured(body).map_err(invalid)?],
        Mode::Binary => {
            let content_type = request.content_type().map(|value| ("content-type", value.as_bytes()));
            let headers = request.webhook.headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
            vec![binary(content_type.into_iter().chain(headers), body).map_err(invalid)?]
        }
    };
    if events.len() > BATCH_EVENTS_MAX {
        let reason = format!("a batch of {} CloudEvents is beyond the limit of {BATCH_EVENTS_MAX}", events.len());
        return Err(Rejected::new(reason));
    }
    Ok(Some(events.iter().enumerate().map(|(index, event)| draft(request, index, event)).collect()))
}

fn draft(request: &Request<'_>, index: usize, event: &CloudEvent<'_>) -> Draft {
    let said = Said {
        index,
        event: &event.kind,
        at_ms: event.time_ms,
        delivery: Some(&event.id),
        traceparent: event.extensions.get("traceparent").map(|value| &**value),
    };
    let mut draft = request.draft(EventType::Other, &said);
    let about = event.subject.as_deref().unwrap_or(&event.source);
    draft.event.subject = subject("resource", Some(about), Some(&event.source));
    let mark = request.mark("cloudevent").add(request.connection()).add(&*event.source).add(&*event.id);
    draft.marks.push(mark.finish());
    draft
}
