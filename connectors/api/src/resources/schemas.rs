//! The JSON Schemas of everything in the topics.

use axum::{
    Json,
    http::{Method, header},
    response::IntoResponse,
};
use pipeline::event::{SCHEMAS, schema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::{
    call::Call,
    operation::{Operation, operation},
    output::{Output, Page},
};
use runtime::{auth::Access, http::problem::Problem};

/// A schema's name, and where it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Named {
    name: &'static str,
    url: String,
}

/// A schema.
pub struct Document(Schema);

impl Output for Document {
    const STATUS: axum::http::StatusCode = axum::http::StatusCode::OK;
    const MEDIA: &'static str = "application/schema+json";

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }

    fn respond(self) -> axum::response::Response {
        ([(header::CONTENT_TYPE, Self::MEDIA)], Json(self.0)).into_response()
    }
}

/// `/schemas` lists them, `/schemas/{name}.json` is one.
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/schemas", Access::Open, "List the schemas of the records", list),
        operation(Method::GET, "/schemas/{file}", Access::Open, "Show one schema, `{name}.json`", one),
    ]
}

async fn list(_: Call, (): ()) -> Result<Page<Named>, Problem> {
    let named = |name: &'static str| Named { name, url: format!("/schemas/{name}.json") };
    Ok(Page { rows: SCHEMAS.iter().map(|(name, _)| named(name)).collect(), next: None })
}

async fn one(call: Call, (): ()) -> Result<Document, Problem> {
    let schema = call.part("file").strip_suffix(".json").and_then(schema);
    schema.map(Document).ok_or_else(|| Problem::not_found("there is no such schema; /schemas lists them"))
}
