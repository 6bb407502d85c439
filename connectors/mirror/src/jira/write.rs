//! Comments: said, changed, taken back.

use reqwest::{Method, Url};
use serde_json::{Value, json};
use udfs::markup::{Body, Part};

use super::{
    super::line::{Halt, Line, unsure, word},
    API,
};

/// Says something about an issue; the comment's id.
pub(in super::super) async fn post(line: &Line<'_>, issue: &str, part: &Part) -> Result<String, Halt> {
    let [rest, api, version] = API;
    let url = line.url(&[rest, api, version, "issue", issue, "comment"])?;
    let answer = line.ask(line.request(Method::POST, url).json(&contents(part)), None).await?;
    word(&answer, "/id").ok_or_else(|| unsure("the answer names no comment"))
}

/// Says something else instead.
pub(in super::super) async fn edit(line: &Line<'_>, issue: &str, id: &str, part: &Part) -> Result<(), Halt> {
    let request = line.request(Method::PUT, comment(line, issue, id)?).json(&contents(part));
    line.ask(request, None).await.map(|_| ())
}

/// Takes something away.
pub(in super::super) async fn remove(line: &Line<'_>, issue: &str, id: &str) -> Result<(), Halt> {
    line.ask(line.request(Method::DELETE, comment(line, issue, id)?), None).await.map(|_| ())
}

fn comment(line: &Line<'_>, issue: &str, id: &str) -> Result<Url, Halt> {
    let [rest, api, version] = API;
    line.url(&[rest, api, version, "issue", issue, "comment", id])
}

fn contents(part: &Part) -> Value {
    match &part.body {
        Body::Json(document) => json!({"body": document}),
        Body::Text(_) => json!({"body": part.visible}),
    }
}
