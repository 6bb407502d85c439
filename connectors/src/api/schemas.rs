//! The JSON Schemas of everything in the topics.

use axum::{
    Json, Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use pipeline::event::{SCHEMAS, schema};
use serde_json::json;

use crate::http::problem::Problem;

/// `/schemas` lists them, `/schemas/{name}.json` is one.
pub fn router() -> Router {
    Router::new().route("/schemas", get(list)).route("/schemas/{file}", get(one))
}

async fn list() -> Response {
    let names: Vec<_> =
        SCHEMAS.iter().map(|(name, _)| json!({ "name": name, "url": format!("/schemas/{name}.json") })).collect();
    Json(json!({ "data": names, "page": { "next": null } })).into_response()
}

async fn one(Path(file): Path<String>) -> Result<Response, Problem> {
    let schema = file.strip_suffix(".json").and_then(schema);
    let schema = schema.ok_or_else(|| Problem::not_found("there is no such schema; /schemas lists them"))?;
    let kind = [(axum::http::header::CONTENT_TYPE, "application/schema+json")];
    Ok((kind, Json(schema)).into_response())
}
