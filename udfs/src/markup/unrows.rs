//! Rows as pieces, for the formats that are written from those: styles become
//! starts and ends that nest, with as few changes as possible.

use super::{
    pieces::{Line, Piece, Style},
    rows::{Kind, Row, Span, Styles, What},
    work,
};

/// The pieces of the rows. With `at_words`, a style that begins or ends within
/// a word is left out, for formats that would show its markers instead.
pub(super) fn pieces(rows: &[Row], at_words: bool) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(Piece::Newline);
        }
        if row.quoted {
            out.push(Piece::Line(Line::Quote));
        }
        match &row.kind {
            Kind::Plain => {}
            Kind::Heading(level) => out.push(Piece::Line(Line::Heading(*level))),
            Kind::Bullet(depth) => out.push(Piece::Line(Line::Bullet(*depth))),
            Kind::Number(depth, number) => out.push(Piece::Line(Line::Number(*depth, *number))),
            Kind::Check(depth, done) => out.push(Piece::Line(Line::Check(*depth, *done))),
            Kind::Code { language, text } => {
                out.push(Piece::Block { language: language.as_str().into(), text: text.as_str().into() });
            }
        }
        if at_words {
            row_pieces(&styled_at_words(&row.spans), &row.spans, &mut out);
        } else {
            row_pieces(&row.spans.iter().map(|span| span.styles).collect::<Vec<_>>(), &row.spans, &mut out);
        }
    }
    out
}

/// The styles of each span without those that touch a letter from inside a word.
fn styled_at_words(spans: &[Span]) -> Vec<Styles> {
    let mut styles: Vec<Styles> = spans.iter().map(|span| span.styles).collect();
    let inside = |span: Option<&Span>, at_end: bool| {
        let edge = span.and_then(|span| if at_end { span.text.chars().next_back() } else { span.text.chars().next() });
        edge.is_some_and(char::is_alphanumeric)
    };
    for style in Styles::ALL {
        let mut at = 0;
        while at < spans.len() {
            let length = styles[at..].iter().take_while(|styles| styles.has(style)).count();
            work::did(length + 1);
            let end = at + length;
            let before = at.checked_sub(1).map(|before| &spans[before]);
            if length > 0 && (inside(before, true) || inside(spans.get(end), false)) {
                styles[at..end].iter_mut().for_each(|styles| *styles = styles.without(style));
            }
            at = end + 1;
        }
    }
    styles
}

fn row_pieces<'a>(styles: &[Styles], spans: &'a [Span], out: &mut Vec<Piece<'a>>) {
    let mut open: Vec<Style> = Vec::new();
    // For each style the index behind the stretch that it is in: what lasts
    // longer is opened first.
    let mut ends = [0_usize; 3];
    let mut at = 0;
    while at < spans.len() {
        let label = match &spans[at].link {
            Some(_) => spans[at..].iter().take_while(|span| span.link == spans[at].link).count(),
            None => 1,
        };
        let common = styles[at..at + label].iter().fold(Styles(7), |all, styles| Styles(all.0 & styles.0));
        for (style, end) in Styles::ALL.iter().zip(&mut ends) {
            if common.has(*style) && *end <= at {
                *end = at + styles[at..].iter().take_while(|styles| styles.has(*style)).count();
                work::did(*end - at);
            }
        }
        change(&mut open, common, &ends, out);
        let outer = open.len();
        if let Some(url) = &spans[at].link {
            out.push(Piece::LinkStart(url.as_ref().into()));
        }
        for (index, span) in spans.iter().enumerate().skip(at).take(label) {
            if label > 1 {
                // Within a label each span stands for itself.
                for style in Styles::ALL.into_iter().filter(|style| styles[index].has(*style) && !common.has(*style)) {
                    out.push(Piece::Start(style));
                    open.push(style);
                }
            }
            out.push(match &span.what {
                What::Text => Piece::Text(span.text.as_str().into()),
                What::Code => Piece::Code(span.text.as_str().into()),
                What::Mention(mention) => Piece::Mention(mention.clone()),
            });
            out.extend(open.drain(outer..).rev().map(Piece::End));
        }
        if spans[at].link.is_some() {
            out.push(Piece::LinkEnd);
        }
        at += label;
    }
    change(&mut open, Styles::default(), &ends, out);
}

/// Ends and begins styles until these are the open ones.
fn change(open: &mut Vec<Style>, wanted: Styles, ends: &[usize; 3], out: &mut Vec<Piece<'_>>) {
    let kept = open.iter().take_while(|style| wanted.has(**style)).count();
    out.extend(open.drain(kept..).rev().map(Piece::End));
    let mut new: Vec<(usize, Style)> = Styles::ALL
        .into_iter()
        .zip(*ends)
        .filter(|(style, _)| wanted.has(*style) && !open.contains(style))
        .map(|(style, end)| (end, style))
        .collect();
    new.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
    for (_, style) in new {
        out.push(Piece::Start(style));
        open.push(style);
    }
}
