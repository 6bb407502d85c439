//! Looks for comments of ours, by the mark in their links.

use reqwest::Method;
use serde_json::Value;
use udfs::markup::{Document, origin};

use crate::{
    capability::write::{Found, PAGES_MAX},
    client::{ProviderClient, ProviderError, word_at},
};

/// What stands there with this mark. Comments come newest first, 25 a page.
pub(super) async fn find(
    client: &ProviderClient,
    task: &str,
    command: &str,
    since_ms: u64,
) -> Result<Vec<Found>, ProviderError> {
    let (mut found, mut last) = (Vec::new(), None::<(String, String)>);
    for _ in 0..PAGES_MAX {
        let mut url = client.url(&["task", task, "comment"])?;
        if let Some((date, id)) = &last {
            url.query_pairs_mut().append_pair("start", date).append_pair("start_id", id);
        }
        let page = client.ask(client.request(Method::GET, url), None).await?;
        let comments = page["comments"].as_array().map(Vec::as_slice).unwrap_or_default();
        found.extend(comments.iter().filter_map(|comment| ours(client, comment, command)));
        let oldest = comments.last().and_then(|oldest| Some((word_at(oldest, "/date")?, word_at(oldest, "/id")?)));
        match oldest {
            Some(oldest) if last.as_ref() != Some(&oldest) && is_since(&oldest.0, since_ms) => last = Some(oldest),
            _ => return Ok(found),
        }
    }
    Err(ProviderError::cannot_tell(format!("not found in the first {PAGES_MAX} pages")))
}

fn is_since(date: &str, since_ms: u64) -> bool {
    date.parse().is_ok_and(|at_ms: u64| at_ms >= since_ms)
}

fn ours(client: &ProviderClient, comment: &Value, command: &str) -> Option<Found> {
    if !client.is_us(&[&comment["user"]["id"]]) {
        return None;
    }
    let says = &comment["comment"];
    Found::of(origin::find_in(says), command, word_at(comment, "/id"), || Document::from_clickup(says))
}
