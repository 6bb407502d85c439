//! Whether two texts are the same, or nearly: a text comes in, a small number
//! that stands for it goes out, and numbers are compared instead of texts.
//!
//! [`content_hash`] tells equal from unequal. [`simhash`] is near for texts
//! that share most of their words and pairs of words: each of them votes on
//! every one of 64 bits, so a few that changed turn few bits, and texts that
//! have nothing in common differ in about 32. Both are linear in the text.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::normal::normalise;

/// Names a text, whatever its white space: equal names, equal texts.
pub fn content_hash(text: &str) -> u128 {
    let mut hash = Xxh3::new();
    for word in text.split_whitespace() {
        hash.update(word.as_bytes());
        // White space is in no word.
        hash.update(b" ");
    }
    hash.digest128()
}

/// What a text is compared by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Likeness {
    /// The [`simhash`] of its words.
    pub simhash: u64,
    /// How many words it has: of a few, two texts are easily alike by chance.
    pub words: u32,
}

/// The likeness of a text as it was written.
///
/// ```
/// use udfs::similar::{distance, likeness};
/// let first = likeness("Working on ENG-17, 40 % of the tests pass now.");
/// let second = likeness("working on ENG-18: 55 % of the tests pass now");
/// assert_eq!(distance(first.simhash, second.simhash), 0);
/// ```
pub fn likeness(text: &str) -> Likeness {
    let normal = normalise(text);
    let words = normal.split_ascii_whitespace().count();
    Likeness { simhash: simhash(&normal), words: u32::try_from(words).unwrap_or(u32::MAX) }
}

/// The 64-bit SimHash of a normalised text, over its words and the pairs of
/// words that follow each other. Nothing has 0.
pub fn simhash(normal: &str) -> u64 {
    let mut votes = [0_i32; 64];
    let mut vote = |shingle: u64| {
        for (bit, votes) in votes.iter_mut().enumerate() {
            // One if the bit is set, and else minus one.
            *votes += ((shingle >> bit & 1) as i32) * 2 - 1;
        }
    };
    let mut before = None;
    for word in normal.split_ascii_whitespace() {
        let single = xxh3_64_with_seed(word.as_bytes(), 0);
        vote(single);
        if let Some(before) = before {
            vote(xxh3_64_with_seed(word.as_bytes(), before));
        }
        before = Some(single);
    }
    votes.iter().enumerate().fold(0, |hash, (bit, votes)| hash | u64::from(*votes > 0) << bit)
}

/// In how many of the 64 bits two hashes differ.
pub fn distance(one: u64, other: u64) -> u32 {
    (one ^ other).count_ones()
}

/// Of more hashes than this, the first are compared: it takes a few
/// milliseconds.
pub const NEAREST_HASHES_MAX: usize = 2_000;

