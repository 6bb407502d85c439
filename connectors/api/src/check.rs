//! Holds JSON against a schema, and tells field by field what does not fit.
//!
//! The schemas are those that `/openapi.json` shows, made from the types of the
//! requests, so that what is documented is what is checked. Only the keywords
//! that our types give are known; a test holds that there are no others.

use serde_json::{Map, Value};

use runtime::{config::is_id, http::problem::FieldError};

/// The schema of what may be anything.
const FREE: &Value = &Value::Bool(true);

/// Faults that one answer tells at most.
const FAULTS_MAX: usize = 20;

/// Where references lead.
pub const DEFINITIONS: &str = "#/components/schemas/";

/// An id of the hub's.
pub const ID: &str = "^[A-Za-z0-9-][A-Za-z0-9._-]{0,127}$";
/// Text of one line, not empty.
pub const LINE: &str = "^[^\\x00-\\x1f\\x7f]+$";
/// What people write for agents, with the `@`.
pub const ALIAS: &str = "^@[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?$";
/// A name of a provider, of a sender, of an event.
pub const WORD: &str = "^[a-z0-9][a-z0-9_.-]*$";
/// Where a provider is.
pub const URL: &str = "^https?://[^\\x00-\\x20\\x7f]+$";
/// `owner/name`.
pub const REPOSITORY: &str = "^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$";
/// An address of a person.
pub const EMAIL: &str = "^[^@\\x00-\\x20\\x7f]+@[^@\\x00-\\x20\\x7f]+$";

type Pattern = (&'static str, fn(&str) -> bool, &'static str);

/// THE list of patterns: as regular expressions for readers of the document,
/// as functions for us.
const PATTERNS: &[Pattern] = &[
    (ID, is_id, "must be letters, digits, `-`, `_` and `.`, not starting with `_` or `.`"),
    (
        LINE,
        |text| !text.is_empty() && !text.bytes().any(|byte| byte < 0x20 || byte == 0x7f),
        "must be one line of text",
    ),
    (ALIAS, is_alias, "must be `@` and letters, digits, `_`, `.` and `-`"),
    (WORD, is_word, "must be small letters, digits, `-`, `_` and `.`"),
    (URL, is_url, "must be an address with http:// or https://"),
    (REPOSITORY, is_repository, "must be `owner/name`"),
    (EMAIL, is_email, "must be an e-mail address"),
];

fn is_alias(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let Some(name) = text.strip_prefix('@') else { return false };
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins && !name.ends_with('.') && name.bytes().all(inner)
}

fn is_word(text: &str) -> bool {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.bytes().next().is_some_and(small) && text.bytes().all(|byte| small(byte) || matches!(byte, b'_' | b'.' | b'-'))
}

fn visible(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte <= 0x20 || byte == 0x7f)
}

fn is_url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(visible))
}

fn is_repository(text: &str) -> bool {
    let part = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, host)| visible(name) && visible(host) && !host.contains('@'))
}

/// What is wrong with a value; nothing when all is well.
pub fn faults(schema: &Value, definitions: &Map<String, Value>, value: &Value) -> Vec<FieldError> {
    let mut check = Check { definitions, faults: Vec::new() };
    check.value(schema, value, "");
    check.faults
}

struct Check<'a> {
    definitions: &'a Map<String, Value>,
    faults: Vec<FieldError>,
}

