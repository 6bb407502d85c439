//! Who signs how: one table. A provider with a new way of signing is a new row,
//! and only a new way of *writing* signatures is new code.

use super::Headers;

/// How one family of senders signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// Its name, in configuration and metrics.
    pub name: &'static str,
    /// The header that carries the signature.
    pub header: &'static str,
    /// The header that must carry the message's id.
    pub id_header: Option<&'static str>,
    /// Where the time of signing stands.
    pub timestamp: Timestamp,
    /// What is signed, piece after piece.
    pub signed: &'static [Part],
    /// How the signature is written in its header.
    pub written: Written,
    /// How the secret is read.
    pub secret: Secret,
}

/// Where the time of signing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// Nowhere: a repeat is known by its delivery id only.
    None,
    /// In a header of its own, in seconds.
    Header {
        /// Its name.
        name: &'static str,
        /// Whether a number too great for seconds is read as milliseconds.
        or_ms: bool,
    },
    /// In the signature's header, as `t=`, in seconds.
    InSignature,
}

/// One piece of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// These characters.
    Text(&'static str),
    /// The message's id, as its header has it.
    Id,
    /// The timestamp, as its header has it.
    Timestamp,
    /// The body, byte for byte.
    Body,
}

/// How signatures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// One digest of 64 hex digits behind a prefix. Upper case is accepted: it
    /// is the same number, and some proxies and libraries print it so.
    Hex {
        /// What stands before it.
        prefix: &'static str,
    },
    /// `v1=<hex>` among pairs separated by commas; other names are ignored.
    Pairs,
    /// `v1,<base64>` (HMAC) and `v1a,<base64>` (Ed25519) separated by spaces;
    /// other versions are ignored.
    Versions,
}

/// How a secret is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// Its characters are the key.
    Text,
    /// Base64 of the key, behind `whsec_` or not; behind `whpk_`, base64 of an
    /// Ed25519 public key.
    Base64,
}

const fn of_body(name: &'static str, header: &'static str, written: Written) -> Scheme {
    Scheme {
        name,
        header,
        id_header: None,
        timestamp: Timestamp::None,
        signed: &[Part::Body],
        written,
        secret: Secret::Text,
    }
}

/// `x-slack-signature: v0=…` over `v0:{timestamp}:{body}`.
pub const SLACK: Scheme = Scheme {
    timestamp: Timestamp::Header { name: "x-slack-request-timestamp", or_ms: false },
    signed: &[Part::Text("v0:"), Part::Timestamp, Part::Text(":"), Part::Body],
    ..of_body("slack", "x-slack-signature", Written::Hex { prefix: "v0=" })
};
/// `x-signature: …` over the body.
pub const CLICKUP: Scheme = of_body("clickup", "x-signature", Written::Hex { prefix: "" });
/// `x-hub-signature-256: sha256=…` over the body.
pub const GITHUB: Scheme = of_body("github", "x-hub-signature-256", Written::Hex { prefix: "sha256=" });
/// `x-hub-signature: sha256=…` over the body (GitHub's header of that name is
/// SHA-1 and is refused).
pub const JIRA: Scheme = of_body("jira", "x-hub-signature", Written::Hex { prefix: "sha256=" });
/// The hub's own: `x-webhook-signature: …` over `{timestamp}.{body}`, with an
/// id that is demanded but not signed.
pub const NEXUS: Scheme = Scheme {
    id_header: Some("x-webhook-event-id"),
    timestamp: Timestamp::Header { name: "x-webhook-timestamp", or_ms: true },
    signed: &[Part::Timestamp, Part::Text("."), Part::Body],
    ..of_body("nexus", "x-webhook-signature", Written::Hex { prefix: "" })
};
/// `webhook-signature: v1,… v1a,…` over `{id}.{timestamp}.{body}`.
pub const STANDARD_WEBHOOKS: Scheme = Scheme {
    id_header: Some("webhook-id"),
    timestamp: Timestamp::Header { name: "webhook-timestamp", or_ms: false },
    signed: &[Part::Id, Part::Text("."), Part::Timestamp, Part::Text("."), Part::Body],
    secret: Secret::Base64,
    ..of_body("standard_webhooks", "webhook-signature", Written::Versions)
};
/// `stripe-signature: t=…,v1=…` over `{t}.{body}`; the secret is text, its
/// `whsec_` included.
pub const STRIPE: Scheme = Scheme {
    timestamp: Timestamp::InSignature,
    signed: &[Part::Timestamp, Part::Text("."), Part::Body],
    ..of_body("stripe", "stripe-signature", Written::Pairs)
};
/// `x-pagerduty-signature: v1=…[,v1=…]` over the body.
pub const PAGERDUTY: Scheme = of_body("pagerduty", "x-pagerduty-signature", Written::Pairs);

/// All schemes. No two share a header, so the header tells the scheme.
pub const SCHEMES: &[Scheme] = &[SLACK, CLICKUP, GITHUB, JIRA, NEXUS, STANDARD_WEBHOOKS, STRIPE, PAGERDUTY];

/// The scheme of that name.
pub fn by_name(name: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().find(|scheme| scheme.name == name)
}

/// The first of `allowed` whose signature header the request carries.
pub fn detect<'s>(allowed: &'s [Scheme], headers: &Headers<'_>) -> Option<&'s Scheme> {
    allowed.iter().find(|scheme| headers(scheme.header).is_some())
}
