//! The bodies of requests: read whole, within bounds, and held against the
//! schema of what is expected before anything is made of them.

use std::marker::PhantomData;

use axum::{
    body::{Body as HttpBody, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};
use udfs::json::depth_within;

use super::check::faults;
use runtime::http::{
    body::{self, Budget, Limits},
    problem::{FieldError, Problem},
};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// There is none; what is sent all the same is not looked at.
    Absent,
    /// JSON.
    Json,
    /// JSON that is laid over what is there (RFC 7396).
    Merge,
    /// JSON or a form, as OAuth's clients send it.
    Credentials,
}

impl Media {
    /// The content types that are taken, the usual one first.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Media::Absent => &[],
            Media::Json => &["application/json"],
            Media::Merge => &["application/merge-patch+json", "application/json"],
            Media::Credentials => &["application/x-www-form-urlencoded", "application/json"],
        }
    }
}

/// What a handler takes.
pub trait Input: Sized + Send + 'static {
    /// How it is written.
    const MEDIA: Media;
    /// Whether it may be left out.
    const OPTIONAL: bool = false;
    /// What it looks like.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
    /// From a body that fits the schema.
    fn take(body: Option<Value>) -> Result<Self, Problem>;
}

/// No body.
impl Input for () {
    const MEDIA: Media = Media::Absent;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn take(_: Option<Value>) -> Result<Self, Problem> {
        Ok(())
    }
}

/// A body that must be there.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Input for Body<T> {
    const MEDIA: Media = Media::Json;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn take(body: Option<Value>) -> Result<Self, Problem> {
        body.ok_or_else(missing).and_then(typed).map(Body)
    }
}

/// A body that may be left out.
pub struct Perhaps<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Default + Send + 'static> Input for Perhaps<T> {
    const MEDIA: Media = Media::Json;
    const OPTIONAL: bool = true;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn take(body: Option<Value>) -> Result<Self, Problem> {
        body.map_or_else(|| Ok(T::default()), typed).map(Perhaps)
    }
}

/// The credentials of a client; those of HTTP Basic are in the head.
pub struct Credentials<T>(pub T);

impl<T: DeserializeOwned + JsonSchema + Default + Send + 'static> Input for Credentials<T> {
    const MEDIA: Media = Media::Credentials;
    const OPTIONAL: bool = true;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn take(body: Option<Value>) -> Result<Self, Problem> {
        body.map_or_else(|| Ok(T::default()), typed).map(Credentials).map_err(Problem::as_oauth)
    }
}

/// A change: what is named is set, `null` clears, the rest stays.
pub struct Patch<T> {
    changes: Value,
    of: PhantomData<fn() -> T>,
}

impl<T: JsonSchema + Send + 'static> Input for Patch<T> {
    const MEDIA: Media = Media::Merge;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        let whole = generator.root_schema_for::<T>();
        // Its own definitions are among the generator's already.
        generator.subschema_for::<T>();
        Some(loosened(whole))
    }

    fn take(body: Option<Value>) -> Result<Self, Problem> {
        Ok(Patch { changes: body.ok_or_else(missing)?, of: PhantomData })
    }
}

impl<T: DeserializeOwned + Serialize> Patch<T> {
    /// What is there, with the changes.
    pub fn over(&self, there: &T) -> Result<T, Problem> {
        let mut whole = serde_json::to_value(there).unwrap_or_default();
        merge(&mut whole, &self.changes);
        typed(whole)
    }

    /// Whether a field is named.
    pub fn names(&self, field: &str) -> bool {
        self.changes.get(field).is_some()
    }
}

/// RFC 7396.
fn merge(there: &mut Value, changes: &Value) {
    let Value::Object(changes) = changes else {
        *there = changes.clone();
        return;
    };
    if !there.is_object() {
        *there = Value::Object(Map::new());
    }
    let Value::Object(fields) = there else { return };
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => merge(fields.entry(name.clone()).or_insert(Value::Null), change),
        }
    }
}

/// The schema of a change: nothing is required, and what may be left out may be
/// cleared.
fn loosened(mut schema: Schema) -> Schema {
    schema.remove("$schema");
    schema.remove("$defs");
    schema.remove("components");
    schema.remove("title");
    let required = schema.remove("required").unwrap_or_default();
    let required: Vec<&str> = required.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let may_go = |(name, _): &(&String, &mut Value)| !required.contains(&name.as_str());
        for (_, property) in properties.iter_mut().filter(may_go) {
            let allows_null = property.get("anyOf").is_some()
                || property.get("type").and_then(Value::as_array).is_some_and(|kinds| kinds.contains(&"null".into()));
            if !allows_null {
                let mut inner = property.take();
                let about = inner.as_object_mut().and_then(|inner| inner.remove("description"));
                *property = serde_json::json!({ "anyOf": [inner, { "type": "null" }] });
                if let Some(about) = about {
                    property["description"] = about;
                }
            }
        }
    }
    schema
}

fn missing() -> Problem {
    Problem::invalid(vec![FieldError::new("body", "is missing")])
}

