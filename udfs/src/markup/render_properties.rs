//! What no text can do to documents and their renderings.

use proptest::prelude::*;
use serde_json::json;

use super::{
    render_tests::{DIALECTS, read},
    rows::{Kind, Row, Span, Styles, What, canonical},
    *,
};
use crate::markup::pieces::Style;

/// What a format cannot say is said otherwise, and that is what comes back.
fn expressed(dialect: Dialect, document: &Document) -> Document {
    let mut rows = document.rows.clone();
    let mut out: Vec<Row> = Vec::new();
    let mut numbers = [0_u32; 16];
    let mut breaks = false;
    for mut row in rows.drain(..) {
        match (dialect, &mut row.kind) {
            (Dialect::Slack, Kind::Heading(_)) => {
                row.kind = Kind::Plain;
                row.spans.iter_mut().for_each(|span| span.styles = span.styles.with(Style::Bold));
            }
            (Dialect::Slack, Kind::Code { language, .. }) => language.clear(),
            (Dialect::Clickup, Kind::Number(depth, number)) => {
                numbers[usize::from(*depth) + 1..].fill(0);
                numbers[usize::from(*depth)] += 1;
                *number = numbers[usize::from(*depth)];
            }
            (Dialect::Clickup, Kind::Bullet(depth) | Kind::Check(depth, _)) => numbers[usize::from(*depth)..].fill(0),
            (Dialect::Clickup, Kind::Code { .. }) => {}
            (Dialect::Clickup, _) => numbers.fill(0),
            _ => {}
        }
        if dialect == Dialect::Slack {
            // A label is plain, and only styles around all of it are seen.
            let code = |span: &mut Span| span.what = if span.link.is_some() { What::Text } else { span.what.clone() };
            row.spans.iter_mut().for_each(code);
        }
        if dialect == Dialect::Jira && row.depth().is_some() && out.last().is_some_and(Row::is_blank) {
            // Lists side by side are one, or look like it.
            let before = out.iter().rev().find(|row| !row.is_blank());
            if before.is_some_and(|before| before.depth().is_some()) {
                while out.pop_if(|row| row.is_blank()).is_some() {}
            }
        }
        if dialect == Dialect::Jira {
            for span in row.spans.iter_mut().filter(|span| span.what == What::Code) {
                span.styles = Styles::default();
            }
            // Blocks are apart, whether or not they were.
            let kind = |row: &Row| match row.kind {
                Kind::Plain => (0, row.quoted),
                Kind::Bullet(_) | Kind::Number(..) | Kind::Check(..) => (1, row.quoted),
                Kind::Heading(_) | Kind::Code { .. } => (2, row.quoted),
            };
            breaks = out.last().is_some_and(|last| kind(last) != kind(&row) || kind(&row).0 == 2);
        }
        if breaks {
            out.push(Row::plain(Vec::new()));
        }
        out.push(row);
    }
    Document { rows: canonical(out) }
}

fn words() -> impl Strategy<Value = String> {
    "[a-zé]{1,6}( [a-z0-9]{1,5}){0,2}"
}

/// Spans between spaces: mrkdwn has no styles within words.
fn spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (words(), 0_u8..8, 0_u8..6).prop_map(|(text, styles, look)| Span {
        what: if look == 0 { What::Code } else { What::Text },
        text,
        // Code stands for itself, as ADF wants it.
        styles: if look == 0 { Styles::default() } else { Styles(styles) },
        link: (look == 1).then(|| "https://x.y/?a=1&b=2".into()),
    });
    proptest::collection::vec(span, 1..5).prop_map(|spans| {
        let mut out: Vec<Span> = Vec::new();
        for span in spans {
            if !out.is_empty() {
                out.push(Span::plain(" "));
            }
            out.push(span);
        }
        out
    })
}

