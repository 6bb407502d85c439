//! Real payloads: every body that providers' own documentation and libraries
//! publish is read as what the contract says it is.
//!
//! The bodies are not part of this repository; `NEXUS_FIXTURES` names the
//! folder. `provider_fixtures.tsv` is the reviewed answer, a line a file:
//! path, type of the event (`Rejected`, or `-` for none), `source.event`.
//! Two of the CloudEvents are rejected: where base64 belongs they have words.
//! `UPDATE_FIXTURES=1` writes the table anew; review the difference by eye.

mod support;

use std::{collections::BTreeMap, fmt::Write, path::Path};

use pipeline::topics::Topic;
use serde_json::{Value, json};
use support::{files, form, run, webhook, written};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/provider_fixtures.tsv");
/// Answers of the providers' interfaces, which no webhook carries.
const NOT_WEBHOOKS: &[&str] = &["api.", "http.", "api_recorded.", "resource.", "error.", "skeleton.api."];

#[test]
fn every_real_payload_is_read_as_the_table_says() {
    let Ok(folder) = std::env::var("NEXUS_FIXTURES") else {
        println!("skipped: NEXUS_FIXTURES names no folder");
        return;
    };
    let found = found(Path::new(&folder));
    assert!(found.len() > 100, "only {} payloads in {folder}", found.len());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let table = found.iter().fold(String::new(), |mut table, (file, (kind, event))| {
            writeln!(table, "{file}\t{kind}\t{event}").expect("text can be written to");
            table
        });
        std::fs::write(TABLE, table).expect("the table can be written");
        return;
    }
    let table = std::fs::read_to_string(TABLE).expect("the table is there");
    let expected: BTreeMap<&str, (&str, &str)> = table
        .lines()
        .map(|line| {
            let cells: Vec<_> = line.split('\t').collect();
            let [file, kind, event] = cells[..] else { panic!("a line of three cells: {line}") };
            (file, (kind, event))
        })
        .collect();
    let mut wrong = Vec::new();
    for (file, (kind, event)) in &found {
        let actual = (kind.as_str(), event.as_str());
        match expected.get(file.as_str()) {
            None => wrong.push(format!("{file}: no line in the table; found {actual:?}")),
            Some(line) if *line != actual => wrong.push(format!("{file}: {line:?} expected, {actual:?} found")),
            Some(_) => {}
        }
    }
    wrong
        .extend(expected.keys().filter(|file| !found.contains_key(**file)).map(|file| format!("{file}: no such file")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What becomes of every payload: type and `source.event`.
fn found(folder: &Path) -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    for provider in ["slack", "clickup", "github", "jira", "stripe", "generic"] {
        for path in files(&folder.join(provider), "json") {
            let file = path.file_name().expect("a file").to_string_lossy().into_owned();
            if NOT_WEBHOOKS.iter().any(|prefix| file.starts_with(prefix)) || file == "cloudevents.http_messages.json" {
                continue;
            }
            let body = std::fs::read_to_string(&path).expect("a text file");
            found.insert(format!("{provider}/{file}"), outcome(&wrapped(provider, &file, &body)));
        }
    }
    found.append(&mut adversarial(&folder.join("adversarial")));
    found
}

fn outcome(webhook: &Value) -> (String, String) {
    let (outputs, _) = run(std::slice::from_ref(webhook));
    if let Some(letter) = written(&outputs, Topic::DeadLetters).first() {
        let reason = letter["reason"].as_str().expect("a reason").to_owned();
        assert!(!reason.contains("defect"), "{reason}");
        return ("Rejected".to_owned(), "-".to_owned());
    }
    let events = written(&outputs, Topic::Events);
    let cell = |of: &dyn Fn(&Value) -> &Value| {
        let cells: Vec<_> = events.iter().map(|event| of(event).as_str().expect("text").to_owned()).collect();
        if cells.is_empty() { "-".to_owned() } else { cells.join(",") }
    };
    (cell(&|event| &event["type"]), cell(&|event| &event["source"]["event"]))
}

/// The request that a payload arrives in, by the rules of its file's name.
fn wrapped(provider: &str, file: &str, body: &str) -> Value {
    let mut parts = file.split('.');
    let first = parts.next().expect("a name");
    match provider {
        "github" => webhook(provider, &[("x-github-event", first)], body),
        "slack" if first == "interactive" => form(provider, body),
        "slack" if first == "inner" => {
            let inner: Value = serde_json::from_str(body).expect("JSON");
            let envelope = json!({ "type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": inner });
            webhook(provider, &[], &envelope.to_string())
        }
        "generic" => {
            let second = parts.next().unwrap_or_default();
            let mut request = match first {
                "bitbucket" => webhook(first, &[("x-event-key", &second.replacen('-', ":", 1))], body),
                "sentry" => {
                    webhook(first, &[("sentry-hook-resource", second.split('_').next().unwrap_or_default())], body)
                }
                _ => webhook(first, &[], body),
            };
            if first == "cloudevents" {
                let kind = if body.trim_start().starts_with('[') { "cloudevents-batch" } else { "cloudevents" };
                request["contentType"] = json!(format!("application/{kind}+json"));
            }
            request
        }
        _ => webhook(provider, &[], body),
    }
}

fn adversarial(folder: &Path) -> BTreeMap<String, (String, String)> {
    let index = std::fs::read(folder.join("index.json")).expect("an index of the adversarial bodies");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let entries = index["files"].as_array().expect("a list");
    let each = entries.iter().map(|entry| {
        let file = entry["file"].as_str().expect("a name");
        let provider = entry["provider"].as_str().filter(|provider| *provider != "any").unwrap_or("generic");
        let body = std::fs::read(folder.join(file)).expect("a body");
        let mut request = webhook(provider, &[], "");
        match String::from_utf8(body) {
            Ok(text) => request["body"] = json!(text),
            Err(bytes) => {
                request.as_object_mut().expect("an object").remove("body");
                request["bodyBase64"] = json!(udfs::hash::base64(bytes.as_bytes()));
            }
        }
        if let Some(kind) = entry["content_type"].as_str() {
            request["contentType"] = json!(kind);
        }
        for (name, value) in entry["headers"].as_object().into_iter().flatten() {
            request["headers"][name.to_lowercase()] = value.clone();
        }
        (format!("adversarial/{file}"), outcome(&request))
    });
    each.collect()
}
