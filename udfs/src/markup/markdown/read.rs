//! The part of GitHub's Markdown that people use in comments. What is not
//! understood (tables, reference links, HTML other than comments) is text.

use std::borrow::Cow;

use crate::markup::{
    code::code_ranges,
    pieces::{Builder, LIST_DEPTH_MAX, Line, Piece, Style, entity},
    work,
};

/// The longest URL that is looked for behind a label.
const URL_BYTES_MAX: usize = 2_048;
/// Parentheses within a URL, which also bounds the search for its end.
const PARENTHESES_MAX: usize = 32;
/// Quotes within quotes; further signs are text.
const QUOTES_MAX: usize = 16;

/// The pieces of the text. A newline is a line's end, as it is in comments.
pub(in crate::markup) fn read(text: &str) -> Vec<Piece<'_>> {
    read_into(Builder::default(), text)
}

/// The same with tasks as tasks.
pub(in crate::markup) fn read_rich(text: &str) -> Vec<Piece<'_>> {
    read_into(Builder::rich(), text)
}

fn read_into<'a>(mut builder: Builder<'a>, text: &'a str) -> Vec<Piece<'a>> {
    let mut code = code_ranges(text, true).into_iter().peekable();
    let mut comments = true;
    let mut at = line_start(text, 0, &mut builder);
    while at < text.len() {
        if let Some(range) = code.next_if(|range| range.start <= at) {
            // A range may begin within a URL or a prefix that was read.
            if range.start == at {
                read_code(&text[range.clone()], &mut builder);
                at = range.end;
            }
            continue;
        }
        let rest = &text[at..];
        let first = rest.as_bytes()[0];
        work::did(1);
        at += match first {
            b'\n' => {
                // Styles may go over lines, not over paragraphs.
                let next = rest[1..].trim_start_matches([' ', '\t', '\r']);
                work::did(rest.len() - next.len());
                if next.starts_with('\n') {
                    builder.settle();
                }
                builder.push(Piece::Newline);
                at = line_start(text, at + 1, &mut builder);
                0
            }
            b'\\' => read_escape(rest, &mut builder),
            b'&' => {
                let (character, length) = entity(rest).unwrap_or(("&", 1));
                builder.text(character);
                length
            }
            b'*' | b'_' | b'~' => read_run(text, at, &mut builder),
            b'!' if rest.starts_with("![") => {
                builder.bracket("![");
                2
            }
            b'[' => {
                builder.bracket("[");
                1
            }
            b']' => read_label_end(rest, &mut builder),
            b'<' => read_angle(rest, &mut comments, &mut builder),
            b'h' | b'H' if begins_url(text, at) => read_url(rest, &mut builder),
            _ => read_text(rest, &mut builder),
        };
    }
    builder.finish()
}

fn read_text<'a>(rest: &'a str, builder: &mut Builder<'a>) -> usize {
    const SPECIAL: &[char] = &['\n', '\\', '&', '*', '_', '~', '!', '[', ']', '<', '`', 'h', 'H', '\r'];
    let first = rest.chars().next().map_or(1, char::len_utf8);
    let end = rest[first..].find(SPECIAL).map_or(rest.len(), |end| first + end);
    work::did(end);
    builder.text(rest[..end].trim_start_matches('\r'));
    end
}

/// Reads what a line may begin with; answers where the rest begins.
fn line_start(text: &str, mut at: usize, builder: &mut Builder<'_>) -> usize {
    let line = |at: usize| {
        let rest = &text[at..];
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        work::did(line.len());
        (&line[indent..], indent)
    };
    let (mut rest, mut indent) = line(at);
    if rest.starts_with('>') {
        builder.push(Piece::Line(Line::Quote));
        for _ in 0..QUOTES_MAX {
            let Some(quoted) = rest.strip_prefix('>') else { break };
            at += indent + 1 + usize::from(quoted.starts_with(' '));
            (rest, indent) = line(at);
        }
    }
    let depth = u8::try_from(indent / 2).unwrap_or(LIST_DEPTH_MAX).min(LIST_DEPTH_MAX);
    if is_rule(rest) {
        return at + indent + rest.len();
    }
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if (1..=6).contains(&hashes) && rest[hashes..].starts_with(' ') {
        builder.settle();
        builder.push(Piece::Line(Line::Heading(hashes as u8)));
        return at + indent + hashes + 1;
    }
    if rest.starts_with(['-', '*', '+']) && rest[1..].starts_with(' ') {
        builder.settle();
        let task = rest.as_bytes()[2..].first_chunk::<4>().filter(|_| builder.is_rich());
        if let Some([b'[', mark @ (b' ' | b'x' | b'X'), b']', b' ']) = task {
            builder.push(Piece::Line(Line::Check(depth, *mark != b' ')));
            return at + indent + 6;
        }
        builder.push(Piece::Line(Line::Bullet(depth)));
        return at + indent + 2;
    }
    let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    if (1..=9).contains(&digits) && (rest[digits..].starts_with(". ") || rest[digits..].starts_with(") ")) {
        builder.settle();
        builder.push(Piece::Line(Line::Number(depth, rest[..digits].parse().unwrap_or(1))));
        return at + indent + digits + 2;
    }
    at
}