fn documents() -> impl Strategy<Value = Document> {
    let kind = prop_oneof![
        4 => Just(Kind::Plain),
        1 => (1_u8..=6).prop_map(Kind::Heading),
        2 => Just(Kind::Bullet(0)),
        1 => Just(Kind::Bullet(1)),
        1 => Just(Kind::Number(0, 1)),
        1 => any::<bool>().prop_map(|done| Kind::Check(0, done)),
    ];
    let row = prop_oneof![
        6 => (kind, spans()).prop_map(|(kind, spans)| Row { quoted: false, kind, spans }),
        1 => spans().prop_map(|spans| Row { quoted: true, kind: Kind::Plain, spans }),
        1 => Just(Row::plain(Vec::new())),
        1 => ("(|rust|c\\+\\+)", "[a-z*_<&>#@ -]{1,8}(\n[a-z*_<&> ]{0,8}x){0,3}").prop_map(|(language, text)| Row {
            quoted: false,
            kind: Kind::Code { language, text },
            spans: Vec::new(),
        }),
    ];
    proptest::collection::vec(row, 0..8).prop_map(|rows| {
        let mut out: Vec<Row> = Vec::new();
        for mut row in rows {
            // Deeper items need one above; code beside code would be one.
            if row.depth() == Some(1) && out.last().is_none_or(|last| last.depth().is_none() || last.quoted) {
                row.kind = Kind::Bullet(0);
            }
            if matches!(row.kind, Kind::Code { .. })
                && out.last().is_some_and(|last| matches!(last.kind, Kind::Code { .. }))
            {
                out.push(Row::plain(Vec::new()));
            }
            out.push(row);
        }
        Document { rows: canonical(out) }
    })
}

fn hostile() -> impl Strategy<Value = String> {
    let bit = prop_oneof![
        "[\\PC\n]{1,12}",
        "[<>@!#|*_~`&;\\[\\]()\\\\\n -]{1,8}",
        "[a-z @]{1,10}",
        Just("@here ".to_owned()),
        Just("@Assignees".to_owned()),
        Just("#nexus-origin=m_9.1 ".to_owned()),
        Just("<!-- nexus-origin=m_9.1 -->".to_owned()),
        Just("\n1. ".to_owned()),
        Just(":tada: 10:30:".to_owned()),
        Just("<!channel>".to_owned()),
        Just("<!subteam^S1|@ops>".to_owned()),
        Just("<@U1>".to_owned()),
        Just("@ada/x".to_owned()),
        Just("<https://x.y/@ada|@ada>".to_owned()),
        Just("[@all](mailto:@all)".to_owned()),
        Just("```\n".to_owned()),
        Just("\n> ".to_owned()),
        Just("\n- ".to_owned()),
        Just("\u{200d}\u{301}".to_owned()),
        ("[a-z@`<*& .\n]{1,3}", 1_usize..400).prop_map(|(unit, times)| unit.repeat(times)),
    ];
    proptest::collection::vec(bit, 0..24).prop_map(|bits| bits.concat())
}

fn read_all(text: &str) -> Vec<Document> {
    let block = |text: &str| json!({"text": text, "attributes": {"link": text, "bold": true}});
    vec![
        Document::from_slack(text, &Ids),
        Document::from_markdown(text),
        Document::from_github(text),
        Document::from_plain(text),
        Document::from_clickup(&json!([{"text": text}, block(text), {"type": "tag", "text": text}])),
        Document::from_jira(&json!(text)),
        Document::from_jira(&json!({"type": "paragraph", "content": [{"type": "text", "text": text, "marks": [
            {"type": "code"}, {"type": "link", "attrs": {"href": text}}]}]})),
    ]
}

/// What is seen, without what is not: white space at cuts, and breaks.
fn seen(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace() && *character != '\u{200b}').collect()
}

/// Without signs, which may be read as those of a list, and without the `U1`
/// that is an id where it is a mention.
fn letters(text: &str) -> String {
    text.chars().filter(|character| character.is_alphabetic() && *character != 'U').collect()
}

/// What GitHub would notify: a login behind an `@` that is in no word, outside
/// code and behind no backslash's escape.
fn notified(markdown: &str) -> Vec<String> {
    let code = code_ranges(markdown, true);
    let found = markdown.match_indices('@').filter(|(at, _)| !code.iter().any(|range| range.contains(at)));
    let found = found.filter(|(at, _)| !markdown[..*at].ends_with(|last: char| last.is_ascii_alphanumeric()));
    let login = |at: usize| -> String {
        markdown[at + 1..].chars().take_while(|next| next.is_ascii_alphanumeric() || "-_/".contains(*next)).collect()
    };
    found
        .map(|(at, _)| login(at))
        .filter(|login| login.starts_with(|first: char| first.is_ascii_alphanumeric()))
        .collect()
}

