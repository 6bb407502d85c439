//! Pieces as plain text: the words, the lines and the URLs.

use super::pieces::{Line, Piece, says_url};

/// The text. White space at its end is dropped.
pub(super) fn write(pieces: &[Piece<'_>]) -> String {
    let mut out = String::new();
    let mut link = None;
    for piece in pieces {
        match piece {
            Piece::Text(text) | Piece::Code(text) | Piece::Block { text, .. } => out.push_str(text),
            Piece::LinkStart(url) => link = Some((url, out.len())),
            Piece::LinkEnd => {
                let Some((url, label_at)) = link.take() else { continue };
                if out.len() == label_at {
                    out.push_str(url.strip_prefix("mailto:").unwrap_or(url));
                } else if !says_url(&out[label_at..], url) {
                    out.push_str(" (");
                    out.push_str(url);
                    out.push(')');
                }
            }
            Piece::Line(Line::Bullet(depth)) => {
                out.push_str(&"  ".repeat(usize::from(*depth)));
                out.push_str("- ");
            }
            Piece::Line(Line::Number(depth, number)) => {
                out.push_str(&"  ".repeat(usize::from(*depth)));
                out.push_str(&format!("{number}. "));
            }
            Piece::Line(Line::Check(depth, done)) => {
                out.push_str(&"  ".repeat(usize::from(*depth)));
                out.push_str(if *done { "- [x] " } else { "- [ ] " });
            }
            Piece::Mention(mention) => out.push_str(&mention.shown()),
            Piece::Line(Line::Heading(_) | Line::Quote) | Piece::Start(_) | Piece::End(_) => {}
            Piece::Newline => out.push('\n'),
        }
    }
    out.truncate(out.trim_end().len());
    out
}
