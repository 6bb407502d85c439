//! What plugins are given: what is known to be hard, and anything.

use proptest::{prelude::*, strategy::Union};

use super::list::{Datum, Kind};

/// Texts that broke something somewhere once.
fn hard_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " \t\n",
        "\0",
        "null",
        "Grüße, @Füße und @开发组 👍🏽 e\u{301}quipe \u{202e}rtl\u{feff}",
        "<@U1> *bold* _it_ ~no~ `code` <https://x.y/a?b=1&amp;c|label> <!channel> <#C1|ops>\n&gt; quoted\n```pre```",
        "# Head\n\n1. **one**\n2. [two](https://x.y)\n\n| a | b |\n|---|---|\n| 1 | @all |\n",
        "{\"a\":",
        "{} {}",
        "\"just a text\"",
        "\"half \\ud83d of a pair\"",
        "[1,null,true,{\"text\":5}]",
        "{\"type\":\"doc\",\"content\":[{\"type\":\"paragraph\",\"content\":[{\"type\":\"text\",\"text\":\"Hi \",\
         \"marks\":[{\"type\":\"strong\"},{\"type\":\"odd\"}]},{\"type\":\"mention\",\"attrs\":{\"text\":\"@Bob\"}},\
         {\"type\":\"nobody-knows\"}]},{\"type\":\"codeBlock\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}]}",
        "[{\"text\":\"look \"},{\"type\":\"tag\",\"user\":{\"username\":\"Bob\"}},{\"text\":\"\\n\"}]",
    ]
    .map(str::to_owned)
    .to_vec();
    let last = texts.len() - 1;
    texts.push("@a ".repeat(50_000));
    texts.push("[".repeat(100_000));
    texts.push(format!("{}1{}", "[".repeat(127), "]".repeat(127)));
    texts.push(texts[last].repeat(500));
    texts
}

const HARD_NUMBERS: &[i64] = &[0, 1, -1, 16, 17, 80, 4_000, i64::MIN, i64::MAX, i64::MIN + 1, 0x5555_5555_5555_5555];

/// Rows of what is hard: each value once in each place, NULL too.
pub fn hard(takes: &[Kind]) -> Vec<Vec<Datum>> {
    let values = |kind: &Kind| {
        let mut values: Vec<Datum> = match kind {
            Kind::Text => hard_texts().into_iter().map(Datum::from).collect(),
            Kind::Number => HARD_NUMBERS.iter().map(|number| Datum::from(*number)).collect(),
        };
        values.push(Datum::Null);
        values
    };
    let columns: Vec<_> = takes.iter().map(values).collect();
    let longest = columns.iter().map(Vec::len).max().unwrap_or(0);
    // Each place is turned by another step, so that values meet in many ways.
    let value =
        |row: usize, (place, column): (usize, &Vec<Datum>)| column[(row * (place + 1) + place) % column.len()].clone();
    (0..longest * takes.len()).map(|row| columns.iter().enumerate().map(|at| value(row, at)).collect()).collect()
}

/// A row of anything.
pub fn row(takes: &[Kind]) -> impl Strategy<Value = Vec<Datum>> + use<> {
    takes.iter().map(|kind| value(*kind)).collect::<Vec<_>>()
}

fn value(kind: Kind) -> BoxedStrategy<Datum> {
    let some = match kind {
        Kind::Text => text().prop_map(Datum::from).boxed(),
        Kind::Number => prop_oneof![0..200_i64, any::<i64>()].prop_map(Datum::from).boxed(),
    };
    prop_oneof![1 => Just(Datum::Null), 9 => some].boxed()
}

/// Any characters, those that markup is made of, and documents of JSON.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,60}".boxed(),
        "[@<>*_~`#\\[\\](){}:|!&;/ a-c0-9\n.-]{0,100}".boxed(),
        document().boxed(),
        // Cut anywhere, it is broken JSON.
        (document(), 0..200_usize).prop_map(|(text, at)| text.chars().take(at).collect()).boxed(),
    ]
}

/// JSON in the words that documents of providers are made of.
fn document() -> impl Strategy<Value = String> {
    let quoted = |text: String| udfs::json::texts(&[&text]).trim_matches(['[', ']']).to_owned();
    let word = Union::new(["type", "content", "text", "marks", "attrs", "comment", "url", "user", "href"].map(Just));
    let kinds = ["doc", "paragraph", "text", "mention", "strong", "link", "bulletList", "listItem", "heading", "tag"];
    let leaf = prop_oneof![
        Union::new(kinds.map(Just)).prop_map(|kind| format!("\"{kind}\"")),
        "[a-z*_@#<> é]{0,8}".prop_map(quoted),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("null".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let member = (word.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}
