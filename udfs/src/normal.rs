//! What a text says, without how it is written: text comes in, its words go
//! out, so that two messages that differ only in a number, an id, in case or in
//! punctuation become one.
//!
//! Never fails, whatever the text; linear in it. The result is words with one
//! space between them, and normalising it again changes nothing.

/// Stands for what names one particular thing: a number, an id, an address.
const THING: &str = "0";

/// The words of `text` in lower case. Punctuation, markup, accents that are
/// written apart and invisible characters go; numbers, whatever has a digit in
/// it (`ENG-142`, a UUID, a version) and URLs become `0`, a row of them one.
/// In scripts that put no spaces between words each character is a word.
///
/// What is composed differently (`é` in one or two characters) stays different.
///
/// ```
/// use udfs::normal::normalise;
/// assert_eq!(normalise("  *Fixed* ENG-142 in 3.5 s, see https://x.y/pull/7!"), "fixed 0 in 0 s see 0");
/// ```
pub fn normalise(text: &str) -> String {
    let mut words = Words { text: String::with_capacity(text.len()), ..Words::default() };
    for chunk in text.split_whitespace() {
        words.add(chunk);
    }
    words.text
}

#[derive(Default)]
struct Words {
    text: String,
    ends_with_thing: bool,
    /// The letters, digits, dashes and underscores that are not yet ended.
    run: String,
    run_has_digit: bool,
}

impl Words {
    /// A piece without white space.
    fn add(&mut self, chunk: &str) {
        let mut rest = chunk;
        while let Some(character) = rest.chars().next() {
            if rest.starts_with("://") {
                // What was read is the scheme.
                self.run.clear();
                self.run_has_digit = false;
                self.thing();
                rest = &rest[rest.find(ends_url).unwrap_or(rest.len())..];
                continue;
            }
            rest = &rest[character.len_utf8()..];
            if is_unseen(character) {
                continue;
            } else if has_no_spaces(character) {
                self.end_run();
                self.word(character.encode_utf8(&mut [0; 4]));
            } else if character.is_alphanumeric() {
                self.run_has_digit |= character.is_numeric();
                // Some capitals become a letter and an accent.
                self.run.extend(character.to_lowercase().filter(|lower| !is_unseen(*lower) && lower.is_alphanumeric()));
            } else if matches!(character, '-' | '_') {
                self.run.push(character);
            } else {
                self.end_run();
            }
        }
        self.end_run();
    }

    fn end_run(&mut self) {
        let mut run = std::mem::take(&mut self.run);
        if std::mem::take(&mut self.run_has_digit) {
            self.thing();
        } else {
            run.split(['-', '_']).filter(|word| !word.is_empty()).for_each(|word| self.word(word));
        }
        run.clear();
        // Its room is used again.
        self.run = run;
    }

    fn thing(&mut self) {
        if !self.ends_with_thing {
            self.word(THING);
            self.ends_with_thing = true;
        }
    }

    fn word(&mut self, word: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(word);
        self.ends_with_thing = false;
    }
}

fn ends_url(character: char) -> bool {
    matches!(character, '<' | '>' | '"' | '|' | ')' | ']' | '`')
}

/// Accents written apart, soft hyphens, joiners, marks of direction: a word
/// with one of them looks like the word without.
fn is_unseen(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Thai, Lao, Myanmar and Khmer, kana, and the characters of Chinese.
fn has_no_spaces(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
        && character.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_words_stay() {
        for (text, words) in [
            ("", ""),
            (" \t\n", ""),
            ("...!? 👍🏽 --- __", ""),
            ("Hello,   WORLD!", "hello world"),
            ("don't state-of-the-art snake_case", "don t state of the art snake case"),
            ("3 of 17 done (17.6 %)", "0 of 0 done 0"),
            ("1 2 3 4.5.6", "0"),
            ("7fa3ec74-69a8-4530-a251-8a13730bdead done", "0 done"),
            ("ENG-142: v1.2.3 at 2026-11-21T08:00:00Z", "0 at 0"),
            ("<@U0123ABC|bob> **bold** `code` <https://a.b/c?d=1|label>", "0 bob bold code 0 label"),
            ("[the text](https://a.b/c) http://x", "the text 0"),
            ("src/detect/mod.rs:12", "src detect mod rs 0"),
            ("ÜBER Straße ΣΑΣ İstanbul", "über straße σασ istanbul"),
            ("e\u{301}te\u{301} soft\u{ad}hyphen zero\u{200b}width", "ete softhyphen zerowidth"),
            ("修复3个问题。", "修 复 0 个 问 题"),
            ("カタカナ x", "カ タ カ ナ x"),
            ("исправлено № 5", "исправлено 0"),
            ("٣ ३ Ⅷ ²", "0"),
        ] {
            assert_eq!(normalise(text), words, "{text}");
        }
    }

    #[test]
    fn hostile_texts_take_linear_time_and_room() {
        for hostile in ["://", "-", "a-", "0 ", "://)", "修", "İ", "\u{200b}", "a1-_"] {
            let text = hostile.repeat(300_000);
            assert!(normalise(&text).len() <= 2 * text.len(), "{hostile}");
        }
    }

    proptest! {
        #[test]
        fn once_is_enough(text in "(\\PC|[ -_:/0-9a-zA-Z\u{300}\u{200b}修ก])*") {
            let words = normalise(&text);
            prop_assert_eq!(normalise(&words), words.clone());
            prop_assert!(!words.starts_with(' ') && !words.ends_with(' ') && !words.contains("  "));
        }

        #[test]
        fn case_space_and_numbers_do_not_matter(words in "[a-z]{1,8}( [a-z]{1,8}){0,9}", number: u32) {
            let plain = format!("{words} 7 end");
            let dressed = format!("\n{}!  ({number}) -- END", words.to_uppercase().replace(' ', ",\t "));
            prop_assert_eq!(normalise(&plain), normalise(&dressed));
        }
    }
}
