//! Slack: the signing secret belongs to the app, the team picks the tenant.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use udfs::signature::{self, SLACK};

use super::Slack;
use crate::{
    capability::Verify,
    webhook::{
        Admitted, Media, Refused, SenderLink, WebhookReply, WebhookRequest,
        document::{self, Id, IdWithin, Text},
    },
};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(default)]
    team_id: Id,
    #[serde(default)]
    team: IdWithin,
    #[serde(default)]
    event_id: Id,
    #[serde(default)]
    challenge: Text,
    #[serde(borrow, default)]
    event: Option<Event<'a>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
}

impl Verify for Slack {
    fn admit(
        &self,
        request: &WebhookRequest<'_>,
        _provider: &str,
        _link: Option<&Arc<SenderLink>>,
    ) -> Result<Admitted, Refused> {
        admit(request)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &["x-slack-retry-num", "x-slack-retry-reason"]
    }
}

/// Judges a request.
fn admit(request: &WebhookRequest<'_>) -> Result<Admitted, Refused> {
    let (text, is_form) = match request.media {
        Media::Json => (Cow::Borrowed(&request.body[..]), false),
        Media::Form => match payload(request) {
            Ok(text) => (text, true),
            // Whoever cannot sign learns nothing about what is wrong.
            Err(refused) => return Err(verify_by_any(request).err().unwrap_or(refused)),
        },
        _ => return Err(Refused::Media),
    };
    let body = match document::read::<Body<'_>>(&text, request.depth_max) {
        Ok(body) => body,
        Err(refused) => return Err(verify_by_any(request).err().unwrap_or(refused)),
    };
    let team = body.team_id.0.clone().or(body.team.as_deref().map(str::to_owned));
    let link = team.as_deref().and_then(|team| request.senders.link_to("slack", team)).cloned();
    match (&team, &link) {
        // A challenge, or an event of a whole organisation: any of ours may
        // have signed it.
        (None, _) => verify_by_any(request)?,
        (_, link) => request.verify_unless_allowed(&SLACK, request.senders.keys("slack", link.as_deref()))?,
    }
    let answer = if is_form { WebhookReply::Store } else { answer(&body)? };
    let tenant = link.as_ref().map_or_else(|| request.senders.unrouted(), |link| &link.tenant).clone();
    let delivery = body.event_id.0.unwrap_or_else(|| request.body_name());
    Ok(Admitted { tenant, link, delivery: Some(delivery), sender: team, answer })
}

fn answer(body: &Body<'_>) -> Result<WebhookReply, Refused> {
    let bad = |reason: &'static str| Err(Refused::Malformed(reason.into()));
    match body.kind.as_deref() {
        Some("url_verification") => match &body.challenge {
            Text(Some(challenge)) => Ok(WebhookReply::Challenge(challenge.clone())),
            Text(None) => bad("the challenge is missing or no text"),
        },
        Some("event_callback") => match &body.event {
            Some(Event { kind: Some(_) }) => Ok(WebhookReply::Store),
            _ => bad("the event has no type"),
        },
        Some(_) => Ok(WebhookReply::Store),
        None => bad("the body has no type"),
    }
}

/// Forms carry interactions as JSON in `payload`; a slash command is the form
/// itself, of which the same is made.
fn payload<'a>(request: &'a WebhookRequest<'_>) -> Result<Cow<'a, [u8]>, Refused> {
    if let Some(payload) = request.form_payload()? {
        return Ok(Cow::Owned(payload.into_bytes()));
    }
    if request.form_field("command")?.is_some() {
        let team = request.form_field("team_id")?.unwrap_or_default();
        let text = serde_json::json!({ "type": "slash_command", "team_id": team });
        return Ok(Cow::Owned(text.to_string().into_bytes()));
    }
    Err(Refused::Malformed("the form has neither a payload nor a command".into()))
}

/// Whether any of Slack's secrets signed this.
fn verify_by_any(request: &WebhookRequest<'_>) -> Result<(), Refused> {
    let senders = request.senders;
    let mut refused = Refused::Unsigned(signature::Refused::NoSecret);
    let mut some = false;
    for keys in senders.all_keys("slack").filter(|keys| !keys.is_empty()) {
        some = true;
        match request.verify(&SLACK, keys) {
            Ok(_) => return Ok(()),
            Err(reason) => refused = reason,
        }
    }
    if !some && senders.allow_unsigned { Ok(()) } else { Err(refused) }
}
