//! What a text means in the system that it is written to: mentions of people
//! there stay mentions, all others become names, and no text calls anybody.

use super::{
    mention::{Dialect, Mention, MentionKind, Target},
    neutral::{BREAK, is_broadcast_name},
    origin,
    rows::{Kind, Row, Span, Styles, What, tidy},
    ruler::Ruler,
    work,
};

/// A label has one look; a few are a person's, more are an attack.
const LABEL_SPANS_MAX: usize = 16;

/// The rows with every mention resolved: those left call a user of `ruler`'s
/// system. A link that takes too much of a part is shown as text.
pub(super) fn resolve(rows: &[Row], ruler: &Ruler, lookup: &dyn Fn(&Mention) -> Option<Target>) -> Vec<Row> {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        work::did(row.spans.len());
        for span in &mut row.spans {
            if let What::Mention(mention) = &span.what {
                let mention = mention.clone();
                resolve_mention(span, &mention, ruler.dialect, lookup);
            }
        }
        row.spans = resolve_links(std::mem::take(&mut row.spans), ruler);
        tidy(&mut row.spans);
    }
    rows
}

fn resolve_mention(span: &mut Span, mention: &Mention, dialect: Dialect, lookup: &dyn Fn(&Mention) -> Option<Target>) {
    let sign = mention.kind.sign();
    let text = match lookup(mention) {
        Some(Target::User(id)) if mention.kind == MentionKind::User => {
            let target = Mention::new(dialect, MentionKind::User, &id, &mention.name);
            if target.native(dialect).is_some() {
                // A mention within a link is a link to most readers.
                span.link = None;
                span.text = if dialect == Dialect::Github { format!("@{id}") } else { target.shown() };
                span.what = What::Mention(Box::new(target));
                return;
            }
            if dialect == Dialect::Markdown { format!("@{id}") } else { format!("@{BREAK}{}", mention.name) }
        }
        Some(Target::Name(name)) => format!("{sign}{name}"),
        _ if mention.kind == MentionKind::Channel => mention.shown(),
        _ => format!("@{BREAK}{}", mention.name),
    };
    span.text = text.replace(char::is_control, " ");
    span.what = What::Text;
}

/// Links as they may be written: nobody else's mark goes out with our name on
/// it, and the URL leaves room for words.
fn resolve_links(spans: Vec<Span>, ruler: &Ruler) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    let spans = if ruler.repeats_links() { plain_labels(spans) } else { spans };
    let mut spans = spans.into_iter().peekable();
    while let Some(mut span) = spans.next() {
        let Some(url) = span.link.take() else {
            out.push(span);
            continue;
        };
        let bare = origin::unmarked(&url);
        if ruler.fits_link(bare) {
            span.link = Some(if bare.len() < url.len() { bare.into() } else { url });
            out.push(span);
            continue;
        }
        let last = spans.peek().is_none_or(|next| next.link.as_ref() != Some(&url));
        let (styles, says_url) = (span.styles, span.text == *bare);
        out.push(span);
        if last && !says_url {
            out.push(Span { styles, ..Span::plain(format!(" ({bare})")) });
        }
    }
    out
}

/// Labels of so many looks that the URL would be most of what is sent, as text.
fn plain_labels(mut spans: Vec<Span>) -> Vec<Span> {
    for label in spans.chunk_by_mut(|one, other| one.link == other.link) {
        if label.len() > LABEL_SPANS_MAX && label[0].link.is_some() {
            for span in label {
                span.what = What::Text;
                span.styles = Styles::default();
            }
        }
    }
    tidy(&mut spans);
    spans
}

/// Takes the sting out of text: what would call everybody calls nobody, and in
/// GitHub's Markdown no `@` is left that would call anybody. Code stays as it
/// is, since nothing is called from there, unless a backtick in mrkdwn, which
/// has no escapes, may end it. Done with the parts, because a cut can make a
/// mention of what was an address.
pub(super) fn disarm(rows: &mut [Row], dialect: Dialect) {
    let mut texts = rows.iter().flat_map(|row| &row.spans).filter(|span| span.what != What::Code);
    let code_ends = dialect == Dialect::Slack && texts.any(|span| span.text.contains('`'));
    for row in rows {
        if let Kind::Code { text, .. } = &mut row.kind
            && code_ends
            && let Some(harmless) = disarmed(text, dialect, false)
        {
            *text = harmless;
        }
        let mut behind_mention = false;
        for index in 0..row.spans.len() {
            let follows = index + 1 < row.spans.len();
            let span = &mut row.spans[index];
            work::did(span.text.len());
            if span.what == What::Text || (span.what == What::Code && code_ends) {
                if let Some(text) = disarmed(&span.text, dialect, follows) {
                    span.text = text;
                }
                // A login goes on as far as it can.
                let joins = |next: char| next.is_alphanumeric() || matches!(next, '-' | '_' | '/');
                if behind_mention && dialect == Dialect::Github && span.text.starts_with(joins) {
                    span.text.insert(0, BREAK);
                }
            }
            behind_mention = matches!(span.what, What::Mention(_));
        }
    }
}

/// The text without its sting, if it has one.
fn disarmed(text: &str, dialect: Dialect, follows: bool) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices('@') {
        let after = &text[at + 1..];
        // Not across spans: in another style, or in a link, a word begins anew.
        let address = text[..at].ends_with(|last: char| last.is_ascii_alphanumeric());
        let calls = match after.chars().next() {
            // What comes next is in another style, or is code.
            None => follows,
            Some(next) if dialect == Dialect::Github => next.is_alphanumeric(),
            Some(_) => is_broadcast_name(after),
        };
        if calls && !address {
            out.push_str(&text[copied..=at]);
            out.push(BREAK);
            copied = at + 1;
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}
