//! Names for content: fast 128-bit hashes, never used where an attacker's
//! choice of input must not collide (signatures use HMAC-SHA256).

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Collects parts into one name; parts cannot run into each other.
#[derive(Default)]
pub struct Parts(Xxh3);

impl Parts {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more part.
    #[allow(clippy::should_implement_trait)] // `+` would say less than the word
    pub fn add(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// One more part, a number.
    pub fn number(mut self, part: u64) -> Self {
        self.0.update(&part.to_le_bytes());
        self
    }

    /// The name.
    pub fn finish(&self) -> u128 {
        self.0.digest128()
    }
}

/// The name of one piece of content.
pub fn content(bytes: impl AsRef<[u8]>) -> u128 {
    xxh3_128(bytes.as_ref())
}

/// A 128-bit number as 32 lower-case hex digits.
pub fn hex(number: u128) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(32);
    for byte in number.to_be_bytes() {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The number of 32 hex digits.
pub fn from_hex(text: &str) -> Option<u128> {
    let digits_only = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits_only.then(|| u128::from_str_radix(text, 16).ok())?
}

/// Whether two secrets are the same, in a time that does not tell where they
/// differ. Empty ones never are.
pub fn same(given: &[u8], known: &[u8]) -> bool {
    !known.is_empty() && bool::from(subtle::ConstantTimeEq::ct_eq(given, known))
}

/// Standard base64, padded.
pub fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// The bytes of standard base64, padded or not.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    base64::Engine::decode(&LENIENT, text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Parts::new().add("ab").add("c").finish(), Parts::new().add("a").add("bc").finish());
        assert_ne!(Parts::new().add("").finish(), Parts::new().finish());
    }

    #[test]
    fn hex_keeps_leading_zeros() {
        assert_eq!(hex(0x0f), "0000000000000000000000000000000f");
        assert_eq!(hex(u128::MAX), "f".repeat(32));
        assert_eq!(from_hex(&hex(0x0f)), Some(0x0f));
        assert_eq!(from_hex("f"), None);
        assert_eq!(from_hex(&"+".repeat(32)), None);
    }
}
