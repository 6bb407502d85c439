//! Documents of rows: lines side by side are a paragraph, items a list with
//! lists in it. Only what a comment may hold, since Jira refuses a document
//! with a node in the wrong place: so a box is a character, a heading within a
//! quote is bold, and code keeps no other mark than its link.

use serde_json::{Value, json};

use crate::markup::{
    mention::Dialect,
    pieces::Style,
    rows::{Kind, Row, Span, What},
};

/// The value of `body` in a request.
pub(in crate::markup) fn write(rows: &[Row]) -> Value {
    let mut content = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let same = |same: fn(&Row) -> bool| rows[at..].iter().take_while(|row| same(row)).count();
        let quoted = same(|row| row.quoted);
        let end = at + quoted.max(1);
        if quoted > 0 {
            content.push(json!({"type": "blockquote", "content": blocks(&rows[at..end], true)}));
            at = end;
        } else {
            let plain = same(|row| !row.quoted).max(1);
            content.append(&mut blocks(&rows[at..at + plain], false));
            at += plain;
        }
    }
    if content.is_empty() {
        content.push(json!({"type": "paragraph", "content": []}));
    }
    json!({"type": "doc", "version": 1, "content": content})
}

fn blocks(rows: &[Row], quoted: bool) -> Vec<Value> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(row) = rows.get(at) {
        let same = |same: fn(&Row) -> bool| rows[at..].iter().take_while(|row| same(row)).count();
        match &row.kind {
            Kind::Code { language, text } => {
                let content = if text.is_empty() { json!([]) } else { json!([{"type": "text", "text": text}]) };
                let attributes = if language.is_empty() { json!({}) } else { json!({ "language": language }) };
                out.push(json!({"type": "codeBlock", "attrs": attributes, "content": content}));
                at += 1;
            }
            Kind::Heading(level) => {
                out.push(if quoted {
                    json!({"type": "paragraph", "content": inline(&row.spans, true)})
                } else {
                    json!({"type": "heading", "attrs": {"level": level}, "content": inline(&row.spans, false)})
                });
                at += 1;
            }
            Kind::Plain => {
                let lines = same(|row| row.kind == Kind::Plain && !row.spans.is_empty());
                if lines > 0 {
                    out.push(json!({"type": "paragraph", "content": lines_of(&rows[at..at + lines])}));
                }
                at += lines.max(1);
            }
            _ => {
                let items = same(|row| row.depth().is_some());
                out.append(&mut lists(&rows[at..at + items], 0));
                at += items;
            }
        }
    }
    if quoted && out.is_empty() {
        out.push(json!({"type": "paragraph", "content": []}));
    }
    out
}

fn lines_of(rows: &[Row]) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(json!({"type": "hardBreak"}));
        }
        out.append(&mut inline(&row.spans, false));
    }
    out
}

/// Lists of items that are at least so deep; the levels are bounded, and so is
/// the recursion.
fn lists(rows: &[Row], level: u8) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    let mut at = 0;
    let mut numbered = None;
    let mut items: Vec<Value> = Vec::new();
    let mut finish = |numbered: Option<u32>, items: &mut Vec<Value>| {
        let content = std::mem::take(items);
        match numbered {
            _ if content.is_empty() => {}
            Some(1) => out.push(json!({"type": "orderedList", "content": content})),
            Some(first) => out.push(json!({"type": "orderedList", "attrs": {"order": first}, "content": content})),
            None => out.push(json!({"type": "bulletList", "content": content})),
        }
    };
    let mut next = 0_u32;
    while let Some(row) = rows.get(at) {
        let depth = row.depth().unwrap_or(0);
        if depth > level {
            let deeper = rows[at..].iter().take_while(|row| row.depth().is_some_and(|depth| depth > level)).count();
            let inner = lists(&rows[at..at + deeper], level + 1);
            match items.last_mut().and_then(|item| item["content"].as_array_mut()) {
                Some(content) => content.extend(inner),
                // A level was left out: its item says nothing of its own.
                None => {
                    let mut content = vec![json!({"type": "paragraph", "content": []})];
                    content.extend(inner);
                    items.push(json!({"type": "listItem", "content": content}));
                }
            }
            at += deeper;
            continue;
        }
        let mut spans = Vec::new();
        let begins = match row.kind {
            Kind::Number(_, number) => Some(number),
            Kind::Check(_, done) => {
                spans.push(json!({"type": "text", "text": if done { "☑ " } else { "☐ " }}));
                None
            }
            _ => None,
        };
        // Numbers that do not follow each other are lists of their own.
        let follows = begins.is_some() == numbered.is_some() && begins.is_none_or(|number| number == next);
        if !follows {
            finish(numbered, &mut items);
            numbered = begins;
        }
        next = begins.unwrap_or(0).saturating_add(1);
        spans.append(&mut inline(&row.spans, false));
        items.push(json!({"type": "listItem", "content": [{"type": "paragraph", "content": spans}]}));
        at += 1;
    }
    finish(numbered, &mut items);
    out
}

fn inline(spans: &[Span], bold: bool) -> Vec<Value> {
    spans.iter().map(|span| node(span, bold)).collect()
}

fn node(span: &Span, bold: bool) -> Value {
    if let What::Mention(mention) = &span.what
        && let Some(id) = mention.native(Dialect::Jira)
    {
        return json!({"type": "mention", "attrs": {"id": id, "text": mention.shown()}});
    }
    let mut marks = Vec::new();
    if span.what == What::Code {
        marks.push(json!({"type": "code"}));
    } else {
        for (style, name) in [(Style::Bold, "strong"), (Style::Italic, "em"), (Style::Strike, "strike")] {
            if span.styles.has(style) || (bold && style == Style::Bold) {
                marks.push(json!({"type": name}));
            }
        }
    }
    if let Some(url) = &span.link {
        marks.push(json!({"type": "link", "attrs": {"href": url.as_ref()}}));
    }
    if marks.is_empty() {
        json!({"type": "text", "text": span.text})
    } else {
        json!({"type": "text", "text": span.text, "marks": marks})
    }
}