/// Three or more of one of `-`, `*`, `_` alone on a line.
fn is_rule(line: &str) -> bool {
    let marks = line.trim_end();
    let Some(first) = marks.chars().next().filter(|first| "-*_".contains(*first)) else { return false };
    marks.chars().all(|mark| mark == first || mark == ' ') && marks.matches(first).count() >= 3
}

fn read_code<'a>(code: &'a str, builder: &mut Builder<'a>) {
    let ticks = code.bytes().take_while(|byte| *byte == b'`').count();
    let inner = &code[ticks..code.len() - ticks];
    let fence = ticks >= 3 && matches!(builder.pieces.last(), None | Some(Piece::Newline | Piece::Line(_)));
    let Some((language, lines)) = inner.split_once('\n').filter(|_| fence) else {
        // One space either side is there to keep backticks apart.
        let kept = inner.strip_prefix(' ').and_then(|inner| inner.strip_suffix(' '));
        let inner = kept.filter(|kept| !kept.trim().is_empty()).unwrap_or(inner);
        return builder.push(Piece::Code(inner.replace('\n', " ").into()));
    };
    let text = lines.trim_end_matches([' ', '\t']);
    let text = text.strip_suffix('\n').unwrap_or(text);
    builder.push(Piece::Block {
        language: language.split_whitespace().next().unwrap_or_default().into(),
        text: text.into(),
    });
}

fn read_escape<'a>(rest: &'a str, builder: &mut Builder<'a>) -> usize {
    match rest.as_bytes().get(1) {
        Some(escaped) if escaped.is_ascii_punctuation() => {
            builder.text(&rest[1..2]);
            2
        }
        Some(b'\n') => 1,
        _ => {
            builder.text("\\");
            1
        }
    }
}

/// A run of `*`, `_` or `~` begins styles before a word and ends them behind
/// one. Underscores and tildes within a word are letters of it.
fn read_run<'a>(text: &'a str, at: usize, builder: &mut Builder<'a>) -> usize {
    let rest = &text[at..];
    let mark = rest.as_bytes()[0];
    let length = rest.bytes().take_while(|byte| *byte == mark).count();
    work::did(length);
    let before = text[..at].chars().next_back().unwrap_or('\n');
    let after = rest[length..].chars().next().unwrap_or('\n');
    let punctuation = |side: char| !side.is_alphanumeric() && !side.is_whitespace();
    let left = !after.is_whitespace() && (!punctuation(after) || !before.is_alphanumeric());
    let right = !before.is_whitespace() && (!punctuation(before) || !after.is_alphanumeric());
    let in_word = mark != b'*';
    let opens = left && !(in_word && right && !punctuation(before));
    let closes = right && !(in_word && left && !punctuation(after));
    let markers: [(&str, Style); 2] = match mark {
        b'*' => [("**", Style::Bold), ("*", Style::Italic)],
        b'_' => [("__", Style::Bold), ("_", Style::Italic)],
        _ => [("~~", Style::Strike), ("~", Style::Strike)],
    };
    // Longer runs are drawings, not emphasis.
    if length > 3 {
        builder.text(&rest[..length]);
        return length;
    }
    let mut left_over = length;
    if closes {
        // `***x***` opened as bold, then italic: it ends the other way round.
        for (marker, _) in [markers[1], markers[0], markers[1]] {
            let whole = marker.len() == 1 && left_over == 2 && builder.is_open(markers[0].0);
            if left_over >= marker.len() && !whole && builder.close(marker) {
                left_over -= marker.len();
            }
        }
    }
    for (marker, style) in markers {
        if opens && left_over >= marker.len() && !builder.is_open(marker) {
            builder.open(marker, style);
            left_over -= marker.len();
        }
    }
    builder.text(&rest[length - left_over..length]);
    length
}

