//! Sample webhooks, made fresh: the bodies are files under `tests/fixtures`, in
//! the provider's own shapes with invented contents; each sending gets ids and
//! times of its own, and the provider's signature.

use runtime::identity::random_hex;
use serde_json::{Value, json};
use udfs::{
    hash::{Parts, hex},
    signature::Scheme,
};

/// A sample.
#[derive(Debug)]
pub struct Sample {
    /// Whose.
    pub provider: &'static str,
    /// Of what: the provider's own name.
    pub event: &'static str,
    /// Its body, as a file has it.
    pub body: &'static str,
}

/// The samples of some events of a provider, each of which is a file.
#[macro_export]
macro_rules! samples {
    ($($provider:literal $event:literal)*) => {
        &[$($crate::capability::samples::Sample {
            provider: $provider,
            event: $event,
            body: include_str!(concat!("../../../../tests/fixtures/", $provider, "/", $event, ".json")),
        }),*]
    };
}

/// What a fresh sample needs besides its body.
pub struct Envelope {
    /// Where it is sent.
    pub path: String,
    /// How it is signed.
    pub scheme: Scheme,
    /// The provider's headers.
    pub headers: Vec<(&'static str, String)>,
}

/// Makes samples of what a provider sends.
pub trait Samples: Send + Sync {
    /// All of them.
    fn all(&self) -> &'static [Sample];

    /// Gives a body ids and times of its own, and says how it is sent: by this
    /// workspace, to this connection's address where that is a part of it.
    fn freshen(
        &self,
        sample: &Sample,
        body: &mut Value,
        fresh: &Fresh,
        from: (Option<&str>, Option<&str>),
    ) -> Result<Envelope, String>;
}

/// Ids and times of one sending.
pub struct Fresh {
    /// Hex digits that no other sending has.
    pub id: String,
    /// The same as a number.
    pub number: u128,
    /// Now.
    pub now_ms: u64,
}

impl Fresh {
    /// Those of the sending of this number.
    pub fn new(number: u64, now_ms: u64) -> Self {
        let name = Parts::new().add(random_hex()).number(number).finish();
        Fresh { id: hex(name), number: name, now_ms }
    }

    /// 19 digits, as ClickUp's history has them.
    pub fn digits(&self, more: u64) -> String {
        let number = (self.number as u64).wrapping_add(more) % 9_000_000_000_000_000_000;
        (number + 1_000_000_000_000_000_000).to_string()
    }

    /// As delivery ids are written.
    pub fn uuid(&self) -> String {
        let id = &self.id;
        format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..])
    }
}

/// Replaces a value that is there; what a sample does not have, it does not get.
pub fn set(body: &mut Value, place: &str, value: impl Into<Value>) {
    if let Some(old) = body.pointer_mut(place) {
        *old = json!(value.into());
    }
}
