//! Channels that are made for a list.

use reqwest::Method;
use serde_json::json;

use crate::{
    capability::write::{PAGES_MAX, SKEW_MS},
    client::{ProviderClient, ProviderError, word_at},
};

/// Of a channel's name.
const NAME_CHARS_MAX: usize = 80;
/// A name that somebody else has is tried with a number behind it.
const NAMES_MAX: usize = 9;

/// Makes a channel; its id. With `unsure_since_ms` it may be there already.
pub(super) async fn create(
    client: &ProviderClient,
    name: &str,
    unsure_since_ms: Option<u64>,
) -> Result<String, ProviderError> {
    let name = fit(name);
    if let Some(since_ms) = unsure_since_ms
        && let Some(id) = find(client, &name, since_ms).await?
    {
        return Ok(id);
    }
    for number in 1..=NAMES_MAX {
        let name = numbered(&name, number);
        let request = client.request(Method::POST, client.url(&["conversations.create"])?).json(&json!({"name": name}));
        match client.ask(request, None).await {
            Ok(answer) => {
                return word_at(&answer, "/channel/id")
                    .ok_or_else(|| ProviderError::may_have_landed("the answer names no channel"));
            }
            Err(ProviderError::Rejected { detail, .. }) if detail.contains("name_taken") => {}
            Err(error) => return Err(error),
        }
    }
    Err(ProviderError::rejected(format!("every name like {name} is taken")))
}

fn numbered(name: &str, number: usize) -> String {
    if number == 1 { name.to_owned() } else { format!("{name}-{number}") }
}

/// A channel of one of our names that we made since then.
async fn find(client: &ProviderClient, name: &str, since_ms: u64) -> Result<Option<String>, ProviderError> {
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let mut url = client.url(&["conversations.list"])?;
        url.query_pairs_mut()
            .append_pair("limit", "900")
            .append_pair("exclude_archived", "true")
            .extend_pairs(Some(("cursor", &cursor)).filter(|(_, cursor)| !cursor.is_empty()));
        let page = client.ask(client.request(Method::GET, url), None).await?;
        let is_ours = |channel: &&serde_json::Value| {
            let known = channel["name"].as_str().unwrap_or_default();
            let created_ms = channel["created"].as_u64().unwrap_or_default().saturating_mul(1000);
            (1..=NAMES_MAX).any(|number| numbered(name, number) == known)
                && created_ms + SKEW_MS >= since_ms
                && client.is_us(&[&channel["creator"]])
        };
        let channels = page["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(channel) = channels.iter().find(is_ours) {
            return Ok(word_at(channel, "/id"));
        }
        let next = word_at(&page, "/response_metadata/next_cursor").unwrap_or_default();
        if next.is_empty() || next == cursor {
            return Ok(None);
        }
        cursor = next;
    }
    Err(ProviderError::cannot_tell(format!("not found in the first {PAGES_MAX} pages")))
}

/// Slack's rules: lower case, letters, digits and hyphens, 80 characters; two
/// are left for a number.
fn fit(name: &str) -> String {
    let mut fitted = String::new();
    for char in name.to_lowercase().chars() {
        if char.is_alphanumeric() {
            fitted.push(char);
        } else if !fitted.is_empty() && !fitted.ends_with('-') {
            fitted.push('-');
        }
    }
    let fitted: String = fitted.chars().take(NAME_CHARS_MAX - 2).collect();
    match fitted.trim_matches('-') {
        "" => "project".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_slacks_rules() {
        assert_eq!(fit("Orchard Shop: 2027 / Q1"), "orchard-shop-2027-q1");
        assert_eq!(fit("  *** "), "project");
        assert_eq!(fit(&"ä".repeat(100)).chars().count(), 78);
    }
}
