//! Looks for comments of ours, by the mark in their links.

use reqwest::Method;
use serde_json::Value;
use udfs::markup::{Document, origin};

use super::api::API;
use crate::{
    capability::write::{Found, PAGES_MAX},
    client::{ProviderClient, ProviderError, word_at},
};

const PAGE: usize = 100;

/// What stands there with this mark. Comments are asked for newest first.
pub(super) async fn find(
    client: &ProviderClient,
    issue: &str,
    command: &str,
    since_ms: u64,
) -> Result<Vec<Found>, ProviderError> {
    let [rest, api, version] = API;
    let mut found = Vec::new();
    for page in 0..PAGES_MAX {
        let mut url = client.url(&[rest, api, version, "issue", issue, "comment"])?;
        url.query_pairs_mut()
            .append_pair("orderBy", "-created")
            .append_pair("maxResults", &PAGE.to_string())
            .append_pair("startAt", &(page * PAGE).to_string());
        let answer = client.ask(client.request(Method::GET, url), None).await?;
        let comments = answer["comments"].as_array().map(Vec::as_slice).unwrap_or_default();
        found.extend(comments.iter().filter_map(|comment| ours(client, comment, command)));
        let seen = page * PAGE + comments.len();
        let is_all = comments.is_empty() || answer["total"].as_u64().is_some_and(|total| seen as u64 >= total);
        if is_all || comments.last().is_some_and(|oldest| is_before(oldest, since_ms)) {
            return Ok(found);
        }
    }
    Err(ProviderError::cannot_tell(format!("not found in the first {PAGES_MAX} pages")))
}

fn is_before(comment: &Value, since_ms: u64) -> bool {
    let created = comment["created"].as_str().and_then(moment);
    created.is_some_and(|at_ms| at_ms < since_ms)
}

/// A time as Jira writes it: with an offset that has no colon.
pub(super) fn moment(text: &str) -> Option<u64> {
    let (time, offset) = text.split_at_checked(text.len().checked_sub(5)?)?;
    let text = match offset.as_bytes()[0] {
        b'+' | b'-' => format!("{time}{}:{}", offset.get(..3)?, offset.get(3..)?),
        _ => text.to_owned(),
    };
    udfs::time::from_rfc3339(&text).and_then(|at_ms| u64::try_from(at_ms).ok())
}

fn ours(client: &ProviderClient, comment: &Value, command: &str) -> Option<Found> {
    if !client.is_us(&[&comment["author"]["accountId"]]) {
        return None;
    }
    let says = &comment["body"];
    Found::of(origin::find_in(says), command, word_at(comment, "/id"), || Document::from_jira(says))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_times_are_read() {
        assert_eq!(moment("2026-11-21T08:00:00.000+0000"), Some(1_795_248_000_000));
        assert_eq!(moment("2026-11-21T09:00:00.000+0100"), Some(1_795_248_000_000));
        assert_eq!(moment("2026-11-21T08:00:00.000Z"), Some(1_795_248_000_000));
        assert_eq!((moment(""), moment("soon")), (None, None));
    }
}
