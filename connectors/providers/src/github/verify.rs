//! GitHub: an app has one secret, a hook has its own; installation, hook or
//! repository picks the tenant.

use std::{borrow::Cow, sync::Arc};

use runtime::config::ServerSettings;
use serde::Deserialize;
use udfs::signature::GITHUB;

use super::GitHub;
use crate::{
    capability::Verify,
    webhook::{
        Admitted, Media, Refused, SenderLink, WebhookReply, WebhookRequest,
        document::{self, Id, IdWithin, Within},
    },
};

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    installation: IdWithin,
    #[serde(default)]
    repository: Within<Repository>,
}

#[derive(Default, Deserialize)]
struct Repository {
    #[serde(default)]
    full_name: Id,
}

impl Verify for GitHub {
    fn admit(
        &self,
        request: &WebhookRequest<'_>,
        _provider: &str,
        _link: Option<&Arc<SenderLink>>,
    ) -> Result<Admitted, Refused> {
        admit(request)
    }

    fn kept_headers(&self) -> &'static [&'static str] {
        &["x-github-delivery", "x-github-event", "x-github-hook-id"]
    }

    fn body_max_bytes(&self, settings: &ServerSettings) -> usize {
        settings.github_body_max_bytes
    }
}

/// Judges a request.
fn admit(request: &WebhookRequest<'_>) -> Result<Admitted, Refused> {
    let text = match request.media {
        Media::Json => Cow::Borrowed(&request.body[..]),
        Media::Form => match request.form_payload() {
            Ok(Some(payload)) => Cow::Owned(payload.into_bytes()),
            Ok(None) => return Err(unbelieved_or(request, Refused::Malformed("the form has no payload".into()))),
            Err(refused) => return Err(unbelieved_or(request, refused)),
        },
        _ => return Err(Refused::Media),
    };
    let body: Body = match document::read(&text, request.depth_max) {
        Ok(body) => body,
        Err(refused) => return Err(unbelieved_or(request, refused)),
    };
    let senders = request.senders;
    let named =
        [body.installation.as_deref(), request.header("x-github-hook-id"), body.repository.0.full_name.as_deref()];
    let link = named.iter().flatten().find_map(|sender| senders.link_to("github", sender)).cloned();
    request.verify_unless_allowed(&GITHUB, senders.keys("github", link.as_deref()))?;
    let missing = udfs::signature::Refused::MissingHeader("x-github-delivery");
    let delivery = request.header("x-github-delivery").ok_or(Refused::Unsigned(missing))?.to_owned();
    if request.header("x-github-event").is_none() {
        return Err(Refused::Malformed("the header x-github-event is missing".into()));
    }
    let tenant = link.as_ref().map_or_else(|| senders.unrouted(), |link| &link.tenant).clone();
    let sender = named.into_iter().flatten().last().map(str::to_owned);
    Ok(Admitted { tenant, link, delivery: Some(delivery), sender, answer: WebhookReply::Store })
}

/// Whoever cannot sign learns nothing about what is wrong with the body.
fn unbelieved_or(request: &WebhookRequest<'_>, refused: Refused) -> Refused {
    let keys = request.senders.keys("github", None);
    request.verify_unless_allowed(&GITHUB, keys).err().unwrap_or(refused)
}
