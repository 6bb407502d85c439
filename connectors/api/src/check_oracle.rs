//! What [`super::check`] says of a body is what `jsonschema` says of it: for the
//! schema of every operation, values that fit, nearly fit or do not.
//!
//! Left out is what they mean to say differently: ours refuses the character
//! NUL, which no store takes, and `320.0` for an integer, which is made whole
//! before it is checked.

use std::cell::Cell;

use jsonschema::{Draft, Validator};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    strategy::Union,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

use super::{
    check::{DEFINITIONS, faults},
    operation::Schemas,
};

/// Schemas within schemas that are followed; below are values of any sort.
const DEPTH_MAX: u32 = 6;

/// Values near a schema.
struct Near<'a> {
    definitions: &'a Map<String, Value>,
}

impl Near<'_> {
    fn value(&self, schema: &Value, depth: u32) -> BoxedStrategy<Value> {
        let Value::Object(fields) = schema else { return any_value() };
        if depth == 0 {
            return any_value();
        }
        let mut fits: Vec<BoxedStrategy<Value>> = Vec::new();
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix(DEFINITIONS).and_then(|name| self.definitions.get(name));
            fits.push(self.value(target.expect("a definition"), depth - 1));
        }
        for keyword in ["anyOf", "oneOf"] {
            let forms = fields.get(keyword).and_then(Value::as_array).into_iter().flatten();
            fits.extend(forms.map(|form| self.value(form, depth - 1)));
        }
        fits.extend(fields.get("const").map(|known| Just(known.clone()).boxed()));
        fits.extend(fields.get("enum").and_then(Value::as_array).map(|known| select(known.clone()).boxed()));
        if fits.is_empty() {
            let kinds: Vec<_> = match fields.get("type") {
                Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
                kind => kind.and_then(Value::as_str).into_iter().collect(),
            };
            fits.extend(kinds.into_iter().map(|kind| self.of_kind(kind, fields, depth)));
        }
        if fits.is_empty() {
            return any_value();
        }
        prop_oneof![12 => Union::new(fits), 1 => any_value()].boxed()
    }

    fn of_kind(&self, kind: &str, schema: &Map<String, Value>, depth: u32) -> BoxedStrategy<Value> {
        match kind {
            "string" => text(schema),
            "integer" | "number" => number(schema, kind == "integer"),
            "boolean" => any::<bool>().prop_map(Value::from).boxed(),
            "array" => {
                let of = self.value(schema.get("items").unwrap_or(&Value::Bool(true)), depth - 1);
                let max = limit(schema, "maxItems").filter(|max| *max <= 20);
                let lengths = max.map_or(0..=3, |max| 0..=max + 1);
                prop_oneof![3 => vec(of.clone(), 0..=2), 1 => vec(of, lengths)].prop_map(Value::from).boxed()
            }
            "object" => self.object(schema, depth),
            _ => Just(Value::Null).boxed(),
        }
    }

    fn object(&self, schema: &Map<String, Value>, depth: u32) -> BoxedStrategy<Value> {
        let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
        let mut fields: Vec<BoxedStrategy<Option<(String, Value)>>> = Vec::new();
        for (name, of) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let share = if required.contains(&&json!(name)) { 0.97 } else { 0.3 };
            let name = name.clone();
            let field = self.value(of, depth - 1).prop_map(move |value| (name.clone(), value));
            fields.push(proptest::option::weighted(share, field).boxed());
        }
        let more = schema.get("additionalProperties").filter(|more| more.is_object());
        let share = if more.is_some() { 0.8 } else { 0.05 };
        for _ in 0..2 {
            let of = more.map_or_else(any_value, |more| self.value(more, depth - 1));
            fields.push(proptest::option::weighted(share, (texts(), of)).boxed());
        }
        fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect())).boxed()
    }
}

fn limit(schema: &Map<String, Value>, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|max| usize::try_from(max).ok())
}

