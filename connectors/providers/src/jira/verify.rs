//! Jira: the connection is a part of the address, and has the secret.

use std::sync::Arc;

use serde::Deserialize;
use udfs::signature::JIRA;

use super::Jira;
use crate::{
    capability::Verify,
    webhook::{
        Admitted, Media, Refused, SenderLink, WebhookReply, WebhookRequest,
        document::{self, Id, IdWithin},
    },
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

impl Verify for Jira {
    fn admit(
        &self,
        request: &WebhookRequest<'_>,
        _provider: &str,
        link: Option<&Arc<SenderLink>>,
    ) -> Result<Admitted, Refused> {
        admit(request, link.ok_or(Refused::Unknown("no such connection"))?)
    }

    fn names_connection(&self) -> bool {
        true
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &["x-atlassian-webhook-identifier"]
    }
}

/// Judges a request to a connection's address.
fn admit(request: &WebhookRequest<'_>, link: &Arc<SenderLink>) -> Result<Admitted, Refused> {
    if request.media != Media::Json {
        return Err(Refused::Media);
    }
    request.verify_unless_allowed(&JIRA, request.senders.keys("jira", Some(link)))?;
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
        answer: WebhookReply::Store,
    })
}

/// The key that the contract names; a comment's id behind it, because two
/// comments on one issue may share a millisecond.
fn key(link: &SenderLink, body: &Body) -> String {
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
