//! A request as the providers' files see it, and what they make of it.

use std::{borrow::Cow, sync::Arc};

use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use udfs::signature::{self, Scheme, Verified};

use super::senders::{Keys, SenderLink, Senders};
use runtime::http::problem::Problem;

/// What kind of body a request declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// JSON.
    Json,
    /// A form.
    Form,
    /// One CloudEvent as JSON.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEventBatch,
    /// Something else: only as the data of a CloudEvent in binary mode.
    Other,
}

impl Media {
    /// As declared. Anything but UTF-8 is refused before it is read.
    pub fn of(headers: &HeaderMap) -> Option<Media> {
        let declared = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let mut parts = declared.split(';').map(str::trim);
        let kind = parts.next()?.to_ascii_lowercase();
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim_matches('"');
            if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
                return None;
            }
        }
        Some(match kind.as_str() {
            "application/cloudevents+json" => Media::CloudEvent,
            "application/cloudevents-batch+json" => Media::CloudEventBatch,
            "application/x-www-form-urlencoded" => Media::Form,
            "application/json" => Media::Json,
            _ if kind.starts_with("application/") && kind.ends_with("+json") => Media::Json,
            _ => Media::Other,
        })
    }
}

/// A request that is to be judged.
pub struct WebhookRequest<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, byte for byte.
    pub body: &'a Bytes,
    /// What it declares its body to be.
    pub media: Media,
    /// The wall clock.
    pub now_ms: i64,
    /// How far a signed timestamp may be from it, either way.
    pub tolerance_ms: u64,
    /// Who may send.
    pub senders: &'a Senders,
    /// How deep its JSON may be.
    pub depth_max: usize,
}

impl WebhookRequest<'_> {
    /// A header's value, if it is text; of several lines the first.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
    }

    /// Whether one of `keys` signed this.
    pub fn verify(&self, scheme: &Scheme, keys: &Keys) -> Result<Verified<'_>, Refused> {
        self.verify_headers(scheme, &|name| self.headers.get(name).map(|value| value.as_bytes()), keys)
    }

    /// The same, with `lookup` for its headers.
    pub fn verify_headers<'h>(
        &self,
        scheme: &Scheme,
        lookup: &signature::Headers<'h>,
        keys: &Keys,
    ) -> Result<Verified<'h>, Refused> {
        let keys = keys.of(scheme);
        signature::verify_within(scheme, lookup, self.body, keys, self.now_ms, self.tolerance_ms).map_err(|reason| {
            match reason {
                signature::Refused::Stale => Refused::Stale { tolerance_ms: self.tolerance_ms },
                reason => Refused::Unsigned(reason),
            }
        })
    }

    /// Whether one of `keys` signed this, or nobody has to.
    pub fn verify_unless_allowed(&self, scheme: &Scheme, keys: &Keys) -> Result<(), Refused> {
        if keys.is_empty() && self.senders.allow_unsigned {
            return Ok(());
        }
        self.verify(scheme, keys).map(drop)
    }

    /// The content of the form field `payload`, as providers send JSON in forms.
    pub fn form_payload(&self) -> Result<Option<String>, Refused> {
        Ok(self.form_field("payload")?.map(Cow::into_owned))
    }

    /// A field of the form.
    pub fn form_field(&self, name: &str) -> Result<Option<Cow<'_, str>>, Refused> {
        let text = std::str::from_utf8(self.body).map_err(|_| Refused::Malformed("the form is not UTF-8".into()))?;
        udfs::form::field(text, name).map_err(|()| Refused::Malformed("the form is badly encoded".into()))
    }

    /// A name for the body where the provider gave the delivery none.
    pub fn body_name(&self) -> String {
        udfs::hash::hex(udfs::hash::content(self.body))
    }
}

/// What becomes of a request that is believed.
pub struct Admitted {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Through which link it came.
    pub link: Option<Arc<SenderLink>>,
    /// The provider's own id of this delivery: a repeat has the same.
    pub delivery: Option<String>,
    /// The provider's id of the workspace, where it says one.
    pub sender: Option<String>,
    /// What to answer.
    pub answer: WebhookReply,
}

/// What to answer to a request that is believed.
#[derive(Debug, PartialEq)]
pub enum WebhookReply {
    /// Its id, once it is durable.
    Store,
    /// This challenge; nothing is stored.
    Challenge(String),
}

/// Why a request is not accepted.
#[derive(Debug)]
pub enum Refused {
    /// Nobody who may sent it.
    Unsigned(signature::Refused),
    /// It was signed too long ago, or in the future.
    Stale {
        /// How far from now a timestamp may be.
        tolerance_ms: u64,
    },
    /// Its body is not what this provider sends.
    Malformed(Cow<'static, str>),
    /// There is no such sender.
    Unknown(&'static str),
    /// Its content type is not one that this route takes.
    Media,
}

impl Refused {
    /// The answer; to a sender that gives up at once, none that would make it do so.
    pub fn problem(&self, gives_up_at_once: bool) -> Problem {
        let status = |usual| if gives_up_at_once { StatusCode::BAD_REQUEST } else { usual };
        let unsigned = |reason: String| Problem::new(status(StatusCode::UNAUTHORIZED), "bad_signature", reason);
        match self {
            Refused::Unsigned(reason) => unsigned(reason.to_string()),
            Refused::Stale { tolerance_ms } => {
                unsigned(format!("the timestamp is more than {} s from now", tolerance_ms / 1000))
            }
            Refused::Malformed(reason) => Problem::new(StatusCode::BAD_REQUEST, "bad_body", reason.clone()),
            Refused::Unknown(reason) => Problem::new(status(StatusCode::NOT_FOUND), "unknown_sender", *reason),
            Refused::Media => {
                let detail =
                    "the content type must be application/json in UTF-8 (or what the provider's route documents)";
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail)
            }
        }
    }

    /// One word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Refused::Unsigned(_) | Refused::Stale { .. } => "signature",
            Refused::Malformed(_) => "body",
            Refused::Unknown(_) => "unknown",
            Refused::Media => "media",
        }
    }
}
