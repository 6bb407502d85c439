//! JSON as bytes: what a parser does not check (depth), what it refuses though
//! providers send it (halves of surrogate pairs), and literals written fast.
//!
//! Everything here is linear in its input, never recursive and never panics,
//! on any bytes whatever.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Whether arrays and objects nest at most `max` deep: `[]` is one deep, `1`
/// not at all. Brackets within strings do not count. Of a text that is not
/// JSON, the answer says nothing except that a scan ended.
pub fn depth_within(text: &[u8], max: usize) -> bool {
    // Most messages have fewer brackets than they may have levels, and counting
    // is several times cheaper than following the strings.
    if openings(text) <= max {
        return true;
    }
    let (mut depth, mut rest) = (0usize, text);
    while let Some(at) = rest.iter().position(|byte| KIND[usize::from(*byte)] != Kind::Plain) {
        let kind = KIND[usize::from(rest[at])];
        rest = &rest[at + 1..];
        match kind {
            Kind::Open => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Quote => rest = after_string(rest),
            Kind::Plain => {}
        }
    }
    true
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Open,
    Close,
    Quote,
}

const KIND: [Kind; 256] = {
    let mut kinds = [Kind::Plain; 256];
    kinds[b'[' as usize] = Kind::Open;
    kinds[b'{' as usize] = Kind::Open;
    kinds[b']' as usize] = Kind::Close;
    kinds[b'}' as usize] = Kind::Close;
    kinds[b'"' as usize] = Kind::Quote;
    kinds
};

/// Opening brackets, those in strings included. The sums of a chunk fit a byte,
/// which lets the compiler count many at once.
fn openings(text: &[u8]) -> usize {
    text.chunks(255).map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>())).sum()
}

/// What follows the string whose opening quote was just read.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    &[]
}

