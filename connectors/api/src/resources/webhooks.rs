//! The addresses that providers are given, for the document alone: `ingest` has
//! routes of its own, with nothing of the API in between.

use axum::http::{Method, StatusCode};
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::{
    input::Media,
    operation::{Given, Operation, Served, Taken, described},
};

/// THE list of `ingest`'s routes.
pub fn operations() -> Vec<Operation> {
    const REFUSALS: &[StatusCode] = &[
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::NOT_FOUND,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
    ];
    let given = Given { status: StatusCode::OK, media: "application/json", schema: accepted };
    let taken = Taken { media: Media::Json, optional: false, schema: anything };
    [
        ("/webhooks/clickup", "Take a webhook of ClickUp"),
        ("/webhooks/slack", "Take an event of Slack"),
        ("/webhooks/github", "Take a webhook of GitHub"),
        ("/webhooks/jira/{connection}", "Take a webhook of Jira"),
        ("/api/webhooks/{provider}", "Take a signed event of any sender"),
        ("/api/webhooks/{provider}/{connection}", "Take a signed event for one connection"),
    ]
    .into_iter()
    .map(|(path, summary)| {
        let mut operation = described(Method::POST, path, summary, given, Served::Ingest).errors(REFUSALS);
        operation.taken = Some(taken);
        operation
    })
    .collect()
}

/// Signed by its sender, in the sender's own form.
fn anything(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(json_schema!({ "type": "object", "description": "what the provider sends, byte for byte" }))
}

fn accepted(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(json_schema!({
        "type": "object",
        "properties": {
            "data": {
                "type": "object",
                "required": ["id", "duplicate"],
                "properties": { "id": { "type": "string" }, "duplicate": { "type": "boolean" } },
            },
            "challenge": { "type": "string", "description": "what Slack's url_verification is answered" },
        },
    }))
}
