//! ClickUp's comments, read: a list of blocks, each with a text and, for a
//! mention or a picture, what it stands for.

use serde_json::Value;

/// The plain text of a comment in any of the shapes in which it comes.
pub(in crate::markup) fn plain(comment: &Value) -> String {
    let mut out = String::new();
    match comment {
        Value::Array(blocks) => blocks.iter().for_each(|block| write(&mut out, block)),
        Value::String(text) => out.push_str(text),
        Value::Object(_) => {
            let text = |name: &str| comment[name].as_str().filter(|text| !text.trim().is_empty());
            match (text("text_content").or_else(|| text("comment_text")), &comment["comment"]) {
                (Some(text), _) => out.push_str(text),
                (None, Value::Array(blocks)) => blocks.iter().for_each(|block| write(&mut out, block)),
                (None, Value::String(text)) => out.push_str(text),
                _ => write(&mut out, comment),
            }
        }
        _ => {}
    }
    out.truncate(out.trim_end().len());
    out
}

fn write(out: &mut String, block: &Value) {
    let text = block["text"].as_str().unwrap_or_default();
    match block["type"].as_str().unwrap_or_default() {
        "tag" | "user" if !text.starts_with('@') => {
            let user = &block["user"];
            let names = [&user["username"], &user["name"], &user["email"]];
            let name = names.iter().find_map(|name| name.as_str()).unwrap_or(text);
            if name.is_empty() {
                // Deleted users have only a number left.
                let id = user["id"].as_u64().map_or_else(|| "unknown".to_owned(), |id| id.to_string());
                out.push_str(&format!("@{id}"));
            } else {
                out.push_str(&format!("@{}", name.trim_start_matches('@')));
            }
        }
        "emoticon" => {
            // Code points in hex, joined by dashes: `1f469-200d-1f4bb`.
            let code = block["emoticon"]["code"].as_str().unwrap_or_default();
            let points = code.split('-').map(|point| u32::from_str_radix(point, 16).ok().and_then(char::from_u32));
            match points.collect::<Option<String>>() {
                Some(emoji) => out.push_str(&emoji),
                None => out.push_str(text),
            }
        }
        "bookmark" if text.trim().is_empty() => out.push_str(block["bookmark"]["url"].as_str().unwrap_or_default()),
        "image" | "attachment" if text.trim().is_empty() => {
            let kind = block["type"].as_str().unwrap_or_default();
            out.push_str(block[kind]["name"].as_str().unwrap_or_default());
        }
        _ => out.push_str(text),
    }
}

/// What a block shows, as plain text.
pub(super) fn block_text(block: &Value) -> String {
    let mut out = String::new();
    write(&mut out, block);
    out
}

/// Where a block leads that stands for a page or a file.
pub(super) fn block_url(block: &Value) -> Option<&str> {
    let kind = block["type"].as_str()?;
    let url = |name: &str| block[kind][name].as_str().filter(|url| !url.is_empty());
    matches!(kind, "bookmark" | "link_mention" | "image" | "attachment").then(|| url("url"))?
}
