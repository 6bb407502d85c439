//! What every sample of `tests/fixtures` becomes, in one snapshot a provider,
//! and what must hold for any request that looks a little like one.

mod support;

use std::collections::BTreeMap;

use pipeline::topics::Topic;
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use support::{events, run, samples, written};

#[test]
fn every_sample_becomes_what_it_was() {
    let mut providers: BTreeMap<String, BTreeMap<String, Vec<Value>>> = BTreeMap::new();
    for (name, request) in samples() {
        let (provider, file) = name.split_once('/').expect("a folder and a file");
        let events = events(&[request]);
        providers.entry(provider.to_owned()).or_default().insert(file.to_owned(), events);
    }
    for (provider, events) in providers {
        insta::assert_json_snapshot!(provider, events);
    }
}

/// A path to a value within a document, as a sequence of choices.
fn mutate(value: &mut Value, choices: &[u16], with: &Value) {
    let Some((choice, rest)) = choices.split_first() else {
        *value = with.clone();
        return;
    };
    let pick = |length: usize| usize::from(*choice) % length;
    match value {
        Value::Object(members) if !members.is_empty() => {
            let name = members.keys().nth(pick(members.len())).expect("within the length").clone();
            if *choice % 7 == 0 {
                members.remove(&name);
            } else {
                mutate(&mut members[&name], rest, with);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = pick(items.len());
            mutate(&mut items[at], rest, with);
        }
        _ => *value = with.clone(),
    }
}

fn oddities() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(18_446_744_073_709_551_615_u64),
        json!(1e300),
        json!(0.1),
        json!(""),
        json!("\u{0}"),
        json!("text"),
        json!("9".repeat(4000)),
        json!("1795247910.000200"),
        json!("é".repeat(300)),
        json!([]),
        json!([[[]]]),
        json!([null, 1, "x", {}]),
        json!({}),
        json!({ "id": { "id": [] } }),
        json!("{\"ops\":[{}]}"),
        json!("../../etc"),
    ])
}

fn bodies() -> impl Strategy<Value = Value> {
    select(samples().into_iter().map(|(_, request)| request).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_mutated_request_is_answered(
        request in bodies(),
        mutations in prop::collection::vec((prop::collection::vec(any::<u16>(), 1..6), oddities()), 1..4),
    ) {
        let mut request = request;
        let text = request["body"].as_str().expect("a body").to_owned();
        if let Ok(mut body) = serde_json::from_str::<Value>(&text) {
            for (path, with) in &mutations {
                mutate(&mut body, path, with);
            }
            request["body"] = json!(body.to_string());
        }
        let (outputs, counts) = run(std::slice::from_ref(&request));
        for letter in written(&outputs, Topic::DeadLetters) {
            let reason = letter["reason"].as_str().expect("a reason");
            prop_assert!(!reason.starts_with("defect"), "{}", reason);
        }
        prop_assert!(counts.dead + counts.twins + counts.published > 0);
        let again = run(std::slice::from_ref(&request)).0;
        prop_assert_eq!(format!("{outputs:?}"), format!("{again:?}"));
    }

    #[test]
    fn any_text_is_answered(provider in select(vec!["slack", "clickup", "github", "jira", "x"]), body in "[{}\\[\\]\":,a-z0-9\\\\ ]{0,60}") {
        let (outputs, _) = run(&[support::webhook(provider, &[], &body)]);
        for letter in written(&outputs, Topic::DeadLetters) {
            prop_assert!(!letter["reason"].as_str().expect("a reason").starts_with("defect"));
        }
    }

    /// Whatever was repeated and wherever, every event is published once.
    #[test]
    fn repeats_change_nothing(order in prop::collection::vec(any::<prop::sample::Index>(), 1..60)) {
        let samples: Vec<_> = samples().into_iter().map(|(_, request)| request).collect();
        let chosen: Vec<_> = order.iter().map(|index| index.get(&samples).clone()).collect();
        let mut firsts: Vec<Value> = Vec::new();
        for request in &chosen {
            if !firsts.contains(request) {
                firsts.push(request.clone());
            }
        }
        prop_assert_eq!(told(&chosen), told(&firsts));
    }
}

/// Events without what depends on the place in the log.
fn told(requests: &[Value]) -> Vec<Value> {
    let mut events = events(requests);
    for event in &mut events {
        let event = event.as_object_mut().expect("an object");
        event.retain(|name, _| !["id", "raw", "traceId"].contains(&name.as_str()));
    }
    events
}