/// Texts that fit one of our patterns or formats, and texts beside them.
fn texts() -> BoxedStrategy<String> {
    const KNOWN: &[&str] = &[
        "",
        "a",
        "ten_1",
        "a.b-c",
        "_a",
        ".a",
        "a/b",
        "a b",
        "é",
        "a\nb",
        "\u{7f}",
        "@a",
        "@AI_Squad",
        "@a.b",
        "@",
        "@a.",
        "@é",
        "Slack",
        "acme-ci",
        "-a",
        "https://a.example/x",
        "http://127.0.0.1:1",
        "https://",
        "ftp://a",
        "https://a b",
        "A.b/c-d",
        "a/",
        "a/b/c",
        "a@b",
        "@b",
        "a@b@c",
        "2026-11-21T08:00:00Z",
        "2026-11-21T08:00:00.123+02:00",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-21",
        "today",
    ];
    prop_oneof![4 => select(KNOWN).prop_map(str::to_owned), 1 => "[a-z@./ é-]{0,12}"].boxed()
}

fn text(schema: &Map<String, Value>) -> BoxedStrategy<Value> {
    let bounds: Vec<usize> = ["minLength", "maxLength"].iter().filter_map(|name| limit(schema, name)).collect();
    if bounds.is_empty() {
        return texts().prop_map(Value::from).boxed();
    }
    let lengths: Vec<usize> = bounds.iter().flat_map(|bound| [bound.saturating_sub(1), *bound, bound + 1]).collect();
    let long = (select(vec!["a", "é"]), select(lengths)).prop_map(|(sign, length)| sign.repeat(length));
    prop_oneof![4 => texts(), 1 => long].prop_map(Value::from).boxed()
}

fn number(schema: &Map<String, Value>, is_whole: bool) -> BoxedStrategy<Value> {
    let bounds = ["minimum", "maximum"].iter().filter_map(|name| schema.get(*name)?.as_f64());
    let near: Vec<i64> = bounds.flat_map(|bound| [bound as i64 - 1, bound as i64, bound as i64 + 1]).collect();
    let near = near.into_iter().chain([0, 1, 7]).collect::<Vec<_>>();
    let half = if is_whole { 1 } else { 4 };
    prop_oneof![
        6 => select(near).prop_map(Value::from),
        2 => any::<i32>().prop_map(Value::from),
        half => any::<i16>().prop_map(|number| Value::from(f64::from(number) + 0.5)),
    ]
    .boxed()
}

fn any_value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((texts(), inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

fn oracle(schema: &Value, definitions: &Map<String, Value>) -> Validator {
    let mut root = schema.as_object().expect("a body's schema is an object").clone();
    root.insert("components".to_owned(), json!({ "schemas": definitions }));
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    options.build(&Value::Object(root)).expect("a schema")
}

#[test]
fn bodies_are_judged_as_json_schema_says() {
    let operations = super::operations();
    let schemas = Schemas::new(&operations);
    let (fit, unfit) = (Cell::new(0), Cell::new(0));
    for operation in &operations {
        let Some(schema) = schemas.of(operation) else { continue };
        let oracle = oracle(&schema, &schemas.definitions);
        let near = Near { definitions: &schemas.definitions }.value(&schema, DEPTH_MAX);
        let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
        let judged = TestRunner::new(config).run(&near, |value| {
            let ours = faults(&schema, &schemas.definitions, &value);
            let theirs: Vec<_> = oracle.iter_errors(&value).map(|error| error.to_string()).collect();
            let count = if theirs.is_empty() { &fit } else { &unfit };
            count.set(count.get() + 1);
            prop_assert_eq!(ours.is_empty(), theirs.is_empty(), "{} ours {:?}, theirs {:?}", value, ours, theirs);
            Ok(())
        });
        judged.unwrap_or_else(|error| panic!("{} {}: {error}", operation.method, operation.path));
    }
    assert!(fit.get() > 1_000 && unfit.get() > 1_000, "{fit:?} fit, {unfit:?} do not");
}
