//! Secrets at rest: what a connection needs to stay known only to us.
//!
//! In: a secret, and the connection it belongs to. Out: text that only a holder
//! of the key opens, and only for that connection. Guaranteed: what was changed
//! or moved to another connection does not open; a key that is being replaced
//! still opens what it sealed.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    ChaCha20Poly1305, Key,
    aead::{Aead, KeyInit, Payload},
};
use sha2::{Digest, Sha256};

/// The form of what is sealed: `v1.KEY.BASE64URL(nonce + ciphertext)`.
const FORM: &str = "v1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// Why a key cannot be used. Never holds any of it.
#[derive(Debug, thiserror::Error)]
#[error("an encryption key must be base64 of {KEY_BYTES} bytes (openssl rand -base64 {KEY_BYTES})")]
pub struct BadKey;

/// Seals and opens secrets.
pub struct Seal {
    /// The first one seals, all of them open.
    keys: Vec<(String, ChaCha20Poly1305)>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Seal {
    /// From keys as the configuration has them, separated by commas.
    pub fn new(keys: &str) -> Result<Self, BadKey> {
        let keys = keys.split(',').map(str::trim).filter(|key| !key.is_empty()).map(one);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(BadKey) } else { Ok(Seal { keys }) }
    }

    /// Seals a secret of a connection.
    pub fn seal(&self, tenant: &str, connection: &str, secret: &str) -> String {
        let (id, cipher) = &self.keys[0];
        let mut sealed = vec![0; NONCE_BYTES];
        // Fails where the system has no randomness; nothing of ours is safe there.
        getrandom::fill(&mut sealed).expect("the system gives random bytes");
        let nonce: [u8; NONCE_BYTES] = std::array::from_fn(|place| sealed[place]);
        let owner = owner(tenant, connection);
        let payload = Payload { msg: secret.as_bytes(), aad: owner.as_bytes() };
        // Fails beyond 256 GiB, which no secret is.
        sealed.extend(cipher.encrypt(&nonce.into(), payload).expect("a secret that fits into memory"));
        format!("{FORM}.{id}.{}", URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens what was sealed for this connection.
    pub fn open(&self, tenant: &str, connection: &str, sealed: &str) -> Option<String> {
        let mut parts = sealed.splitn(3, '.');
        let (FORM, id, text) = (parts.next()?, parts.next()?, parts.next()?) else { return None };
        let (_, cipher) = self.keys.iter().find(|(known, _)| known == id)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let owner = owner(tenant, connection);
        let payload = Payload { msg: ciphertext, aad: owner.as_bytes() };
        String::from_utf8(cipher.decrypt(&(*nonce).into(), payload).ok()?).ok()
    }

    /// Whether something was sealed by another key than the first, and is to be
    /// sealed anew.
    pub fn is_old(&self, sealed: &str) -> bool {
        sealed.split('.').nth(1) != Some(&self.keys[0].0)
    }
}

/// A key and the name it goes by, from which nobody learns the key.
fn one(text: &str) -> Result<(String, ChaCha20Poly1305), BadKey> {
    let bytes: [u8; KEY_BYTES] = STANDARD.decode(text).map_err(|_| BadKey)?.try_into().map_err(|_| BadKey)?;
    let digest = Sha256::new_with_prefix(b"nexus key id").chain_update(bytes).finalize();
    let id = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Ok((id, ChaCha20Poly1305::new(&Key::from(bytes))))
}

/// Ids have no slash.
fn owner(tenant: &str, connection: &str) -> String {
    format!("{tenant}/{connection}")
}

/// A new key, as the configuration has it.
pub fn new_key() -> String {
    let mut bytes = [0; KEY_BYTES];
    // Fails where the system has no randomness; nothing of ours is safe there.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_connection_alone() {
        let seal = Seal::new(&new_key()).expect("a key");
        let sealed = seal.seal("acme", "con_1", "hush ✓");
        assert!(!sealed.contains("hush") && sealed.starts_with("v1."));
        assert_ne!(sealed, seal.seal("acme", "con_1", "hush ✓"), "no two look the same");
        assert_eq!(seal.open("acme", "con_1", &sealed).as_deref(), Some("hush ✓"));
        assert_eq!(seal.open("acme", "con_2", &sealed), None);
        assert_eq!(seal.open("umbra", "con_1", &sealed), None);
        let stranger = Seal::new(&new_key()).expect("a key");
        assert_eq!(stranger.open("acme", "con_1", &sealed), None);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let seal = Seal::new(&new_key()).expect("a key");
        let sealed = seal.seal("acme", "con_1", "hush");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(seal.open("acme", "con_1", &changed), None, "{changed}");
            assert_eq!(seal.open("acme", "con_1", &sealed[..place]), None);
        }
        for nonsense in ["", "v1", "v1..", "v1.x.y.z", "v2.00000000.AAAA"] {
            assert_eq!(seal.open("acme", "con_1", nonsense), None);
        }
    }

    #[test]
    fn a_key_is_replaced_without_losing_anything() {
        let (old, new) = (new_key(), new_key());
        let before = Seal::new(&old).expect("a key");
        let sealed = before.seal("acme", "con_1", "hush");
        let during = Seal::new(&format!("{new}, {old}")).expect("two keys");
        assert_eq!(during.open("acme", "con_1", &sealed).as_deref(), Some("hush"));
        assert!(during.is_old(&sealed) && !before.is_old(&sealed));
        let again = during.seal("acme", "con_1", "hush");
        let after = Seal::new(&new).expect("a key");
        assert_eq!(after.open("acme", "con_1", &again).as_deref(), Some("hush"));
        assert_eq!(after.open("acme", "con_1", &sealed), None);
    }

    #[test]
    fn keys_are_never_shown_and_bad_ones_refused() {
        let key = new_key();
        let seal = Seal::new(&key).expect("a key");
        assert!(!format!("{seal:?}").contains(&key[..8]));
        for bad in ["", ",", "short", "AAAA", &format!("{key}AAAA")] {
            assert!(Seal::new(bad).is_err());
        }
    }
}
