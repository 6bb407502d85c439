//! Signatures of webhooks: in come a request's headers, its body byte for byte
//! and the secrets that may have signed it; out goes who and when, or why not.
//!
//! Guaranteed: digests are compared in constant time and all of them are looked
//! at; an empty secret verifies nothing; neither a secret nor a digest that was
//! computed here can be read from an error or a debug print; a body is hashed
//! where it lies. How each provider signs is one row of [`SCHEMES`].

mod key;
mod read;
mod schemes;
#[cfg(test)]
mod tests;

use std::fmt;

pub use key::Key;
use read::{Candidate, candidates, timestamp_ms};
pub use schemes::{
    CLICKUP, GITHUB, JIRA, NEXUS, PAGERDUTY, Part, SCHEMES, SLACK, STANDARD_WEBHOOKS, STRIPE, Scheme, Secret,
    Timestamp, Written, by_name, detect,
};
use subtle::{Choice, ConstantTimeEq};

/// How far a sender's clock may be from ours, either way, where nothing else is
/// said: the limit that the providers themselves recommend.
pub const TOLERANCE_MS: i64 = 300_000;

/// Finds a header's value by its lower-case name. Where a request has several
/// lines of one name, the first counts.
pub type Headers<'h> = dyn Fn(&str) -> Option<&'h [u8]> + 'h;

/// What a verified request says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'h> {
    /// The sender's id of the message, where the scheme demands one. Standard
    /// Webhooks signs it; [`NEXUS`] does not.
    pub id: Option<&'h str>,
    /// When it was signed, where the scheme says so.
    pub timestamp_ms: Option<i64>,
}

/// Why a request is not believed. Every one of them is the sender's fault,
/// except [`Refused::NoSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A header that the scheme demands is missing.
    MissingHeader(&'static str),
    /// A header is there, but does not say what it should.
    BadHeader(&'static str),
    /// The timestamp is further from now than is tolerated ([`TOLERANCE_MS`]).
    Stale,
    /// Nobody who holds a secret signed this.
    Mismatch,
    /// There is no usable secret to check with.
    NoSecret,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::MissingHeader(name) => write!(out, "the header {name} is missing"),
            Refused::BadHeader(name) => write!(out, "the header {name} is malformed"),
            Refused::Stale => write!(out, "the timestamp is more than {} s from now", TOLERANCE_MS / 1000),
            Refused::Mismatch => out.write_str("the signature does not match"),
            Refused::NoSecret => out.write_str("no usable secret is configured"),
        }
    }
}

impl std::error::Error for Refused {}

/// Whether one of `secrets` signed this request, at a time near `now_ms`.
/// Prepares the keys anew; where requests are many, keep [`Key`]s and call
/// [`verify_with`].
pub fn verify<'h>(
    scheme: &Scheme,
    headers: &Headers<'h>,
    body: &[u8],
    secrets: &[&str],
    now_ms: i64,
) -> Result<Verified<'h>, Refused> {
    let keys: Vec<Key> = secrets.iter().filter_map(|secret| Key::new(scheme, secret)).collect();
    verify_with(scheme, headers, body, &keys, now_ms)
}

/// Whether one of `keys` signed this request, at a time near `now_ms`.
pub fn verify_with<'h>(
    scheme: &Scheme,
    headers: &Headers<'h>,
    body: &[u8],
    keys: &[Key],
    now_ms: i64,
) -> Result<Verified<'h>, Refused> {
    verify_within(scheme, headers, body, keys, now_ms, TOLERANCE_MS.unsigned_abs())
}

