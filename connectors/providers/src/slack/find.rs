//! Looks for messages of ours, by the mark in their metadata.

use reqwest::Method;
use serde_json::Value;
use udfs::markup::{Document, Ids, origin};

use crate::{
    capability::write::{Found, PAGES_MAX},
    client::{ProviderClient, ProviderError, word_at},
};

/// Messages of a page; more than Slack's default, fewer than what makes it slow.
const PAGE: &str = "200";

/// What stands there with this mark. A message that began a thread has its
/// further parts in it.
pub(super) async fn find(
    client: &ProviderClient,
    channel: &str,
    thread: Option<&str>,
    command: &str,
    since_ms: u64,
) -> Result<Vec<Found>, ProviderError> {
    let mut found = pages(client, channel, thread, command, since_ms).await?;
    let root = found.iter().find(|found| found.part == 1).map(|found| found.id.clone());
    if let (None, Some(root)) = (thread, root) {
        let parts = pages(client, channel, Some(&root), command, since_ms).await?;
        found.extend(parts.into_iter().filter(|part| part.id != root));
    }
    Ok(found)
}

async fn pages(
    client: &ProviderClient,
    channel: &str,
    thread: Option<&str>,
    command: &str,
    since_ms: u64,
) -> Result<Vec<Found>, ProviderError> {
    let method = if thread.is_some() { "conversations.replies" } else { "conversations.history" };
    let oldest = format!("{}.000000", since_ms / 1000);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let mut url = client.url(&[method])?;
        url.query_pairs_mut()
            .append_pair("channel", channel)
            .append_pair("oldest", &oldest)
            .append_pair("limit", PAGE)
            .append_pair("include_all_metadata", "true")
            .extend_pairs(thread.map(|ts| ("ts", ts)))
            .extend_pairs(Some(("cursor", &cursor)).filter(|(_, cursor)| !cursor.is_empty()));
        let page = client.ask(client.request(Method::GET, url), None).await?;
        let messages = page["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        found.extend(messages.iter().filter_map(|message| ours(client, message, command)));
        let next = word_at(&page, "/response_metadata/next_cursor").unwrap_or_default();
        if next.is_empty() || next == cursor {
            return Ok(found);
        }
        cursor = next;
    }
    Err(ProviderError::cannot_tell(format!("not found in the first {PAGES_MAX} pages")))
}

fn ours(client: &ProviderClient, message: &Value, command: &str) -> Option<Found> {
    if !client.is_us(&[&message["user"], &message["bot_id"]]) {
        return None;
    }
    let text = message["text"].as_str().unwrap_or_default();
    let origin = origin::find_in_metadata(&message["metadata"]);
    Found::of(origin, command, word_at(message, "/ts"), || Document::from_slack(text, &Ids))
}
