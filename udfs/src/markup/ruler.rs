//! How much room text takes in a format: never less than it really takes, in
//! the unit in which limits are counted. That is one of UTF-16, which is at
//! least a character, for text, and the same of the JSON for documents.

use super::{
    mention::Dialect,
    rows::{Kind, Row, Span, What},
    work,
};

/// Measures for one format and size of a part.
pub(super) struct Ruler {
    pub(super) dialect: Dialect,
    /// What a part's own text may take.
    pub(super) room: usize,
}

impl Ruler {
    /// A character of text, escaped and disarmed.
    pub(super) fn character(&self, character: char, code: bool) -> usize {
        let units = character.len_utf16();
        match self.dialect {
            Dialect::Slack => match character {
                '&' => 5,
                '<' | '>' => 4,
                '@' => 2,
                _ => units,
            },
            Dialect::Markdown | Dialect::Github if code => match character {
                // The fence is longer than the longest run.
                '`' => 3,
                _ => units,
            },
            Dialect::Markdown | Dialect::Github => match character {
                '&' => 5,
                '<' => 4,
                '@' => 2,
                _ if character.is_ascii_punctuation() => 2,
                _ => units,
            },
            Dialect::Clickup | Dialect::Jira => match character {
                '"' | '\\' | '@' => 2,
                // A line of code is an entry of its own in ClickUp's lists.
                '\n' if self.dialect == Dialect::Clickup => self.line_of_code(),
                _ if character.is_control() => 6,
                _ => units,
            },
        }
    }

    /// What a row takes besides its spans: what it begins with and the newline.
    pub(super) fn row(&self, row: &Row) -> usize {
        let depth = usize::from(row.depth().unwrap_or(0));
        if let Kind::Code { language, .. } = &row.kind {
            let language = self.text(language, false);
            return match self.dialect {
                Dialect::Slack => 10,
                Dialect::Markdown | Dialect::Github => 12 + language,
                // The language is said with every line: see `line_of_code`.
                Dialect::Clickup => 2 * self.line_of_code() + language,
                Dialect::Jira => 120 + language,
            };
        }
        match self.dialect {
            Dialect::Slack => 18 + 4 * depth,
            Dialect::Markdown | Dialect::Github => 24 + 2 * depth,
            Dialect::Clickup => 100,
            // A level that is begun anew is a list, an item and a paragraph.
            Dialect::Jira => 240 + 160 * depth,
        }
    }

    /// What a span takes besides its text, unless its link is open already.
    pub(super) fn span(&self, span: &Span, linked: bool) -> usize {
        let url = span.link.as_ref().map_or(0, |url| self.url(url));
        match self.dialect {
            Dialect::Slack => 8 + if linked { 0 } else { url + 3 },
            Dialect::Markdown | Dialect::Github => 16 + if linked { 0 } else { url + 4 },
            Dialect::Clickup => 120 + url,
            Dialect::Jira => 220 + url,
        }
    }

    /// All of the text.
    pub(super) fn text(&self, text: &str, code: bool) -> usize {
        text.chars().map(|character| self.character(character, code)).sum()
    }

    /// Whether every span of a link says its URL.
    pub(super) fn repeats_links(&self) -> bool {
        matches!(self.dialect, Dialect::Clickup | Dialect::Jira)
    }

    /// Whether a link to here leaves most of a part to words.
    pub(super) fn fits_link(&self, url: &str) -> bool {
        self.url(url) <= self.room / 8
    }

    /// What is never cut: mentions, and links and code that leave room.
    pub(super) fn is_whole(&self, spans: &[Span]) -> Option<usize> {
        let first = spans.first()?;
        let most = self.room / 2;
        let (mut taken, mut linked) = (0, false);
        match (&first.link, &first.what) {
            (Some(link), _) => {
                for span in spans.iter().take_while(|span| span.link.as_ref() == Some(link)) {
                    taken += self.whole(span, linked, most.saturating_sub(taken))?;
                    linked = true;
                }
                Some(taken)
            }
            (None, What::Text) => None,
            (None, _) => self.whole(first, false, most),
        }
    }

    fn whole(&self, span: &Span, linked: bool, most: usize) -> Option<usize> {
        // No character takes nothing.
        let code = span.what == What::Code;
        let mut taken = self.span(span, linked);
        for character in span.text.chars() {
            work::did(1);
            taken += self.character(character, code);
            if taken > most {
                return None;
            }
        }
        (taken <= most).then_some(taken)
    }

    fn url(&self, url: &str) -> usize {
        self.text(url, false)
    }

    fn line_of_code(&self) -> usize {
        140
    }
}

/// The size in the unit of limits.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}
