//! THE list of plugins, each with the plain function that it is said to be and
//! one answer that is written down.

use udfs::{
    hash::hex,
    json,
    keys::{row_key, thread_key},
    markup::{self, Ids},
    mentions::mentions,
    normal::normalise,
    recall::chunk::chunks,
    similar::{content_hash, distance, likeness, nearest},
};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    Null,
    Text(String),
    Number(i64),
}

/// What an argument may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Number,
}

/// A plain function, by what it takes.
pub enum Plain {
    Text(fn(&str) -> Datum),
    TextAndNumber(fn(&str, i64) -> Datum),
    Texts(fn(&str, &str, &str) -> Datum),
    Numbers(fn(i64, i64) -> Datum),
    /// An aggregate: one answer to all rows.
    AllNumbers(fn(&[i64]) -> Datum),
}

impl Plain {
    pub fn takes(&self) -> &'static [Kind] {
        match self {
            Plain::Text(_) => &[Kind::Text],
            Plain::TextAndNumber(_) => &[Kind::Text, Kind::Number],
            Plain::Texts(_) => &[Kind::Text; 3],
            Plain::Numbers(_) => &[Kind::Number; 2],
            Plain::AllNumbers(_) => &[Kind::Number],
        }
    }

    /// Its answer to a row. What is given no value has none, as in SQL.
    pub fn on(&self, row: &[Datum]) -> Datum {
        use Datum::{Number, Text};
        match (self, row) {
            (Plain::Text(plain), [Text(text)]) => plain(text),
            (Plain::TextAndNumber(plain), [Text(text), Number(number)]) => plain(text, *number),
            (Plain::Texts(plain), [Text(one), Text(two), Text(three)]) => plain(one, two, three),
            (Plain::Numbers(plain), [Number(one), Number(two)]) => plain(*one, *two),
            _ => {
                assert!(row.contains(&Datum::Null), "{row:?} is no row of this function");
                Datum::Null
            }
        }
    }

    /// Its answer to all rows of a group: those without a value do not count.
    pub fn on_all(&self, rows: &[Vec<Datum>]) -> Datum {
        let Plain::AllNumbers(plain) = self else { panic!("this is no aggregate") };
        let number = |row: &Vec<Datum>| if let [Datum::Number(number)] = row[..] { Some(number) } else { None };
        plain(&rows.iter().filter_map(number).collect::<Vec<_>>())
    }
}

impl From<String> for Datum {
    fn from(text: String) -> Self {
        Datum::Text(text)
    }
}

impl From<&str> for Datum {
    fn from(text: &str) -> Self {
        Datum::Text(text.to_owned())
    }
}

impl From<i64> for Datum {
    fn from(number: i64) -> Self {
        Datum::Number(number)
    }
}

impl<T: Into<Datum>> From<Option<T>> for Datum {
    fn from(value: Option<T>) -> Self {
        value.map_or(Datum::Null, Into::into)
    }
}

/// A plugin and what it is a plugin of.
pub struct Wrapped {
    pub name: &'static str,
    pub plain: Plain,
    /// Rows, and the answer to them.
    pub example: (Vec<Vec<Datum>>, Datum),
}

/// THE list.
pub fn all() -> Vec<Wrapped> {
    let of = |name, plain, rows: &[&[Datum]], answer: Datum| Wrapped {
        name,
        plain,
        example: (rows.iter().map(|row| row.to_vec()).collect(), answer),
    };
    let of_text =
        |name, plain, given: &str, answer: &str| of(name, Plain::Text(plain), &[&[given.into()]], answer.into());
    let words = "I have updated the login form, and the tests pass again.";
    let same_words = likeness(words).simhash.cast_signed();
    vec![
        of_text("normalise", |text| normalise(text).into(), "*Fixed* ENG-142 in 3.5 s!", "fixed 0 in 0 s"),
        of_text("content_hash", |text| hex(content_hash(text)).into(), " the  same\n", &hex(content_hash("the same"))),
        of_text("slack_to_plain", |text| markup::slack_to_plain(text, &Ids).into(), "*a* &amp; <@U1>", "a & @U1"),
        of_text(
            "slack_to_markdown",
            |text| markup::slack_to_markdown(text, &Ids).into(),
            "*bold* <https://x.y|here>",
            "**bold** [here](https://x.y)",
        ),
        of_text("markdown_to_plain", |text| markup::markdown_to_plain(text).into(), "**bold** `code`", "bold code"),
        of_text(
            "markdown_to_slack",
            |text| markup::markdown_to_slack(text).into(),
            "**bold** & [here](https://x.y)",
            "*bold* &amp; <https://x.y|here>",
        ),
        of_text(
            "neutralise",
            |text| markup::neutralise(text).into_owned().into(),
            "<!channel> all",
            &markup::neutralise("<!channel> all"),
        ),
        of_text(
            "mentions",
            |text| json::texts(&mentions(text)).into(),
            "@AI_Squad and @bob, not x@y.org",
            r#"["@AI_Squad","@bob"]"#,
        ),
        of_text(
            "adf_to_plain",
            |text| json::read(text).map(|document| markup::adf_to_plain(&document)).into(),
            r#"{"type":"doc","content":[{"type":"paragraph","content":[{"type":"text","text":"hi"}]}]}"#,
            "hi",
        ),
        of_text(
            "adf_to_markdown",
            |text| json::read(text).map(|document| markup::adf_to_markdown(&document)).into(),
            r#"{"type":"doc","content":[{"type":"paragraph","content":[
                {"type":"text","text":"hi","marks":[{"type":"strong"}]}]}]}"#,
            "**hi**",
        ),
        of_text(
            "clickup_to_plain",
            |text| json::read(text).map(|comment| markup::clickup_comment_to_plain(&comment)).into(),
            r#"[{"text":"see "},{"text":"this"}]"#,
            "see this",
        ),
        of(
            "chunks",
            Plain::TextAndNumber(|text, bytes_max| {
                json::texts(&chunks(text, usize::try_from(bytes_max).unwrap_or(0))).into()
            }),
            &[&["One, two, three. Four five.".into(), 18.into()]],
            r#"["One, two, three.","Four five."]"#.into(),
        ),
        of(
            "thread_key",
            Plain::Texts(|tenant, channel, thread_ts| hex(thread_key(tenant, channel, thread_ts)).into()),
            &[&["t".into(), "C1".into(), "1700000000.000100".into()]],
            hex(thread_key("t", "C1", "1700000000.000100")).into(),
        ),
        of(
            "row_key",
            Plain::Texts(|rule, subject, at| hex(row_key(rule, subject, at)).into()),
            &[&["agent-rate".into(), "a1".into(), "2026-11-22T08:00:00Z".into()]],
            hex(row_key("agent-rate", "a1", "2026-11-22T08:00:00Z")).into(),
        ),
        of(
            "simhash",
            Plain::Text(|text| likeness(text).simhash.cast_signed().into()),
            &[&[words.to_uppercase().into()]],
            same_words.into(),
        ),
        of(
            "simhash_distance",
            Plain::Numbers(|one, other| i64::from(distance(one.cast_unsigned(), other.cast_unsigned())).into()),
            &[&[0.into(), (-1).into()]],
            64.into(),
        ),
        of(
            "simhash_nearest",
            Plain::AllNumbers(|simhashes| {
                let simhashes: Vec<u64> = simhashes.iter().map(|hash| hash.cast_unsigned()).collect();
                nearest(&simhashes).map(i64::from).into()
            }),
            &[&[0b1100.into()], &[Datum::Null], &[0b0011.into()], &[0b1000.into()]],
            1.into(),
        ),
    ]
}