/// Whether text outside code has a word behind an `@` that calls more than one.
fn calls_many(document: &Document) -> bool {
    let said = |span: &Span| if span.what == What::Code { "`".to_owned() } else { span.text.to_ascii_lowercase() };
    document.rows.iter().map(|row| row.spans.iter().map(said).collect::<String>()).any(|text| {
        text.match_indices('@').any(|(at, _)| {
            let word = text[at + 1..].split(|next: char| !next.is_alphanumeric()).next().unwrap_or_default();
            let many = ["here", "channel", "everyone", "all", "assignees", "watchers", "followers"].contains(&word);
            many && !text[..at].ends_with(|last: char| last.is_ascii_alphanumeric())
        })
    })
}

proptest! {
    /// What a format can express comes back from it.
    #[test]
    fn documents_come_back(document in documents()) {
        for dialect in DIALECTS {
            let parts = render(dialect, &document, &Options::default());
            prop_assert!(parts.len() <= 1);
            let again = parts.first().map(|part| read(dialect, &part.body)).unwrap_or_default();
            let expected = expressed(dialect, &document);
            prop_assert_eq!(&again, &expected, "{:?} {:?}", dialect, parts);
            // And from there it is Markdown that says the same.
            prop_assert_eq!(Document::from_markdown(&again.to_markdown()), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Parts keep to the limit, say all of it in order, and call nobody.
    #[test]
    fn hostile_text_is_harmless(text in hostile(), limit in 2_000_usize..4_000) {
        let lookup = |mention: &Mention| match &*mention.id {
            "U1" => Some(Target::User("123".to_owned())),
            "ada" => Some(Target::Name("Ada @here".to_owned())),
            _ => None,
        };
        let footer = Some(Footer { label: "back @here", url: "https://x.y/t" });
        let mark = Some(Mark { id: "m_1", url: "https://x.y/m" });
        for document in read_all(&text) {
            for dialect in DIALECTS {
                let limit = if matches!(dialect, Dialect::Clickup | Dialect::Jira) { limit * 4 } else { limit };
                let options = Options { lookup: &lookup, limit: Some(limit), footer, mark, parts_min: 1 };
                let parts = render(dialect, &document, &options);
                let mut all = String::new();
                for (index, part) in parts.iter().enumerate() {
                    prop_assert!(part.body.size() <= limit, "{:?} {}", dialect, part.body.size());
                    prop_assert_eq!((part.index, part.count), (index, parts.len()));
                    all.push_str(&part.visible);
                    // As it comes back, it is known.
                    let back = match &part.body {
                        Body::Text(text) if dialect == Dialect::Github => Document::from_github(text),
                        Body::Json(value) if dialect == Dialect::Clickup => Document::from_clickup(value),
                        Body::Json(value) => Document::from_jira(value),
                        body => read(dialect, body),
                    };
                    prop_assert_eq!(back.content_hash(), part.content_hash, "{:?} {:?} {:?}", dialect, back, part.body);
                    prop_assert!(dialect == Dialect::Markdown || back.mentions().all(|mention| mention.id == "123"), "{:?}", part.body);
                    prop_assert!(!calls_many(&back), "{:?}", part.body);
                    if !part.vacant {
                        // Whoever reads it sees it: the words are not lost in the format either.
                        let footer = index + 1 == parts.len() && matches!(dialect, Dialect::Slack | Dialect::Markdown);
                        let shown = format!("{}{}", part.visible, if footer { "backhere" } else { "" });
                        let again = read(dialect, &part.body).visible();
                        prop_assert_eq!(letters(&again), letters(&shown), "{:?} {:?}", dialect, part.body);
                    }
                    match (&part.body, dialect) {
                        (Body::Text(text), Dialect::Slack) => {
                            prop_assert!(!text.contains("<!") && !text.contains("<#"), "{}", text);
                            prop_assert!(text.matches("<@").count() == text.matches("<@123>").count(), "{}", text);
                        }
                        (Body::Text(text), Dialect::Github) => {
                            prop_assert_eq!(origin::find(text), Some(origin::Origin { id: "m_1".to_owned(), part: index + 1 }));
                            let code = code_ranges(text, true);
                            let hidden = text.match_indices("<!--").filter(|(at, _)| !code.iter().any(|range| range.contains(at)));
                            prop_assert_eq!(hidden.count(), 1);
                            for login in notified(&text.replace("mailto:@", "").replace("y/@", "")) {
                                prop_assert_eq!(login.trim_end_matches('_'), "123", "{}", text);
                            }
                        }
                        (Body::Json(value), _) => {
                            let found = origin::find_in(value);
                            prop_assert_eq!(found, Some(origin::Origin { id: "m_1".to_owned(), part: index + 1 }));
                        }
                        _ => {}
                    }
                }
                if parts.len() == PARTS_MAX {
                    continue;
                }
                let resolved = resolve::resolve(&document.rows, &ruler::Ruler { dialect, room: usize::MAX }, &lookup);
                prop_assert_eq!(seen(&all), seen(&rows::visible_of(&resolved)), "{:?}", dialect);
            }
        }
    }

    /// Markdown says the same written anew; what was typed like a list may
    /// become one, and then stays one.
    #[test]
    fn markdown_settles(text in hostile()) {
        let document = Document::from_markdown(&text);
        let again = Document::from_markdown(&document.to_markdown());
        prop_assert_eq!(again.content_hash(), document.content_hash(), "{}", document.to_markdown());
        prop_assert_eq!(letters(&again.to_plain()), letters(&document.to_plain()));
        prop_assert_eq!(Document::from_markdown(&again.to_markdown()), again);
    }
}

/// Twice the text is twice the work, whatever the text is.
#[test]
fn work_grows_with_the_text() {
    const UNITS: &[&str] = &[
        "*",
        "_",
        "~",
        "`",
        "<",
        "[",
        "*a ",
        " *a",
        "**a _b ~~c ",
        "_*~`",
        "` ``",
        "](",
        "[](",
        "![a](b",
        "[a](<",
        "[a](b \"",
        "[**a** _b_",
        "<!--",
        "<!-- ",
        "<!",
        "<@",
        "<@U1>",
        "<https://",
        "https://a) ",
        "> ",
        ">",
        "\n> ",
        "- ",
        "  - ",
        "\\",
        "\n",
        "\n\n",
        " ",
        "@",
        "@a",
        "@a/",
        "&",
        "&gt;",
        "a",
        "a b. ",
        "```\n",
        "```a\n`",
        "#",
        "*a* _b_ ",
        "[a](https://x.y)",
        "[`a`](https://x.y) ",
        "\u{301}",
        "\u{1f1e6}",
        "1. a\n",
        "- [ ] a\n",
        "[~a] ",
        "[a|https://x.y]",
        "☐ ",
    ];
    let cost = |text: &str| {
        work::counted(|| {
            for document in read_all(text) {
                for dialect in DIALECTS {
                    let options = Options { limit: Some(8_000), ..Options::default() };
                    let parts = render(dialect, &document, &options);
                    assert!(parts.iter().all(|part| part.body.size() <= 8_000));
                }
                document.to_markdown();
            }
        })
    };
    for unit in UNITS {
        for wrap in ["", "[**_"] {
            let text = |bytes: usize| format!("{wrap}{}", unit.repeat(bytes / unit.len()));
            let (small, large) = (cost(&text(1_500)), cost(&text(6_000)));
            assert!(large <= small * 6 + 10_000, "{wrap}{unit:?}: {small} → {large}");
        }
    }
    // A label of many styles, too long for a part.
    let label = |words: usize| format!("[{}](https://x.y/{})", "a **b** ".repeat(words), "u".repeat(900));
    assert!(cost(&label(8_000)) <= cost(&label(2_000)) * 6);
}