/// Whether one of `keys` signed this request, at a time that is at most
/// `tolerance_ms` from `now_ms`, either way.
pub fn verify_within<'h>(
    scheme: &Scheme,
    headers: &Headers<'h>,
    body: &[u8],
    keys: &[Key],
    now_ms: i64,
    tolerance_ms: u64,
) -> Result<Verified<'h>, Refused> {
    let signature = headers(scheme.header).ok_or(Refused::MissingHeader(scheme.header))?;
    let id = scheme.id_header.map(|name| read::id(headers, name)).transpose()?;
    let timestamp = match scheme.timestamp {
        Timestamp::None => None,
        Timestamp::Header { name, .. } => Some((name, headers(name).ok_or(Refused::MissingHeader(name))?)),
        Timestamp::InSignature => Some((scheme.header, read::stripe_timestamp(signature)?)),
    };
    let timestamp_ms = timestamp.map(|(name, digits)| timestamp_ms(scheme, name, digits)).transpose()?;
    let candidates = candidates(scheme, signature)?;
    if keys.is_empty() {
        return Err(Refused::NoSecret);
    }
    if timestamp_ms.is_some_and(|at_ms| now_ms.abs_diff(at_ms) > tolerance_ms) {
        return Err(Refused::Stale);
    }
    let message =
        Message { id: id.unwrap_or_default().as_bytes(), timestamp: timestamp.map_or(&[], |(_, digits)| digits), body };
    let matched = keys.iter().fold(Choice::from(0), |matched, key| matched | message.matches(scheme, key, &candidates));
    if bool::from(matched) { Ok(Verified { id, timestamp_ms }) } else { Err(Refused::Mismatch) }
}

/// The headers that make a request of `body` verifiable. `id` and
/// `timestamp_s` are used where the scheme has them. Fails when the secret
/// cannot sign: it is empty, malformed, or the public half of a pair.
pub fn sign(
    scheme: &Scheme,
    secret: &str,
    id: &str,
    timestamp_s: u64,
    body: &[u8],
) -> Result<Vec<(&'static str, String)>, Refused> {
    let key = Key::new(scheme, secret).ok_or(Refused::NoSecret)?;
    let timestamp = timestamp_s.to_string();
    let message = Message { id: id.as_bytes(), timestamp: timestamp.as_bytes(), body };
    let digest = message.digest(scheme, &key).ok_or(Refused::NoSecret)?;
    let hex = || digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let signature = match (scheme.written, scheme.timestamp) {
        (Written::Hex { prefix }, _) => format!("{prefix}{}", hex()),
        (Written::Pairs, Timestamp::InSignature) => format!("t={timestamp},v1={}", hex()),
        (Written::Pairs, _) => format!("v1={}", hex()),
        (Written::Versions, _) => format!("v1,{}", crate::hash::base64(&digest)),
    };
    let mut headers = vec![(scheme.header, signature)];
    if let Some(name) = scheme.id_header {
        headers.push((name, id.to_owned()));
    }
    if let Timestamp::Header { name, .. } = scheme.timestamp {
        headers.push((name, timestamp));
    }
    Ok(headers)
}

/// What is signed, in the pieces that [`Part`] names.
struct Message<'a> {
    id: &'a [u8],
    timestamp: &'a [u8],
    body: &'a [u8],
}

impl Message<'_> {
    fn pieces(&self, scheme: &'static [Part]) -> impl Iterator<Item = &[u8]> {
        scheme.iter().map(|part| match part {
            Part::Text(text) => text.as_bytes(),
            Part::Id => self.id,
            Part::Timestamp => self.timestamp,
            Part::Body => self.body,
        })
    }

    fn digest(&self, scheme: &Scheme, key: &Key) -> Option<[u8; 32]> {
        key.digest(self.pieces(scheme.signed))
    }

    fn matches(&self, scheme: &Scheme, key: &Key, candidates: &[Candidate]) -> Choice {
        if let Some(digest) = self.digest(scheme, key) {
            return candidates.iter().fold(Choice::from(0), |matched, candidate| match candidate {
                Candidate::Digest(claimed) => matched | digest.ct_eq(claimed),
                Candidate::Ed25519(_) => matched,
            });
        }
        // A public key has no secret to leak through time.
        let matched = candidates.iter().any(|candidate| match candidate {
            Candidate::Digest(_) => false,
            Candidate::Ed25519(claimed) => key.signed(self.pieces(scheme.signed), claimed),
        });
        Choice::from(u8::from(matched))
    }
}
