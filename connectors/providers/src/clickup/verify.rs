//! ClickUp: the webhook that the body names has the secret.

use std::sync::Arc;

use serde::Deserialize;
use udfs::{hash, signature::CLICKUP};

use super::ClickUp;
use crate::{
    capability::Verify,
    webhook::{
        Admitted, Media, Refused, SenderLink, WebhookReply, WebhookRequest,
        document::{self, Id, IdWithin},
    },
};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    webhook_id: Id,
    #[serde(default)]
    event: Id,
    #[serde(default)]
    history_items: IdWithin,
}

impl Verify for ClickUp {
    fn admit(
        &self,
        request: &WebhookRequest<'_>,
        _provider: &str,
        _link: Option<&Arc<SenderLink>>,
    ) -> Result<Admitted, Refused> {
        admit(request)
    }

    /// ClickUp suspends a webhook for good at the first 401 or 410.
    fn gives_up_at_once(&self) -> bool {
        true
    }
}

/// Judges a request.
fn admit(request: &WebhookRequest<'_>) -> Result<Admitted, Refused> {
    if request.media != Media::Json {
        return Err(Refused::Media);
    }
    // The secret depends on the body, which is therefore read before anybody
    // has vouched for it: one bounded pass that allocates three short ids.
    let body: Body = document::read(request.body, request.depth_max)?;
    let senders = request.senders;
    let link = body.webhook_id.as_deref().and_then(|id| senders.link_to("clickup", id)).cloned();
    request.verify_unless_allowed(&CLICKUP, senders.keys("clickup", link.as_deref()))?;
    // The provider-wide secret speaks for the default tenant alone: it must
    // not reach another, whatever list the body names.
    let tenant = match &link {
        Some(link) => link.tenant.clone(),
        None => senders.default_tenant().ok_or(Refused::Unknown("no tenant for this webhook_id"))?.clone(),
    };
    Ok(Admitted {
        tenant,
        link,
        delivery: Some(delivery(request, &body)),
        sender: body.webhook_id.0,
        answer: WebhookReply::Store,
    })
}

/// ClickUp names no delivery: webhook, event and first history item do, where
/// there is one. A comment's text is a part of it, because a second edit of a
/// comment comes under the same ids.
fn delivery(request: &WebhookRequest<'_>, body: &Body) -> String {
    let (Some(webhook), Some(event), Some(item)) =
        (body.webhook_id.as_deref(), body.event.as_deref(), body.history_items.as_deref())
    else {
        return request.body_name();
    };
    if event.starts_with("taskComment") {
        return format!("{webhook}:{event}:{item}:{}", hash::hex(hash::content(request.body)));
    }
    format!("{webhook}:{event}:{item}")
}
