//! What all formats have in common: a flat list of pieces, in reading order.
//! Starts and ends are paired and nested.

use std::borrow::Cow;

use super::mention::Mention;

/// One piece of formatted text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Characters that mean themselves; no newline in them.
    Text(Cow<'a, str>),
    /// From here on in a style.
    Start(Style),
    /// Until here.
    End(Style),
    /// From here on the label of a link to this URL.
    LinkStart(Cow<'a, str>),
    /// Until here.
    LinkEnd,
    /// Code within a line.
    Code(Cow<'a, str>),
    /// Lines of code in a language, or in none.
    Block { language: Cow<'a, str>, text: Cow<'a, str> },
    /// Somebody or something that is called by name; only in rich reading.
    Mention(Box<Mention>),
    /// What the line begins with.
    Line(Line),
    /// The end of a line.
    Newline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Bold,
    Italic,
    Strike,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// From one to six.
    Heading(u8),
    /// An item, so many lists deep, from zero.
    Bullet(u8),
    /// A numbered item, likewise.
    Number(u8, u32),
    /// Something to do, likewise, and whether it is done; only in rich reading.
    Check(u8, bool),
    /// Quoted.
    Quote,
}

/// Lists deeper than this are shown at this depth.
pub(super) const LIST_DEPTH_MAX: u8 = 8;

/// Collects pieces while styles are still undecided: a marker is text until
/// its counterpart is found.
#[derive(Default)]
pub(super) struct Builder<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    /// Markers that may yet begin a style, innermost last: each marker at most
    /// once, which keeps searches short.
    open: Vec<Open>,
    /// Where brackets stand that may yet begin a link.
    brackets: Vec<usize>,
    /// Whether mentions and tasks are kept as what they are, which documents
    /// need; else they are text.
    rich: bool,
}

struct Open {
    marker: &'static str,
    style: Style,
    at: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn rich() -> Self {
        Builder { rich: true, ..Builder::default() }
    }

    pub(super) fn is_rich(&self) -> bool {
        self.rich
    }

    pub(super) fn mention(&mut self, mention: Mention) {
        if self.rich { self.push(Piece::Mention(Box::new(mention))) } else { self.text(mention.shown()) }
    }

    pub(super) fn push(&mut self, piece: Piece<'a>) {
        self.pieces.push(piece);
    }

    pub(super) fn text(&mut self, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        if !text.is_empty() {
            self.pieces.push(Piece::Text(text));
        }
    }

    /// A link whose label is text.
    pub(super) fn link(&mut self, url: impl Into<Cow<'a, str>>, label: impl Into<Cow<'a, str>>) {
        self.push(Piece::LinkStart(url.into()));
        self.text(label);
        self.push(Piece::LinkEnd);
    }

    /// Takes the marker as the beginning of a style, for now.
    pub(super) fn open(&mut self, marker: &'static str, style: Style) {
        if !self.is_open(marker) {
            self.open.push(Open { marker, style, at: self.pieces.len() });
        }
        self.text(marker);
    }

    pub(super) fn is_open(&self, marker: &str) -> bool {
        self.open.iter().any(|open| open.marker == marker)
    }

    /// Takes the marker as the end of the style that it began, if it began one
    /// and there is something in it.
    pub(super) fn close(&mut self, marker: &str) -> bool {
        let Some(index) = self.open.iter().position(|open| open.marker == marker) else { return false };
        let Open { style, at, .. } = self.open[index];
        if at + 1 == self.pieces.len() {
            return false;
        }
        self.pieces[at] = Piece::Start(style);
        self.push(Piece::End(style));
        // What began within and did not end there is text.
        self.open.truncate(index);
        while self.brackets.pop_if(|bracket| *bracket > at).is_some() {}
        true
    }

    /// Takes the text as the beginning of a link's label, for now.
    pub(super) fn bracket(&mut self, text: &'static str) {
        self.brackets.push(self.pieces.len());
        self.text(text);
    }

    /// Whether a label may end here.
    pub(super) fn in_bracket(&self) -> bool {
        !self.brackets.is_empty()
    }

    /// The innermost bracket ends here, and was none of a link.
    pub(super) fn drop_bracket(&mut self) {
        self.brackets.pop();
    }

    /// Ends the innermost label; its link has no link within.
    pub(super) fn end_link(&mut self, url: Cow<'a, str>) {
        let Some(at) = self.brackets.pop() else { return };
        self.pieces[at] = Piece::LinkStart(url);
        self.push(Piece::LinkEnd);
        self.brackets.clear();
        while self.open.pop_if(|open| open.at > at).is_some() {}
    }

    /// Nothing that is open now can end later.
    pub(super) fn settle(&mut self) {
        self.open.clear();
        self.brackets.clear();
    }

    /// The pieces, as few as say the same: texts side by side are one, and so
    /// are two stretches of one style.
    pub(super) fn finish(self) -> Vec<Piece<'a>> {
        let mut pieces: Vec<Piece<'a>> = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Text(text)), Piece::Text(more)) => text.to_mut().push_str(&more),
                (Some(Piece::End(ended)), Piece::Start(style)) if *ended == style => {
                    pieces.pop();
                }
                (_, piece) => pieces.push(piece),
            }
        }
        pieces
    }

    /// Begins a line, unless one has begun.
    pub(super) fn line(&mut self) {
        if !matches!(self.pieces.last(), None | Some(Piece::Newline | Piece::Line(_))) {
            self.push(Piece::Newline);
        }
    }

    /// Begins a line with an empty one before it, except at the beginning.
    pub(super) fn paragraph(&mut self) {
        self.line();
        if matches!(self.pieces[..], [.., ref before, Piece::Newline] if *before != Piece::Newline) {
            self.push(Piece::Newline);
        }
    }
}

/// Whether a URL may become a link: the schemes that lead to pages and
/// mailboxes. Others are shown, so that none is run and none is a command.
pub(super) fn linkable(url: &str) -> bool {
    ["https://", "http://", "mailto:"].iter().any(|scheme| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && url.len() > scheme.len()
    })
}

/// Whether a label says no more than the URL itself.
pub(super) fn says_url(label: &str, url: &str) -> bool {
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    label.is_empty()
        || bare(label) == bare(url)
        || ["https://", "http://", "mailto:"]
            .iter()
            .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| bare(rest) == bare(label)))
}

/// The character that an entity at the beginning of `text` stands for, and the
/// entity's length.
pub(super) fn entity(text: &str) -> Option<(&'static str, usize)> {
    const ENTITIES: &[(&str, &str)] =
        &[("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", "\u{a0}")];
    ENTITIES.iter().find(|(name, _)| text.starts_with(name)).map(|(name, character)| (*character, name.len()))
}

/// A URL with what would end it in some format percent-encoded.
pub(super) fn encoded_url(url: &str) -> Cow<'_, str> {
    let special =
        |character: char| character.is_whitespace() || character.is_control() || "<>|()\"`\\".contains(character);
    if !url.contains(special) {
        return Cow::Borrowed(url);
    }
    let mut out = String::with_capacity(url.len() + 16);
    for character in url.chars() {
        if special(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Whether a line begins with a box, whether it is ticked, and how long it is.
pub(super) fn checkbox(line: &str) -> Option<(bool, usize)> {
    [("☐ ", false), ("☑ ", true)]
        .into_iter()
        .find(|(mark, _)| line.starts_with(mark))
        .map(|(mark, done)| (done, mark.len()))
}
