//! Cuts a text into pieces that a model reads whole.
//!
//! In: any text. Out: slices of it, in order, none longer than the bound and
//! none empty, which together hold everything but white space between them. A
//! piece ends where a paragraph does, else a line, a sentence, a word.

/// Where a text may be cut, the best place first.
const ENDS: &[&str] = &["\n\n", "\n", ". ", "! ", "? ", "; ", " "];

/// No bound is taken for smaller than this: a character must fit.
const BYTES_MIN: usize = 16;

/// The pieces of `text`, each of `bytes_max` bytes at most.
///
/// ```
/// use udfs::recall::chunk::chunks;
/// assert_eq!(chunks("One, two, three. Four five.", 18), ["One, two, three.", "Four five."]);
/// ```
pub fn chunks(text: &str, bytes_max: usize) -> Vec<&str> {
    let bytes_max = bytes_max.max(BYTES_MIN);
    let (mut pieces, mut rest) = (Vec::new(), text.trim());
    while rest.len() > bytes_max {
        let (piece, after) = rest.split_at(end(rest, bytes_max));
        pieces.push(piece.trim_end());
        rest = after.trim_start();
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Where the first piece ends. Not in its first half, or a text with many short
/// lines would become as many pieces.
fn end(text: &str, bytes_max: usize) -> usize {
    let window = &text[..text.floor_char_boundary(bytes_max)];
    let from = window.ceil_char_boundary(window.len() / 2);
    let place = |mark: &&str| window[from..].rfind(*mark).map(|at| from + at + mark.len());
    ENDS.iter().find_map(place).unwrap_or(window.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paragraphs_go_before_sentences() {
        let text = "First thing. It goes on.\n\nSecond thing is here, and is longer than the first.";
        assert_eq!(chunks(text, 60)[0], "First thing. It goes on.\n\nSecond thing is here, and is");
        assert_eq!(chunks(text, 40)[0], "First thing. It goes on.");
        assert_eq!(chunks("  \n ", 40), [""; 0]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_long(text in "(\\PC|[ \n.é漢🙂]){0,300}", bytes_max in 0..90usize) {
            let pieces = chunks(&text, bytes_max);
            let bound = bytes_max.max(BYTES_MIN);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= bound));
            let squeezed = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(pieces.iter().map(|piece| squeezed(piece)).collect::<String>(), squeezed(&text));
        }
    }
}
