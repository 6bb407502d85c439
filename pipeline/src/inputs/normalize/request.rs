//! The request that a provider's file reads, and the drafts it begins.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use udfs::{
    hash::{Parts, from_hex, hex},
    markup::{code_ranges, markdown_to_plain, origin::Origin},
};

use crate::{
    draft::{Draft, Facts},
    event::{
        Actor, ActorKind, Change, EventType, Mention, RawRef, Source, StandardEvent, Subject, Time, Trust, Webhook,
    },
    inputs::normalize::{NAME, Rejected, times},
    turn::Turn,
};

/// Longer names of events are cut: they come from outside and become labels.
const EVENT_NAME_BYTES_MAX: usize = 200;

/// One request in its turn.
pub(super) struct Request<'a> {
    pub webhook: &'a Webhook<'a>,
    pub turn: &'a Turn<'a>,
    /// The body, decoded, perhaps mended.
    pub body: &'a str,
}

/// What a provider says of an event before its content.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// Which of the request's events this is.
    pub index: usize,
    /// The provider's own name of it.
    pub event: &'a str,
    /// When it happened, by the provider's clock.
    pub at_ms: Option<i64>,
    /// The delivery's id as the body tells it; the record's own goes first.
    pub delivery: Option<&'a str>,
    /// A trace that the body tells of; the request's header goes first.
    pub traceparent: Option<&'a str>,
}

/// The body as text.
pub(super) fn body_of<'a>(webhook: &'a Webhook<'_>) -> Result<Cow<'a, str>, Rejected> {
    if let Some(body) = &webhook.body {
        // A byte order mark is legal in front of text and not of JSON.
        return Ok(Cow::Borrowed(body.strip_prefix('\u{feff}').unwrap_or(body)));
    }
    let Some(encoded) = &webhook.body_base64 else { return Err(Rejected::new("neither body nor bodyBase64 is there")) };
    let bytes = udfs::hash::from_base64(encoded).ok_or_else(|| Rejected::new("bodyBase64 is not base64"))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(error) => Err(Rejected::new(format!("the body is not UTF-8: {}", error.utf8_error()))),
    }
}

impl<'a> Request<'a> {
    /// A header of the request.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.webhook.headers.get(name).map(|value| &**value).filter(|value| !value.is_empty())
    }

    /// The media type, if it is told.
    pub fn content_type(&self) -> Option<&'a str> {
        self.webhook.content_type.as_deref().or_else(|| self.header("content-type"))
    }

    /// Whether the body is an HTML form.
    pub fn is_form(&self) -> bool {
        const FORM: &str = "application/x-www-form-urlencoded";
        let given = self.content_type().unwrap_or_default().trim_start();
        given.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM))
    }

    /// The body as a provider's type.
    pub fn parse<T: Deserialize<'a>>(&self) -> Result<T, Rejected> {
        parse(self.body, &self.webhook.provider)
    }

    /// The beginning of a mark: kind, sender, and the nonce of a wanted repeat.
    pub fn mark(&self, kind: &str) -> Parts {
        let parts = Parts::new().add(kind).add(&*self.webhook.provider);
        match &self.webhook.nonce {
            Some(nonce) => parts.add("nonce").add(&**nonce),
            None => parts,
        }
    }

    /// The mark of a request that has no id: its connection and its content.
    pub fn content_mark(&self, content: &str) -> u128 {
        self.mark("content").add(self.connection()).add(content).finish()
    }

    /// The connection's id, or nothing.
    pub fn connection(&self) -> &'a str {
        self.webhook.connection_id.as_deref().unwrap_or_default()
    }

    /// A draft that has all but its content and its marks.
    pub fn draft(&self, kind: EventType, said: &Said<'_>) -> Draft {
        let webhook = self.webhook;
        let delivery = webhook.delivery_id.as_deref().filter(|id| !id.is_empty() && said.index == 0).or(said.delivery);
        let at = self.turn.source;
        let event = StandardEvent {
            id: self.turn.id("evt", NAME, said.index),
            kind,
            tenant_id: webhook.tenant_id.to_string(),
            occurred_at: Time(times::believable(said.at_ms, webhook.received_at.0)),
            received_at: webhook.received_at,
            trace_id: self.trace_id(said.traceparent, delivery),
            source: Source {
                provider: webhook.provider.to_string(),
                connection_id: webhook.connection_id.as_deref().map(str::to_owned),
                delivery_id: delivery.map(str::to_owned),
                event: shortened(said.event).to_owned(),
            },
            actor: None,
            subject: None,
            project: None,
            task: None,
            message: None,
            mentions: Vec::new(),
            changes: Vec::new(),
            unrouted: false,
            incomplete: false,
            echo: false,
            reconciled: webhook.reconciled,
            raw: RawRef { topic: at.topic.name().to_owned(), partition: at.partition, offset: at.offset },
        };
        Draft { event, marks: Vec::with_capacity(2), thing: None, facts: Facts::default() }
    }

    fn trace_id(&self, said: Option<&str>, delivery: Option<&str>) -> String {
        let given = self.header("traceparent").and_then(trace_of).or_else(|| said.and_then(trace_of));
        if let Some(trace) = given {
            return trace.to_owned();
        }
        let parts = Parts::new().add("trace");
        let parts = match delivery {
            Some(delivery) => parts.add(&*self.webhook.provider).add(self.connection()).add(delivery),
            None => {
                let at = self.turn.source;
                parts.number(self.turn.identity).number(u64::from(at.partition)).number(at.offset)
            }
        };
        hex(parts.finish())
    }
}

