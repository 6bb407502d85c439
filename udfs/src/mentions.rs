//! Aliases in text: `@AI_Squad` in, the names out, in the order in which they
//! are first called.
//!
//! Whoever is named here may be woken, so what merely looks like a name does
//! not count: e-mail addresses, URLs and code. Linear in the text, and bounded.

use std::ops::Range;

use memchr::memchr2;

use crate::markup::code_ranges;

/// The names that one text can call. More is not a conversation.
pub const MENTIONS_MAX: usize = 50;
/// The longest alias.
const NAME_BYTES_MAX: usize = 100;

/// The aliases that `text` calls, each with its `@` and as it is written first;
/// names that differ only in letter case are one.
///
/// ```
/// use udfs::mentions::mentions;
/// assert_eq!(mentions("Hi @AI_Squad and @bob, cc: @ai_squad (not x@y.org)."), ["@AI_Squad", "@bob"]);
/// ```
pub fn mentions(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    let code = code_ranges(text, false);
    let mut code = code.iter().peekable();
    let mut at = 0;
    while let Some(next) = memchr2(b'@', b':', &text.as_bytes()[at..]) {
        at += next;
        while code.next_if(|range| range.end <= at).is_some() {}
        if let Some(Range { end, .. }) = code.peek().filter(|range| range.contains(&at)) {
            at = *end;
        } else if text[at..].starts_with("://") {
            at += text[at..].find(ends_url).unwrap_or(text.len() - at);
        } else if let Some(name) = name_at(text, at) {
            at += name.len();
            let folded = name.to_lowercase();
            if !known.contains(&folded) {
                known.push(folded);
                found.push(name);
                if found.len() == MENTIONS_MAX {
                    break;
                }
            }
        } else {
            at += 1;
        }
    }
    found
}

/// The name that begins at `at`, its `@` included.
pub(crate) fn name_at(text: &str, at: usize) -> Option<&str> {
    let after = text[at..].strip_prefix('@')?;
    // What may stand before the `@` of an e-mail address, or in a path.
    let joined = |last: char| last.is_alphanumeric() || "_-+/@%=".contains(last);
    if text[..at].ends_with(joined) || !after.starts_with(|first: char| first.is_alphanumeric() || first == '_') {
        return None;
    }
    let end = after.find(|character: char| !in_name(character)).unwrap_or(after.len());
    // A sentence ends with a dot, and a dash may follow a name.
    let name = after[..end].trim_end_matches(['.', '-']);
    (name.len() <= NAME_BYTES_MAX).then(|| &text[at..=at + name.len()])
}

/// Letters of any script, with the accents that some systems write apart.
fn in_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '\u{300}'..='\u{36f}')
}

fn ends_url(character: char) -> bool {
    character.is_whitespace() || matches!(character, '<' | '>' | '"' | '|' | ')' | ']' | '`')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found() {
        for (text, expected) in [
            ("@AI_Squad", &["@AI_Squad"][..]),
            ("(@a) \"@b\": @c, @d. @e-f- @g.h... @_x", &["@a", "@b", "@c", "@d", "@e-f", "@g.h", "@_x"]),
            ("@Ops @OPS @ops @dev", &["@Ops", "@dev"]),
            ("@Füße @开发组 @e\u{301}quipe", &["@Füße", "@开发组", "@e\u{301}quipe"]),
            ("done.@bob cc:@eve\n@tom", &["@bob", "@eve", "@tom"]),
            ("**@bold**", &["@bold"]),
        ] {
            assert_eq!(mentions(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_name() {
        for text in [
            "",
            "@",
            "@ x",
            "@@x",
            "@.x",
            "mail bob@example.com or a+b_@example.com",
            "https://example.com/@user?x=@y&z=(@w",
            "ssh://git@example.com:22/@x",
            "example.com/@user",
            "`@code` ``a ` @b`` ```\n@pre\n```",
            "\u{ff20}x",
        ] {
            assert_eq!(mentions(text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn code_and_urls_end() {
        assert_eq!(mentions("`a` @x `b` @y"), ["@x", "@y"]);
        assert_eq!(mentions("https://x.y/z @a <https://x.y|@b> `@c"), ["@a", "@b", "@c"]);
    }

    #[test]
    fn bounded() {
        let many: String = (0..1000).map(|number| format!("@n{number} ")).collect();
        assert_eq!(mentions(&many).len(), MENTIONS_MAX);
        assert_eq!(mentions(&format!("@{}", "x".repeat(101))), Vec::<&str>::new());
        for hostile in [
            "@".repeat(400_000),
            "`".repeat(400_000),
            "://".repeat(100_000),
            "@a@".repeat(100_000),
            "` ``".repeat(100_000),
        ] {
            mentions(&hostile);
        }
    }

    proptest! {
        #[test]
        fn every_name_is_a_piece_of_the_text(text in "[@a-c_.:/` \\PC-]{0,60}") {
            let found = mentions(&text);
            for name in &found {
                prop_assert!(text.contains(name) && name.len() > 1 && name.starts_with('@'));
            }
        }
    }
}
