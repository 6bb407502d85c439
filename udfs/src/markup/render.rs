//! A document as what a system's API takes: one text, or the parts of one that
//! is too long. The same function serves posting and editing, so that an edit
//! changes only what the author changed: parts are cut from the beginning on,
//! and those before the changed one come out the same. For the same reason no
//! part says how many there are: with one more all would have to be edited.

use serde_json::Value;

use super::{
    Document, adf, clickup, content, markdown,
    mention::{Dialect, Mention, Target},
    notices, origin,
    pieces::{Style, encoded_url, linkable},
    resolve::{disarm, resolve},
    rows::{Kind, Row, Span, tidy, visible_of},
    ruler::{Ruler, units},
    slack, split, unrows,
};

/// How a document is rendered.
pub struct Options<'o> {
    /// Whom a mention stands for in the target system. Without an answer it is a
    /// name that calls nobody; groups and everybody are never called.
    pub lookup: &'o dyn Fn(&Mention) -> Option<Target>,
    /// The most that a part may take; by default [`limit`]. Half of it is what
    /// to try when a system says that a message is too long; edits keep to what
    /// was posted with, so that the same words are in the same parts.
    pub limit: Option<usize>,
    /// A link at the end of the last part.
    pub footer: Option<Footer<'o>>,
    /// The mark of each part.
    pub mark: Option<Mark<'o>>,
    /// How many parts the message has already: an edit that needs fewer gets
    /// vacant ones for the rest.
    pub parts_min: usize,
}

/// A link back, to the task or the thread.
#[derive(Clone, Copy, Debug)]
pub struct Footer<'o> {
    /// What it says; cut at 120 characters.
    pub label: &'o str,
    /// Where it leads; if that is no web page, there is only the label.
    pub url: &'o str,
}

/// What [`origin::find`], [`origin::find_in`] and [`origin::find_in_metadata`]
/// find again.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'o> {
    /// Our id, of letters, digits, `_` and `-`; with any other there is no mark.
    pub id: &'o str,
    /// Where the mark's own link leads in ClickUp and Jira when no footer
    /// carries it: a page without a fragment. Without one there is no mark.
    pub url: &'o str,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { lookup: &|_| None, limit: None, footer: None, mark: None, parts_min: 0 }
    }
}

/// One message or comment.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Which part this is, from zero.
    pub index: usize,
    /// How many there are. More than [`Options::parts_min`]: the further ones
    /// are to be posted.
    pub count: usize,
    /// What is sent.
    pub body: Body,
    /// Slack's `metadata`, to be sent with the text: the mark, if one was asked for.
    pub metadata: Option<Value>,
    /// What a reader sees of the document in it.
    pub visible: String,
    /// The [`Document::content_hash`] of the message as its system sends it back.
    pub content_hash: u128,
    /// Nothing is left for this part: it was posted when the text was longer.
    /// Its body says so; whoever can delete a message may do that instead.
    pub vacant: bool,
}

/// What the API takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Slack's `text`, GitHub's `body`, Markdown.
    Text(String),
    /// ClickUp's `comment`, Jira's `body`.
    Json(Value),
}

impl Body {
    /// The size in the unit of limits.
    pub fn size(&self) -> usize {
        match self {
            Body::Text(text) => units(text),
            Body::Json(value) => units(&value.to_string()),
        }
    }
}

/// No part is smaller: a footer, a mark and a word must find room.
fn limit_min(dialect: Dialect) -> usize {
    if matches!(dialect, Dialect::Clickup | Dialect::Jira) { 8_000 } else { 2_000 }
}

const LABEL_CHARS_MAX: usize = 120;
/// The most parts of a text: each is a call, and a short text of many styles
/// may need hundreds in JSON. The last one says that the rest is left out.
pub const PARTS_MAX: usize = 50;

/// The most that one message takes, with a margin: in units of UTF-16, for
/// ClickUp and Jira of the JSON.
pub fn limit(dialect: Dialect) -> usize {
    match dialect {
        // Text is cut above 40,000, but `msg_blocks_too_long` comes at 13,000.
        Dialect::Slack => 12_000,
        // Agents have no limit; this is one all the same.
        Dialect::Markdown => 1_000_000,
        // ClickUp names none; a person reads no more.
        Dialect::Clickup => 40_000,
        // 65,536 characters.
        Dialect::Github => 62_000,
        // 32,767 characters, and it is not said of what.
        Dialect::Jira => 30_000,
    }
}

/// The parts of the document, each within the limit, which together say what it
/// says, up to [`PARTS_MAX`]. None of an empty one, unless vacant ones are needed.
pub fn render(dialect: Dialect, document: &Document, options: &Options<'_>) -> Vec<Part> {
    let limit = options.limit.unwrap_or_else(|| limit(dialect)).max(limit_min(dialect));
    let tail = Tail::new(dialect, limit, options);
    let mut ruler = Ruler { dialect, room: limit - tail.room };
    loop {
        let parts = parts(document, &ruler, &tail, options);
        let fits = parts.iter().all(|part| part.body.size() <= limit);
        // Nothing takes more than the ruler says; if it did, less would fit.
        if fits || ruler.room < 100 {
            return parts;
        }
        debug_assert!(fits, "the ruler is too short for {dialect:?}");
        ruler.room /= 2;
    }
}

