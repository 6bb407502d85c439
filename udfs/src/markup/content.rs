//! What a message says, as a number: rows come in, and a hash goes out that is
//! the same for what was sent and for what the same system sends back, however
//! it stores formatting.
//!
//! Only letters and digits count. Providers rewrite the rest: Slack makes
//! `:tada:` of an emoji, editors change quotes, a scheme is put before an
//! address or taken off, and `1.` is a number in one place and an item of a list
//! in another. A mention counts as the id, since the name is the reader's
//! business. Two messages that differ in no more than that are one to this
//! hash, so it means something only together with an author and a time.

use super::{
    mention::MentionKind,
    rows::{Kind, Row, What},
    work,
};
use crate::hash;

/// The longest name of an emoji, and the longest number of an item.
const EMOJI_BYTES_MAX: usize = 64;
const NUMBER_BYTES_MAX: usize = 9;
const SCHEMES: [&str; 3] = ["https://", "http://", "mailto:"];

/// The hash of the rows.
pub(super) fn hash(rows: &[Row]) -> u128 {
    let text = SCHEMES.iter().fold(text(rows), |text, scheme| text.replace(scheme, ""));
    work::did(text.len());
    hash::content(without_numbers(&without_emoji(&text)))
}

/// All that is said, in one stretch: what one system has on a line may be on
/// two in another.
fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        for span in &row.spans {
            match &span.what {
                What::Mention(mention) if mention.kind == MentionKind::User && !mention.id.is_empty() => {
                    out.push_str(&mention.id);
                }
                What::Code => out.extend(["`", &span.text, "`"]),
                _ => out.push_str(&span.text),
            }
        }
        if let Kind::Code { text, .. } = &row.kind {
            out.push_str(text);
        }
        out.push('\n');
    }
    out
}

/// The text without `:names:` and without the signs that never count. A mark
/// of code is a gap, whether it is one or is text, and so is what we write for
/// one where it would end the code.
fn without_emoji(text: &str) -> String {
    let text: String = text
        .chars()
        .filter_map(|character| match character {
            '`' | '\'' => Some(' '),
            ':' | '.' | ')' => Some(character),
            _ if character.is_whitespace() => Some(' '),
            _ => character.is_alphanumeric().then_some(character),
        })
        .collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find(':') {
        out.push_str(&rest[..at]);
        out.push(':');
        rest = &rest[at + 1..];
        let name = rest.bytes().take(EMOJI_BYTES_MAX).take_while(u8::is_ascii_alphanumeric).count();
        if name > 0 && rest[name..].starts_with(':') {
            rest = &rest[name + 1..];
        }
    }
    out + rest
}

/// The words of the text, in one, without numbers that may be those of items.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(char::is_alphanumeric) {
        let (word, signs) = parts(&rest[begin..]);
        rest = &rest[begin + word.len() + signs.len()..];
        let number = word.len() <= NUMBER_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_digit());
        if !(number && (signs.starts_with(". ") || signs.starts_with(") "))) {
            out.push_str(word);
        }
    }
    out
}

/// The word that the text begins with, and the signs behind it.
fn parts(text: &str) -> (&str, &str) {
    let word = text.find(|character: char| !character.is_alphanumeric()).unwrap_or(text.len());
    let signs = text[word..].find(char::is_alphanumeric).unwrap_or(text.len() - word);
    (&text[..word], &text[word..word + signs])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::markup::{Document, Ids};

    #[test]
    fn what_providers_rewrite_does_not_count() {
        let said = Document::from_markdown(
            "Hi @7, **done** \u{1f389}:\n1. [x.y](https://x.y/)\n2. `a b`\n\n```rust\nc();\n```",
        );
        for other in [
            Document::from_slack("Hi <@7|Ada>, *done* :tada::\n1. <https://x.y>\n2. `a b`\n```c();```", &Ids),
            Document::from_clickup(&json!([{"text": "Hi "}, {"type": "tag", "user": {"id": 7, "username": "Ada"}},
                {"text": ", done \u{1f389}:\n3. x.y\n4. a b\nc();"}])),
            Document::from_jira(&json!("Hi [~accountid:7], *done* (!)\n1) [x.y|https://x.y]\n2) a\u{a0}b\n c();")),
        ] {
            assert_eq!(other.content_hash(), said.content_hash(), "{}", other.to_plain());
        }
    }

    #[test]
    fn words_and_amounts_count() {
        let hash = |text: &str| Document::from_plain(text).content_hash();
        for (one, other) in [
            ("10 % done", "20 % done"),
            ("10:30", "10:31"),
            ("v1.2", "v1.3"),
            ("", "a"),
            ("@ada", "@bob"),
            ("a: b:", "a: c:"),
        ] {
            assert_ne!(hash(one), hash(other), "{one} {other}");
        }
    }
}
