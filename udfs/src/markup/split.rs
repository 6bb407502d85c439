//! Cuts rows into parts: at the end of a paragraph if there is one in the
//! second half of the room, else of a line, a sentence, a word, a character.
//! Each part says its share by itself, since rows and spans leave nothing open.
//! Linear: a part takes at least a quarter of the room or an end, and no more
//! than the room is looked at again.

use super::{
    rows::{Kind, Row, Span, What, canonical},
    ruler::Ruler,
    work,
};

/// Where a cut can be: before this byte of this span of this row. In code, the
/// byte is one of the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct At {
    row: usize,
    span: usize,
    byte: usize,
}

/// What ends at a cut, the least first.
const CHARACTER: usize = 0;
const WORD: usize = 1;
const SENTENCE: usize = 2;
const LINE: usize = 3;
const PARAGRAPH: usize = 4;

/// The parts, none of which is empty; none at all of nothing.
pub(super) fn split(rows: &[Row], ruler: &Ruler) -> Vec<Vec<Row>> {
    let mut parts = Vec::new();
    let mut from = At::default();
    while from.row < rows.len() {
        let to = Walk::new(rows, ruler, from).end();
        let part = canonical(slice(rows, from, to));
        if !part.is_empty() {
            parts.push(part);
        }
        from = to;
    }
    parts
}

/// One part, looked for from its beginning.
struct Walk<'r> {
    rows: &'r [Row],
    ruler: &'r Ruler,
    from: At,
    taken: usize,
    /// The last cut of each kind, and what was taken before it.
    cuts: [Option<(At, usize)>; 5],
}

/// The room is used up.
struct Full;

impl<'r> Walk<'r> {
    fn new(rows: &'r [Row], ruler: &'r Ruler, from: At) -> Self {
        Walk { rows, ruler, from, taken: 0, cuts: [None; 5] }
    }

    /// Where the part ends.
    fn end(mut self) -> At {
        for row in self.from.row..self.rows.len() {
            if self.row(row).is_err() {
                return self.best();
            }
        }
        At { row: self.rows.len(), ..At::default() }
    }

    fn best(&self) -> At {
        let room = self.ruler.room;
        let after = |kind: usize, least: usize| self.cuts[kind].filter(|(_, taken)| *taken >= least);
        let good = (SENTENCE..=PARAGRAPH).rev().find_map(|kind| after(kind, room / 2));
        let found = good.or_else(|| (WORD..=PARAGRAPH).rev().find_map(|kind| after(kind, room / 4)));
        let found = found.or_else(|| self.cuts.iter().flatten().max().copied());
        // No row is so costly that not even a character of it fits.
        found.map_or(At { row: self.from.row + 1, ..At::default() }, |(at, _)| at)
    }

    fn take(&mut self, cost: usize) -> Result<(), Full> {
        self.taken += cost;
        if self.taken > self.ruler.room { Err(Full) } else { Ok(()) }
    }

    fn cut(&mut self, kind: usize, at: At) {
        if at > self.from {
            self.cuts[kind] = Some((at, self.taken));
        }
    }

    fn row(&mut self, index: usize) -> Result<(), Full> {
        let row = &self.rows[index];
        let begins = At { row: index, ..At::default() };
        let apart = row.is_blank() || matches!(row.kind, Kind::Heading(_) | Kind::Code { .. });
        self.cut(if apart { PARAGRAPH } else { LINE }, begins);
        self.take(self.ruler.row(row))?;
        let from = self.from.max(begins);
        if let Kind::Code { text, .. } = &row.kind {
            return self.code(text, from);
        }
        let mut linked = false;
        let mut at = from;
        while let Some(span) = row.spans.get(at.span) {
            // What was found too long is not measured again with every span.
            if at.byte == 0
                && !linked
                && let Some(cost) = self.ruler.is_whole(&row.spans[at.span..])
            {
                let whole = whole_spans(&row.spans[at.span..]);
                work::did(whole);
                self.cut(CHARACTER, at);
                self.take(cost)?;
                at.span += whole;
                continue;
            }
            self.take(self.ruler.span(span, linked)).inspect_err(|_| self.cut_anyhow(at))?;
            self.text(span, at)?;
            linked = row.spans.get(at.span + 1).is_some_and(|next| next.link.is_some() && next.link == span.link);
            at = At { span: at.span + 1, byte: 0, ..at };
        }
        Ok(())
    }

