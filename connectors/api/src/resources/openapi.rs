//! The document of the API, OpenAPI 3.1, made from the list of operations.

use std::{collections::BTreeMap, sync::OnceLock};

use axum::{
    http::{Method, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use crate::{
    call::Call,
    operation::{Operation, Schemas, operation},
    output::Output,
};
use runtime::{auth::Access, http::problem::Problem};

/// `/openapi.json`
struct Document;

impl Output for Document {
    const STATUS: StatusCode = StatusCode::OK;

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "required": ["openapi", "paths"] })
    }

    fn respond(self) -> Response {
        static TEXT: OnceLock<String> = OnceLock::new();
        let text = TEXT.get_or_init(|| document(&crate::operations()).to_string());
        ([(header::CONTENT_TYPE, "application/json")], text.as_str()).into_response()
    }
}

/// `/docs`
struct Page;

impl Output for Page {
    const STATUS: StatusCode = StatusCode::OK;
    const MEDIA: &'static str = "text/html";

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn respond(self) -> Response {
        Html(include_str!("docs.html")).into_response()
    }
}

/// `/openapi.json` and `/docs`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::GET, "/openapi.json", Access::Open, "This document", |_: Call, (): ()| async {
            Ok::<_, Problem>(Document)
        }),
        operation(Method::GET, "/docs", Access::Open, "This document, for people", |_: Call, (): ()| async {
            Ok::<_, Problem>(Page)
        }),
    ]
}

/// The document of a list of operations.
pub fn document(operations: &[Operation]) -> Value {
    let schemas = Schemas::new(operations);
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let method = operation.method.as_str().to_ascii_lowercase();
        paths.entry(operation.path).or_default().insert(method, described(operation, &schemas));
    }
    let mut definitions = schemas.definitions.clone();
    definitions.insert("Problem".to_owned(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Nexus",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A dataflow hub between people's tools and AI agents. Success is `{\"data\": …}`, lists \
                have `page.next`, errors are problems (RFC 9457) with a stable `code`.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "client": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn described(operation: &Operation, schemas: &Schemas) -> Value {
    let mut parameters: Vec<Value> = path_params(operation.path).map(path_param).collect();
    parameters.extend(operation.params.iter().map(|param| param.described()));
    let mut responses = Map::new();
    let given = operation.given;
    let schema = schemas.given(operation).cloned().unwrap_or_else(|| json!({}));
    responses.insert(
        given.status.as_str().to_owned(),
        json!({ "description": operation.summary, "content": { given.media: { "schema": schema } } }),
    );
    for status in errors(operation) {
        responses.insert(status.as_str().to_owned(), refused(status));
    }
    let mut described = json!({
        "operationId": id(operation),
        "summary": operation.summary,
        "tags": [tag(operation.path)],
        "parameters": parameters,
        "responses": responses,
    });
    match operation.access {
        Access::Open if operation.path == "/auth/token" => described["security"] = json!([{}, { "client": [] }]),
        Access::Open => {}
        access => {
            let roles: Vec<_> = access.roles().iter().map(|role| role.name()).collect();
            described["description"] = format!("Roles: {}.", roles.join(", ")).into();
            described["x-roles"] = roles.into();
            described["security"] = json!([{ "bearer": [] }]);
        }
    }
    if let Some(taken) = operation.taken {
        let schema = schemas.of(operation).map(|schema| (*schema).clone()).unwrap_or_else(|| json!({}));
        let mut content = Map::new();
        for media in taken.media.names() {
            let mut body = json!({ "schema": schema });
            if let Some(example) = &operation.example {
                body["example"] = example.clone();
            }
            content.insert((*media).to_owned(), body);
        }
        described["requestBody"] = json!({ "required": !taken.optional, "content": content });
    }
    described
}

/// What may go wrong, by what an operation takes.
fn errors(operation: &Operation) -> Vec<StatusCode> {
    let mut errors = operation.errors.to_vec();
    let served_here = matches!(operation.served, crate::operation::Served::Desk(_));
    if served_here {
        errors.extend([StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE]);
        if operation.access != Access::Open {
            errors.extend([
                StatusCode::UNAUTHORIZED,
                StatusCode::FORBIDDEN,
                StatusCode::NOT_FOUND,
                StatusCode::TOO_MANY_REQUESTS,
            ]);
        }
        if operation.acts {
            errors.push(StatusCode::CONFLICT);
        }
        if operation.path.contains('{') {
            errors.push(StatusCode::NOT_FOUND);
        }
        if operation.taken.is_some() {
            errors.extend([
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::PAYLOAD_TOO_LARGE,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ]);
        }
    } else if !operation.errors.is_empty() {
        errors.push(StatusCode::SERVICE_UNAVAILABLE);
    }
    errors.sort_unstable();
    errors.dedup();
    errors
}

fn refused(status: StatusCode) -> Value {
    let mut refused = json!({
        "description": status.canonical_reason().unwrap_or_default(),
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        refused["headers"] = json!({
            "Retry-After": { "description": "seconds until it is worth a try", "schema": { "type": "integer" } },
        });
    }
    refused
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["status", "title", "code", "detail"],
        "properties": {
            "status": { "type": "integer" },
            "title": { "type": "string" },
            "code": { "type": "string", "description": "stable, for programs" },
            "detail": { "type": "string", "description": "for people" },
            "error": { "type": "string", "description": "the code, under OAuth's name for it" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": { "field": { "type": "string" }, "message": { "type": "string" } },
                },
            },
        },
    })
}