/// The text with each `\u` escape that is half of a surrogate pair replaced by
/// `\uFFFD`. JSON allows such halves and UTF-8 cannot hold them, so parsers
/// refuse the whole text: for one cut emoji, a message would be lost.
pub fn mend_surrogates(text: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(found) = memchr(b'\\', &text[at..]) {
        at += found;
        match unit_at(text, at) {
            Some(0xD800..=0xDBFF) if matches!(unit_at(text, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                mended.to_mut()[at + 2..at + 6].copy_from_slice(b"FFFD");
                at += 6;
            }
            // The escaped character may be a backslash itself.
            _ => at = text.len().min(at + 2),
        }
    }
    mended
}

/// The UTF-16 unit that the escape at `at` stands for, if it is a `\u` escape.
fn unit_at(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

/// Whether this is exactly one JSON document in UTF-8, white space around it
/// allowed, a byte order mark not. Depth is not bounded
/// here: see [`depth_within`].
pub fn well_formed(text: &[u8]) -> bool {
    // The parser skips strings without looking at their encoding.
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// The value of a JSON text, halves of surrogate pairs mended. Nothing if it is
/// no JSON, or nests deeper than the parser goes (128 levels).
pub fn read(text: &str) -> Option<Value> {
    serde_json::from_slice(text.as_bytes()).ok().or_else(|| match mend_surrogates(text.as_bytes()) {
        Cow::Owned(mended) => serde_json::from_slice(&mended).ok(),
        Cow::Borrowed(_) => None,
    })
}

/// A JSON array of texts.
///
/// ```
/// assert_eq!(udfs::json::texts(&["a", "\"b\""]), r#"["a","\"b\""]"#);
/// ```
pub fn texts(texts: &[&str]) -> String {
    let mut out = vec![b'['];
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        escape_into(&mut out, text);
    }
    out.push(b']');
    String::from_utf8(out).unwrap_or_default()
}

/// Appends `text` as a JSON string literal, with the escapes that
/// `serde_json` would write. Prose, where escapes are rare, goes four times as
/// fast as there; where they are dense (JSON within JSON), it is left to it.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    if rest.len() < DENSE * escapes(rest) {
        // Writing to memory fails for no text.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    while let Some(at) = first_escaped(rest) {
        out.extend_from_slice(&rest[..at]);
        escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Bytes looked at in one go: a size that compilers turn into vector code.
const CHUNK: usize = 32;
/// With fewer bytes than this to an escape, chunks do not pay.
const DENSE: usize = 32;

/// How many bytes need an escape.
fn escapes(text: &[u8]) -> usize {
    text.chunks(255).map(|chunk| usize::from(chunk.iter().map(|byte| u8::from(escaped(*byte))).sum::<u8>())).sum()
}

fn first_escaped(text: &[u8]) -> Option<usize> {
    let (chunks, _) = text.as_chunks::<CHUNK>();
    let clean = chunks.iter().take_while(|chunk| !chunk.iter().fold(false, |any, byte| any | escaped(*byte))).count();
    let from = clean * CHUNK;
    text[from..].iter().position(|byte| escaped(*byte)).map(|at| from + at)
}

fn escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_and_what_is_not() {
        assert_eq!(read(r#" {"a":[1]} "#), Some(serde_json::json!({ "a": [1] })));
        assert_eq!(read(r#""cut \ud83d""#), Some(Value::from("cut \u{fffd}")));
        for text in ["", "{", "{} {}", "\u{feff}1", "nul", &"[".repeat(1_000_000)] {
            assert_eq!(read(text), None);
        }
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(depth_within(nested(64).as_bytes(), 64));
        assert!(!depth_within(nested(65).as_bytes(), 64));
        assert!(depth_within(b"1", 0));
        assert!(!depth_within(b"{}", 0));
        assert!(depth_within(br#"{"a":"[[[[\"[[[[","b":["\\",{}]}"#, 3));
        assert!(!depth_within(br#"{"a":"[[[[\"[[[[","b":["\\",{}]}"#, 2));
        assert!(depth_within(b"[],[],[],[]", 1), "siblings do not add up");
        assert!(depth_within(br#"["[[[ \"#, 1), "an unended string ends with the text");
        assert!(!depth_within(&b"[".repeat(1_000_000), 64));
    }

    #[test]
    fn halves_of_pairs_are_mended_and_pairs_kept() {
        for (text, expected) in [
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\ud83d""#, r#""\uFFFD""#),
            (r#""\uDE00\uD83D""#, r#""\uFFFD\uFFFD""#),
            (r#""\uD83D\uD83D\uDE00""#, r#""\uFFFD\uD83D\uDE00""#),
            (r#""\\uD83D""#, r#""\\uD83D""#),
            (r#""\\\uD83D""#, r#""\\\uFFFD""#),
            (r#""\uD83D\n""#, r#""\uFFFD\n""#),
            (r#""\uD83"#, r#""\uD83"#),
            (r#""\uD7FF\uE000""#, r#""\uD7FF\uE000""#),
            (r"\", r"\"),
        ] {
            assert_eq!(String::from_utf8_lossy(&mend_surrogates(text.as_bytes())), expected, "{text}");
        }
        assert!(matches!(mend_surrogates(br#""plain \n \uD83D\uDE00""#), Cow::Borrowed(_)));
    }

    #[test]
    fn one_document_in_utf8() {
        for good in [&b" {} "[..], b"1", b"\"\xc3\xa4\"", b"[1e999]", br#""\ud800""#, b"null"] {
            assert!(well_formed(good), "{good:?}");
        }
        for bad in [
            &b""[..],
            b" ",
            b"\xef\xbb\xbf{}",
            b"{} {}",
            b"{}x",
            b"[1,]",
            b"\"\xff\"",
            b"\"\xed\xa0\x80\"",
            b"\"\n\"",
            b"NaN",
            b"'a'",
            b"{\"a\"",
            b"\"\0\"",
        ] {
            assert!(!well_formed(bad), "{bad:?}");
        }
        let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
        assert!(well_formed(&deep));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            "[\\[\\]{}\"\\\\a]{0,6}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from)
        ];
        leaf.prop_recursive(6, 64, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[\\[{\"]{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn texts_are_read_back(texts_in: Vec<String>) {
            let pieces: Vec<&str> = texts_in.iter().map(String::as_str).collect();
            prop_assert_eq!(read(&texts(&pieces)), Some(Value::from(texts_in)));
        }

        #[test]
        fn depth_is_the_depth(value in any_json()) {
            let (text, depth) = (value.to_string(), depth(&value));
            prop_assert!(depth_within(text.as_bytes(), depth));
            prop_assert!(depth == 0 || !depth_within(text.as_bytes(), depth - 1));
            prop_assert!(well_formed(text.as_bytes()));
        }

        #[test]
        fn literals_are_those_of_serde(text in "([\\PC\\x00-\\x1f\"\\\\]{0,3}[a-zäö]{0,90}){0,4}") {
            let mut out = b"x".to_vec();
            escape_into(&mut out, &text);
            prop_assert_eq!(&out[1..], serde_json::to_vec(&text).unwrap());
        }

        #[test]
        fn mended_text_can_be_read(units in proptest::collection::vec(prop_oneof![0xD7F0u16..0xE010, 0x20u16..0x7f], 0..20)) {
            let body: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = format!("\"{body}\"");
            let read: String = serde_json::from_slice(&mend_surrogates(text.as_bytes())).unwrap();
            prop_assert_eq!(read, String::from_utf16_lossy(&units));
        }

        #[test]
        fn any_bytes_are_answered(text in proptest::collection::vec(any::<u8>(), 0..200), max in 0..9usize) {
            let _ = (depth_within(&text, max), well_formed(&text));
            prop_assert_eq!(mend_surrogates(&text).len(), text.len());
        }
    }
}
