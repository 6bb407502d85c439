//! Comments: said, changed, taken back.

use reqwest::Method;
use serde_json::{Value, json};
use udfs::markup::{Body, Part};

use super::super::line::{Halt, Line, unsure, word};

/// Says something about a task; the comment's id.
pub(in super::super) async fn post(line: &Line<'_>, task: &str, part: &Part) -> Result<String, Halt> {
    let mut comment = contents(part);
    // Whoever watches the task is told as of any comment; nobody else is.
    comment["notify_all"] = json!(false);
    let request = line.request(Method::POST, line.url(&["task", task, "comment"])?).json(&comment);
    let answer = line.ask(request, None).await?;
    word(&answer, "/id").ok_or_else(|| unsure("the answer names no comment"))
}

/// Says something else instead.
pub(in super::super) async fn edit(line: &Line<'_>, id: &str, part: &Part) -> Result<(), Halt> {
    let request = line.request(Method::PUT, line.url(&["comment", id])?).json(&contents(part));
    line.ask(request, None).await.map(|_| ())
}

/// Takes something away.
pub(in super::super) async fn remove(line: &Line<'_>, id: &str) -> Result<(), Halt> {
    line.ask(line.request(Method::DELETE, line.url(&["comment", id])?), None).await.map(|_| ())
}

fn contents(part: &Part) -> Value {
    match &part.body {
        Body::Json(blocks) => json!({"comment": blocks}),
        Body::Text(text) => json!({"comment_text": text}),
    }
}
