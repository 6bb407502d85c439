//! What the mirror says itself, in few words. Names and states are text,
//! whatever characters are in them.

use super::{
    document::Document,
    pieces::Style,
    rows::{Row, Span, canonical},
};

/// In place of a message that was deleted.
///
/// ```
/// # use udfs::markup::notices::deleted;
/// assert_eq!(deleted(Some("Ada")).to_markdown(), "_This message was deleted by Ada._");
/// ```
pub fn deleted(by: Option<&str>) -> Document {
    let by = by.map(|name| format!(" by {name}")).unwrap_or_default();
    said(vec![styled(&format!("This message was deleted{by}."), Style::Italic)])
}

/// In place of a part that an edit left nothing for.
pub fn vacant() -> Document {
    said(vec![styled("This part of the message is no longer needed.", Style::Italic)])
}

/// In place of what is behind the last part that a text may have.
pub fn left_out() -> Document {
    said(vec![styled("The rest of this message is too long to be shown here.", Style::Italic)])
}

/// That a field of a task is not what it was.
///
/// ```
/// # use udfs::markup::notices::changed;
/// let notice = changed("status", Some("to do"), Some("in progress"), Some("Ada"));
/// assert_eq!(notice.to_plain(), "status: to do → in progress by Ada");
/// ```
pub fn changed(field: &str, before: Option<&str>, after: Option<&str>, by: Option<&str>) -> Document {
    let mut spans = vec![Span::plain(format!("{field}: "))];
    if let Some(before) = before {
        spans.push(Span::plain(format!("{before} → ")));
    }
    spans.push(styled(after.unwrap_or("none"), Style::Bold));
    spans.extend(by.map(|name| Span::plain(format!(" by {name}"))));
    said(spans)
}

/// Somebody's words under their name, where the system shows ours as the
/// author: the name, and where they said it if that is given.
///
/// ```
/// # use udfs::markup::{Document, notices::under_name};
/// let words = Document::from_markdown("Done, _finally_.");
/// assert_eq!(under_name("Ada", Some("Slack"), words).to_markdown(), "**Ada** (Slack)\nDone, _finally_.");
/// ```
pub fn under_name(name: &str, place: Option<&str>, words: Document) -> Document {
    let mut spans = vec![styled(name, Style::Bold)];
    spans.extend(place.map(|place| Span::plain(format!(" ({place})"))));
    let mut rows = said(spans).rows;
    rows.extend(words.rows);
    Document { rows: canonical(rows) }
}

fn styled(text: &str, style: Style) -> Span {
    let span = Span::plain(text);
    Span { styles: span.styles.with(style), ..span }
}

fn said(mut spans: Vec<Span>) -> Document {
    for span in &mut spans {
        span.text = span.text.replace(char::is_control, " ");
    }
    Document { rows: canonical(vec![Row::plain(spans)]) }
}