/// What fits its schema is of its type; where it is not, the type says why.
fn typed<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| Problem::invalid(vec![FieldError::new("body", error.to_string())]))
}

/// How bodies are read.
pub struct Bodies {
    /// How large, and how slow.
    pub limits: Limits,
    /// How much of large ones at the same time.
    pub budget: Budget,
    /// How deep JSON nests at most.
    pub depth_max: usize,
}

impl Bodies {
    /// A body as JSON; nothing where there is none.
    pub async fn read(&self, media: Media, headers: &HeaderMap, body: HttpBody) -> Result<Option<Value>, Problem> {
        if media == Media::Absent {
            body::abandon(body);
            return Ok(None);
        }
        let kind = match kind(headers) {
            Some(kind) if media.names().contains(&kind.as_str()) => Some(kind),
            Some(_) => {
                body::abandon(body);
                return Err(unsupported(media));
            }
            None => None,
        };
        let whole = body::read(headers, body, self.limits, &self.budget).await?;
        match kind.as_deref() {
            _ if whole.bytes.is_empty() => Ok(None),
            None => Err(unsupported(media)),
            Some("application/x-www-form-urlencoded") => form(&whole.bytes).map(Some),
            Some(_) => self.json(&whole.bytes).map(Some),
        }
    }

    fn json(&self, bytes: &Bytes) -> Result<Value, Problem> {
        let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "invalid_json", detail);
        if !depth_within(bytes, self.depth_max) {
            return Err(bad(format!("the body nests deeper than {} levels", self.depth_max)));
        }
        serde_json::from_slice(bytes).map_err(|error| bad(format!("the body is not JSON: {error}")))
    }
}

fn unsupported(media: Media) -> Problem {
    let detail = format!("the content type must be {}", media.names().join(" or "));
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// The content type without its parameters, of which only UTF-8 is taken.
fn kind(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok().unwrap_or("?").to_ascii_lowercase();
    let (kind, parameters) = value.split_once(';').unwrap_or((&value, ""));
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    let utf8 = charset.is_none_or(|charset| charset.trim_matches('"') == "utf-8");
    Some(if utf8 { kind.trim().to_owned() } else { value.clone() })
}

/// A form as an object of texts. A field twice is ambiguous, and RFC 6749
/// forbids it.
fn form(bytes: &[u8]) -> Result<Value, Problem> {
    let bad = |field: &str, message: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "the form is not valid")
            .with_errors(vec![FieldError::new(field, message)])
            .as_oauth()
    };
    let text = std::str::from_utf8(bytes).map_err(|_| bad("body", "is not UTF-8"))?;
    let mut object = Map::new();
    for field in udfs::form::fields(text) {
        let (name, value) = field.map_err(|()| bad("body", "is not encoded as it should be"))?;
        if object.insert(name.clone().into_owned(), value.into_owned().into()).is_some() {
            return Err(bad(&name, "must not be there twice"));
        }
    }
    Ok(Value::Object(object))
}

/// Below it a float says each whole number exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// `320.0` is an integer, says JSON Schema; readers of Rust want `320`.
fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            if float.fract() == 0.0 && float.abs() < WHOLE_MAX {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        _ => {}
    }
}

/// Holds a body against its schema.
pub fn checked(
    media: Media,
    schema: Option<&Value>,
    definitions: &Map<String, Value>,
    body: Option<Value>,
) -> Result<Option<Value>, Problem> {
    let body = body.map(|mut value| {
        make_whole(&mut value);
        value
    });
    let (Some(schema), Some(value)) = (schema, &body) else { return Ok(body) };
    let faults = faults(schema, definitions, value);
    if faults.is_empty() {
        return Ok(body);
    }
    Err(match media {
        Media::Credentials => Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "the request is not valid")
            .with_errors(faults)
            .as_oauth(),
        _ => Problem::invalid(faults),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_floats_are_integers() {
        let mut value = json!({"a": [320.0, -2.0, 0.5, 1e300], "b": 7});
        make_whole(&mut value);
        assert_eq!(value, json!({"a": [320, -2, 0.5, 1e300], "b": 7}));
    }

    #[test]
    fn patches_are_laid_over() {
        // The examples of RFC 7396, appendix A.
        for (there, changes, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut merged = there;
            merge(&mut merged, &changes);
            assert_eq!(merged, result);
        }
    }

    #[test]
    fn content_types_are_compared_without_their_parameters() {
        let of =
            |text: &'static str| kind(&HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().expect("a value"))]));
        assert_eq!(of("Application/JSON; charset=\"UTF-8\"").as_deref(), Some("application/json"));
        assert_eq!(of("application/json; charset=latin1").as_deref(), Some("application/json; charset=latin1"));
        assert_eq!(kind(&HeaderMap::new()), None);
    }

    #[test]
    fn a_form_is_an_object_of_texts() {
        assert_eq!(form(b"a=1&b=x%20y").expect("a form"), json!({ "a": "1", "b": "x y" }));
        assert_eq!(form(b"a=1&a=2").expect_err("twice").code(), "invalid_request");
        assert!(form(b"a=%zz").is_err() && form(b"\xff").is_err());
    }
}
