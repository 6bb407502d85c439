//! Events whose attributes are headers and whose data is the body.

use std::borrow::Cow;

use super::{Attributes, CloudEvent, Data, Invalid, is_json};
use crate::json::well_formed;

const PREFIX: &str = "ce-";

/// The event of these headers and this body. Names may be in any letter case;
/// of several lines of one name, the first counts, as everywhere in the hub.
pub fn binary<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &'a [u8],
) -> Result<CloudEvent<'a>, Invalid> {
    let mut attributes = Attributes(Default::default());
    for (header, value) in headers {
        let name = if header.eq_ignore_ascii_case("content-type") {
            Cow::Borrowed("datacontenttype")
        } else {
            let Some((prefix, name)) = header.split_at_checked(PREFIX.len()) else { continue };
            // The media type has a header of its own, which alone counts.
            if !prefix.eq_ignore_ascii_case(PREFIX) || name.eq_ignore_ascii_case("datacontenttype") {
                continue;
            }
            lower(name)
        };
        if !attributes.0.contains_key(&name) {
            let value = decode(value).ok_or_else(|| Invalid::Bad(name.clone().into_owned()))?;
            attributes.add(name, value)?;
        }
    }
    let json = attributes.0.get("datacontenttype").is_some_and(|content_type| is_json(content_type));
    let data = match std::str::from_utf8(body) {
        _ if body.is_empty() => Data::None,
        Ok(text) if json && well_formed(body) => Data::Json(text),
        _ if json => return Err(Invalid::NotJson),
        _ => Data::Bytes(Cow::Borrowed(body)),
    };
    attributes.event(data)
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

/// Undoes quotes, then percent encoding, once. What only looks like either is
/// left as it is; the result must be UTF-8.
fn decode(value: &[u8]) -> Option<Cow<'_, str>> {
    let plain = |byte: &u8| !matches!(byte, b'%' | b'"');
    if value.iter().all(plain) {
        return std::str::from_utf8(value).ok().map(Cow::Borrowed);
    }
    let unquoted = match value {
        [b'"', inner @ .., b'"'] => unescape(inner),
        _ => value.to_vec(),
    };
    let mut decoded = Vec::with_capacity(unquoted.len());
    let mut rest = &unquoted[..];
    while let [first, after @ ..] = rest {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            decoded.push((high << 4 | low) as u8);
            rest = after;
        } else {
            decoded.push(*first);
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// A backslash within quotes stands for what follows it.
fn unescape(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = quoted.iter();
    let mut text = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        text.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    text
}
