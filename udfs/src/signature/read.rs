//! What the headers say: ids, timestamps and claimed signatures. Strict where
//! leniency would let two texts mean one request, and bounded.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Headers, Refused, Scheme, Timestamp, Written};

/// Signatures looked at in one header. Senders write one, and two or three
/// while a secret is rotated; more is somebody trying to make us work.
const SIGNATURES_MAX: usize = 16;
/// The longest id that is taken; it becomes part of keys.
const ID_BYTES_MAX: usize = 256;
/// From here on a number is milliseconds: as seconds it would be the year 5138,
/// as milliseconds it is 1973.
const FIRST_MS: i64 = 100_000_000_000;

/// A signature that the request claims to be right.
pub(super) enum Candidate {
    Digest([u8; 32]),
    Ed25519([u8; 64]),
}

/// The id, which must be there, printable and not too long.
pub(super) fn id<'h>(headers: &Headers<'h>, name: &'static str) -> Result<&'h str, Refused> {
    let value = headers(name).ok_or(Refused::MissingHeader(name))?;
    let printable = value.iter().all(u8::is_ascii_graphic);
    if value.is_empty() || value.len() > ID_BYTES_MAX || !printable {
        return Err(Refused::BadHeader(name));
    }
    std::str::from_utf8(value).map_err(|_| Refused::BadHeader(name))
}

/// Digits and nothing else: no sign, no space, no fraction, no overflow.
pub(super) fn timestamp_ms(scheme: &Scheme, name: &'static str, digits: &[u8]) -> Result<i64, Refused> {
    let number = digits.iter().try_fold(0i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    let number = number.filter(|_| !digits.is_empty()).ok_or(Refused::BadHeader(name))?;
    let in_ms = matches!(scheme.timestamp, Timestamp::Header { or_ms: true, .. }) && number >= FIRST_MS;
    // What does not fit in milliseconds is far from any now.
    Ok(if in_ms { number } else { number.saturating_mul(1000) })
}

/// The one `t` of Stripe's header. With two of them it would be unclear which
/// was signed and which is judged, so that is refused.
pub(super) fn stripe_timestamp(header: &[u8]) -> Result<&[u8], Refused> {
    let mut found = pairs(header).filter(|(name, _)| *name == b"t");
    match (found.next(), found.next()) {
        (Some((_, digits)), None) => Ok(digits),
        _ => Err(Refused::BadHeader("stripe-signature")),
    }
}

/// The signatures of the header that this scheme could have made: at least one.
pub(super) fn candidates(scheme: &Scheme, header: &[u8]) -> Result<Vec<Candidate>, Refused> {
    let digest = |hex| hex_digest(hex).map(Candidate::Digest);
    let found: Vec<Candidate> = match scheme.written {
        Written::Hex { prefix } => header.strip_prefix(prefix.as_bytes()).and_then(digest).into_iter().collect(),
        Written::Pairs => pairs(header)
            .filter(|(name, _)| *name == b"v1")
            .filter_map(|(_, hex)| digest(hex))
            .take(SIGNATURES_MAX + 1)
            .collect(),
        Written::Versions => header.split(|byte| *byte == b' ').filter_map(version).take(SIGNATURES_MAX + 1).collect(),
    };
    if found.is_empty() || found.len() > SIGNATURES_MAX {
        return Err(Refused::BadHeader(scheme.header));
    }
    Ok(found)
}

fn pairs(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b',').filter_map(|pair| {
        let equals = memchr::memchr(b'=', pair)?;
        Some((&pair[..equals], &pair[equals + 1..]))
    })
}

fn version(entry: &[u8]) -> Option<Candidate> {
    if let Some(text) = entry.strip_prefix(b"v1,") {
        return Some(Candidate::Digest(STANDARD.decode(text).ok()?.try_into().ok()?));
    }
    let text = entry.strip_prefix(b"v1a,")?;
    Some(Candidate::Ed25519(STANDARD.decode(text).ok()?.try_into().ok()?))
}

/// 64 hex digits of either case.
fn hex_digest(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(digest)
}

fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}