fn path_params(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_param(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

/// `get_api_agents_by_id`: what generators of clients name a function by.
fn id(operation: &Operation) -> String {
    let path = operation.path.replace("/{", "_by_").replace('}', "").replace(['/', '-', '.'], "_");
    format!("{}{path}", operation.method.as_str().to_ascii_lowercase())
}

/// The resource, by the address.
fn tag(path: &str) -> &str {
    let mut parts = path.trim_start_matches('/').split('/');
    let first = parts.next().unwrap_or_default();
    match (first, parts.next()) {
        ("api", Some("webhooks")) => "webhooks",
        ("api", Some("integrations")) => "users",
        ("api" | "admin", Some(second)) => second,
        _ => first.trim_end_matches(".json"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::check::{KEYWORDS, knows_pattern};

    #[test]
    fn no_operation_is_there_twice() {
        let operations = crate::operations();
        let ids: BTreeSet<_> = operations.iter().map(id).collect();
        assert_eq!(ids.len(), operations.len());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&crate::operations());
        fn walk(document: &Value, value: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                    }
                    fields.values().for_each(|value| walk(document, value));
                }
                Value::Array(items) => items.iter().for_each(|value| walk(document, value)),
                _ => {}
            }
        }
        walk(&document, &document);
    }

    /// Every keyword of a body's schema is one that the check understands.
    #[test]
    fn bodies_are_checked_by_all_of_their_schemas() {
        fn walk(schema: &Value, definitions: &Map<String, Value>) {
            let Value::Object(schema) = schema else { return };
            for (keyword, content) in schema {
                if keyword == "writeOnly" {
                    continue;
                }
                assert!(KEYWORDS.contains(&keyword.as_str()), "{keyword}");
                match (keyword.as_str(), content) {
                    ("properties", Value::Object(fields)) => fields.values().for_each(|field| walk(field, definitions)),
                    ("items" | "additionalProperties" | "propertyNames", schema) => walk(schema, definitions),
                    ("anyOf" | "oneOf", Value::Array(forms)) => forms.iter().for_each(|form| walk(form, definitions)),
                    ("pattern", Value::String(pattern)) => assert!(knows_pattern(pattern), "{pattern}"),
                    // A number's format says what its type and bounds do.
                    ("format", format) => {
                        assert!(["date-time", "uint64"].contains(&format.as_str().unwrap_or_default()))
                    }
                    ("$ref", Value::String(target)) => {
                        let name = target.trim_start_matches(crate::check::DEFINITIONS);
                        walk(&definitions[name], definitions);
                    }
                    _ => {}
                }
            }
        }
        let operations = crate::operations();
        let schemas = Schemas::new(&operations);
        for operation in
            operations.iter().filter(|operation| matches!(operation.served, crate::operation::Served::Desk(_)))
        {
            if let Some(schema) = schemas.of(operation) {
                walk(&schema, &schemas.definitions);
            }
        }
    }

    /// Each example would be taken.
    #[test]
    fn examples_fit() {
        let operations = crate::operations();
        let schemas = Schemas::new(&operations);
        let mut examples = 0;
        for operation in &operations {
            let (Some(example), Some(schema)) = (&operation.example, schemas.of(operation)) else { continue };
            let faults = crate::check::faults(&schema, &schemas.definitions, example);
            assert!(faults.is_empty(), "{} {}: {faults:?}", operation.method, operation.path);
            examples += 1;
        }
        assert!(examples > 10);
    }
}
