//! Bodies of the media type `application/x-www-form-urlencoded`.

use std::borrow::Cow;

/// The first field of a name, decoded; `None` when it is absent or its
/// escapes are broken.
pub(super) fn field<'a>(form: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let (_, value) = form.split('&').filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name)?;
    decode(value)
}

fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(value));
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (&[high, low], after) = rest.split_first_chunk::<2>()?;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                decoded.push((digit(high)? * 16 + digit(low)?) as u8);
                rest = after;
            }
            byte => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded() {
        let form = "token=&command=%2Fask+it&text=a%26b%20%C3%A9&bad=%zz&cut=%e";
        assert_eq!(field(form, "command").as_deref(), Some("/ask it"));
        assert_eq!(field(form, "text").as_deref(), Some("a&b é"));
        assert_eq!(field(form, "token").as_deref(), Some(""));
        assert_eq!(field(form, "bad"), None);
        assert_eq!(field(form, "cut"), None);
        assert_eq!(field(form, "payload"), None);
    }
}