fn parts(document: &Document, ruler: &Ruler, tail: &Tail<'_>, options: &Options<'_>) -> Vec<Part> {
    let mut said = split::split(&resolve(&document.rows, ruler, options.lookup), ruler);
    if said.len() > PARTS_MAX {
        said.truncate(PARTS_MAX - 1);
        said.push(notices::left_out().rows);
    }
    let (last, count) = (said.len().wrapping_sub(1), said.len().max(options.parts_min));
    let filled = said.into_iter().map(|rows| (rows, false));
    let vacant = std::iter::repeat_with(|| (notices::vacant().rows, true));
    let write = |(index, (mut rows, vacant)): (usize, (Vec<Row>, bool))| {
        disarm(&mut rows, ruler.dialect);
        let visible = if vacant { String::new() } else { visible_of(&rows) };
        tail.add_to(&mut rows, index, index == last);
        let content_hash = content::hash(&rows);
        let metadata =
            tail.mark.filter(|_| ruler.dialect == Dialect::Slack).map(|mark| origin::metadata(mark.id, index + 1));
        Part { index, count, body: tail.body(rows, index, index == last), metadata, visible, content_hash, vacant }
    };
    filled.chain(vacant).take(count).enumerate().map(write).collect()
}

/// What follows the text of a part.
struct Tail<'o> {
    dialect: Dialect,
    footer: Option<Span>,
    mark: Option<Mark<'o>>,
    /// What it takes at most.
    room: usize,
}

impl<'o> Tail<'o> {
    fn new(dialect: Dialect, limit: usize, options: &Options<'o>) -> Self {
        let ruler = Ruler { dialect, room: limit };
        let fits = |url: &str| linkable(url) && ruler.fits_link(url) && !url.contains(char::is_whitespace);
        let footer = options.footer.map(|footer| {
            let label = footer.label.chars().take(LABEL_CHARS_MAX).map(|character| match character {
                _ if character.is_control() => ' ',
                _ => character,
            });
            let label: String = label.collect();
            let url = encoded_url(origin::unmarked(footer.url));
            if fits(&url) { Span::linked(label, &url) } else { Span::plain(label) }
        });
        let footer = footer.filter(|span| !span.text.trim().is_empty());
        let by_link = matches!(dialect, Dialect::Clickup | Dialect::Jira);
        let mark = options.mark.filter(|mark| match dialect {
            Dialect::Markdown => false,
            _ => origin::is_id(mark.id) && (!by_link || fits(mark.url)),
        });
        let mut room = 0;
        if let Some(span) = &footer {
            room += ruler.span(span, false) + ruler.text(&span.text, false) + ruler.row(&Row::plain(Vec::new())) * 2;
        }
        if let Some(mark) = mark.filter(|_| dialect != Dialect::Slack) {
            room += 2 * ruler.row(&Row::plain(Vec::new())) + 2 * mark.id.len() + 60;
            room += ruler.span(&Span::linked(DOT, mark.url), false);
        }
        Tail { dialect, footer, mark, room }
    }

    /// Adds the footer, and the link that carries the mark.
    fn add_to(&self, rows: &mut Vec<Row>, index: usize, last: bool) {
        let part = index + 1;
        let mut spans = Vec::new();
        let by_link = matches!(self.dialect, Dialect::Clickup | Dialect::Jira);
        let footer = self.footer.clone().filter(|_| last);
        if let Some(mark) = self.mark.filter(|_| by_link) {
            // The footer's own link, if it can carry the mark, else one before it.
            let carried = footer.as_ref().and_then(|span| origin::marked(span.link.as_ref()?, mark.id, part));
            let url = carried.clone().or_else(|| origin::marked(mark.url, mark.id, part));
            if let (None, Some(url)) = (&carried, &url) {
                spans.push(Span::linked(DOT, url));
            }
            spans.extend(footer.map(|span| match carried {
                Some(url) => Span { link: Some(url.into()), ..span },
                None => Span { text: format!(" {}", span.text), ..span },
            }));
        } else {
            spans.extend(footer);
        }
        let mut tail = vec![Row::plain(spans)];
        disarm(&mut tail, self.dialect);
        if !tail[0].is_blank() {
            rows.push(Row::plain(Vec::new()));
            rows.append(&mut tail);
        }
    }

    /// The rows as a body.
    fn body(&self, rows: Vec<Row>, index: usize, last: bool) -> Body {
        match self.dialect {
            Dialect::Slack => Body::Text(slack::write(&unrows::pieces(&slack_rows(rows), true))),
            Dialect::Markdown => Body::Text(markdown::write(&unrows::pieces(&rows, true))),
            Dialect::Github => {
                let mut text = markdown::write(&unrows::pieces(&rows, true));
                if let Some(mark) = self.mark {
                    // In its own block a comment would make HTML of the line.
                    let footer = last && self.footer.is_some();
                    text.push_str(if footer { " " } else { "\n\n" });
                    text.push_str(&origin::comment(mark.id, index + 1));
                }
                Body::Text(text)
            }
            Dialect::Clickup => Body::Json(clickup::write(&rows)),
            Dialect::Jira => Body::Json(adf::write(&rows)),
        }
    }
}

/// The label of a link that only carries a mark: small, and not empty, since a
/// link around nothing is dropped.
const DOT: &str = "·";

/// mrkdwn has no headings: they are bold lines, which is what they look like.
fn slack_rows(mut rows: Vec<Row>) -> Vec<Row> {
    for row in &mut rows {
        if matches!(row.kind, Kind::Heading(_)) {
            row.kind = Kind::Plain;
            row.spans.iter_mut().for_each(|span| span.styles = span.styles.with(Style::Bold));
            tidy(&mut row.spans);
        }
    }
    rows
}
