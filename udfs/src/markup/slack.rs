//! Slack's mrkdwn, read and written.

use std::borrow::Cow;

use super::{
    Names,
    code::code_ranges,
    mention::{Dialect, Mention, MentionKind},
    pieces::{self, Builder, LIST_DEPTH_MAX, Line, Piece, Style, encoded_url, entity, linkable, says_url},
    work,
};

/// The pieces of mrkdwn as Slack's events carry it: `<`, `>` and `&` of the
/// text itself are entities there, so that every `<` begins a token.
pub(super) fn read<'a>(text: &'a str, names: &dyn Names) -> Vec<Piece<'a>> {
    read_into(Builder::default(), text, names)
}

/// The same with mentions and numbered lines as what they are.
pub(super) fn read_rich<'a>(text: &'a str, names: &dyn Names) -> Vec<Piece<'a>> {
    read_into(Builder::rich(), text, names)
}

fn read_into<'a>(mut builder: Builder<'a>, text: &'a str, names: &dyn Names) -> Vec<Piece<'a>> {
    let mut code = code_ranges(text, false).into_iter().peekable();
    let mut at = line_start(text, 0, &mut builder);
    while at < text.len() {
        if let Some(range) = code.next_if(|range| range.start <= at) {
            // A range may begin within a token or a prefix that was read.
            if range.start == at {
                read_code(&text[range.clone()], names, &mut builder);
                at = range.end;
            }
            continue;
        }
        let rest = &text[at..];
        work::did(1);
        match rest.as_bytes()[0] {
            b'\n' => {
                builder.settle();
                builder.push(Piece::Newline);
                at = line_start(text, at + 1, &mut builder);
            }
            b'<' if token(rest).is_some() => {
                let inner = token(rest).unwrap_or_default();
                read_token(inner, names, &mut builder);
                at += inner.len() + 2;
            }
            b'&' if entity(rest).is_some() => {
                let (character, length) = entity(rest).unwrap_or_default();
                builder.text(character);
                at += length;
            }
            b'*' => at += read_marker(text, at, "*", Style::Bold, &mut builder),
            b'_' => at += read_marker(text, at, "_", Style::Italic, &mut builder),
            b'~' => at += read_marker(text, at, "~", Style::Strike, &mut builder),
            _ => {
                let first = rest.chars().next().map_or(1, char::len_utf8);
                let end =
                    rest[first..].find(['\n', '<', '&', '*', '_', '~', '`']).map_or(rest.len(), |end| first + end);
                work::did(end);
                builder.text(&rest[..end]);
                at += end;
            }
        }
    }
    builder.finish()
}

/// Reads what a line may begin with; answers where the rest begins.
fn line_start(text: &str, mut at: usize, builder: &mut Builder<'_>) -> usize {
    for quote in ["&gt;&gt;&gt;", "&gt;", ">"] {
        // Events have the entity; what is posted may have the sign.
        if text[at..].starts_with(quote) && (quote != ">" || builder.is_rich()) {
            builder.push(Piece::Line(Line::Quote));
            at += quote.len();
            at += usize::from(text[at..].starts_with(' '));
            break;
        }
    }
    let line = text[at..].trim_start_matches(' ');
    let indent = text.len() - at - line.len();
    work::did(indent + 1);
    for bullet in ["• ", "◦ ", "▪ ", "▪︎ "] {
        if line.starts_with(bullet) {
            let depth = u8::try_from(indent / 4).unwrap_or(LIST_DEPTH_MAX).min(LIST_DEPTH_MAX);
            builder.push(Piece::Line(Line::Bullet(depth)));
            return at + indent + bullet.len();
        }
    }
    if builder.is_rich() {
        return rich_line_start(text, at, indent, builder);
    }
    at
}