/// A document as a provider's type; the reason names what is wrong with it.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str, provider: &str) -> Result<T, Rejected> {
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(Rejected::new(format!("the {provider} body is no JSON object")));
    }
    serde_json::from_str(text).map_err(|error| malformed(provider, &error))
}

/// The reason for a document that cannot be read.
pub(super) fn malformed(provider: &str, error: &serde_json::Error) -> Rejected {
    Rejected::new(format!("the {provider} body cannot be read: {error}"))
}

/// The trace id of a W3C `traceparent`, when it is valid.
fn trace_of(header: &str) -> Option<&str> {
    let (version, rest) = header.trim().split_once('-')?;
    let (trace, rest) = rest.split_once('-')?;
    let (span, flags) = rest.split_once('-')?;
    let lower_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let shaped = version.len() == 2 && version != "ff" && span.len() == 16 && flags.len() >= 2;
    let valid = shaped && lower_hex(version) && lower_hex(trace) && lower_hex(span) && span.bytes().any(|b| b != b'0');
    (valid && from_hex(trace).is_some_and(|number| number != 0)).then_some(trace)
}

fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(EVENT_NAME_BYTES_MAX)]
}

/// An author, if anything of one is known.
pub(super) fn actor(kind: ActorKind, id: Option<&str>, name: Option<&str>, email: Option<&str>) -> Option<Actor> {
    (id.is_some() || name.is_some() || email.is_some() || kind == ActorKind::System).then(|| Actor {
        kind,
        // Who is a member, a guest or an agent is known to `enrich`, which has
        // the tenant's directory; a payload that tells is believed before.
        trust: if kind == ActorKind::Human { Trust::Unknown } else { Trust::Bot },
        external_id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        email: email.map(str::to_owned),
        agent_id: None,
    })
}

/// What it happened to.
pub(super) fn subject(kind: &str, id: Option<&str>, url: Option<&str>) -> Option<Subject> {
    let page = url.filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    (id.is_some() || page.is_some()).then(|| Subject {
        kind: kind.to_owned(),
        external_id: id.map(str::to_owned),
        url: page.map(str::to_owned),
    })
}

/// Whether it is worth looking for a mark of ours in this.
pub(super) fn may_have_mark(text: &str) -> bool {
    text.contains("nexus-origin=") || text.contains("nexus_origin")
}

/// Says of an event's message that it carries a mark.
pub(super) fn set_mark(event: &mut StandardEvent, origin: Option<Origin>) {
    if let (Some(message), Some(origin)) = (&mut event.message, origin) {
        message.mark = Some(format!("{}.{}", origin.id, origin.part));
    }
}

/// The aliases called in a text, each once.
pub(super) fn mentions(text: &str, into: &mut Vec<Mention>) {
    for alias in udfs::mentions::mentions(text) {
        if !into.iter().any(|known| known.alias.eq_ignore_ascii_case(alias)) {
            into.push(Mention { alias: alias.to_owned(), agent_ids: Vec::new() });
        }
    }
}

/// The aliases called in Markdown. Formatting hides names (`_@squad_`), so it
/// goes first, and code before it.
pub(super) fn mentions_in_markdown(markdown: &str, into: &mut Vec<Mention>) {
    if markdown.contains('@') {
        mentions(&markdown_to_plain(&without_code(markdown, true)), into);
    }
}

/// A text without its code, which calls nobody; borrowed where it has none.
/// In Markdown, unlike in mrkdwn, a backslash `escapes`.
pub(super) fn without_code(text: &str, escapes: bool) -> Cow<'_, str> {
    if !text.contains('`') {
        return Cow::Borrowed(text);
    }
    let mut words = String::with_capacity(text.len());
    let mut at = 0;
    for code in code_ranges(text, escapes) {
        words.push_str(&text[at..code.start]);
        words.push(' ');
        at = code.end;
    }
    words.push_str(&text[at..]);
    Cow::Owned(words)
}

/// One field that became different.
pub(super) fn change(field: &str, before: Option<impl Into<Value>>, after: Option<impl Into<Value>>) -> Change {
    Change { field: field.to_owned(), before: before.map(Into::into), after: after.map(Into::into) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_counts() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(trace_of(&format!("00-{trace}-00f067aa0ba902b7-01")), Some(trace));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(shortened(&"é".repeat(200)).len(), 200);
        assert_eq!(shortened(&format!("x{}", "é".repeat(200))).len(), 199);
    }
}
