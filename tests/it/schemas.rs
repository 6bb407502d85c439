//! The schemas that the hub serves, and what it writes held against them.

use std::collections::BTreeSet;

use pipeline::{
    event::SCHEMAS,
    ports::{Headers, NewRecord, Record},
    topics::{CLOCK, Topic, partition_of},
};
use providers::samples;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use super::hub::{Hub, SECRET};

/// A validator of the keywords that our schemas use. An unknown keyword is a
/// panic: a validator that overlooks one would find everything valid.
struct Schema(Value);

impl Schema {
    async fn of(hub: &Hub, name: &str) -> Schema {
        let answer = hub.get(&format!("/schemas/{name}.json")).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/schema+json");
        Schema(answer.json())
    }

    /// What is wrong with a value; nothing when all is well.
    fn faults(&self, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(&self.0, value, "", &mut faults);
        faults
    }

    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults.is_empty()
    }

    fn target(&self, reference: &str) -> &Value {
        let pointer = reference.strip_prefix('#').expect("a reference within the schema");
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = match schema {
            Value::Bool(true) => return,
            Value::Bool(false) => return faults.push(format!("{at}: nothing may be here")),
            Value::Object(schema) => schema,
            other => panic!("{other} is no schema"),
        };
        for (keyword, content) in schema {
            let fits = match keyword.as_str() {
                "$schema" | "$id" | "$defs" | "title" | "description" | "default" | "examples" => true,
                "$ref" => {
                    self.check(self.target(content.as_str().unwrap()), value, at, faults);
                    true
                }
                "type" => types(content).iter().any(|kind| is_of(value, kind)),
                "const" => value == content,
                "enum" => content.as_array().unwrap().contains(value),
                "oneOf" => content.as_array().unwrap().iter().filter(|one| self.accepts(one, value)).count() == 1,
                "anyOf" => content.as_array().unwrap().iter().any(|one| self.accepts(one, value)),
                "allOf" => content.as_array().unwrap().iter().all(|one| self.accepts(one, value)),
                "required" => {
                    content.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                "minimum" => value.as_f64().is_none_or(|number| number >= content.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= content.as_f64().unwrap()),
                "format" => fits_format(content.as_str().unwrap(), value),
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(content, item, &format!("{at}/{index}"), faults);
                    }
                    true
                }
                "properties" | "additionalProperties" => {
                    self.check_fields(keyword, schema, value, at, faults);
                    true
                }
                unknown => panic!("the validator does not know {unknown}"),
            };
            if !fits {
                faults.push(format!("{at}: {value} does not fit {keyword}: {content}"));
            }
        }
    }

    fn check_fields(
        &self,
        keyword: &str,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        let named = schema.get("properties").and_then(Value::as_object);
        for (name, field) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            match (keyword, named.and_then(|named| named.get(name))) {
                ("properties", Some(of_field)) => self.check(of_field, field, &at, faults),
                ("additionalProperties", None) => self.check(&schema["additionalProperties"], field, &at, faults),
                _ => {}
            }
        }
    }

    /// Looks at every schema within this one: each keyword is known and of its
    /// kind, each reference leads somewhere.
    fn is_a_schema(&self, schema: &Value) {
        const KINDS: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];
        let Some(schema) = schema.as_object() else { return assert!(schema.is_boolean(), "{schema}") };
        for (keyword, content) in schema {
            match keyword.as_str() {
                "$schema" => assert_eq!(content, "https://json-schema.org/draft/2020-12/schema"),
                "$id" | "title" | "description" | "format" => assert!(content.is_string(), "{keyword}: {content}"),
                "$ref" => _ = self.target(content.as_str().unwrap()),
                "type" => assert!(types(content).iter().all(|kind| KINDS.contains(kind)), "{content}"),
                "required" => assert!(content.as_array().unwrap().iter().all(Value::is_string), "{content}"),
                "enum" => assert!(!content.as_array().unwrap().is_empty()),
                "minimum" | "maximum" => assert!(content.is_number()),
                "oneOf" | "anyOf" | "allOf" => content.as_array().unwrap().iter().for_each(|one| self.is_a_schema(one)),
                "properties" | "$defs" => content.as_object().unwrap().values().for_each(|one| self.is_a_schema(one)),
                "items" | "additionalProperties" => self.is_a_schema(content),
                "const" | "default" | "examples" => {}
                unknown => panic!("{unknown} is no keyword that is known here"),
            }
        }
    }
}

fn types(content: &Value) -> Vec<&str> {
    match content {
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        kind => vec![kind.as_str().unwrap()],
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("there is no type {other}"),
    }
}

fn fits_format(format: &str, value: &Value) -> bool {
    let Some(text) = value.as_str() else { return true };
    format != "date-time" || udfs::time::from_rfc3339(text).is_some()
}

/// What the hub writes today.
const WRITTEN: &[Topic] =
    &[Topic::WebhooksRaw, Topic::Events, Topic::Commands, Topic::PipelineState, Topic::Alerts, Topic::DeadLetters];

/// A hub that was sent every sample, from a known and an unknown sender, and
/// something that cannot be read.
async fn busy_hub() -> Hub {
    let hub = Hub::start_with(|config| {
        for provider in ["clickup", "slack", "github"] {
            config.webhooks.secrets.insert(provider.to_owned(), SECRET.to_owned());
        }
        let removed = config.connections.iter().position(|connection| connection.id == "umbra-slack").unwrap();
        config.connections.remove(removed);
    })
    .await;
    for sample in samples::all() {
        hub.webhook(sample.provider, sample.event).await.id();
    }
    // Nobody's any more.
    hub.post(hub.sample("umbra", "slack", "message")).await.id();
    for value in [&b"\xff"[..], b"{}"] {
        let record = NewRecord {
            topic: Topic::WebhooksRaw,
            partition: partition_of("acme", hub.log().partitions()),
            at_ms: 0,
            key: "acme".into(),
            value: Some(value.to_vec().into()),
            headers: Headers::default(),
        };
        hub.log().append(vec![record]).await.unwrap();
    }
    hub.all_events().await;
    hub.records(Topic::DeadLetters, 2).await;
    hub.records(Topic::Commands, 1).await;
    hub
}

