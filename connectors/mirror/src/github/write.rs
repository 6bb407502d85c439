//! Comments: said, changed, taken back.

use reqwest::Method;
use serde_json::{Value, json};
use udfs::markup::{Body, Part};

use super::{
    super::line::{Halt, Line, unsure, word},
    split,
};

/// Says something about an issue or a pull request; the comment's id.
pub(in super::super) async fn post(
    line: &Line<'_>,
    repository: &str,
    number: u64,
    part: &Part,
) -> Result<String, Halt> {
    let (owner, name) = split(repository)?;
    let url = line.url(&["repos", owner, name, "issues", &number.to_string(), "comments"])?;
    let answer = line.ask(line.request(Method::POST, url).json(&contents(part)), None).await?;
    word(&answer, "/id").ok_or_else(|| unsure("the answer names no comment"))
}

/// Says something else instead.
pub(in super::super) async fn edit(line: &Line<'_>, repository: &str, id: &str, part: &Part) -> Result<(), Halt> {
    let (owner, name) = split(repository)?;
    let url = line.url(&["repos", owner, name, "issues", "comments", id])?;
    line.ask(line.request(Method::PATCH, url).json(&contents(part)), None).await.map(|_| ())
}

/// Takes something away.
pub(in super::super) async fn remove(line: &Line<'_>, repository: &str, id: &str) -> Result<(), Halt> {
    let (owner, name) = split(repository)?;
    let url = line.url(&["repos", owner, name, "issues", "comments", id])?;
    line.ask(line.request(Method::DELETE, url), None).await.map(|_| ())
}

fn contents(part: &Part) -> Value {
    match &part.body {
        Body::Text(text) => json!({"body": text}),
        Body::Json(_) => json!({"body": part.visible}),
    }
}
