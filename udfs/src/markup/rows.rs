//! The neutral form behind a document: rows of spans. Pieces come in, and what
//! says the same goes out in one way only, so that two texts that say the same
//! are equal, each row stands for itself, and a text may be cut anywhere
//! without leaving anything open.

use std::{borrow::Cow, sync::Arc};

use super::{
    mention::Mention,
    pieces::{Line, Piece, Style, checkbox, encoded_url, linkable},
    work,
};

/// A longer URL is text: no system links it reliably.
pub(super) const URL_BYTES_MAX: usize = 2_000;

/// A label goes over no more rows than this, since each repeats the URL.
pub(super) const LABEL_ROWS_MAX: usize = 8;
/// The longest name of a programming language.
const LANGUAGE_BYTES_MAX: usize = 30;

/// One line, or one block of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) quoted: bool,
    pub(super) kind: Kind,
    /// Empty where the kind is code.
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Heading(u8),
    Bullet(u8),
    Number(u8, u32),
    Check(u8, bool),
    /// Lines of code.
    Code {
        language: String,
        text: String,
    },
}

/// Characters of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) what: What,
    /// What is seen; no newline in it.
    pub(super) text: String,
    pub(super) styles: Styles,
    pub(super) link: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Text,
    Code,
    Mention(Box<Mention>),
}

/// A set of styles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Styles(pub(super) u8);

impl Styles {
    pub(super) const ALL: [Style; 3] = [Style::Bold, Style::Italic, Style::Strike];

    pub(super) fn has(self, style: Style) -> bool {
        self.0 & Self::bit(style) != 0
    }

    pub(super) fn with(self, style: Style) -> Self {
        Styles(self.0 | Self::bit(style))
    }

    pub(super) fn without(self, style: Style) -> Self {
        Styles(self.0 & !Self::bit(style))
    }

    fn bit(style: Style) -> u8 {
        match style {
            Style::Bold => 1,
            Style::Italic => 2,
            Style::Strike => 4,
        }
    }
}

impl Span {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Span { what: What::Text, text: text.into(), styles: Styles::default(), link: None }
    }

    pub(super) fn linked(text: impl Into<String>, url: &str) -> Self {
        Span { link: Some(url.into()), ..Span::plain(text) }
    }

    /// Other words that look like this.
    pub(super) fn saying(&self, text: &str) -> Self {
        Span { what: self.what.clone(), text: text.to_owned(), styles: self.styles, link: self.link.clone() }
    }
}

impl Row {
    pub(super) fn plain(spans: Vec<Span>) -> Self {
        Row { quoted: false, kind: Kind::Plain, spans }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.kind == Kind::Plain && self.spans.is_empty()
    }

    /// How deep in lists this is, if it is an item.
    pub(super) fn depth(&self) -> Option<u8> {
        match self.kind {
            Kind::Bullet(depth) | Kind::Number(depth, _) | Kind::Check(depth, _) => Some(depth),
            _ => None,
        }
    }
}