fn text(record: &Record, header: &str) -> Option<String> {
    record.headers.get(header).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[tokio::test]
async fn every_schema_is_served_and_is_one() {
    let hub = Hub::start().await;
    let listed = hub.get("/schemas").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), SCHEMAS.len());
    for (entry, (name, _)) in listed["data"].as_array().unwrap().iter().zip(SCHEMAS) {
        assert_eq!(*entry, json!({ "name": name, "url": format!("/schemas/{name}.json") }));
        let schema = Schema::of(&hub, name).await;
        assert_eq!(schema.0["$id"], format!("/schemas/{name}.json"));
        assert!(schema.0["$schema"].is_string() && schema.0["title"].is_string());
        schema.is_a_schema(&schema.0);
        assert!(!schema.faults(&json!([])).is_empty(), "{name} allows something");
    }
    for nothing in ["/schemas/nexus.event.v1", "/schemas/nexus.event.v9.json", "/schemas/..%2f..%2fetc.json"] {
        assert_eq!(hub.get(nothing).await.status, StatusCode::NOT_FOUND, "{nothing}");
    }
}

#[tokio::test]
async fn what_the_hub_writes_is_what_its_schemas_say() {
    let hub = busy_hub().await;
    for topic in WRITTEN {
        let schema = Schema::of(&hub, topic.spec().schema).await;
        let records = hub.records(*topic, 1).await;
        let mut checked = 0;
        for record in &records {
            let Some(value) = record.value.as_deref() else {
                assert!(topic.is_compacted(), "a tombstone on {}", topic.name());
                continue;
            };
            if let Some(named) = text(record, "schema") {
                assert_eq!(named, topic.spec().schema, "{}", topic.name());
            } else {
                // State is the pipeline's own; the two bad ones are a producer's.
                assert!(matches!(topic, Topic::PipelineState | Topic::WebhooksRaw), "{}", topic.name());
            }
            if value == b"\xff" || value == b"{}" {
                continue;
            }
            let value: Value = serde_json::from_slice(value).unwrap();
            let faults = schema.faults(&value);
            assert!(faults.is_empty(), "{}: {faults:#?} in {value:#}", topic.name());
            checked += 1;
            if *topic != Topic::PipelineState && record.key != CLOCK {
                let tenant = value["tenantId"].as_str().unwrap();
                assert_eq!(record.key, tenant, "{}", topic.name());
                assert_eq!(record.position.partition, partition_of(tenant, hub.log().partitions()));
            }
        }
        assert!(checked > 0, "{}", topic.name());
        println!("{}: {checked} of {} records fit", topic.name(), records.len());
    }
}

#[tokio::test]
async fn a_value_that_was_tampered_with_does_not_fit() {
    let hub = busy_hub().await;
    let schema = Schema::of(&hub, "nexus.event.v1").await;
    let events = hub.events(samples::all().count() / 2).await;
    let event = events.iter().find(|event| event["type"] == "MessagePosted").unwrap();
    assert!(schema.faults(event).is_empty());
    for field in ["id", "type", "tenantId", "occurredAt", "receivedAt", "traceId", "source", "raw"] {
        let mut without = event.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(!schema.faults(&without).is_empty(), "without {field}");
    }
    for (place, content) in [
        ("/id", json!(7)),
        ("/type", json!("SomethingElse")),
        ("/source", json!("slack")),
        ("/source/provider", Value::Null),
        ("/actor/kind", json!("ghost")),
        ("/mentions", json!("all")),
        ("/raw/offset", json!(-1)),
        ("/raw/offset", json!("17")),
        ("/receivedAt", json!("yesterday")),
    ] {
        let mut mutated = event.clone();
        match mutated.pointer_mut(place) {
            Some(old) => *old = content.clone(),
            None => mutated[&place[1..]] = content.clone(),
        }
        assert!(!schema.faults(&mutated).is_empty(), "{place} = {content}");
    }
}

#[tokio::test]
async fn ids_and_traces_have_their_form() {
    let hub = busy_hub().await;
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut seen = BTreeSet::new();
    for record in hub.records(Topic::Events, samples::all().count() / 2).await {
        let event: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let id = event["id"].as_str().unwrap();
        assert!(id.strip_prefix("evt_").is_some_and(|hex| is_hex(hex, 32)), "{id}");
        assert!(seen.insert(id.to_owned()), "{id} stands twice");
        assert_eq!(text(&record, "event_id").as_deref(), Some(id));
        assert_eq!(text(&record, "type").as_deref(), event["type"].as_str());
        let trace = event["traceId"].as_str().unwrap();
        let header = text(&record, "traceparent").unwrap();
        let parts: Vec<_> = header.split('-').collect();
        assert!(matches!(parts[..], ["00", of, span, "01"] if of == trace && is_hex(span, 16)), "{header}");
        assert!(
            is_hex(trace, 32) && !parts[1].trim_matches('0').is_empty() && !parts[2].trim_matches('0').is_empty(),
            "{header}"
        );
    }
    for letter in hub.values(Topic::DeadLetters, 2).await {
        assert!(letter["id"].as_str().unwrap().strip_prefix("dl_").is_some_and(|hex| is_hex(hex, 32)), "{letter}");
    }
}
