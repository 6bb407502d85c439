//! The mark that a message of ours carries, so that it is known again: which
//! of our messages it is and which of its parts. Readers do not see it.
//!
//! In Slack it is the message's metadata. In GitHub's Markdown it is an HTML
//! comment. ClickUp and Jira have nothing that is stored and not shown: unknown
//! attributes may be dropped when a comment is stored or edited, and characters
//! without width are taken out by sanitisers, by editors and by people who copy.
//! What they do keep, because their readers would miss it, is the target of a
//! link. So there the mark is the fragment of the link in the footer, which
//! leads to the same page with and without it; without a footer a small link of
//! its own carries it.
//!
//! Whoever copies a message copies its mark. A mark says which message this is
//! only where the author is known to be us.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::rows::{Row, Span, canonical};

/// What every mark begins with.
const KEY: &str = "nexus-origin=";
const FRAGMENT: &str = "#nexus-origin=";
const COMMENT: &str = "<!-- nexus-origin=";
const EVENT_TYPE: &str = "nexus_origin";
const ID_BYTES_MAX: usize = 100;

/// Which message, and which part of it, counted from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Our id.
    pub id: String,
    /// The part.
    pub part: usize,
}

/// Whether an id can be in a mark: letters, digits, `_` and `-`.
pub fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(plain)
}

/// The mark in Markdown, or in the wiki text that Jira's webhooks send.
/// The last one counts: we write it at the end.
pub fn find(text: &str) -> Option<Origin> {
    let at = text.rfind(COMMENT).map(|at| at + COMMENT.len());
    parse(&text[at.or_else(|| text.rfind(FRAGMENT).map(|at| at + FRAGMENT.len()))?..])
}

/// The mark in a comment of ClickUp's or a document of Jira's: the last link
/// that has one. A mark that somebody typed is text and does not count, except
/// where all of the comment is one text.
pub fn find_in(value: &Value) -> Option<Origin> {
    match value {
        Value::String(text) => find(text),
        _ => find_link(value),
    }
}

/// The mark in the `metadata` of a message of Slack's.
pub fn find_in_metadata(metadata: &Value) -> Option<Origin> {
    let payload = metadata.get("event_payload").filter(|_| metadata["event_type"] == EVENT_TYPE)?;
    let part = payload["part"].as_u64().and_then(|part| part.try_into().ok()).filter(|part| *part > 0)?;
    let id = payload["id"].as_str().filter(|id| is_id(id))?;
    Some(Origin { id: id.to_owned(), part })
}

/// The Markdown without the line of the mark, on which only the footer is.
pub fn strip(text: &str) -> Cow<'_, str> {
    let Some(at) = text.rfind(COMMENT) else { return Cow::Borrowed(text) };
    let at = text[..at].rfind('\n').unwrap_or(0);
    let line = text[at..].find("-->").map_or(text.len(), |end| at + end + 3);
    let (before, after) = (text[..at].trim_end(), text[line..].trim_end());
    if after.is_empty() { Cow::Borrowed(before) } else { Cow::Owned(format!("{before}{after}")) }
}

// Depth is bounded by the parser that made the value.
fn find_link(value: &Value) -> Option<Origin> {
    match value {
        Value::Array(values) => values.iter().rev().find_map(find_link),
        Value::Object(members) => members.iter().rev().find_map(|(name, value)| match value {
            Value::String(url) if matches!(&**name, "link" | "href" | "url") => find(url),
            _ => find_link(value),
        }),
        _ => None,
    }
}

/// The mark as Slack's metadata.
pub(super) fn metadata(id: &str, part: usize) -> Value {
    json!({"event_type": EVENT_TYPE, "event_payload": {"id": id, "part": part}})
}

/// The mark as a comment of HTML.
pub(super) fn comment(id: &str, part: usize) -> String {
    format!("{COMMENT}{id}.{part} -->")
}

/// The URL with the mark; none if it has a fragment, which would be lost.
pub(super) fn marked(url: &str, id: &str, part: usize) -> Option<String> {
    (!url.contains('#')).then(|| format!("{url}{FRAGMENT}{id}.{part}"))
}

/// The URL without a mark: nobody else writes marks.
pub(super) fn unmarked(url: &str) -> &str {
    let end = url.find(KEY).map_or(url, |at| &url[..at]);
    if end.len() == url.len() { url } else { end.trim_end_matches('#') }
}

/// Takes the footer off the last row: what begins with a marked link.
pub(super) fn take(rows: &mut Vec<Row>) {
    let marked = |span: &Span| span.link.as_deref().is_some_and(|url| url.contains(KEY));
    let Some(last) = rows.last_mut() else { return };
    let Some(at) = last.spans.iter().position(marked) else { return };
    last.spans.truncate(at);
    *rows = canonical(std::mem::take(rows));
}

fn parse(text: &str) -> Option<Origin> {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && !"_-.".contains(character));
    let (id, part) = text[..end.unwrap_or(text.len())].split_once('.')?;
    let part = part.trim_end_matches('.').parse().ok().filter(|part| *part > 0)?;
    is_id(id).then(|| Origin { id: id.to_owned(), part })
}
