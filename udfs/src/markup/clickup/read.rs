//! Blocks as pieces. What a line is, is said by the block that ends it, in one
//! of two shapes: `{"list": {"list": "bullet"}}` as documented, and
//! `{"list": "bullet"}` as some comments come back.

use std::borrow::Cow;

use serde_json::Value;

use crate::markup::{
    clickup::plain::{block_text, block_url},
    mention::{Dialect, Mention, MentionKind},
    pieces::{Builder, LIST_DEPTH_MAX, Line, Piece, Style},
    rows::LABEL_ROWS_MAX,
    work,
};

/// The pieces of a comment in any of the shapes in which it comes.
pub(in crate::markup) fn read(comment: &Value) -> Vec<Piece<'_>> {
    let mut reader = Reader::default();
    match comment {
        Value::Array(blocks) => reader.blocks(blocks),
        Value::String(text) => reader.text(text, &Value::Null),
        Value::Object(members) => match &comment["comment"] {
            Value::Array(blocks) => reader.blocks(blocks),
            _ if members.contains_key("text") => reader.block(comment),
            _ => {
                let names = ["comment", "text_content", "comment_text"];
                let text = names.iter().find_map(|name| comment[*name].as_str());
                reader.text(text.unwrap_or_default(), &Value::Null);
            }
        },
        _ => {}
    }
    reader.flush();
    reader.done
}

#[derive(Default)]
struct Reader<'a> {
    done: Vec<Piece<'a>>,
    line: Vec<Piece<'a>>,
    /// Code so far, whose next line may yet come.
    code: Option<(Cow<'a, str>, String)>,
    /// The last number given out, by depth.
    numbers: [u32; LIST_DEPTH_MAX as usize + 1],
}

impl<'a> Reader<'a> {
    fn blocks(&mut self, blocks: &'a [Value]) {
        blocks.iter().for_each(|block| self.block(block));
    }

    fn block(&mut self, block: &'a Value) {
        work::did(1);
        let attributes = &block["attributes"];
        match block["type"].as_str().unwrap_or_default() {
            "tag" | "user" => {
                let shown = block_text(block);
                let name = shown.trim_start_matches('@');
                let id = match &block["user"]["id"] {
                    Value::Number(id) => id.to_string(),
                    Value::String(id) => id.clone(),
                    _ => String::new(),
                };
                let mention = Mention::new(Dialect::Clickup, MentionKind::User, &id, name);
                self.line.push(Piece::Mention(Box::new(mention)));
            }
            "" => self.text(block["text"].as_str().unwrap_or_default(), attributes),
            _ => match block_url(block) {
                Some(url) => {
                    let mut builder = Builder::default();
                    builder.link(url, block["text"].as_str().unwrap_or_default().trim());
                    self.line.append(&mut builder.pieces);
                }
                None => self.line.push(Piece::Text(block_text(block).into())),
            },
        }
    }

    fn text(&mut self, text: &'a str, attributes: &'a Value) {
        for (index, words) in text.split('\n').enumerate() {
            work::did(words.len() + 1);
            if index > 0 {
                self.end_line(attributes);
            }
            self.words(words, attributes, index < LABEL_ROWS_MAX);
        }
    }

    fn words(&mut self, words: &'a str, attributes: &'a Value, linked: bool) {
        if words.is_empty() {
            return;
        }
        let set = |name: &str| attributes[name].as_bool().unwrap_or(false);
        let mut builder = Builder::default();
        let styles: Vec<Style> = [
            (set("bold"), Style::Bold),
            (set("italic"), Style::Italic),
            (set("strike") || set("strikethrough"), Style::Strike),
        ]
        .into_iter()
        .filter_map(|(set, style)| set.then_some(style))
        .collect();
        styles.iter().for_each(|style| builder.push(Piece::Start(*style)));
        let url = attributes["link"].as_str().or_else(|| attributes["link"]["url"].as_str());
        let url = url.filter(|_| linked);
        if let Some(url) = url {
            builder.push(Piece::LinkStart(url.into()));
        }
        builder.push(if set("code") { Piece::Code(words.into()) } else { Piece::Text(words.into()) });
        if url.is_some() {
            builder.push(Piece::LinkEnd);
        }
        styles.iter().rev().for_each(|style| builder.push(Piece::End(*style)));
        self.line.append(&mut builder.pieces);
    }

    fn end_line(&mut self, attributes: &'a Value) {
        if let Some(language) = nested(attributes, "code-block") {
            let language = if matches!(language, "plain" | "true") { "" } else { language };
            let line: String = std::mem::take(&mut self.line)
                .into_iter()
                .filter_map(|piece| match piece {
                    Piece::Text(text) | Piece::Code(text) => Some(text.into_owned()),
                    Piece::Mention(mention) => Some(mention.shown()),
                    _ => None,
                })
                .collect();
            match &mut self.code {
                Some((known, code)) if *known == language => {
                    code.push('\n');
                    code.push_str(&line);
                }
                _ => {
                    self.end_code();
                    self.code = Some((language.into(), line));
                }
            }
            return;
        }
        self.end_code();
        let depth = attributes["indent"].as_u64().unwrap_or(0).min(u64::from(LIST_DEPTH_MAX)) as u8;
        let list = nested(attributes, "list");
        if list != Some("ordered") {
            let from = if list.is_some() { usize::from(depth) } else { 0 };
            self.numbers[from..].fill(0);
        }
        if !matches!(attributes["blockquote"], Value::Null | Value::Bool(false)) {
            self.done.push(Piece::Line(Line::Quote));
        }
        match list {
            Some("ordered") => {
                self.numbers[usize::from(depth) + 1..].fill(0);
                let number = &mut self.numbers[usize::from(depth)];
                *number = number.saturating_add(1);
                self.done.push(Piece::Line(Line::Number(depth, *number)));
            }
            Some("checked") => self.done.push(Piece::Line(Line::Check(depth, true))),
            Some("unchecked") => self.done.push(Piece::Line(Line::Check(depth, false))),
            Some(_) => self.done.push(Piece::Line(Line::Bullet(depth))),
            None => {
                let header = &attributes["header"];
                let level = header.as_u64().or_else(|| header["header"].as_u64());
                if let Some(level) = level.filter(|level| *level > 0) {
                    self.done.push(Piece::Line(Line::Heading(level.min(6) as u8)));
                }
            }
        }
        self.done.append(&mut self.line);
        self.done.push(Piece::Newline);
    }

    fn end_code(&mut self) {
        if let Some((language, text)) = self.code.take() {
            self.done.push(Piece::Block { language, text: text.into() });
            self.done.push(Piece::Newline);
        }
    }

    /// The end of the comment ends a line that nothing else ended.
    fn flush(&mut self) {
        self.end_code();
        self.done.append(&mut self.line);
    }
}

/// An attribute's value in either shape.
fn nested<'a>(attributes: &'a Value, name: &str) -> Option<&'a str> {
    match &attributes[name] {
        Value::String(value) => Some(value),
        Value::Object(_) => Some(attributes[name][name].as_str().unwrap_or_default()),
        Value::Bool(true) => Some("true"),
        _ => None,
    }
}