/// The rows that the pieces say.
pub(super) fn of_pieces(pieces: Vec<Piece<'_>>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = Row::plain(Vec::new());
    // How often each style is open: they may nest.
    let mut open = [0_usize; 3];
    // The link that is open, as it was written and as it may be followed.
    let mut link: Option<(Cow<'_, str>, Option<Arc<str>>)> = None;
    let (mut label_at, mut label_row) = (0, 0);
    // The line on which a block of code ends has said all that it has to say.
    let mut behind_block = false;
    work::did(pieces.len());
    for piece in pieces {
        let depth = |style| Styles::ALL.iter().position(|known| *known == style).unwrap_or_default();
        let styles = Styles::ALL.iter().zip(open).fold(Styles::default(), |set, (style, count)| match count {
            0 => set,
            _ => set.with(*style),
        });
        let mut span = |row: &mut Row, index: usize, what, text: Cow<'_, str>| {
            behind_block = false;
            if !text.is_empty() {
                let link = link.as_ref().filter(|_| index < label_row + LABEL_ROWS_MAX);
                let link = link.and_then(|(_, link)| link.clone());
                row.spans.push(Span { what, text: text.into_owned(), styles, link });
            }
        };
        match piece {
            Piece::Text(text) => {
                for (index, line) in text.split('\n').enumerate() {
                    if index > 0 {
                        rows.push(std::mem::replace(&mut row, Row::plain(Vec::new())));
                        label_at = 0;
                    }
                    span(&mut row, rows.len(), What::Text, line.into());
                }
            }
            Piece::Code(code) => span(&mut row, rows.len(), What::Code, one_line(&code)),
            Piece::Mention(mention) if mention.is_plausible() => {
                let shown = mention.shown();
                span(&mut row, rows.len(), What::Mention(mention), shown.into());
            }
            Piece::Mention(mention) => span(&mut row, rows.len(), What::Text, one_line(&mention.shown())),
            Piece::Start(style) => open[depth(style)] += 1,
            Piece::End(style) => open[depth(style)] = open[depth(style)].saturating_sub(1),
            Piece::LinkStart(url) => {
                let safe = safe(&url);
                link = Some((url, safe));
                label_at = row.spans.len();
                label_row = rows.len();
            }
            Piece::LinkEnd => {
                if let Some((url, safe)) = link.take() {
                    end_link(&mut row, &url, safe, label_at, styles);
                }
            }
            Piece::Line(line) => match line {
                Line::Quote => row.quoted = true,
                Line::Heading(level) => row.kind = Kind::Heading(level.clamp(1, 6)),
                Line::Bullet(depth) => row.kind = Kind::Bullet(depth),
                Line::Number(depth, number) => row.kind = Kind::Number(depth, number),
                Line::Check(depth, done) => row.kind = Kind::Check(depth, done),
            },
            Piece::Block { language, text } => {
                let before = std::mem::replace(&mut row, Row::plain(Vec::new()));
                if !before.spans.is_empty() {
                    rows.push(before);
                }
                label_at = 0;
                let kind = Kind::Code { language: plain_language(&language), text: text.into_owned() };
                rows.push(Row { quoted: false, kind, spans: Vec::new() });
                behind_block = true;
            }
            Piece::Newline => {
                if !std::mem::take(&mut behind_block) {
                    rows.push(std::mem::replace(&mut row, Row::plain(Vec::new())));
                }
                label_at = 0;
            }
        }
    }
    rows.push(row);
    canonical(rows)
}

/// A label that is empty shows the URL; a URL that may not be one is shown.
fn end_link(row: &mut Row, url: &str, safe: Option<Arc<str>>, label_at: usize, styles: Styles) {
    let label = &row.spans[label_at..];
    let shown = match (&safe, label.is_empty()) {
        (Some(_), false) => return,
        (Some(_), true) => one_line(url.strip_prefix("mailto:").unwrap_or(url)).into_owned(),
        (None, true) => one_line(url).into_owned(),
        (None, false) if label.len() == 1 && label[0].text == url => return,
        (None, false) => format!(" ({})", one_line(url)),
    };
    row.spans.push(Span { styles, link: safe, ..Span::plain(shown) });
}

/// The URL as it is linked: of a scheme that is safe, without what would end it
/// in some format.
fn safe(url: &str) -> Option<Arc<str>> {
    if !linkable(url) || url.len() > URL_BYTES_MAX {
        return None;
    }
    let url = encoded_url(url);
    (linkable(&url) && url.len() <= URL_BYTES_MAX).then(|| url.as_ref().into())
}

/// The name of a language, if it looks like one.
fn plain_language(language: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-#_.".contains(&byte);
    if language.len() <= LANGUAGE_BYTES_MAX && language.bytes().all(plain) {
        language.to_owned()
    } else {
        String::new()
    }
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ").into() } else { text.into() }
}

