//! Writes an admitted request down as a record of `webhooks.raw`.

use axum::http::header;
use bytes::Bytes;
use pipeline::{
    event::Time,
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use udfs::json::escape_into;

use providers::{
    Provider,
    webhook::{Admitted, WebhookRequest},
};

/// Longest header value that is kept, in bytes.
const HEADER_BYTES_MAX: usize = 1024;

/// The record. The value is written by hand: the body is copied once, into the
/// place where it stays.
pub fn of(
    request: &WebhookRequest<'_>,
    provider: &str,
    admitted: &Admitted,
    now_ms: u64,
    partitions: u32,
) -> NewRecord {
    let mut value = Vec::with_capacity(request.body.len() + request.body.len() / 8 + 512);
    value.push(b'{');
    field(&mut value, "tenantId", &admitted.tenant);
    field(&mut value, "provider", provider);
    if let Some(link) = &admitted.link {
        field(&mut value, "connectionId", &link.id);
    }
    if let Some(delivery) = &admitted.delivery {
        field(&mut value, "deliveryId", delivery);
    }
    if let Some(sender) = &admitted.sender {
        field(&mut value, "senderId", sender);
    }
    field(&mut value, "receivedAt", &Time::from_ms(now_ms).to_string());
    if let Some(content_type) = request.header(header::CONTENT_TYPE.as_str()) {
        field(&mut value, "contentType", content_type);
    }
    kept_headers(&mut value, request);
    match std::str::from_utf8(request.body) {
        Ok(text) => field(&mut value, "body", text),
        Err(_) => field(&mut value, "bodyBase64", &udfs::hash::base64(request.body)),
    }
    value.push(b'}');
    NewRecord {
        topic: Topic::WebhooksRaw,
        partition: partition_of(&admitted.tenant, partitions),
        at_ms: now_ms,
        key: Bytes::copy_from_slice(admitted.tenant.as_bytes()),
        value: Some(value.into()),
        headers: Headers::new([("type", provider.as_bytes()), ("schema", b"nexus.webhook.v1".as_slice())]),
    }
}

fn field(value: &mut Vec<u8>, name: &str, text: &str) {
    if value.last() != Some(&b'{') {
        value.push(b',');
    }
    escape_into(value, name);
    value.push(b':');
    escape_into(value, text);
}

fn kept_headers(value: &mut Vec<u8>, request: &WebhookRequest<'_>) {
    let mut kept = Vec::new();
    for (name, content) in request.headers {
        let name = name.as_str();
        let wanted = is_kept(name) || name.starts_with("ce-");
        let Some(content) = content.to_str().ok().filter(|_| wanted) else { continue };
        if content.len() <= HEADER_BYTES_MAX && !kept.iter().any(|(known, _)| *known == name) {
            kept.push((name, content));
        }
    }
    if kept.is_empty() {
        return;
    }
    value.extend_from_slice(b",\"headers\":{");
    for (name, content) in kept {
        field(value, name, content);
    }
    value.push(b'}');
}

/// Whether a header says what a body is, or that a trace goes through it.
fn is_kept(name: &str) -> bool {
    let generic: &dyn Provider = &providers::generic::Generic;
    let mut providers = providers::PROVIDERS.iter().copied().chain([generic]);
    providers.any(|provider| provider.verify().kept_headers().contains(&name))
}