/// The least distance between any two of these hashes: how near the two texts
/// are that are most alike. Nothing of fewer than two.
///
/// ```
/// use udfs::similar::nearest;
/// assert_eq!((nearest(&[0b1100, 0b0011, 0b1000]), nearest(&[7])), (Some(1), None));
/// ```
pub fn nearest(simhashes: &[u64]) -> Option<u32> {
    let compared = &simhashes[..simhashes.len().min(NEAREST_HASHES_MAX)];
    let others = |at: usize| compared[at + 1..].iter().map(move |other| distance(compared[at], *other));
    (0..compared.len()).flat_map(others).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apart(one: &str, other: &str) -> u32 {
        distance(likeness(one).simhash, likeness(other).simhash)
    }

    const REPORT: &str = "I have updated the login form, the tests for the session time-out pass again, and the pull \
                          request is ready for review. Please have a look when you find the time.";
    const LOGS: &str = "Let me check the logs and get back to you.";
    const DISK: &str = "The deployment of the billing service failed on the second node because the disk is full; I \
                        am cleaning it up and will try once more.";

    /// What people would call nearly the same is nearer than what they would
    /// not; the figures say by how much.
    #[test]
    fn near_and_far_in_english() {
        for (one, other, figure) in [
            (REPORT, REPORT.to_uppercase().as_str(), 0),
            (REPORT, &format!("Hi all! {REPORT}"), 2),
            (REPORT, &REPORT.replace("pass again", "pass now"), 4),
            (REPORT, &format!("{REPORT} Thanks a lot!"), 5),
            (REPORT, &REPORT.replace("login form", "sign-up page"), 8),
            (LOGS, &LOGS.replace("Let me", "I will"), 9),
            (REPORT, &REPORT.replace("have a look when you find the time", "look at it when you can"), 10),
            (LOGS, "Let me check the code and come back to you.", 19),
            ("Could you clarify the requirement?", "Could you confirm the deadline?", 22),
            (LOGS, "Done: the build is green and deployed to staging.", 28),
            (REPORT, DISK, 29),
            (REPORT, "ok", 42),
        ] {
            assert_eq!(apart(one, other), figure, "{other}");
        }
    }

    /// Words of a made-up language of a thousand, by a small generator: the
    /// same in every run.
    fn random_words(seed: u64, count: u64) -> Vec<String> {
        let word = |index| xxh3_64_with_seed(&[seed.to_le_bytes(), u64::to_le_bytes(index)].concat(), 7) % 1_000;
        let letter = |digit: u64| char::from(b'a' + digit as u8);
        (0..count).map(word).map(|w| [letter(w / 100), letter(w / 10 % 10), letter(w % 10)].iter().collect()).collect()
    }

    fn mean_and_range(distances: &[u32]) -> (u32, u32, u32) {
        let mean = distances.iter().sum::<u32>() / distances.len() as u32;
        (mean, distances.iter().min().copied().unwrap(), distances.iter().max().copied().unwrap())
    }

    /// 500 texts of each length: the distance (mean, least, most) after one
    /// word was changed, and to the next text.
    #[test]
    fn similar_texts_are_near_and_random_texts_far() {
        for (length, one_changed, another_text) in [
            (5, (15, 4, 26), (31, 20, 43)),
            (10, (10, 1, 23), (31, 19, 45)),
            (20, (7, 2, 18), (31, 21, 43)),
            (40, (5, 0, 12), (31, 20, 42)),
            (80, (3, 0, 12), (31, 21, 45)),
            (320, (1, 0, 8), (29, 18, 42)),
        ] {
            let mut distances = (Vec::new(), Vec::new());
            for seed in 0..500 {
                let mut words = random_words(seed, length);
                let text = words.join(" ");
                words[(seed % length) as usize] = "changed".into();
                distances.0.push(apart(&text, &words.join(" ")));
                distances.1.push(apart(&text, &random_words(seed + 1_000, length).join(" ")));
            }
            assert_eq!(mean_and_range(&distances.0), one_changed, "{length} words");
            assert_eq!(mean_and_range(&distances.1), another_text, "{length} words");
        }
    }

    #[test]
    fn the_nearest_are_found() {
        assert_eq!(nearest(&[]), None);
        assert_eq!(nearest(&[5, 0, u64::MAX, 5]), Some(0));
        let hashes: Vec<u64> = [REPORT, LOGS, DISK, "ok"].iter().map(|text| likeness(text).simhash).collect();
        let pairs = (0..4).flat_map(|one| (0..one).map(move |other| (one, other)));
        assert_eq!(nearest(&hashes), pairs.map(|(one, other)| distance(hashes[one], hashes[other])).min());
        let mut many = vec![0; NEAREST_HASHES_MAX + 1];
        many.iter_mut().enumerate().for_each(|(at, hash)| *hash = 7 << (at % 61));
        assert!(nearest(&many).is_some());
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(likeness(" ...\n"), Likeness::default());
        assert_eq!((distance(0, u64::MAX), distance(5, 5)), (64, 0));
        assert_eq!(likeness("3 of 17 done").words, 4);
    }

    #[test]
    fn large_texts_take_linear_time() {
        let words = random_words(1, 1_000).join(" ");
        let text = words.repeat(200);
        assert_eq!(distance(likeness(&text).simhash, likeness(&words).simhash), 0);
        assert_eq!(likeness(&"a ".repeat(500_000)).words, 500_000);
    }

    proptest! {
        #[test]
        fn white_space_makes_no_other_content(words in prop::collection::vec("[^\\s]{1,6}", 0..9), space in "[ \t\n]{1,3}") {
            let (plain, spaced) = (words.join(" "), words.join(&space));
            prop_assert_eq!(content_hash(&plain), content_hash(&format!("{space}{spaced}{space}")));
            prop_assert_ne!(content_hash(&plain), content_hash(&format!("{plain}x")));
            prop_assert_ne!(content_hash(&plain), content_hash(&format!("{plain} x")));
        }

        #[test]
        fn numbers_and_punctuation_make_no_distance(text in "\\PC{0,80}", one: u32, other: u32) {
            let (first, second) = (format!("{text} {one} end"), format!("- {text}\n({other}) ... end!"));
            prop_assert_eq!(apart(&first, &second), 0);
        }
    }
}
