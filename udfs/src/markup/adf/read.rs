//! Jira's documents (Atlassian Document Format), read.

use serde_json::Value;

use crate::markup::{
    mention::{Dialect, Mention, MentionKind},
    pieces::{Builder, LIST_DEPTH_MAX, Line, Piece, Style, linkable},
};

/// Nodes within nodes. People's documents have fewer than ten; what is deeper
/// is left out.
const DEPTH_MAX: usize = 48;

/// The pieces of a document; of a string, its lines.
pub(in crate::markup) fn read(document: &Value) -> Vec<Piece<'_>> {
    Reader::default().read(document)
}

/// The same with mentions as mentions; a string is read as the wiki text that
/// Jira's webhooks send.
pub(in crate::markup) fn read_rich(document: &Value) -> Vec<Piece<'_>> {
    Reader { builder: Builder::rich(), ..Reader::default() }.read(document)
}

#[derive(Default)]
struct Reader<'a> {
    builder: Builder<'a>,
    /// Lists around the current node.
    lists: u8,
    quoted: bool,
    /// The last block was a list: one of another kind goes on without a gap.
    behind_list: bool,
}

impl<'a> Reader<'a> {
    fn read(mut self, document: &'a Value) -> Vec<Piece<'a>> {
        match document {
            Value::String(text) if self.builder.is_rich() => self.wiki(text),
            Value::String(text) => self.lines(text),
            _ => self.node(document, 0),
        }
        self.builder.finish()
    }

    /// Wiki text: of its formatting only what leads somewhere, `[~user]`,
    /// `[label|url]` and `[url]`. The rest is readable as it is.
    fn wiki(&mut self, text: &'a str) {
        let mut rest = text;
        while let Some(at) = rest.find('[') {
            self.lines(&rest[..at]);
            rest = &rest[at..];
            let end = rest[1..].find(['[', ']', '\n']).filter(|end| rest[1 + end..].starts_with(']'));
            let inner = end.map_or("", |end| &rest[1..=end]);
            let (label, url) = inner.split_once('|').unwrap_or(("", inner));
            if let Some(id) = inner.strip_prefix('~').filter(|id| !id.is_empty()) {
                let id = id.strip_prefix("accountid:").unwrap_or(id);
                self.builder.mention(Mention::new(Dialect::Jira, MentionKind::User, id, id));
                rest = &rest[inner.len() + 2..];
            } else if linkable(url) {
                self.builder.link(url, label);
                rest = &rest[inner.len() + 2..];
            } else {
                self.builder.text("[");
                rest = &rest[1..];
            }
        }
        self.lines(rest);
    }

    fn lines(&mut self, text: &'a str) {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.newline();
            }
            self.builder.text(line.trim_end_matches('\r'));
        }
    }

    fn newline(&mut self) {
        self.builder.push(Piece::Newline);
        if self.quoted {
            self.builder.push(Piece::Line(Line::Quote));
        }
    }

    /// Begins a block: on a line of its own, and outside lists and quotes with
    /// an empty line before it.
    fn block(&mut self) {
        self.behind_list = false;
        if self.lists > 0 || self.quoted {
            self.builder.line()
        } else {
            self.builder.paragraph()
        }
        if self.quoted && !matches!(self.builder.pieces.last(), Some(Piece::Line(_))) {
            self.builder.push(Piece::Line(Line::Quote));
        }
    }

    fn children(&mut self, node: &'a Value, depth: usize) {
        for child in node["content"].as_array().into_iter().flatten() {
            self.node(child, depth + 1);
        }
    }

    fn node(&mut self, node: &'a Value, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let attribute = |name: &str| node["attrs"][name].as_str().unwrap_or_default();
        match node["type"].as_str().unwrap_or_default() {
            "text" => self.text(node),
            "paragraph" => {
                self.block();
                self.children(node, depth);
            }
            "heading" => {
                self.block();
                let level = node["attrs"]["level"].as_u64().unwrap_or(1).clamp(1, 6);
                self.builder.push(Piece::Line(Line::Heading(level as u8)));
                self.children(node, depth);
            }
            "bulletList" | "taskList" | "decisionList" => self.list(node, depth, None),
            "orderedList" => self.list(node, depth, Some(node["attrs"]["order"].as_u64().unwrap_or(1))),
            "blockquote" => {
                self.block();
                let outer = std::mem::replace(&mut self.quoted, true);
                self.children(node, depth);
                self.quoted = outer;
            }
            "codeBlock" => {
                self.block();
                let lines = node["content"].as_array().into_iter().flatten();
                let text: String = lines.filter_map(|child| child["text"].as_str()).collect();
                let language = attribute("language");
                let plain =
                    language.chars().all(|character| character.is_ascii_alphanumeric() || "+-#_".contains(character));
                let language = if plain { language } else { "" };
                self.builder.push(Piece::Block { language: language.into(), text: text.into() });
            }
            "hardBreak" => self.newline(),
            "rule" => self.block(),
            "mention" => {
                let id = attribute("id");
                let name = attribute("text").trim_start_matches('@');
                let name = if name.is_empty() { id } else { name };
                self.builder.mention(Mention::new(Dialect::Jira, MentionKind::User, id, name));
            }
            "emoji" => {
                let text = attribute("text");
                self.builder.text(if text.is_empty() { attribute("shortName") } else { text });
            }
            "date" => {
                let ms = attribute("timestamp").parse().ok();
                self.builder.text(ms.map_or_else(String::new, |ms| crate::time::to_rfc3339(ms)[..10].to_owned()));
            }
            "status" | "placeholder" => self.builder.text(attribute("text")),
            "inlineCard" => self.builder.link(attribute("url"), ""),
            "blockCard" | "embedCard" => {
                self.block();
                self.builder.link(attribute("url"), "");
            }
            "media" | "mediaInline" => self.builder.text(attribute("alt")),
            "mediaSingle" | "mediaGroup" => {
                self.block();
                self.children(node, depth);
            }
            "tableRow" => self.row(node, depth),
            "expand" | "nestedExpand" => {
                self.block();
                self.builder.text(attribute("title"));
                self.children(node, depth);
            }
            // Panels, layouts, tables and whatever comes next: their content.
            _ => self.children(node, depth),
        }
    }

    fn list(&mut self, node: &'a Value, depth: usize, first: Option<u64>) {
        let level = self.lists.min(LIST_DEPTH_MAX);
        if self.lists == 0 && !(self.behind_list && self.builder.is_rich()) {
            self.block();
        }
        self.lists = self.lists.saturating_add(1);
        for (index, item) in node["content"].as_array().into_iter().flatten().enumerate() {
            let nested = matches!(item["type"].as_str(), Some("bulletList" | "orderedList" | "taskList"));
            if !nested {
                self.builder.line();
                let number = first.map(|first| first.saturating_add(index as u64));
                let done = item["attrs"]["state"].as_str().map(|state| state == "DONE");
                let check = done.filter(|_| self.builder.is_rich() && item["type"] == "taskItem");
                self.builder.push(Piece::Line(match number {
                    _ if check.is_some() => Line::Check(level, check == Some(true)),
                    Some(number) => Line::Number(level, u32::try_from(number).unwrap_or(u32::MAX)),
                    None => Line::Bullet(level),
                }));
            }
            if nested { self.node(item, depth + 1) } else { self.children(item, depth + 1) }
        }
        self.lists -= 1;
        self.behind_list = self.lists == 0;
    }

    fn row(&mut self, node: &'a Value, depth: usize) {
        self.builder.line();
        for (index, cell) in node["content"].as_array().into_iter().flatten().enumerate() {
            if index > 0 {
                self.builder.text(" | ");
            }
            // A cell's paragraph must not begin a line of its own.
            for block in cell["content"].as_array().into_iter().flatten() {
                match block["type"].as_str() {
                    Some("paragraph" | "heading") => self.children(block, depth + 2),
                    _ => self.node(block, depth + 2),
                }
            }
        }
    }

    /// Marked text. The white space at its ends stays outside the marks, where
    /// Markdown and mrkdwn want it.
    fn text(&mut self, node: &'a Value) {
        let text = node["text"].as_str().unwrap_or_default();
        let (mut styles, mut code, mut href) = (Vec::new(), false, None);
        for mark in node["marks"].as_array().into_iter().flatten() {
            let style = match mark["type"].as_str().unwrap_or_default() {
                "strong" => Style::Bold,
                "em" => Style::Italic,
                "strike" => Style::Strike,
                "code" => {
                    code = true;
                    continue;
                }
                "link" => {
                    href = mark["attrs"]["href"].as_str();
                    continue;
                }
                _ => continue,
            };
            if !styles.contains(&style) {
                styles.push(style);
            }
        }
        let word = text.trim();
        if word.is_empty() || (!code && href.is_none() && styles.is_empty()) {
            return self.lines(text);
        }
        let begin = text.len() - text.trim_start().len();
        self.lines(&text[..begin]);
        styles.iter().for_each(|style| self.builder.push(Piece::Start(*style)));
        if let Some(href) = href {
            self.builder.push(Piece::LinkStart(href.into()));
        }
        if code {
            self.builder.push(Piece::Code(word.into()))
        } else {
            self.lines(word)
        }
        if href.is_some() {
            self.builder.push(Piece::LinkEnd);
        }
        styles.iter().rev().for_each(|style| self.builder.push(Piece::End(*style)));
        self.lines(&text[begin + word.len()..]);
    }
}