/// The rows in the one way to say them: no white space at the ends of rows or
/// of styles, no blank rows at the ends or side by side, one behind a quote.
pub(super) fn canonical(rows: Vec<Row>) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    for mut row in rows {
        tidy(&mut row.spans);
        take_box(&mut row);
        // A sign without words says nothing, and is a word itself to a reader.
        if row.spans.is_empty() && !matches!(row.kind, Kind::Code { .. }) {
            row.kind = Kind::Plain;
        }
        let blank = row.is_blank() && !row.quoted;
        let leaves_quote = !row.quoted && out.last().is_some_and(|last| last.quoted);
        if blank && out.last().is_none_or(Row::is_blank) {
            continue;
        }
        if leaves_quote && !blank {
            out.push(Row::plain(Vec::new()));
        }
        out.push(row);
    }
    while out.pop_if(|row| row.is_blank()).is_some() {}
    out
}

/// A box that begins an item makes a task of it.
fn take_box(row: &mut Row) {
    if let (Kind::Bullet(depth), Some(first)) = (&row.kind, row.spans.first_mut())
        && first.what == What::Text
        && let Some((done, length)) = checkbox(&first.text)
    {
        row.kind = Kind::Check(*depth, done);
        first.text.drain(..length);
        tidy(&mut row.spans);
    }
}

/// Brings the spans of a row into the one way to say them.
pub(super) fn tidy(spans: &mut Vec<Span>) {
    work::did(spans.len());
    merge(spans);
    while let Some(last) = spans.last_mut().filter(|span| span.what == What::Text) {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        spans.pop();
    }
    if spans.iter().any(|span| span.styles != Styles::default()) {
        for style in Styles::ALL {
            trim_style(spans, style);
        }
        merge(spans);
    }
}

/// Takes a style off the white space at the ends of each of its stretches.
fn trim_style(spans: &mut Vec<Span>, style: Style) {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    // Where the current stretch begins in `out`, once it has begun with a word.
    let mut words = false;
    for mut span in std::mem::take(spans) {
        work::did(1);
        if !span.styles.has(style) {
            if std::mem::take(&mut words) {
                trim_end(&mut out, style);
            }
            out.push(span);
            continue;
        }
        if !words && span.what == What::Text {
            let begin = span.text.len() - span.text.trim_start().len();
            if begin > 0 {
                let styles = span.styles.without(style);
                out.push(Span { styles, ..span.saying(&span.text[..begin]) });
                span.text.drain(..begin);
            }
            if span.text.is_empty() {
                continue;
            }
        }
        words = true;
        out.push(span);
    }
    if words {
        trim_end(&mut out, style);
    }
    *spans = out;
}

fn trim_end(spans: &mut Vec<Span>, style: Style) {
    let mut bare = Vec::new();
    while let Some(mut span) = spans.pop() {
        work::did(1);
        let end = if span.what == What::Text { span.text.trim_end().len() } else { span.text.len() };
        if end < span.text.len() {
            let styles = span.styles.without(style);
            bare.push(Span { styles, ..span.saying(&span.text[end..]) });
            span.text.truncate(end);
        }
        if !span.text.is_empty() {
            spans.push(span);
            break;
        }
    }
    spans.extend(bare.into_iter().rev());
}

/// Makes one of spans side by side that look the same.
fn merge(spans: &mut Vec<Span>) {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans.drain(..).filter(|span| !span.text.is_empty()) {
        match out.last_mut() {
            Some(last)
                if last.what == span.what
                    && !matches!(span.what, What::Mention(_))
                    && last.styles == span.styles
                    && last.link == span.link =>
            {
                last.text.push_str(&span.text);
            }
            _ => out.push(span),
        }
    }
    *spans = out;
}

/// What is seen of rows, besides signs, numbers and URLs.
pub(super) fn visible_of(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        if let Kind::Code { text, .. } = &row.kind {
            out.push_str(text);
        }
        row.spans.iter().for_each(|span| out.push_str(&span.text));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}