/// Numbers and boxes, which mrkdwn has only as characters.
fn rich_line_start(text: &str, at: usize, indent: usize, builder: &mut Builder<'_>) -> usize {
    let line = &text[at + indent..];
    let depth = u8::try_from(indent / 4).unwrap_or(LIST_DEPTH_MAX).min(LIST_DEPTH_MAX);
    if let Some((done, length)) = pieces::checkbox(line) {
        builder.push(Piece::Line(Line::Check(depth, done)));
        return at + indent + length;
    }
    let digits = line.bytes().take(10).take_while(u8::is_ascii_digit).count();
    if (1..=9).contains(&digits) && line[digits..].starts_with(". ") {
        builder.push(Piece::Line(Line::Number(depth, line[..digits].parse().unwrap_or(1))));
        return at + indent + digits + 2;
    }
    at
}

/// A marker stands at the edge of a word: it begins a style before one and ends
/// it behind one. Anywhere else it is text.
fn read_marker(text: &str, at: usize, marker: &'static str, style: Style, builder: &mut Builder<'_>) -> usize {
    let before = text[..at].chars().next_back().unwrap_or('\n');
    let after = text[at + 1..].chars().next().unwrap_or('\n');
    let closes = !before.is_whitespace() && !after.is_alphanumeric() && builder.close(marker);
    if !closes {
        let opens = !before.is_alphanumeric() && !after.is_whitespace() && !after.is_control();
        if opens { builder.open(marker, style) } else { builder.text(marker) }
    }
    1
}

/// What stands between `<` and `>`, if that is a token.
pub(super) fn token(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('<')?;
    let end = inner.find(['<', '>', '\n']);
    work::did(end.unwrap_or(inner.len()) + 1);
    let end = end?;
    (end > 0 && inner[end..].starts_with('>')).then(|| &inner[..end])
}

fn read_token<'a>(inner: &'a str, names: &dyn Names, builder: &mut Builder<'a>) {
    let (target, label) = inner.split_once('|').map_or((inner, None), |(target, label)| (target, Some(label)));
    let label = label.filter(|label| !label.is_empty()).map(unescape);
    let bare = |name: &str, sign: char| name.strip_prefix(sign).unwrap_or(name).to_owned();
    let named = |kind: MentionKind, known: Option<String>, label: Option<Cow<'a, str>>, id: &str| {
        let name = known.or_else(|| label.map(|label| bare(&label, kind.sign()))).unwrap_or_else(|| id.to_owned());
        Mention::new(Dialect::Slack, kind, id, &name)
    };
    if let Some(id) = target.strip_prefix('@') {
        builder.mention(named(MentionKind::User, names.user(id), label, id));
    } else if let Some(id) = target.strip_prefix('#') {
        builder.mention(named(MentionKind::Channel, names.channel(id), label, id));
    } else if let Some(id) = target.strip_prefix("!subteam^") {
        builder.mention(named(MentionKind::Group, names.group(id), label, id));
    } else if let Some(command) = target.strip_prefix('!') {
        match (command, label) {
            ("here" | "channel" | "everyone", _) => {
                builder.mention(Mention::new(Dialect::Slack, MentionKind::Everyone, command, command));
            }
            (_, Some(fallback)) => builder.text(fallback),
            (_, None) => builder.text(format!("@{command}")),
        }
    } else {
        let url = unescape(target);
        let label = label.unwrap_or_else(|| Cow::Owned(url.strip_prefix("mailto:").unwrap_or(&url).to_owned()));
        builder.link(url, label);
    }
}

/// Code: three backticks make lines of it. Even in code, Slack writes entities
/// and marks URLs.
fn read_code<'a>(code: &'a str, names: &dyn Names, builder: &mut Builder<'a>) {
    let ticks = code.bytes().take_while(|byte| *byte == b'`').count();
    let inner = &code[ticks..code.len() - ticks];
    let inner = if inner.contains('<') { without_tokens(inner, names).into() } else { unescape(inner) };
    if ticks < 3 {
        builder.push(Piece::Code(inner));
        return;
    }
    let trimmed = inner.strip_prefix('\n').unwrap_or(&inner);
    let text = Cow::Owned(trimmed.strip_suffix('\n').unwrap_or(trimmed).to_owned());
    builder.push(Piece::Block { language: "".into(), text });
}

