//! The terms of a text, by which keyword search finds it, and what each weighs.
//!
//! A term is a 32-bit hash of a word that is folded to lower case and freed of
//! its commonest endings, so that a term is also an index of a sparse vector.
//! An identifier (`ENG-142`) is a term as a whole and by its parts. Words that
//! tell nothing are left out, unless there are no others.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

/// How fast repeats of a term stop counting, and how much long texts lose
/// (BM25's usual constants).
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// The length that counts as usual, in terms. A constant, so that what a text
/// weighs does not depend on its neighbours and can be stored.
const USUAL_TERMS: f32 = 24.0;

/// Words that are in most texts: English, and the commonest of German, French
/// and Spanish. Sorted.
const EMPTY: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "auf", "be", "been", "but",
    "by", "can", "could", "das", "de", "der", "did", "die", "do", "does", "done", "ein", "eine", "el", "en", "et",
    "for", "from", "get", "got", "had", "has", "have", "he", "her", "here", "him", "his", "how", "i", "ich", "if",
    "im", "in", "into", "is", "ist", "it", "its", "just", "la", "le", "les", "los", "me", "mit", "my", "nicht", "no",
    "not", "now", "of", "on", "or", "our", "out", "que", "she", "should", "so", "some", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "to", "un", "und", "une", "up", "us", "very", "von",
    "was", "we", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would", "y", "you", "your",
    "zu",
];

/// The terms of a text in their order, repeats included.
pub fn terms(text: &str) -> Vec<u32> {
    let (mut found, mut empty) = (Vec::new(), Vec::new());
    words(text, |word| match EMPTY.binary_search(&word) {
        Ok(_) => empty.push(hash(word)),
        Err(_) => found.push(hash(stem(word))),
    });
    if found.is_empty() { empty } else { found }
}

/// The terms of a text, each once, with what a text weighs for it: the part of
/// BM25 that does not depend on other texts.
pub fn weights(text: &str) -> Vec<(u32, f32)> {
    let terms = terms(text);
    let length = K1 * (1.0 - B + B * terms.len() as f32 / USUAL_TERMS);
    let mut counts = BTreeMap::<u32, f32>::new();
    terms.into_iter().for_each(|term| *counts.entry(term).or_default() += 1.0);
    counts.into_iter().map(|(term, count)| (term, count * (K1 + 1.0) / (count + length))).collect()
}

/// How much a term tells that is in `with_it` of `all` texts.
pub fn rarity(all: usize, with_it: usize) -> f32 {
    let (all, with_it) = (all as f32, with_it as f32);
    (1.0 + (all - with_it + 0.5).max(0.0) / (with_it + 0.5)).ln()
}

/// Calls `each` with the folded words of a text, identifiers also by parts.
pub(super) fn words(text: &str, mut each: impl FnMut(&str)) {
    let folded = text.to_lowercase();
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '\'' | '’');
    for run in folded.split(|character| !is_part(character)) {
        let run = run.trim_matches(|character: char| !character.is_alphanumeric());
        if run.is_empty() {
            continue;
        }
        let parts = || run.split(|character: char| !character.is_alphanumeric()).filter(|part| !part.is_empty());
        let bare = run.split(['\'', '’']).next().unwrap_or(run);
        if run.contains(['-', '_', '.']) {
            each(run);
            parts().for_each(&mut each);
        } else if run.chars().any(has_no_spaces) {
            // Scripts without spaces: two characters are about a word.
            let characters: Vec<char> = run.chars().collect();
            for pair in characters.windows(2.min(characters.len())) {
                each(&pair.iter().collect::<String>());
            }
        } else {
            each(bare);
        }
    }
}

fn has_no_spaces(character: char) -> bool {
    matches!(character as u32, 0x0E00..=0x0EFF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// Without the commonest endings of English: enough that `deploys`, `deployed`
/// and `deploying` are one, little enough that nothing else is.
fn stem(word: &str) -> &str {
    if !word.is_ascii() || word.bytes().any(|byte| byte.is_ascii_digit()) {
        return word;
    }
    let word = match word.strip_suffix("ies") {
        Some(stem) if stem.len() >= 3 => return stem,
        _ => word,
    };
    let long = ["ing", "edly", "ed", "es", "ly"].iter().find_map(|ending| word.strip_suffix(ending));
    let word = match long.filter(|stem| stem.len() >= 4) {
        Some(stem) => undoubled(stem),
        None => word.strip_suffix('s').filter(|stem| stem.len() >= 3 && !stem.ends_with('s')).unwrap_or(word),
    };
    let word = word.strip_suffix('e').filter(|stem| stem.len() >= 4).unwrap_or(word);
    word.strip_suffix('y').filter(|stem| stem.len() >= 4).unwrap_or(word)
}

/// `shipp` of `shipping` is `ship`.
fn undoubled(stem: &str) -> &str {
    let bytes = stem.as_bytes();
    match bytes {
        [.., one, other] if one == other && !matches!(one, b's' | b'l' | b'z') => &stem[..stem.len() - 1],
        _ => stem,
    }
}

fn hash(word: &str) -> u32 {
    xxh3_64(word.as_bytes()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endings_and_case_do_not_matter() {
        for (one, other) in [
            ("Deploying", "deploys"),
            ("shipped", "shipping"),
            ("companies", "company"),
            ("The invoices!", "invoice"),
            ("it's", "it"),
        ] {
            assert_eq!(terms(one), terms(other), "{one} {other}");
        }
        assert_ne!(terms("bass"), terms("bas"));
        assert!(EMPTY.is_sorted());
    }

    #[test]
    fn identifiers_are_found_by_whole_and_part() {
        let text = terms("see ENG-142 and v2.10.3");
        for wanted in ["ENG-142", "eng", "142", "v2.10.3"] {
            assert!(terms(wanted).iter().all(|term| text.contains(term)), "{wanted}");
        }
        assert_eq!(terms("日本語").len(), 2);
        assert_eq!(terms("to be or not to be").len(), 6, "nothing else to go by");
    }

    #[test]
    fn rare_terms_and_short_texts_weigh_more() {
        assert!(rarity(1_000, 1) > rarity(1_000, 500) && rarity(1_000, 1_000) > 0.0);
        let rocket = terms("rocket")[0];
        let of = |text: &str| weights(text).into_iter().find(|(term, _)| *term == rocket).unwrap().1;
        assert!(of("rocket") > of(&format!("rocket {}", "launch window ".repeat(20))));
        assert!(of("rocket rocket") > of("rocket engine"));
    }

    proptest! {
        #[test]
        fn weights_are_bounded_and_each_term_is_there_once(text in "\\PC{0,200}") {
            let weights = weights(&text);
            prop_assert!(weights.iter().all(|(_, weight)| *weight > 0.0 && *weight < K1 + 1.0 + 1e-3));
            prop_assert!(weights.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
