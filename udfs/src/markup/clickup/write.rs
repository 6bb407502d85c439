//! Blocks of rows, in the documented shapes of attributes. `strike`, `header`
//! and `blockquote` are not documented for comments; where they are not shown,
//! the words are.

use serde_json::{Map, Value, json};

use crate::markup::{
    mention::Dialect,
    pieces::Style,
    rows::{Kind, Row, Span, What},
};

/// The value of `comment` in a request.
pub(in crate::markup) fn write(rows: &[Row]) -> Value {
    let mut blocks = Vec::new();
    for row in rows {
        if let Kind::Code { language, text } = &row.kind {
            let language = if language.is_empty() { "plain" } else { language };
            for line in text.split('\n') {
                if !line.is_empty() {
                    blocks.push(json!({"text": line, "attributes": {}}));
                }
                blocks.push(json!({"text": "\n", "attributes": {"code-block": {"code-block": language}}}));
            }
            continue;
        }
        blocks.extend(row.spans.iter().map(block));
        blocks.push(json!({"text": "\n", "attributes": line_attributes(row)}));
    }
    Value::Array(blocks)
}

fn block(span: &Span) -> Value {
    if let What::Mention(mention) = &span.what
        && let Some(id) = mention.native(Dialect::Clickup).and_then(|id| id.parse::<u64>().ok())
    {
        return json!({"type": "tag", "user": {"id": id}});
    }
    let mut attributes = Map::new();
    for (style, name) in [(Style::Bold, "bold"), (Style::Italic, "italic"), (Style::Strike, "strike")] {
        if span.styles.has(style) {
            attributes.insert(name.into(), true.into());
        }
    }
    if span.what == What::Code {
        attributes.insert("code".into(), true.into());
    }
    if let Some(url) = &span.link {
        attributes.insert("link".into(), url.as_ref().into());
    }
    json!({"text": span.text, "attributes": attributes})
}

fn line_attributes(row: &Row) -> Value {
    let mut attributes = Map::new();
    let list = match row.kind {
        Kind::Bullet(_) => Some("bullet"),
        Kind::Number(..) => Some("ordered"),
        Kind::Check(_, true) => Some("checked"),
        Kind::Check(_, false) => Some("unchecked"),
        _ => None,
    };
    // A line is one thing: an item within a quote is an item.
    match (list, &row.kind) {
        (Some(list), _) => {
            attributes.insert("list".into(), json!({ "list": list }));
            if let Some(depth) = row.depth().filter(|depth| *depth > 0) {
                attributes.insert("indent".into(), depth.into());
            }
        }
        (None, Kind::Heading(level)) => {
            attributes.insert("header".into(), (*level).into());
        }
        (None, _) if row.quoted => {
            attributes.insert("blockquote".into(), json!({}));
        }
        _ => {}
    }
    Value::Object(attributes)
}
