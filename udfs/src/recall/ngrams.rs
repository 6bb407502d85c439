//! A text as a vector, without a model: hashed words and parts of words.
//!
//! It knows how words are written, not what they mean: near spellings and other
//! endings are near, other words for the same are not.

use xxhash_rust::xxh3::xxh3_64;

use super::terms::{terms, words};

/// The length of the vector: that of the smallest models, so that the two cost
/// the same to keep.
pub const DIMENSIONS: usize = 384;

/// What a word weighs against one of its three-letter parts.
const WORD_WEIGHT: f32 = 2.0;

/// The vector of a text, of length one; all zero where it has no words.
pub fn embed(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0_f32; DIMENSIONS];
    for term in terms(text) {
        add(&mut vector, xxh3_64(&term.to_le_bytes()), WORD_WEIGHT);
    }
    let mut padded = String::new();
    words(text, |word| {
        padded.clear();
        padded.extend(["<", word, ">"]);
        let starts: Vec<usize> = padded.char_indices().map(|(at, _)| at).chain([padded.len()]).collect();
        let grams = starts.len().saturating_sub(3);
        for gram in starts.windows(4) {
            // A long word has many parts, and is one word all the same.
            add(&mut vector, xxh3_64(&padded.as_bytes()[gram[0]..gram[3]]), 1.0 / (grams as f32).sqrt());
        }
    });
    // What is said ten times is not ten times as much about it.
    vector.iter_mut().for_each(|value| *value = value.signum() * value.abs().sqrt());
    normalise(&mut vector);
    vector
}

/// Brings a vector to length one; one without a direction is left as it is.
pub fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > f32::MIN_POSITIVE && length.is_finite() {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

fn add(vector: &mut [f32], hash: u64, weight: f32) {
    let sign = if hash >> 63 == 0 { weight } else { -weight };
    vector[(hash % DIMENSIONS as u64) as usize] += sign;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn likeness(one: &str, other: &str) -> f32 {
        embed(one).iter().zip(embed(other)).map(|(one, other)| one * other).sum()
    }

    #[test]
    fn what_is_written_alike_is_near() {
        let of = "The deployment to production failed";
        assert!(likeness(of, "production deployments are failing") > 0.3);
        assert!(likeness(of, "cats sleep all day") < 0.2);
        assert!((likeness(of, of) - 1.0).abs() < 1e-5);
    }

    proptest! {
        #[test]
        fn every_vector_is_finite_and_of_length_one_or_nothing(text in "\\PC{0,200}") {
            let vector = embed(&text);
            prop_assert_eq!(vector.len(), DIMENSIONS);
            let length = vector.iter().map(|value| value * value).sum::<f32>();
            prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-4, "{}", length);
        }
    }
}
