//! CloudEvents over HTTP: structured, batched and binary.

use serde::Deserialize;

use super::{
    Rejected,
    lenient::{Moment, Raw, Text},
    request::{Request, Said, malformed, subject},
    times,
};
use crate::{event::EventType, operators::Draft};

/// Events in one batch at most: what the log can commit at once.
const BATCH_EVENTS_MAX: usize = 2_000;

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Structured<'a> {
    specversion: Text<'a>,
    id: Text<'a>,
    source: Text<'a>,
    #[serde(rename = "type")]
    kind: Text<'a>,
    subject: Text<'a>,
    time: Moment,
    traceparent: Text<'a>,
    data: Raw<'a>,
    data_base64: Text<'a>,
}

/// The attributes of one event, however they were sent.
struct Attributes<'a> {
    id: &'a str,
    source: &'a str,
    kind: &'a str,
    subject: Option<&'a str>,
    at_ms: Option<i64>,
    traceparent: Option<&'a str>,
}

/// The events of a request, if it is one of CloudEvents at all.
pub(super) fn read(request: &Request<'_>) -> Result<Option<Vec<Draft>>, Rejected> {
    if request.has_type("application/cloudevents-batch+json") {
        let batch: Vec<Structured<'_>> =
            serde_json::from_str(request.body).map_err(|error| malformed("cloudevents batch", &error))?;
        if batch.len() > BATCH_EVENTS_MAX {
            let reason = format!("a batch of {} cloudevents is beyond the limit of {BATCH_EVENTS_MAX}", batch.len());
            return Err(Rejected::new(reason));
        }
        let drafts = batch.iter().enumerate().map(|(index, event)| Ok(draft(request, index, &attributes(event)?)));
        return drafts.collect::<Result<_, _>>().map(Some);
    }
    if request.has_type("application/cloudevents+json") {
        let event: Structured<'_> = request.parse()?;
        return Ok(Some(vec![draft(request, 0, &attributes(&event)?)]));
    }
    if request.header("ce-specversion").is_some() {
        return read_binary(request).map(Some);
    }
    Ok(None)
}

fn read_binary(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    let value = |name: &str| request.header(name).map(percent_decoded);
    let must = |name: &str| value(name).ok_or_else(|| Rejected::new(format!("the cloudevent has no {name} header")));
    let (id, source, kind, about) = (must("ce-id")?, must("ce-source")?, must("ce-type")?, value("ce-subject"));
    let attributes = Attributes {
        id: &id,
        source: &source,
        kind: &kind,
        subject: about.as_deref(),
        at_ms: request.header("ce-time").and_then(times::from_text),
        traceparent: request.header("ce-traceparent"),
    };
    Ok(vec![draft(request, 0, &attributes)])
}

fn attributes<'a>(event: &'a Structured<'_>) -> Result<Attributes<'a>, Rejected> {
    let must = |name: &str, value: &'a Text<'_>| {
        value.get().ok_or_else(|| Rejected::new(format!("the cloudevent has no {name}")))
    };
    if !must("specversion", &event.specversion)?.starts_with("1.") {
        return Err(Rejected::new("the cloudevent's specversion is not 1.x"));
    }
    if event.data.get().is_some() && event.data_base64.get().is_some() {
        return Err(Rejected::new("the cloudevent has both data and data_base64"));
    }
    Ok(Attributes {
        id: must("id", &event.id)?,
        source: must("source", &event.source)?,
        kind: must("type", &event.kind)?,
        subject: event.subject.get(),
        at_ms: event.time.0,
        traceparent: event.traceparent.get(),
    })
}

fn draft(request: &Request<'_>, index: usize, event: &Attributes<'_>) -> Draft {
    let said =
        Said { index, event: event.kind, at_ms: event.at_ms, delivery: Some(event.id), traceparent: event.traceparent };
    let mut draft = request.draft(EventType::Other, &said);
    draft.event.subject = subject("resource", event.subject.or(Some(event.source)), Some(event.source));
    draft.marks.push(request.mark("cloudevent").add(request.connection()).add(event.source).add(event.id).finish());
    draft
}

/// Header values carry what is not printable ASCII as `%XX`.
fn percent_decoded(value: &str) -> String {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| value.to_owned())
}
