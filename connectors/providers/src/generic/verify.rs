//! Any signed sender: the signature headers that are present tell the scheme,
//! the content type tells whether the body is a CloudEvent.

use std::sync::Arc;

use serde::Deserialize;
use udfs::{
    cloudevents::{self, CloudEvent},
    signature::{self, NEXUS, PAGERDUTY, STANDARD_WEBHOOKS, STRIPE, Scheme},
};

use super::Generic;
use crate::{
    capability::Verify,
    webhook::{
        Admitted, Keys, Media, Refused, SenderLink, WebhookReply, WebhookRequest,
        document::{self, Id, IdWithin},
    },
};

/// The schemes of this route, in the order in which they are looked for.
const SCHEMES: &[Scheme] = &[NEXUS, STANDARD_WEBHOOKS, STRIPE, PAGERDUTY];

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Id,
    #[serde(default)]
    event: IdWithin,
}

impl Verify for Generic {
    fn admit(
        &self,
        request: &WebhookRequest<'_>,
        provider: &str,
        link: Option<&Arc<SenderLink>>,
    ) -> Result<Admitted, Refused> {
        admit(request, provider, link)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &["ce-datacontenttype", "traceparent", "tracestate", "webhook-id", "x-gitlab-event", "x-webhook-event-id"]
    }
}

/// Judges a request to `provider`'s address, or to one of its connections'.
fn admit(request: &WebhookRequest<'_>, provider: &str, link: Option<&Arc<SenderLink>>) -> Result<Admitted, Refused> {
    let senders = request.senders;
    if link.is_none() && !senders.knows(provider) {
        return Err(Refused::Unknown("no such provider"));
    }
    let tenant = match link {
        Some(link) => &link.tenant,
        None => senders.default_tenant().ok_or(Refused::Unknown("several tenants, and none is the default"))?,
    };
    let is_binary = is_binary_cloud_event(request);
    match request.media {
        Media::Json | Media::CloudEvent | Media::CloudEventBatch => {}
        Media::Form | Media::Other if is_binary => {}
        _ => return Err(Refused::Media),
    }
    let signed_id = verify(request, senders.keys(provider, link.map(|link| &**link)))?;
    let own_id = own_id(request, is_binary)?;
    let is_event = is_binary || is_cloud_event(request.media);
    let delivery = if is_event { own_id.or(signed_id) } else { signed_id.or(own_id) };
    let delivery = delivery.unwrap_or_else(|| request.body_name());
    Ok(Admitted {
        tenant: tenant.clone(),
        link: link.cloned(),
        delivery: Some(delivery),
        sender: None,
        answer: WebhookReply::Store,
    })
}

/// The id that the body (or, for CloudEvents, the request) gives itself.
fn own_id(request: &WebhookRequest<'_>, is_binary: bool) -> Result<Option<String>, Refused> {
    if is_binary {
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let event = cloudevents::binary(headers, request.body).map_err(malformed)?;
        return Ok(Some(event_name(&event)));
    }
    if is_cloud_event(request.media) && !udfs::json::depth_within(request.body, request.depth_max) {
        return Err(Refused::Malformed(format!("nested deeper than {} levels", request.depth_max).into()));
    }
    match request.media {
        Media::CloudEvent => Ok(Some(event_name(&cloudevents::structured(request.body).map_err(malformed)?))),
        Media::CloudEventBatch => {
            let events = cloudevents::batch(request.body).map_err(malformed)?;
            // A batch has no name of its own; one event's is not the batch's.
            Ok(if let [only] = &events[..] { Some(event_name(only)) } else { None })
        }
        _ => {
            let body: Body = document::read(request.body, request.depth_max)?;
            Ok(body.id.0.or(body.event.id()))
        }
    }
}

fn event_name(event: &CloudEvent<'_>) -> String {
    format!("{} {}", event.source, event.id)
}

fn malformed(invalid: cloudevents::Invalid) -> Refused {
    Refused::Malformed(invalid.to_string().into())
}

/// The id that the scheme demands, once the signature is believed.
fn verify(request: &WebhookRequest<'_>, keys: &Keys) -> Result<Option<String>, Refused> {
    // A CloudEvent has an id of its own, which stands in for the header.
    let lookup = |name: &str| {
        let value = request.headers.get(name);
        let value = if name == "x-webhook-event-id" { value.or_else(|| request.headers.get("ce-id")) } else { value };
        match value {
            None if name == "x-webhook-event-id" && is_cloud_event(request.media) => Some(b"-".as_slice()),
            value => value.map(|value| value.as_bytes()),
        }
    };
    if keys.is_empty() && request.senders.allow_unsigned {
        return Ok(["x-webhook-event-id", "webhook-id"]
            .iter()
            .find_map(|name| request.header(name))
            .map(str::to_owned));
    }
    let scheme = signature::detect(SCHEMES, &lookup)
        .ok_or(Refused::Unsigned(signature::Refused::MissingHeader("x-webhook-signature")))?;
    let verified = request.verify_headers(scheme, &lookup, keys)?;
    Ok(verified.id.filter(|id| *id != "-").map(str::to_owned))
}

fn is_cloud_event(media: Media) -> bool {
    matches!(media, Media::CloudEvent | Media::CloudEventBatch)
}

fn is_binary_cloud_event(request: &WebhookRequest<'_>) -> bool {
    !is_cloud_event(request.media) && request.headers.contains_key("ce-specversion")
}
