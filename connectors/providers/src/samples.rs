//! Sample webhooks, made fresh: what `nexus send` and the demo post, and what
//! the tests send through the front door. Each provider's are in its folder.

use serde_json::Value;
use udfs::signature;

use crate::{PROVIDERS, Provider, generic::Generic};

pub use crate::capability::samples::{Fresh, Sample};

/// All samples, by provider.
pub fn all() -> impl Iterator<Item = &'static Sample> {
    let providers = PROVIDERS.iter().copied().chain([&Generic as &dyn Provider]);
    providers.flat_map(|provider| provider.samples().all())
}

/// The sample of a provider's event.
pub fn find(provider: &str, event: &str) -> Option<&'static Sample> {
    all().find(|sample| sample.provider == provider && sample.event == event)
}

/// Who sends a sample, and to whom.
#[derive(Debug)]
pub struct Sender {
    /// What is sent.
    pub sample: &'static Sample,
    /// What it is signed with; unsigned without.
    pub secret: Option<String>,
    /// The connection whose address it is sent to, where it is a part of that.
    pub connection: Option<String>,
    /// The workspace that it claims to come from.
    pub external_id: Option<String>,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub path: String,
    /// Its headers, the signature's included.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Sender {
    /// A request of its own: another number, other ids.
    pub fn request(&self, number: u64, now_ms: u64) -> Result<Request, String> {
        let mut body: Value = serde_json::from_str(self.sample.body).map_err(|error| error.to_string())?;
        let fresh = Fresh::new(number, now_ms);
        let from = (self.external_id.as_deref(), self.connection.as_deref());
        let samples = crate::of(self.sample.provider).samples();
        let sent = samples.freshen(self.sample, &mut body, &fresh, from)?;
        let (body, mut headers) = (body.to_string().into_bytes(), sent.headers);
        headers.push(("content-type", self.content_type().to_owned()));
        if let Some(secret) = &self.secret {
            let signed = signature::sign(&sent.scheme, secret, &fresh.id, now_ms / 1000, &body);
            headers.extend(signed.map_err(|refused| refused.to_string())?);
        }
        Ok(Request { path: sent.path, headers, body })
    }

    fn content_type(&self) -> &'static str {
        if self.sample.provider == "cloudevents" { "application/cloudevents+json" } else { "application/json" }
    }
}