/// `](url "title")` makes a link of what stands before it.
fn read_label_end<'a>(rest: &'a str, builder: &mut Builder<'a>) -> usize {
    if builder.in_bracket()
        && let Some(inner) = rest.strip_prefix("](")
        && let Some((url, length)) = destination(inner)
    {
        builder.end_link(url);
        return length + 2;
    }
    builder.drop_bracket();
    builder.text("]");
    1
}

/// The URL at the beginning of `text`, and how far its `)` is.
fn destination(text: &str) -> Option<(Cow<'_, str>, usize)> {
    if let Some(inner) = text.strip_prefix('<') {
        let end = inner.find(['<', '>', '\n']).filter(|end| inner[*end..].starts_with('>'))?;
        return inner[end + 1..].starts_with(')').then(|| (Cow::Borrowed(&inner[..end]), end + 3));
    }
    let mut depth = 0;
    for (end, byte) in text.bytes().enumerate().take(URL_BYTES_MAX) {
        work::did(1);
        match byte {
            b'(' if depth == PARENTHESES_MAX => return None,
            b'(' => depth += 1,
            b')' if depth == 0 => return Some((Cow::Borrowed(&text[..end]), end + 1)),
            b')' => depth -= 1,
            b' ' => return title(&text[end..]).map(|length| (Cow::Borrowed(&text[..end]), end + length)),
            b'\n' | b'<' => return None,
            _ => {}
        }
    }
    None
}

/// How long ` "title")` is.
fn title(text: &str) -> Option<usize> {
    let quoted = text.trim_start_matches(' ').strip_prefix('"')?;
    let begun = text.len() - quoted.len();
    let end = quoted.bytes().take(URL_BYTES_MAX).position(|byte| matches!(byte, b'"' | b'\n'));
    work::did(end.unwrap_or(URL_BYTES_MAX.min(quoted.len())));
    let end = end?;
    quoted[end..].starts_with("\")").then_some(begun + end + 2)
}

/// `<https://…>` is a link, `<!-- … -->` is nothing, any other `<` is text.
fn read_angle<'a>(rest: &'a str, comments: &mut bool, builder: &mut Builder<'a>) -> usize {
    if *comments && let Some(inner) = rest.strip_prefix("<!--") {
        let end = inner.find("-->");
        work::did(end.unwrap_or(inner.len()));
        match end {
            Some(end) => return end + 7,
            // Nor will a later one end.
            None => *comments = false,
        }
    }
    let end = rest.bytes().take(URL_BYTES_MAX).skip(1).position(|byte| b"<> \n".contains(&byte));
    work::did(end.unwrap_or(URL_BYTES_MAX.min(rest.len())));
    if let Some(end) = end {
        let inner = &rest[1..=end];
        let (local, domain) = inner.split_once('@').unwrap_or_default();
        let mail = !local.is_empty() && domain.contains('.') && !inner.contains([':', '/', '!']);
        if rest[end + 1..].starts_with('>') && (mail || begins_url(inner, 0)) {
            builder.link(if mail { format!("mailto:{inner}") } else { inner.to_owned() }, inner);
            return end + 2;
        }
    }
    builder.text("<");
    1
}

fn begins_url(text: &str, at: usize) -> bool {
    let begins = |scheme: &str| text.get(at..at + scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    (begins("https://") || begins("http://")) && !text[..at].ends_with(char::is_alphanumeric)
}

/// A URL that stands in the text by itself, without what ends the sentence.
fn read_url<'a>(rest: &'a str, builder: &mut Builder<'a>) -> usize {
    let end = rest.find(|character: char| character.is_whitespace() || "<>[]\"`|".contains(character));
    let url = &rest[..end.unwrap_or(rest.len())];
    work::did(url.len());
    let mut url = url.trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', '\'']);
    let surplus = url.matches(')').count().saturating_sub(url.matches('(').count());
    for _ in 0..surplus {
        let Some(shorter) = url.strip_suffix(')') else { break };
        url = shorter.trim_end_matches(['?', '!', '.', ',', ':', ';', '*', '_', '~', '\'']);
    }
    let scheme_only = url.len() <= "https://".len() || builder.in_bracket();
    if scheme_only {
        builder.text(url)
    } else {
        builder.link(url, url)
    }
    url.len().max(1)
}
