//! Keys made ready: a secret comes in once, and each request then starts from
//! the hashed key instead of hashing it again.

use std::fmt;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Scheme, Secret};

/// Secrets are typed and pasted by people: padding may be lost, and libraries
/// in use ignore the bits behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A secret, made ready for its scheme. Cheap to clone; prints nothing.
#[derive(Clone)]
pub struct Key(Kind);

#[derive(Clone)]
enum Kind {
    Hmac(Hmac<Sha256>),
    Ed25519(Box<VerifyingKey>),
}

impl Key {
    /// The key that `secret` is under `scheme`; `None` when it is empty or not
    /// in the scheme's form.
    pub fn new(scheme: &Scheme, secret: &str) -> Option<Key> {
        match scheme.secret {
            Secret::Text => hmac(secret.as_bytes()),
            Secret::Base64 => match secret.strip_prefix("whpk_") {
                Some(public) => ed25519(&LENIENT.decode(public).ok()?),
                None => hmac(&LENIENT.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).ok()?),
            },
        }
    }

    /// The HMAC of the pieces; `None` for a public key, which cannot sign.
    pub(super) fn digest<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Option<[u8; 32]> {
        let Kind::Hmac(prepared) = &self.0 else { return None };
        let mut mac = prepared.clone();
        pieces.for_each(|piece| mac.update(piece));
        Some(mac.finalize().into_bytes().into())
    }

    /// Whether the private half of this public key made `signature`. The pieces
    /// are joined first, as the strict check wants them in one: next to the
    /// curve arithmetic the copy costs nothing.
    pub(super) fn signed<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>, signature: &[u8; 64]) -> bool {
        let Kind::Ed25519(public) = &self.0 else { return false };
        let message = pieces.collect::<Vec<_>>().concat();
        public.verify_strict(&message, &Signature::from_bytes(signature)).is_ok()
    }
}

fn hmac(key: &[u8]) -> Option<Key> {
    if key.is_empty() {
        return None;
    }
    Hmac::new_from_slice(key).ok().map(|prepared| Key(Kind::Hmac(prepared)))
}

fn ed25519(key: &[u8]) -> Option<Key> {
    let public = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    // A weak key accepts one signature for many messages.
    (!public.is_weak()).then(|| Key(Kind::Ed25519(Box::new(public))))
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.0 {
            Kind::Hmac(_) => "Key(hmac)",
            Kind::Ed25519(_) => "Key(ed25519)",
        })
    }
}