fn without_tokens(code: &str, names: &dyn Names) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find('<') {
        out.push_str(&unescape(&rest[..at]));
        rest = &rest[at..];
        let length = match token(rest) {
            Some(inner) => {
                let mut builder = Builder::default();
                read_token(inner, names, &mut builder);
                for piece in &builder.pieces {
                    if let Piece::Text(text) = piece {
                        out.push_str(text);
                    }
                }
                inner.len() + 2
            }
            None => {
                out.push('<');
                1
            }
        };
        rest = &rest[length..];
    }
    out.push_str(&unescape(rest));
    out
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (character, length) = entity(&rest[at..]).unwrap_or(("&", 1));
        out.push_str(character);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// mrkdwn of pieces, as `chat.postMessage` takes it.
pub(super) fn write(pieces: &[Piece<'_>]) -> String {
    let mut out = String::new();
    let mut link: Option<(&str, String)> = None;
    let mut heading = false;
    for piece in pieces {
        // A label is plain text in Slack.
        if let Some((url, label)) = &mut link {
            match piece {
                Piece::Text(text) | Piece::Code(text) => label.push_str(text),
                Piece::Mention(mention) => label.push_str(&mention.shown()),
                Piece::LinkEnd => {
                    write_link(&mut out, url, label);
                    link = None;
                }
                _ => {}
            }
            continue;
        }
        match piece {
            Piece::Text(text) => escape(&mut out, text),
            Piece::LinkStart(url) => link = Some((url, String::new())),
            Piece::Start(Style::Bold) | Piece::End(Style::Bold) if heading => {}
            Piece::Start(style) | Piece::End(style) => out.push(marker(*style)),
            Piece::Code(text) => {
                out.push('`');
                escape(&mut out, &text.replace('`', "'"));
                out.push('`');
            }
            Piece::Block { text, .. } => {
                out.push_str("```\n");
                escape(&mut out, &text.replace("```", "'''"));
                out.push_str("\n```");
            }
            Piece::Line(Line::Heading(_)) => {
                heading = true;
                out.push('*');
            }
            Piece::Line(Line::Bullet(depth)) => {
                out.push_str(&"    ".repeat(usize::from(*depth)));
                out.push_str("• ");
            }
            Piece::Line(Line::Number(depth, number)) => {
                out.push_str(&"    ".repeat(usize::from(*depth)));
                out.push_str(&format!("{number}. "));
            }
            Piece::Line(Line::Check(depth, done)) => {
                out.push_str(&"    ".repeat(usize::from(*depth)));
                out.push_str(if *done { "☑ " } else { "☐ " });
            }
            Piece::Line(Line::Quote) => out.push_str("> "),
            Piece::Mention(mention) => match mention.native(Dialect::Slack) {
                Some(id) => out.push_str(&format!("<@{id}>")),
                None => escape(&mut out, &mention.shown()),
            },
            Piece::LinkEnd => {}
            Piece::Newline => {
                if std::mem::take(&mut heading) {
                    end_heading(&mut out);
                }
                out.push('\n');
            }
        }
    }
    if heading {
        end_heading(&mut out);
    }
    out.truncate(out.trim_end().len());
    out
}

/// A style ends behind a word, or is none.
fn end_heading(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('*');
}

fn write_link(out: &mut String, url: &str, label: &str) {
    if !linkable(url) {
        escape(out, if label.is_empty() { url } else { label });
        if !says_url(label, url) {
            out.push_str(" (");
            escape(out, url);
            out.push(')');
        }
        return;
    }
    out.push('<');
    escape(out, &encoded_url(url));
    if !says_url(label, url) {
        out.push('|');
        escape(out, label);
    }
    out.push('>');
}

fn marker(style: Style) -> char {
    match style {
        Style::Bold => '*',
        Style::Italic => '_',
        Style::Strike => '~',
    }
}

fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push(character),
        }
    }
}
