//! JSON Web Tokens with HMAC-SHA256, and with nothing else: what a token's
//! header asks for is compared with the one algorithm there is, never obeyed.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 4_096;

/// The header of every token of ours.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What tokens are signed with.
pub struct Key(Hmac<Sha256>);

#[derive(Deserialize)]
struct Header {
    alg: String,
}

impl Key {
    /// From the secret's bytes.
    pub fn new(secret: &[u8]) -> Self {
        Key(Hmac::new_from_slice(secret).expect("a key of any length will do"))
    }

    /// The token that says `claims`.
    pub fn sign(&self, claims: &impl Serialize) -> String {
        let claims = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = URL_SAFE_NO_PAD.encode(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let mut mac = self.0.clone();
        mac.update(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(mac.finalize().into_bytes(), &mut token);
        token
    }

    /// What a token says, if this key signed it.
    pub fn verify<C: DeserializeOwned>(&self, token: &str) -> Option<C> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "HS256" {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Signed by an independent implementation with the key `secret`.
    const KNOWN: &str =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.8qZF8vbN3UpcanXFc-mPXJkOPN01-bRch8XX3rToP1U";

    #[test]
    fn what_was_signed_is_read_and_nothing_else() {
        let key = Key::new(b"secret");
        let token = key.sign(&json!({"sub": "agt_1"}));
        assert_eq!(key.verify::<Value>(&token), Some(json!({"sub": "agt_1"})));
        assert_eq!(Key::new(b"other").verify::<Value>(&token), None);
        for position in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("still text");
            assert_eq!(key.verify::<Value>(&changed), None, "{position}");
        }
        for bad in ["", ".", "..", "a.b", "a.b.c", &token[..token.len() - 1], &"a.".repeat(5_000)] {
            assert_eq!(key.verify::<Value>(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_algorithm_is_not_obeyed() {
        let key = Key::new(b"secret");
        for alg in ["none", "HS384", "RS256", "hs256"] {
            let signed = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(json!({"alg": alg}).to_string()),
                URL_SAFE_NO_PAD.encode(r#"{"sub":"1"}"#)
            );
            let mut mac = key.0.clone();
            mac.update(signed.as_bytes());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
            assert_eq!(key.verify::<Value>(&token), None, "{alg}");
            assert_eq!(key.verify::<Value>(&format!("{signed}.")), None, "{alg}");
        }
    }

    #[test]
    fn tokens_of_other_implementations_are_alike() {
        assert_eq!(Key::new(b"secret").verify::<Value>(KNOWN), Some(json!({"sub": "1"})));
    }
}