impl Check<'_> {
    /// One fault a field is told, the first.
    fn fault(&mut self, at: &str, message: impl Into<String>) {
        let at = if at.is_empty() { "body" } else { at };
        if self.faults.len() < FAULTS_MAX && self.faults.iter().all(|known| known.field != at) {
            self.faults.push(FieldError::new(at, message));
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        let free = Map::new();
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return self.fault(at, "is not known"),
            // What is free is looked at for what no store takes.
            _ => &free,
        };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let definitions = self.definitions;
            if let Some(target) = target.strip_prefix(DEFINITIONS).and_then(|name| definitions.get(name)) {
                self.value(target, value, at);
            }
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(forms) = schema.get(keyword).and_then(Value::as_array) {
                self.one_of(forms, value, at);
            }
        }
        if let Some(kind) = schema.get("type")
            && !kinds(kind).any(|kind| is_of(value, kind))
        {
            let names: Vec<_> = kinds(kind).filter(|kind| *kind != "null").collect();
            return self.fault(at, format!("must be of the type {}", names.join(" or ")));
        }
        if let Some(known) = schema.get("const")
            && known != value
        {
            self.fault(at, format!("must be {known}"));
        }
        if let Some(known) = schema.get("enum").and_then(Value::as_array)
            && !known.contains(value)
        {
            let known: Vec<_> = known.iter().filter_map(Value::as_str).collect();
            self.fault(at, format!("must be one of {}", known.join(", ")));
        }
        match value {
            Value::String(text) => self.text(schema, text, at),
            Value::Array(items) => self.list(schema, items, at),
            Value::Object(fields) => self.fields(schema, fields, at),
            Value::Number(number) => self.number(schema, number.as_f64().unwrap_or_default(), at),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn one_of(&mut self, forms: &[Value], value: &Value, at: &str) {
        let mut found: Option<Vec<FieldError>> = None;
        let mut tried = 0;
        for form in forms {
            let mut attempt = Check { definitions: self.definitions, faults: Vec::new() };
            attempt.value(form, value, at);
            if attempt.faults.is_empty() {
                return;
            }
            if form.get("type").and_then(Value::as_str) != Some("null") {
                tried += 1;
                found = Some(attempt.faults);
            }
        }
        match found {
            Some(faults) if tried == 1 => faults.into_iter().for_each(|fault| self.fault(&fault.field, fault.message)),
            _ => {
                let known: Vec<_> = forms.iter().filter_map(|form| form.get("const").and_then(Value::as_str)).collect();
                match known.is_empty() {
                    true => self.fault(at, "has none of the allowed forms"),
                    false => self.fault(at, format!("must be one of {}", known.join(", "))),
                }
            }
        }
    }

    fn text(&mut self, schema: &Map<String, Value>, text: &str, at: &str) {
        if text.contains('\0') {
            self.fault(at, "must not hold the character NUL");
        }
        let length = text.chars().count() as u64;
        if let Some(max) = limit(schema, "maxLength").filter(|max| length > *max) {
            self.fault(at, format!("must not be longer than {max} characters"));
        }
        if let Some(min) = limit(schema, "minLength").filter(|min| length < *min) {
            self.fault(at, format!("must have at least {min} characters"));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            let known = PATTERNS.iter().find(|(known, ..)| *known == pattern);
            if let Some((_, _, message)) = known.filter(|(_, fits, _)| !fits(text)) {
                self.fault(at, *message);
            }
        }
        if schema.get("format").and_then(Value::as_str) == Some("date-time") && udfs::time::from_rfc3339(text).is_none()
        {
            self.fault(at, "must be a time as in RFC 3339");
        }
    }

    fn list(&mut self, schema: &Map<String, Value>, items: &[Value], at: &str) {
        let length = items.len() as u64;
        if let Some(max) = limit(schema, "maxItems").filter(|max| length > *max) {
            return self.fault(at, format!("must not have more than {max} items"));
        }
        if let Some(min) = limit(schema, "minItems").filter(|min| length < *min) {
            self.fault(at, format!("must have at least {min} items"));
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true))
            && items.iter().enumerate().any(|(number, item)| items[..number].contains(item))
        {
            self.fault(at, "must not have an item twice");
        }
        let of = schema.get("items").unwrap_or(FREE);
        items.iter().enumerate().for_each(|(number, item)| self.value(of, item, &join(at, &number.to_string())));
    }

    fn fields(&mut self, schema: &Map<String, Value>, fields: &Map<String, Value>, at: &str) {
        if let Some(max) = limit(schema, "maxProperties").filter(|max| fields.len() as u64 > *max) {
            return self.fault(at, format!("must not have more than {max} fields"));
        }
        if let Some(min) = limit(schema, "minProperties").filter(|min| (fields.len() as u64) < *min) {
            self.fault(at, format!("must have at least {min} fields"));
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.fault(&join(at, name), "is missing");
            }
        }
        let known = schema.get("properties").and_then(Value::as_object);
        for (name, value) in fields {
            let name_at = join(at, &shown(name));
            if let Some(names) = schema.get("propertyNames") {
                self.value(names, &Value::String(name.clone()), &name_at);
            } else if name.contains('\0') {
                self.fault(&name_at, "must not hold the character NUL");
            }
            match (known.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema)) => self.value(schema, value, &name_at),
                (None, None) => self.value(FREE, value, &name_at),
            }
        }
    }

    fn number(&mut self, schema: &Map<String, Value>, number: f64, at: &str) {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if let Some(max) = bound("maximum").filter(|max| number > *max) {
            self.fault(at, format!("must not be more than {max}"));
        }
        if let Some(min) = bound("minimum").filter(|min| number < *min) {
            self.fault(at, format!("must be at least {min}"));
        }
    }
}

