//! Markdown of pieces: what is text stays text, whatever characters are in it.

use crate::markup::{
    mention::Dialect,
    pieces::{Line, Piece, Style, encoded_url, linkable, says_url},
};

/// The text, with a newline for every line's end.
pub(in crate::markup) fn write(pieces: &[Piece<'_>]) -> String {
    let mut out = String::new();
    let mut link = None;
    let mut quoted = false;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => {
                let before = index.checked_sub(1).map(|before| &pieces[before]);
                let begins = matches!(before, None | Some(Piece::Newline | Piece::Line(_)));
                escape(&mut out, text, begins);
            }
            Piece::Start(style) | Piece::End(style) => out.push_str(marker(*style)),
            Piece::LinkStart(url) => {
                // Else it would be a picture.
                if out.ends_with('!') {
                    out.insert(out.len() - 1, '\\');
                }
                link = Some((url, out.len()));
                out.push('[');
            }
            Piece::LinkEnd => {
                let Some((url, at)) = link.take() else { continue };
                end_link(&mut out, url, at, label(pieces, index).as_str());
            }
            Piece::Code(text) => code(&mut out, text),
            Piece::Block { language, text } => {
                if !out.is_empty() && !out.ends_with('\n') {
                    out.push('\n');
                }
                let fence = "`".repeat(longest_run(text).max(2) + 1);
                out.push_str(&format!("{fence}{language}\n{text}\n{fence}"));
                if !matches!(pieces.get(index + 1), None | Some(Piece::Newline)) {
                    out.push('\n');
                }
            }
            Piece::Mention(mention) => match mention.native(Dialect::Github) {
                Some(id) => out.push_str(&format!("@{id}")),
                None => escape(&mut out, &mention.shown(), false),
            },
            Piece::Line(line) => {
                quoted = *line == Line::Quote;
                begin_line(&mut out, *line);
            }
            Piece::Newline => {
                out.push('\n');
                // Without an empty line the next one would belong to the quote.
                let next = pieces.get(index + 1);
                if quoted && !matches!(next, None | Some(Piece::Newline | Piece::Line(Line::Quote))) {
                    out.push('\n');
                }
                quoted = false;
            }
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn begin_line(out: &mut String, line: Line) {
    let indent = |depth: u8, width: usize| " ".repeat(usize::from(depth) * width);
    match line {
        Line::Heading(level) => {
            out.push_str(&"#".repeat(usize::from(level.clamp(1, 6))));
            out.push(' ');
        }
        Line::Bullet(depth) => out.push_str(&format!("{}- ", indent(depth, 2))),
        Line::Number(depth, number) => out.push_str(&format!("{}{number}. ", indent(depth, 2))),
        Line::Check(depth, done) => {
            out.push_str(&format!("{}- [{}] ", indent(depth, 2), if done { 'x' } else { ' ' }));
        }
        Line::Quote => out.push_str("> "),
    }
}

fn marker(style: Style) -> &'static str {
    match style {
        Style::Bold => "**",
        Style::Italic => "_",
        Style::Strike => "~~",
    }
}

/// The words of the label that ends at `end`.
fn label(pieces: &[Piece<'_>], end: usize) -> String {
    let words = pieces[..end].iter().rev().take_while(|piece| !matches!(piece, Piece::LinkStart(_)));
    let words: Vec<&str> = words
        .filter_map(|piece| match piece {
            Piece::Text(text) | Piece::Code(text) => Some(&**text),
            _ => None,
        })
        .collect();
    words.into_iter().rev().collect()
}

fn end_link(out: &mut String, url: &str, at: usize, label: &str) {
    let url = encoded_url(url);
    if !linkable(&url) {
        out.remove(at);
        if label.is_empty() {
            escape(out, &url, false);
        } else if !says_url(label, &url) {
            out.push_str(" (");
            escape(out, &url, false);
            out.push(')');
        }
    } else if says_url(label, &url) && is_address(&url) {
        out.truncate(at);
        out.push_str(&format!("<{}>", url.strip_prefix("mailto:").unwrap_or(&url)));
    } else {
        out.push_str(&format!("]({url})"));
    }
}

/// Whether a URL may stand by itself between `<` and `>`: an address without
/// its scheme must still begin like one, or it would be a mention.
fn is_address(url: &str) -> bool {
    let mail = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    mail.is_none() || url[7..].starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn code(out: &mut String, text: &str) {
    let ticks = "`".repeat(longest_run(text) + 1);
    let tick = text.starts_with('`') || text.ends_with('`');
    // A reader takes one space off each end, if there is more than spaces.
    let spaces = text.starts_with(' ') && text.ends_with(' ') && !text.trim().is_empty();
    let pad = if tick || spaces { " " } else { "" };
    out.push_str(&format!("{ticks}{pad}{text}{pad}{ticks}"));
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// Escapes what would be read as formatting; `begins` says that a line begins
/// here. An underscore within a word is no formatting, and readable names
/// matter more than a uniform rule; nor is a list that was typed as one.
fn escape(out: &mut String, text: &str, mut begins: bool) {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        let formatting = match character {
            '*' | '`' | '\\' | '[' | ']' => true,
            '_' | '~' => !(out.ends_with(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric)),
            '#' | '>' | '+' => begins,
            '-' => begins && next != Some(' '),
            _ => false,
        };
        begins &= character == ' ';
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            _ if formatting => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
}
