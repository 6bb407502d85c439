//! Takes the sting out of what would call everybody.

use std::borrow::Cow;

use super::slack::token;

/// Seen by nobody, and enough for a name not to be one.
pub(super) const BREAK: char = '\u{200b}';
/// Slack's, and ClickUp's for all who have to do with a task.
const BROADCASTS: &[&str] = &["channel", "here", "everyone", "all", "assignees", "watchers", "followers"];

/// Whether this name, without its `@`, calls more than one.
pub(super) fn is_broadcast_name(name: &str) -> bool {
    let end = name.find(|character: char| !character.is_alphanumeric()).unwrap_or(name.len());
    BROADCASTS.iter().any(|broadcast| name[..end].eq_ignore_ascii_case(broadcast))
}

pub(super) fn neutralise(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(next) = text[at..].find(['@', '<']) {
        at += next;
        let rest = &text[at..];
        let (replacement, length) = if rest.starts_with("<!") {
            match token(rest) {
                Some(inner) if inner.starts_with("!date^") => (None, inner.len() + 2),
                Some(inner) => (Some(named(inner)), inner.len() + 2),
                None => (Some("&lt;".into()), 1),
            }
        } else if is_broadcast(&text[..at], rest) {
            (Some(format!("@{BREAK}")), 1)
        } else {
            (None, 1)
        };
        if let Some(replacement) = replacement {
            out.push_str(&text[copied..at]);
            out.push_str(&replacement);
            copied = at + length;
        }
        at += length;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// `!subteam^S1|@ops` as a name that calls nobody.
fn named(inner: &str) -> String {
    let (command, label) = inner.split_once('|').unwrap_or((inner, ""));
    let name = if label.is_empty() { command.trim_start_matches('!') } else { label };
    let name = name.replace(['@', '<'], "");
    format!("@{BREAK}{}", name.split('^').next().unwrap_or_default())
}

fn is_broadcast(before: &str, rest: &str) -> bool {
    let Some(after) = rest.strip_prefix('@') else { return false };
    // Part of an e-mail address, it calls nobody.
    !before.ends_with(char::is_alphanumeric) && is_broadcast_name(after)
}