    fn text(&mut self, span: &Span, from: At) -> Result<(), Full> {
        let code = span.what == What::Code;
        let mut before = span.text[..from.byte].chars().next_back();
        let mut ended = false;
        for (offset, character) in span.text[from.byte..].char_indices() {
            let at = At { byte: from.byte + offset, ..from };
            work::did(1);
            // A cut before white space would leave it to the next part.
            let space = character.is_whitespace();
            if !space {
                match before {
                    Some(last) if last.is_whitespace() => self.cut(if ended { SENTENCE } else { WORD }, at),
                    Some('。' | '！' | '？') => self.cut(SENTENCE, at),
                    Some(last) if joined(last, character) => {}
                    _ => self.cut(CHARACTER, at),
                }
                ended = matches!(character, '.' | '!' | '?' | '…' | ':' | ';');
            }
            before = Some(character);
            self.take(self.ruler.character(character, code)).inspect_err(|_| self.cut_anyhow(at))?;
        }
        Ok(())
    }

    fn code(&mut self, text: &str, from: At) -> Result<(), Full> {
        let mut before = None;
        for (offset, character) in text[from.byte..].char_indices() {
            let at = At { byte: from.byte + offset, ..from };
            work::did(1);
            match before {
                Some('\n') => self.cut(SENTENCE, at),
                Some(last) if joined(last, character) => {}
                _ => self.cut(CHARACTER, at),
            }
            before = Some(character);
            self.take(self.ruler.character(character, true)).inspect_err(|_| self.cut_anyhow(at))?;
        }
        Ok(())
    }

    /// Characters that belong together and fill a part are cut all the same.
    fn cut_anyhow(&mut self, at: At) {
        if self.cuts.iter().flatten().all(|(_, taken)| *taken < self.ruler.room / 4) {
            self.cut(CHARACTER, at);
        }
    }
}

/// How many spans a whole is.
fn whole_spans(spans: &[Span]) -> usize {
    let link = spans.first().and_then(|span| span.link.as_ref());
    link.map_or(1, |link| spans.iter().take_while(|span| span.link.as_ref() == Some(link)).count())
}

/// Whether two characters make one sign.
fn joined(before: char, character: char) -> bool {
    let mark = |character: char| {
        matches!(character,
            '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
    };
    let flag = |character: char| matches!(character, '\u{1f1e6}'..='\u{1f1ff}');
    before == '\u{200d}' || mark(character) || (flag(before) && flag(character))
}

/// The rows from one place to another. What goes on behind a cut is the same
/// kind of row, but no second item.
fn slice(rows: &[Row], from: At, to: At) -> Vec<Row> {
    let last = rows.len().min(if to.span == 0 && to.byte == 0 { to.row } else { to.row + 1 });
    let mut out = Vec::with_capacity(last - from.row);
    for (index, row) in rows.iter().enumerate().take(last).skip(from.row) {
        let begin = if index == from.row { (from.span, from.byte) } else { (0, 0) };
        let end = if index == to.row { Some((to.span, to.byte)) } else { None };
        let goes_on = begin != (0, 0);
        let kind = match &row.kind {
            Kind::Code { language, text } => {
                let text = &text[begin.1..end.map_or(text.len(), |end| end.1)];
                let text = if end.is_some() { text.strip_suffix('\n').unwrap_or(text) } else { text };
                Kind::Code { language: language.clone(), text: text.to_owned() }
            }
            Kind::Heading(level) => Kind::Heading(*level),
            _ if goes_on => Kind::Plain,
            kind => kind.clone(),
        };
        let mut spans = Vec::new();
        for (number, span) in row.spans.iter().enumerate().skip(begin.0) {
            let first = if number == begin.0 { begin.1 } else { 0 };
            let behind = match end {
                Some((last, _)) if number > last => break,
                Some((last, byte)) if number == last => byte,
                _ => span.text.len(),
            };
            if first < behind {
                spans.push(span.saying(&span.text[first..behind]));
            }
        }
        work::did(spans.len() + 1);
        out.push(Row { quoted: row.quoted, kind, spans });
    }
    out
}
