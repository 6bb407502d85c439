//! What CommonMark says of the Markdown that people and models write, by
//! pulldown-cmark: our reader must say the same of it.
//!
//! The generated texts keep to where the two mean to agree. Ours differs on
//! purpose where comments are not pages: a newline ends a line, bare URLs are
//! links, items are as deep as they are indented and have the numbers that were
//! typed.

use proptest::prelude::*;
use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::markup::{
    pieces::{Builder, Line, Piece, Style},
    rows::{canonical, of_pieces},
};

/// Collects pieces from pulldown-cmark's events; lines are counted in the text.
#[derive(Default)]
struct Reader<'a> {
    builder: Builder<'a>,
    /// Newlines before here are pieces.
    read_to: usize,
    quoted: bool,
    lists: Vec<Option<u64>>,
    /// What the line begins with, until it is known whether it is a task.
    line: Option<Line>,
    block: Option<(String, String)>,
}

impl<'a> Reader<'a> {
    fn begin(&mut self, text: &str, at: usize) {
        if at > self.read_to {
            for _ in text[self.read_to..at].matches('\n') {
                self.builder.push(Piece::Newline);
            }
            self.read_to = at;
        }
        if self.quoted && matches!(self.builder.pieces.last(), None | Some(Piece::Newline)) {
            self.builder.push(Piece::Line(Line::Quote));
        }
    }

    fn words(&mut self, piece: Piece<'a>) {
        if let Some(line) = self.line.take() {
            self.builder.push(Piece::Line(line));
        }
        self.builder.push(piece);
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::BlockQuote(_) => self.quoted = true,
            Tag::List(first) => self.lists.push(first),
            Tag::Item => {
                let depth = self.lists.len() as u8 - 1;
                self.line = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        Line::Number(depth, *number as u32 - 1)
                    }
                    _ => Line::Bullet(depth),
                });
            }
            Tag::Heading { level, .. } => self.line = Some(Line::Heading(level as u8)),
            Tag::CodeBlock(CodeBlockKind::Fenced(language)) => self.block = Some((language.into(), String::new())),
            Tag::Emphasis => self.words(Piece::Start(Style::Italic)),
            Tag::Strong => self.words(Piece::Start(Style::Bold)),
            Tag::Strikethrough => self.words(Piece::Start(Style::Strike)),
            Tag::Link { link_type: LinkType::Email, dest_url, .. } => {
                self.words(Piece::LinkStart(format!("mailto:{dest_url}").into()));
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.words(Piece::LinkStart(dest_url.into_string().into()));
            }
            Tag::Paragraph => {}
            other => panic!("not in these texts: {other:?}"),
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) => self.quoted = false,
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::CodeBlock => {
                let (language, text) = self.block.take().expect("a block has begun");
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                self.builder.push(Piece::Block { language: language.into(), text: text.into() });
            }
            TagEnd::Emphasis => self.words(Piece::End(Style::Italic)),
            TagEnd::Strong => self.words(Piece::End(Style::Bold)),
            TagEnd::Strikethrough => self.words(Piece::End(Style::Strike)),
            TagEnd::Link | TagEnd::Image => self.words(Piece::LinkEnd),
            _ => {}
        }
    }

    fn text(&mut self, text: &CowStr<'_>) {
        match &mut self.block {
            Some((_, lines)) => lines.push_str(text),
            None => self.words(Piece::Text(text.to_string().into())),
        }
    }
}

fn by_commonmark(text: &str) -> Vec<Piece<'_>> {
    let mut reader = Reader { builder: Builder::rich(), ..Reader::default() };
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let is_end = matches!(event, Event::End(_));
        if !is_end && reader.block.is_none() && !matches!(event, Event::Start(Tag::BlockQuote(_))) {
            reader.begin(text, range.start);
        }
        match event {
            Event::Start(tag) => reader.start(tag),
            Event::End(TagEnd::CodeBlock) => {
                reader.end(TagEnd::CodeBlock);
                reader.read_to = range.end;
            }
            Event::End(tag) => reader.end(tag),
            Event::Text(words) => reader.text(&words),
            Event::Code(code) => reader.words(Piece::Code(code.into_string().into())),
            Event::TaskListMarker(done) => {
                if let Some(Line::Bullet(depth)) = reader.line {
                    reader.line = Some(Line::Check(depth, done));
                }
            }
            Event::InlineHtml(_) | Event::SoftBreak => {}
            other => panic!("not in these texts: {other:?}"),
        }
    }
    reader.builder.finish()
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé]{1,6}( [a-z0-9]{1,5}){0,2}[.,:!?]?"
}

fn inline() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => words(),
        1 => ("(\\*\\*|__|\\*|_|~~|~)", words()).prop_map(|(mark, words)| format!("{mark}{words}{mark}")),
        1 => words().prop_map(|words| format!("**{words} _so_ and `x`**")),
        1 => ("(`|``)", "[a-z*_<&\\\\\\[]{1,5}").prop_map(|(mark, code)| format!("{mark}{code}{mark}")),
        1 => (words(), "(| \"a title\")").prop_map(|(label, title)| format!("[**{label}** x](https://x.y/a_(b)?c=1&d_e{title})")),
        1 => words().prop_map(|label| format!("![{label}](<https://x.y/i.png>)")),
        1 => Just("<https://x.y/a_b> <ada@x.y>".to_owned()),
        1 => Just("snake_case_name 2 * 3 a*b*c (_x_)".to_owned()),
        1 => Just("\\*no\\* \\_no\\_ \\[x\\] &lt;b&gt; &amp; AT&T [x] a]b".to_owned()),
        1 => Just("<!-- hidden -->".to_owned()),
    ]
}

/// A line that begins and ends with a word, so that it begins no other block.
fn line() -> impl Strategy<Value = String> {
    proptest::collection::vec(inline(), 0..4).prop_map(|parts| format!("w {} w", parts.join(" ")))
}

fn block() -> impl Strategy<Value = String> {
    let lines = |mark: &'static str| {
        proptest::collection::vec(line(), 1..3)
            .prop_map(move |lines| lines.iter().map(|line| format!("{mark}{line}")).collect::<Vec<_>>().join("\n"))
    };
    prop_oneof![
        3 => lines(""),
        1 => (1_usize..=6, line()).prop_map(|(level, line)| format!("{} {line}", "#".repeat(level))),
        1 => ("[-*+]", line(), line(), line()).prop_map(|(mark, one, two, deep)| format!("{mark} {one}\n  {mark} {deep}\n{mark} {two}")),
        1 => (1_u32..50, "[.)]", line(), line()).prop_map(|(first, end, one, two)| format!("w\n\n{first}{end} {one}\n{}{end} {two}", first + 1)),
        1 => (line(), line()).prop_map(|(one, two)| format!("- [ ] {one}\n- [x] {two}")),
        1 => lines("> "),
        1 => ("(|rust|c\\+\\+)", "[a-z*_<&>#-]{1,8}(\n[ a-z*_<&>]{0,8}x){0,3}").prop_map(|(language, code)| format!("```{language}\n{code}\n```")),
    ]
}

proptest! {
    /// Both read the same lines, styles, links and code.
    #[test]
    fn common_markdown_is_read_as_commonmark_says(blocks in proptest::collection::vec(block(), 1..6)) {
        let text = blocks.join("\n\n");
        let (ours, theirs) = (of_pieces(super::read_rich(&text)), of_pieces(by_commonmark(&text)));
        prop_assert_eq!(canonical(ours), canonical(theirs), "{}", text);
    }
}
