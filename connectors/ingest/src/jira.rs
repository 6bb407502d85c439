//! Jira: the connection is a part of the address, and has the secret.

use std::sync::Arc;

use serde::Deserialize;
use udfs::signature::JIRA;

use super::{
    directory::Link,
    document::{self, Id, IdWithin},
    request::{Admitted, Answer, Media, Refused, Request},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default)]
    webhook_event: Id,
    #[serde(default)]
    timestamp: Id,
    #[serde(default)]
    issue: IdWithin,
    #[serde(default)]
    comment: IdWithin,
}

/// Judges a request to a connection's address.
pub fn admit(request: &Request<'_>, link: &Arc<Link>) -> Result<Admitted, Refused> {
    if request.media != Media::Json {
        return Err(Refused::Media);
    }
    request.verify_unless_allowed(&JIRA, request.directory.keys("jira", Some(link)))?;
    let body: Body = document::read(request.body, request.depth_max)?;
    if body.webhook_event.as_deref().is_none() {
        return Err(Refused::Malformed("the body has no webhookEvent".into()));
    }
    let delivery = request.header("x-atlassian-webhook-identifier").map_or_else(|| key(link, &body), str::to_owned);
    Ok(Admitted {
        tenant: link.tenant.clone(),
        link: Some(link.clone()),
        delivery: Some(delivery),
        sender: None,
        answer: Answer::Store,
    })
}

/// The key that the contract names; a comment's id behind it, because two
/// comments on one issue may share a millisecond.
fn key(link: &Link, body: &Body) -> String {
    let mut key = format!(
        "jira:webhook:{}:{}:{}:{}",
        link.id,
        body.webhook_event.as_deref().unwrap_or_default(),
        body.issue.as_deref().unwrap_or_default(),
        body.timestamp.as_deref().unwrap_or_default(),
    );
    if let Some(comment) = body.comment.as_deref() {
        key.push(':');
        key.push_str(comment);
    }
    key
}
