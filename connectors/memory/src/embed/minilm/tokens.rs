//! Texts become tokens as the model learned them: folded to lower case without
//! accents, split at punctuation, and each word into the longest pieces that
//! the vocabulary has (WordPiece).

use hashbrown::HashMap;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use runtime::supervisor::Failure;

/// A longer word is unknown, as in the model's own tokenizer.
const WORD_CHARS_MAX: usize = 100;

/// The pieces of words that the model knows.
pub struct Vocabulary {
    pieces: HashMap<Box<str>, usize>,
    begin: usize,
    end: usize,
    unknown: usize,
}

impl Vocabulary {
    /// From a file with one piece a line.
    pub fn read(text: &str) -> Result<Vocabulary, Failure> {
        let pieces: HashMap<Box<str>, usize> =
            text.lines().enumerate().map(|(number, piece)| (piece.trim_end().into(), number)).collect();
        let of = |name: &str| pieces.get(name).copied().ok_or_else(|| format!("vocab.txt has no {name}"));
        let (begin, end, unknown) = (of("[CLS]")?, of("[SEP]")?, of("[UNK]")?);
        Ok(Vocabulary { pieces, begin, end, unknown })
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The tokens of a text, with those for its beginning and end; what is
    /// beyond `tokens_max` is cut off.
    pub fn tokens(&self, text: &str, tokens_max: usize) -> Vec<usize> {
        let mut tokens = vec![self.begin];
        for word in words(text) {
            if tokens.len() + 1 >= tokens_max {
                break;
            }
            self.split(&word, &mut tokens);
        }
        tokens.truncate(tokens_max - 1);
        tokens.push(self.end);
        tokens
    }

    fn split(&self, word: &str, tokens: &mut Vec<usize>) {
        let before = tokens.len();
        let (mut rest, mut piece) = (word, String::new());
        while !rest.is_empty() && word.chars().count() <= WORD_CHARS_MAX {
            let ends = rest.char_indices().map(|(at, character)| at + character.len_utf8()).rev();
            let found = ends.into_iter().find_map(|end| {
                piece.clear();
                if tokens.len() > before {
                    piece.push_str("##");
                }
                piece.push_str(&rest[..end]);
                self.pieces.get(&*piece).map(|token| (*token, end))
            });
            let Some((token, end)) = found else { break };
            tokens.push(token);
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            tokens.truncate(before);
            tokens.push(self.unknown);
        }
    }
}

/// The words of a text and its punctuation, each by itself.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::with_capacity(text.len() + 16);
    for character in text.chars().flat_map(char::to_lowercase).nfd().filter(|character| !is_combining_mark(*character))
    {
        if character.is_whitespace() {
            spaced.push(' ');
        } else if character.is_control() || character == '\u{fffd}' {
            continue;
        } else if is_alone(character) {
            spaced.extend([' ', character, ' ']);
        } else {
            spaced.push(character);
        }
    }
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    words.into_iter()
}

/// Punctuation and Chinese characters are words of their own.
fn is_alone(character: char) -> bool {
    character.is_ascii_punctuation()
        || matches!(character as u32,
            0xA1 | 0xA7 | 0xAB | 0xB6 | 0xB7 | 0xBB | 0xBF | 0x2010..=0x2027 | 0x2030..=0x205E | 0x3001..=0x3003
            | 0x3008..=0x3011 | 0xFF01..=0xFF0F | 0xFF1A..=0xFF20
            | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x2FA1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_their_longest_pieces() {
        let lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "re", "##play", "##ed", "replay", "cafe", "!", "漢"];
        let vocabulary = Vocabulary::read(&lines.join("\n")).unwrap();
        assert_eq!(vocabulary.tokens("Replayed Café! 漢x", 20), [2, 7, 6, 8, 9, 10, 1, 3]);
        assert_eq!(vocabulary.tokens("replay replay replay", 4), [2, 7, 7, 3]);
        assert_eq!(vocabulary.tokens("", 4), [2, 3]);
        assert!(Vocabulary::read("a\nb").is_err());
    }
}