/// A stranger's name for a field, short enough to repeat.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn limit(schema: &Map<String, Value>, name: &str) -> Option<u64> {
    schema.get(name).and_then(Value::as_u64)
}

fn kinds(kind: &Value) -> impl Iterator<Item = &str> {
    let one = kind.as_str().into_iter();
    one.chain(kind.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

/// The keywords that are understood.
#[cfg(test)]
pub const KEYWORDS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "title",
    "type",
    "uniqueItems",
];

/// Whether a pattern is one that is understood.
#[cfg(test)]
pub fn knows_pattern(pattern: &str) -> bool {
    PATTERNS.iter().any(|(known, ..)| *known == pattern)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, value: Value) -> Vec<(String, String)> {
        let definitions = json!({ "Colour": { "type": "string", "enum": ["red", "blue"] } });
        let definitions = definitions.as_object().expect("a map");
        faults(&schema, definitions, &value).into_iter().map(|fault| (fault.field, fault.message)).collect()
    }

    fn fields(schema: Value, value: Value) -> Vec<String> {
        check(schema, value).into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn every_fault_has_its_field() {
        let schema = json!({
            "type": "object",
            "required": ["name", "list"],
            "additionalProperties": false,
            "properties": {
                "name": { "type": "string", "minLength": 1, "maxLength": 3 },
                "list": { "type": "array", "maxItems": 3, "uniqueItems": true, "items": { "$ref": "#/components/schemas/Colour" } },
                "maybe": { "anyOf": [{ "$ref": "#/components/schemas/Colour" }, { "type": "null" }] },
                "count": { "type": ["integer", "null"], "minimum": 1, "maximum": 9 },
                "at": { "type": "string", "format": "date-time" },
            },
        });
        assert_eq!(
            fields(schema.clone(), json!({ "name": "abc", "list": ["red"], "maybe": null, "count": 9 })),
            [""; 0]
        );
        assert_eq!(fields(schema.clone(), json!([])), ["body"]);
        assert_eq!(fields(schema.clone(), json!({ "x": 1, "maybe": "green" })), ["name", "list", "maybe", "x"]);
        let wrong = json!({ "name": "abcd", "list": ["red", "green", "red"], "count": 10, "at": "today" });
        assert_eq!(fields(schema.clone(), wrong), ["at", "count", "list", "list.1", "name"]);
        assert_eq!(
            fields(schema.clone(), json!({ "name": 1, "list": "red", "count": 1.5 })),
            ["count", "list", "name"]
        );
        assert_eq!(fields(schema, json!({ "name": "\0", "list": [] })), ["name"]);
        assert_eq!(fields(json!({ "type": "object" }), json!({ "free": { "deep": ["\0"] } })), ["free.deep.0"]);
    }

    #[test]
    fn patterns_are_what_they_say() {
        for (pattern, good, bad) in [
            (ID, &["a", "ten_1", "a.b-c"][..], &["", "_a", ".a", "a/b", "a b", "é"][..]),
            (LINE, &["a b", "é"], &["", "a\nb", "\u{7f}"]),
            (ALIAS, &["@a", "@AI_Squad", "@a.b"], &["a", "@", "@ a", "@a.", "@é", "@.a"]),
            (WORD, &["slack", "acme-ci"], &["", "Slack", "-a", "a b"]),
            (URL, &["https://a.example/x", "http://127.0.0.1:1"], &["https://", "ftp://a", "https://a b"]),
            (REPOSITORY, &["a/b", "A.b/c-d"], &["a", "a/", "/b", "a/b/c"]),
            (EMAIL, &["a@b"], &["a", "@b", "a@", "a@b@c", "a b@c"]),
        ] {
            let schema = json!({ "type": "string", "pattern": pattern });
            good.iter().for_each(|text| assert!(check(schema.clone(), json!(text)).is_empty(), "{pattern} {text}"));
            bad.iter().for_each(|text| assert!(!check(schema.clone(), json!(text)).is_empty(), "{pattern} {text}"));
        }
    }

    #[test]
    fn a_flood_of_faults_is_cut() {
        let wrong: Vec<u32> = (0..1_000).collect();
        assert_eq!(check(json!({ "items": { "type": "string" } }), json!(wrong)).len(), FAULTS_MAX);
    }
}
