//! Looks for comments of ours, by the mark in their Markdown.

use reqwest::Method;
use serde_json::Value;
use udfs::markup::{Document, origin};

use crate::{
    capability::write::{Found, PAGES_MAX},
    client::{ProviderClient, ProviderError, word_at},
};

const PAGE: usize = 100;

/// What stands there with this mark, of what was changed since then.
pub(super) async fn find(
    client: &ProviderClient,
    (owner, name, number): (&str, &str, u64),
    command: &str,
    since_ms: u64,
) -> Result<Vec<Found>, ProviderError> {
    let since = udfs::time::to_rfc3339(i64::try_from(since_ms / 1000 * 1000).unwrap_or_default());
    let mut found = Vec::new();
    for page in 1..=PAGES_MAX {
        let mut url = client.url(&["repos", owner, name, "issues", &number.to_string(), "comments"])?;
        url.query_pairs_mut()
            .append_pair("since", &since)
            .append_pair("per_page", &PAGE.to_string())
            .append_pair("page", &page.to_string());
        let comments = client.ask(client.request(Method::GET, url), None).await?;
        let comments = comments.as_array().map(Vec::as_slice).unwrap_or_default();
        found.extend(comments.iter().filter_map(|comment| ours(client, comment, command)));
        if comments.len() < PAGE {
            return Ok(found);
        }
    }
    Err(ProviderError::cannot_tell(format!("not found in the first {PAGES_MAX} pages")))
}

fn ours(client: &ProviderClient, comment: &Value, command: &str) -> Option<Found> {
    if !client.is_us(&[&comment["user"]["login"], &comment["user"]["id"]]) {
        return None;
    }
    let text = comment["body"].as_str().unwrap_or_default();
    Found::of(origin::find(text), command, word_at(comment, "/id"), || Document::from_github(text))
}
