//! Senders without a file of their own: CloudEvents, Standard Webhooks,
//! Stripe, and whatever else posts JSON.
//!
//! Each becomes an `Other` whose `source.event` is the sender's own name for
//! it, so that analysts and routes can use it; nothing is guessed beyond that.

use serde::Deserialize;

use crate::{
    draft::Draft,
    event::EventType,
    inputs::normalize::{
        Rejected, cloudevents,
        lenient::{LenientText, Maybe, Moment, Named},
        request::{Request, Said, subject},
    },
};

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct GenericBody<'a> {
    id: LenientText<'a>,
    object: LenientText<'a>,
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    event: Named<'a, GenericInner<'a>>,
    event_type: LenientText<'a>,
    object_kind: LenientText<'a>,
    action: LenientText<'a>,
    time: Moment,
    timestamp: Moment,
    created: Moment,
    created_at: Moment,
    #[serde(rename = "createdAt")]
    created_at_camel: Moment,
    data: Maybe<Data<'a>>,
}

/// An event that is an object in the field `event`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct GenericInner<'a> {
    id: LenientText<'a>,
    event_type: LenientText<'a>,
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    occurred_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Data<'a> {
    id: LenientText<'a>,
    object: Maybe<Object<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Object<'a> {
    id: LenientText<'a>,
    object: LenientText<'a>,
}

/// The events of a request of any sender.
pub(super) fn read(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    if let Some(drafts) = cloudevents::read(request)? {
        return Ok(drafts);
    }
    let body: GenericBody<'_> = request.parse()?;
    let inner = body.event.full();
    let is_stripe = body.object.is("event") || request.header("stripe-signature").is_some();
    let at_ms = [body.time, body.timestamp, body.created, body.created_at, body.created_at_camel]
        .into_iter()
        .find_map(|moment| moment.0)
        .or_else(|| inner.and_then(|inner| inner.occurred_at.0));
    let id = request
        .header("x-webhook-event-id")
        .or_else(|| request.header("webhook-id"))
        .or_else(|| request.webhook.delivery_id.as_deref().filter(|id| !id.is_empty()))
        .or_else(|| body.id.get().filter(|_| is_stripe))
        .or_else(|| inner.and_then(|inner| inner.id.get()));
    let said = Said { event: name_of(request, &body), at_ms, delivery: id, ..Said::default() };
    let mut draft = request.draft(EventType::Other, &said);
    if let Some(data) = body.data.get() {
        let object = data.object.get();
        let kind = object.and_then(|object| object.object.get()).unwrap_or("object");
        let id = object.and_then(|object| object.id.get()).or_else(|| data.id.get());
        draft.event.subject = subject(kind, id, None);
    }
    draft.marks.push(match id {
        Some(id) => request.mark("event").add(request.connection()).add(id).finish(),
        None => request.content_mark(request.body),
    });
    Ok(vec![draft])
}

/// `type`, `event`, `object_kind`, a header like `X-Gitlab-Event`, or `action`.
fn name_of<'a>(request: &'a Request<'_>, body: &'a GenericBody<'_>) -> &'a str {
    let named = body.kind.get().or_else(|| body.event.get(|inner| inner.event_type.or(&inner.kind)));
    named
        .or_else(|| body.object_kind.or(&body.event_type))
        .or_else(|| from_headers(request))
        .or_else(|| body.action.get())
        .unwrap_or("unknown")
}

fn from_headers<'a>(request: &Request<'a>) -> Option<&'a str> {
    let names_event = |name: &str| {
        name.starts_with("x-")
            && (name.ends_with("-event") || name.ends_with("-event-key") || name.ends_with("-event-type"))
            || name == "x-event-key"
            || name == "sentry-hook-resource"
    };
    let found = request.webhook.headers.iter().find(|(name, value)| names_event(name) && !value.is_empty());
    found.map(|(_, value)| &**value)
}
