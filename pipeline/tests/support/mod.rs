//! What the tests of the flow share: requests as records, and what becomes of
//! them in a flow of one partition.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::path::{Path, PathBuf};

use pipeline::{
    flow::{Counts, Flow, Settings},
    ports::{Headers, NewRecord, Position, Record},
    topics::Topic,
};
use serde_json::{Value, json};

/// When the requests of the tests were received.
pub const RECEIVED: &str = "2026-11-21T08:00:00.000Z";

/// A file or folder of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files of a folder with an extension, by name.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// A request as ingest writes it down.
pub fn webhook(provider: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let headers: serde_json::Map<_, _> = headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    json!({
        "tenantId": "acme", "provider": provider, "connectionId": "con_1", "receivedAt": RECEIVED,
        "headers": headers, "body": body,
    })
}

/// A value as the record of an offset: a request, or `{"topic", "key", "value"}`
/// for any other input.
pub fn record(value: &Value, offset: u64) -> Record {
    let other = value.get("topic").and_then(Value::as_str).and_then(Topic::from_name);
    let (key, value) = match other {
        Some(_) => (value["key"].as_str().expect("a key"), Some(&value["value"]).filter(|value| !value.is_null())),
        None => (value["tenantId"].as_str().unwrap_or("acme"), Some(value)),
    };
    Record {
        position: Position { topic: other.unwrap_or(Topic::WebhooksRaw), partition: 0, offset },
        at_ms: 1_795_248_000_000,
        key: key.to_owned().into(),
        value: value.map(|value| serde_json::to_vec(value).expect("a value can be written").into()),
        headers: Headers::default(),
    }
}

/// What a flow that remembers nothing makes of values in this order.
pub fn run(values: &[Value]) -> (Vec<NewRecord>, Counts) {
    let mut flow = Flow::new(7, 1, &Settings::default());
    let mut outputs = Vec::new();
    for (offset, value) in values.iter().enumerate() {
        flow.on(&record(value, offset as u64), &mut outputs).expect("no defect");
    }
    (outputs, flow.counts())
}

/// A row as `control` has it; none takes it away.
pub fn row(tenant: &str, kind: &str, id: &str, data: Option<Value>) -> Value {
    let value = data.map(|data| json!({ "kind": kind, "tenantId": tenant, "id": id, "data": data, "at": RECEIVED }));
    json!({ "topic": "control", "key": format!("{tenant}/{kind}/{id}"), "value": value })
}

/// The values written to a topic.
pub fn written(outputs: &[NewRecord], topic: Topic) -> Vec<Value> {
    let values = outputs.iter().filter(|output| output.topic == topic).filter_map(|output| output.value.as_deref());
    values.map(|value| serde_json::from_slice(value).expect("outputs are JSON")).collect()
}

/// The events that values lead to.
pub fn events(values: &[Value]) -> Vec<Value> {
    written(&run(values).0, Topic::Events)
}

/// Every sample of this repository: its name (`slack/message`) and the request
/// that it arrives in.
pub fn samples() -> Vec<(String, Value)> {
    let providers = ["clickup", "cloudevents", "generic", "github", "jira", "slack", "stripe"];
    let paths = providers.iter().flat_map(|provider| files(&repository("tests/fixtures").join(provider), "json"));
    let samples: Vec<_> = paths
        .map(|path| {
            let provider = path.parent().and_then(Path::file_name).expect("a folder").to_string_lossy().into_owned();
            let file = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let body = std::fs::read_to_string(&path).expect("a text file");
            (format!("{provider}/{file}"), sample(&provider, &file, &body))
        })
        .collect();
    assert!(samples.len() > 90, "only {} samples are there", samples.len());
    samples
}

fn sample(provider: &str, file: &str, body: &str) -> Value {
    let mut request = webhook(provider, &[], body);
    match (provider, file) {
        ("github", _) => {
            let event = file.split('.').next().expect("a name");
            request["headers"] = json!({ "x-github-event": event, "x-github-delivery": format!("delivery-{file}") });
        }
        ("slack", "block_actions") => request = form(provider, body),
        ("cloudevents", "structured") => request["contentType"] = json!("application/cloudevents+json; charset=utf-8"),
        ("cloudevents", "batch") => request["contentType"] = json!("application/cloudevents-batch+json"),
        ("cloudevents", _) => {
            request["headers"] = json!({
                "ce-specversion": "1.0", "ce-id": "harvest-0004", "ce-source": "https://orchard.example/rows/7",
                "ce-type": "example.orchard.w%C3%A4ighed", "ce-time": "2026-11-21T07:59:20Z",
                "content-type": "application/json",
            });
        }
        _ => {}
    }
    request
}

/// A payload in the field of a form.
pub fn form(provider: &str, payload: &str) -> Value {
    let encoded: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut request = webhook(provider, &[], &format!("payload={encoded}"));
    request["contentType"] = json!("application/x-www-form-urlencoded");
    request
}
