//! Makes StandardEvents of verified requests: the first stage.
//!
//! In: the value of a record of `webhooks.raw`. Out: one draft for each thing
//! that the request tells of, most often one. The same request gives the same
//! drafts whenever it is run, with the marks by which a repeat is known.
//!
//! A provider is a file here and a line in [`PROVIDERS`]; every sender without
//! a line is read by [`generic`]. Bodies are read leniently (see [`lenient`]):
//! a field of an unexpected type is a field that is not there. What is no JSON
//! of the provider at all is rejected, with a reason for a person.

mod clickup;
mod cloudevents;
mod generic;
mod github;
mod jira;
mod lenient;
mod request;
mod slack;
#[cfg(test)]
mod tests;
mod times;

use std::borrow::Cow;

use request::Request;

use crate::{draft::Draft, event::Webhook, ports::Record, turn::Turn};

/// The stage's name.
pub const NAME: &str = "normalize";

/// Why a record cannot be normalised, for a person.
#[derive(Debug)]
pub struct Rejected {
    /// One sentence.
    pub reason: String,
}

impl Rejected {
    fn new(reason: impl Into<String>) -> Self {
        Rejected { reason: reason.into() }
    }
}

/// How a provider's request is read.
type Read = fn(&Request<'_>) -> Result<Vec<Draft>, Rejected>;

/// THE list of providers whose events are understood.
const PROVIDERS: &[(&str, Read)] =
    &[("slack", slack::read), ("clickup", clickup::read), ("github", github::read), ("jira", jira::read)];

/// Reads the value of a record of `webhooks.raw`.
pub fn read(record: &Record) -> Result<Webhook<'_>, Rejected> {
    let value = record.value.as_deref().unwrap_or_default();
    serde_json::from_slice(value).map_err(|error| Rejected::new(format!("no webhook record: {error}")))
}

/// The events that a request tells of. None where another event tells it.
pub fn on(webhook: &Webhook<'_>, turn: &Turn<'_>) -> Result<Vec<Draft>, Rejected> {
    let read =
        PROVIDERS.iter().find(|(name, _)| *name == webhook.provider).map_or(generic::read as Read, |line| line.1);
    let body = request::body_of(webhook)?;
    let first = read(&Request { webhook, turn, body: &body });
    // Half a surrogate pair is legal in JSON and impossible in UTF-8, so the
    // parser refuses it. It is rare: only a body that failed is looked through.
    let Err(rejected) = first else { return first };
    let Cow::Owned(mended) = udfs::json::mend_surrogates(body.as_bytes()) else { return Err(rejected) };
    let mended = String::from_utf8(mended).map_err(|_| rejected)?;
    read(&Request { webhook, turn, body: &mended })
}
