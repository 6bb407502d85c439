//! One text, whatever system it was written in: read from that system's format,
//! to be shown, compared or rendered for another. Reading never fails.

use serde_json::Value;

use super::{
    Names, adf, clickup, content, markdown,
    mention::{Dialect, Mention, MentionKind},
    origin,
    pieces::Piece,
    plain,
    rows::{self, Row, Span, What},
    slack, unrows, work,
};
use crate::mentions;

/// A formatted text. Two that say the same in the same way are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub(super) rows: Vec<Row>,
}

impl Document {
    /// Of mrkdwn as Slack's events carry it.
    pub fn from_slack(text: &str, names: &dyn Names) -> Self {
        Self::of(slack::read_rich(text, names))
    }

    /// Of an agent's Markdown. `@name` is a mention, whose id is the name.
    pub fn from_markdown(text: &str) -> Self {
        Self::of(markdown::read_rich(text)).with_names(Dialect::Markdown)
    }

    /// Of Markdown from GitHub. `@login` and `@org/team` are mentions.
    pub fn from_github(text: &str) -> Self {
        Self::of(markdown::read_rich(text)).with_names(Dialect::Github)
    }

    /// Of a comment of ClickUp's: its blocks, an object that holds them, or text.
    pub fn from_clickup(comment: &Value) -> Self {
        Self::of(clickup::read(comment))
    }

    /// Of a document of Jira's, or of the wiki text in its webhooks.
    pub fn from_jira(document: &Value) -> Self {
        Self::of(adf::read_rich(document))
    }

    /// Of text without any formatting.
    pub fn from_plain(text: &str) -> Self {
        let row = |line: &str| Row::plain(vec![Span::plain(line.trim_end_matches('\r'))]);
        Document { rows: rows::canonical(text.split('\n').map(row).collect()) }
    }

    fn of(pieces: Vec<Piece<'_>>) -> Self {
        Document { rows: rows::of_pieces(pieces) }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The words, lines and URLs.
    pub fn to_plain(&self) -> String {
        plain::write(&unrows::pieces(&self.rows, false))
    }

    /// Markdown for people and models to read; mentions are names there.
    pub fn to_markdown(&self) -> String {
        markdown::write(&unrows::pieces(&self.rows, true))
    }

    /// The mentions in it, in their order, repeated ones included.
    pub fn mentions(&self) -> impl Iterator<Item = &Mention> {
        self.rows.iter().flat_map(|row| &row.spans).filter_map(|span| match &span.what {
            What::Mention(mention) => Some(&**mention),
            _ => None,
        })
    }

    /// This, an empty line, and the other: several messages in one.
    ///
    /// ```
    /// # use udfs::markup::Document;
    /// let both = Document::from_markdown("- one").followed_by(Document::from_plain("two"));
    /// assert_eq!(both.to_markdown(), "- one\n\ntwo");
    /// ```
    #[must_use]
    pub fn followed_by(mut self, other: Document) -> Self {
        self.rows.push(Row::plain(Vec::new()));
        self.rows.extend(other.rows);
        Document { rows: rows::canonical(self.rows) }
    }

    /// Without the marked footer that [`super::render()`] put at the end, for
    /// ClickUp and Jira. Only for a text of ours; anybody can write a mark.
    #[must_use]
    pub fn without_origin(mut self) -> Self {
        origin::take(&mut self.rows);
        self
    }

    /// What is seen of it, row by row: the measure of what a rendering keeps.
    pub fn visible(&self) -> String {
        rows::visible_of(&self.rows)
    }

    /// A hash of the letters and digits in it. For a message as its system sends
    /// it, footer included, it is the [`super::Part::content_hash`] of what was
    /// written there, which tells an echo where no mark does.
    pub fn content_hash(&self) -> u128 {
        content::hash(&self.rows)
    }

    /// Makes mentions of the names in its text.
    fn with_names(mut self, dialect: Dialect) -> Self {
        for row in &mut self.rows {
            if !row.spans.iter().any(|span| span.what == What::Text && span.link.is_none() && span.text.contains('@')) {
                continue;
            }
            let mut out = Vec::with_capacity(row.spans.len());
            for span in std::mem::take(&mut row.spans) {
                match span {
                    Span { what: What::Text, link: None, .. } => split_names(span, dialect, &mut out),
                    _ => out.push(span),
                }
            }
            row.spans = out;
        }
        self
    }
}

fn split_names(span: Span, dialect: Dialect, out: &mut Vec<Span>) {
    let (mut copied, mut at) = (0, 0);
    while let Some(next) = span.text[at..].find('@') {
        at += next;
        work::did(next + 1);
        let Some((mention, length)) = name_at(&span.text, at, dialect) else {
            at += 1;
            continue;
        };
        out.push(span.saying(&span.text[copied..at]));
        out.push(Span { what: What::Mention(Box::new(mention)), ..span.saying(&span.text[at..at + length]) });
        at += length;
        copied = at;
    }
    out.push(span.saying(&span.text[copied..]));
    out.retain(|span| !span.text.is_empty());
}

fn name_at(text: &str, at: usize, dialect: Dialect) -> Option<(Mention, usize)> {
    let name = mentions::name_at(text, at)?.strip_prefix('@')?;
    if super::neutral::is_broadcast_name(name) {
        return None;
    }
    if dialect != Dialect::Github {
        return Some((Mention::new(dialect, MentionKind::User, name, name), name.len() + 1));
    }
    let login = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let team = text[at + 1 + name.len()..].strip_prefix('/').map_or("", |rest| {
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && character != '-');
        &rest[..end.unwrap_or(rest.len()).min(100)]
    });
    let (kind, name) = if team.is_empty() {
        (MentionKind::User, name)
    } else {
        (MentionKind::Group, &text[at + 1..at + 2 + name.len() + team.len()])
    };
    let valid = name.split('/').all(login);
    valid.then(|| (Mention::new(dialect, kind, name, name), name.len() + 1))
}
