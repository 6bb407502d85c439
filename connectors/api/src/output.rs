//! What handlers answer: `{"data": …}`, lists with `page`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::json;

/// What a handler gives.
pub trait Output: Send + 'static {
    /// The status of an answer that says so.
    const STATUS: StatusCode;
    /// Its content type.
    const MEDIA: &'static str = "application/json";
    /// What it looks like.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
    /// The answer.
    fn respond(self) -> Response;
}

fn of_data(data: Schema) -> Schema {
    json_schema!({ "type": "object", "required": ["data"], "properties": { "data": data } })
}

macro_rules! data {
    ($($(#[$doc:meta])* $name:ident = $status:ident;)*) => {
        $($(#[$doc])*
        pub struct $name<T>(pub T);

        impl<T: Serialize + JsonSchema + Send + 'static> Output for $name<T> {
            const STATUS: StatusCode = StatusCode::$status;

            fn schema(generator: &mut SchemaGenerator) -> Schema {
                of_data(generator.subschema_for::<T>())
            }

            fn respond(self) -> Response {
                (Self::STATUS, Json(json!({ "data": self.0 }))).into_response()
            }
        })*
    };
}

data! {
    /// What was asked for.
    Data = OK;
    /// What was made.
    Created = CREATED;
    /// What will be done.
    Promised = ACCEPTED;
}

/// The schema of `page`.
fn page_schema() -> serde_json::Value {
    json!({
        "type": "object",
        "required": ["next"],
        "properties": { "next": { "type": ["string", "null"], "description": "the cursor of the next page" } },
    })
}

/// Part of a list that stands within something.
pub struct Part<T> {
    /// The thing, with the part.
    pub data: T,
    /// The cursor of the next part, if there may be one.
    pub next: Option<String>,
}

impl<T: Serialize + JsonSchema + Send + 'static> Output for Part<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let data = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "required": ["data", "page"],
            "properties": { "data": data, "page": page_schema() },
        })
    }

    fn respond(self) -> Response {
        Json(json!({ "data": self.data, "page": { "next": self.next } })).into_response()
    }
}

/// Part of a list.
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// The cursor of the next part, if there may be one.
    pub next: Option<String>,
}

impl<T: Serialize + JsonSchema + Send + 'static> Output for Page<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        let row = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "required": ["data", "page"],
            "properties": {
                "data": { "type": "array", "items": row },
                "page": page_schema(),
            },
        })
    }

    fn respond(self) -> Response {
        Json(json!({ "data": self.rows, "page": { "next": self.next } })).into_response()
    }
}

/// Records of a topic, one JSON object a line.
pub struct Lines(pub Response);

impl Output for Lines {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA: &'static str = "application/x-ndjson";

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn respond(self) -> Response {
        self.0
    }
}

/// An answer of OAuth, which has no `data` around it.
pub struct Bare<T>(pub T);

impl<T: Serialize + JsonSchema + Send + 'static> Output for Bare<T> {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }

    fn respond(self) -> Response {
        let kept_nowhere = [(axum::http::header::CACHE_CONTROL, "no-store")];
        (kept_nowhere, Json(self.0)).into_response()
    }
}

/// What is left of a row that was taken away.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Gone {
    /// Its id.
    pub id: String,
    /// Always true.
    pub deleted: bool,
}

impl Gone {
    /// The row of this id.
    pub fn id(id: &str) -> Data<Gone> {
        Data(Gone { id: id.to_owned(), deleted: true })
    }
}

/// What a command that is not answered goes by.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sent {
    /// Names what the agents get, so that a repeat is known.
    pub id: String,
}
