//! Messages: said, changed, taken back, whispered.

use reqwest::Method;
use serde_json::{Value, json};
use udfs::markup::{Body, Part};

use super::super::{
    line::{Halt, Line, unsure, word},
    render::Face,
};

/// Says something in a channel or a thread; its `ts`.
pub(in super::super) async fn post(
    line: &Line<'_>,
    channel: &str,
    thread: Option<&str>,
    part: &Part,
    face: &Face,
) -> Result<String, Halt> {
    let mut message = contents(channel, part);
    let fields = [("thread_ts", thread), ("username", face.name.as_deref()), ("icon_url", face.avatar.as_deref())];
    for (field, value) in fields {
        if let Some(value) = value {
            message[field] = json!(value);
        }
    }
    let request = line.request(Method::POST, line.url(&["chat.postMessage"])?).json(&message);
    let answer = line.ask(request, Some(channel)).await?;
    word(&answer, "/ts").ok_or_else(|| unsure("the answer names no ts"))
}

/// Says something else instead.
pub(in super::super) async fn edit(line: &Line<'_>, channel: &str, ts: &str, part: &Part) -> Result<(), Halt> {
    let mut message = contents(channel, part);
    message["ts"] = json!(ts);
    let mut request = line.request(Method::POST, line.url(&["chat.update"])?).json(&message);
    request.is_repeatable = true;
    line.ask(request, None).await.map(|_| ())
}

/// Takes something away.
pub(in super::super) async fn remove(line: &Line<'_>, channel: &str, ts: &str) -> Result<(), Halt> {
    let mut request =
        line.request(Method::POST, line.url(&["chat.delete"])?).json(&json!({"channel": channel, "ts": ts}));
    request.is_repeatable = true;
    line.ask(request, None).await.map(|_| ())
}

/// Tells one person something that nobody else sees, and that is kept nowhere.
pub(in super::super) async fn whisper(
    line: &Line<'_>,
    channel: &str,
    thread: Option<&str>,
    user: &str,
    part: &Part,
) -> Result<String, Halt> {
    let mut message = contents(channel, part);
    message["user"] = json!(user);
    if let Some(thread) = thread {
        message["thread_ts"] = json!(thread);
    }
    let request = line.request(Method::POST, line.url(&["chat.postEphemeral"])?).json(&message);
    let answer = line.ask(request, Some(channel)).await?;
    word(&answer, "/message_ts").ok_or_else(|| unsure("the answer names no ts"))
}

/// Links are not unfolded: a mirrored message would show what the original does.
fn contents(channel: &str, part: &Part) -> Value {
    let text = match &part.body {
        Body::Text(text) => text.as_str(),
        Body::Json(_) => part.visible.as_str(),
    };
    let mut message = json!({"channel": channel, "text": text, "unfurl_links": false, "unfurl_media": false});
    if let Some(metadata) = &part.metadata {
        message["metadata"] = metadata.clone();
    }
    message
}
