//! Records that a producer of its own wrote badly, straight into the log: they
//! are put away whole, somebody is told, and the next record has its turn.

use pipeline::{
    ports::{Clock, Headers, NewRecord},
    topics::{Topic, partition_of},
};
use reqwest::{Method, StatusCode};
use runtime::clock::SystemClock;
use serde_json::{Value, json};
use udfs::{
    hash::{base64, from_base64},
    time::to_rfc3339,
};

use super::{Hub, JSON, open_doors, signed, slack_message};

async fn append(hub: &Hub, topic: Topic, partition: u32, key: &[u8], value: Option<&[u8]>) {
    let record = NewRecord {
        topic,
        partition,
        at_ms: SystemClock.now_ms(),
        key: key.to_vec().into(),
        value: value.map(|value| value.to_vec().into()),
        headers: Headers::default(),
    };
    hub.log().append(vec![record]).await.unwrap();
}

fn home(hub: &Hub, tenant: &str) -> u32 {
    partition_of(tenant, hub.log().partitions())
}

fn webhook(tenant: &str, provider: &str, body: &str) -> Value {
    let now = to_rfc3339(SystemClock.now_ms() as i64);
    json!({ "tenantId": tenant, "provider": provider, "receivedAt": now, "body": body })
}

async fn replay(hub: &Hub, letter: &Value) -> Value {
    let path = format!("/api/deadletters/{}/replay", letter["id"].as_str().unwrap());
    let answer = hub.admin(Method::POST, &path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()["data"].clone()
}

#[tokio::test]
async fn what_cannot_be_read_is_put_away_whole_and_stops_nothing() {
    let hub = Hub::start_with(open_doors).await;
    let good = webhook("acme", "slack", "{}");
    let without = |field: &str| {
        let mut value = good.clone();
        value.as_object_mut().unwrap().remove(field);
        value.to_string().into_bytes()
    };
    let with = |field: &str, content: Value| {
        let mut value = good.clone();
        value[field] = content;
        value.to_string().into_bytes()
    };
    let bad: Vec<(Option<Vec<u8>>, &str)> = vec![
        (Some(b"not json".to_vec()), "no webhook record"),
        (Some(b"".to_vec()), "no webhook record"),
        (Some(b"[1,2]".to_vec()), "no webhook record"),
        (Some(b"{\"tenantId\":\"acme\"".to_vec()), "no webhook record"),
        (Some(b"{\"tenantId\":\"acme\xff\"}".to_vec()), "no webhook record"),
        (Some(vec![0, 159, 146, 150]), "no webhook record"),
        (Some("[".repeat(200_000).into_bytes()), "no webhook record"),
        (None, "no webhook record"),
        (Some(without("tenantId")), "tenantId"),
        (Some(without("provider")), "provider"),
        (Some(without("receivedAt")), "receivedAt"),
        (Some(without("body")), "neither body"),
        (Some(with("tenantId", json!(7))), "no webhook record"),
        (Some(with("receivedAt", json!("yesterday"))), "no webhook record"),
        (Some(with("headers", json!([]))), "no webhook record"),
        (Some(with("body", json!("no JSON"))), "slack body"),
        (Some(with("body", json!("[{}]"))), "slack body"),
        (Some(with("body", Value::Null)), "neither body"),
    ];
    let mut encoded = good.clone();
    encoded.as_object_mut().unwrap().remove("body");
    encoded["bodyBase64"] = json!("***");
    let mut not_text = encoded.clone();
    not_text["bodyBase64"] = json!(base64(b"{\"a\":\"\xff\"}"));
    let bad: Vec<_> = bad
        .into_iter()
        .chain([(Some(encoded.to_string().into_bytes()), "base64"), (Some(not_text.to_string().into_bytes()), "UTF-8")])
        .collect();
    for (value, _) in &bad {
        append(&hub, Topic::WebhooksRaw, home(&hub, "acme"), b"acme", value.as_deref()).await;
    }
    append(&hub, Topic::Commands, home(&hub, "acme"), b"acme", Some(b"{\"kind\":\"explode\"}")).await;
    let all = bad.len() + 1;

    let letters = hub.values(Topic::DeadLetters, all).await;
    assert!(hub.all_events().await.is_empty(), "and what came behind them had its turn");
    assert_eq!(hub.values(Topic::DeadLetters, all).await.len(), all);
    let webhooks: Vec<_> = letters.iter().filter(|letter| letter["stage"] == "normalize").collect();
    assert_eq!(letters.iter().filter(|letter| letter["stage"] == "commands").count(), 1);
    for (letter, (value, reason)) in webhooks.iter().zip(&bad) {
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter} for {reason}");
        assert_eq!(letter["tenantId"], "acme");
        let original = &letter["original"];
        assert_eq!((&original["topic"], &original["key"]), (&json!("webhooks.raw"), &json!("acme")));
        let kept = match (&original["value"], &original["valueBase64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(encoded)) => from_base64(encoded).unwrap(),
            _ => panic!("{original}"),
        };
        assert_eq!(kept, value.clone().unwrap_or_default(), "byte for byte");
    }
    let alerts = hub.values(Topic::Alerts, all).await;
    assert_eq!(alerts.len(), all, "one for each");
    for letter in &letters {
        let told = alerts.iter().filter(|alert| alert["kind"] == "dead_letter" && alert["subject"] == letter["id"]);
        assert_eq!(told.count(), 1);
    }
    let listed = hub.admin(Method::GET, "/api/deadletters?stage=commands").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    hub.is_unharmed().await;
}

#[tokio::test]
async fn a_record_in_another_tenants_partition_is_sent_home() {
    let hub = Hub::start_with(open_doors).await;
    let strange = (home(&hub, "acme") + 1) % hub.log().partitions();
    let value = webhook("acme", "slack", &slack_message("\"astray\"")).to_string().into_bytes();
    append(&hub, Topic::WebhooksRaw, strange, b"somebody else", Some(&value)).await;
    let event = &hub.events(1).await[0];
    assert_eq!((&event["tenantId"], &event["message"]["text"]), (&json!("acme"), &json!("astray")));
    let raws = hub.records(Topic::WebhooksRaw, 2).await;
    let moved = raws.iter().find(|record| record.position.partition == home(&hub, "acme")).unwrap();
    assert_eq!((&moved.key[..], moved.value.as_deref()), (&b"acme"[..], Some(&value[..])));
    // With a key that is not the tenant's, in the tenant's own partition.
    let value = webhook("acme", "slack", &slack_message("\"misnamed\"")).to_string().into_bytes();
    append(&hub, Topic::WebhooksRaw, home(&hub, "acme"), b"umbra", Some(&value)).await;
    assert!(hub.events(2).await.iter().all(|event| event["tenantId"] == "acme"), "what the record says counts");
    assert!(hub.records(Topic::DeadLetters, 0).await.is_empty());
    // And what is bad goes nowhere else.
    append(&hub, Topic::WebhooksRaw, strange, &[0xff, 0xfe], Some(b"?")).await;
    append(&hub, Topic::WebhooksRaw, strange, b"", Some(b"?")).await;
    append(&hub, Topic::WebhooksRaw, strange, b"a/b/c", Some(b"?")).await;
    let letters = hub.values(Topic::DeadLetters, 3).await;
    assert_eq!(letters.iter().filter(|letter| letter["tenantId"] == "_unrouted").count(), 2);
    hub.is_unharmed().await;
}

#[tokio::test]
async fn a_replay_has_a_nonce_and_is_no_repeat() {
    let hub = Hub::start_with(open_doors).await;
    // One that stays bad is a letter once more.
    let bad = webhook("acme", "slack", "no JSON").to_string();
    append(&hub, Topic::WebhooksRaw, home(&hub, "acme"), b"acme", Some(bad.as_bytes())).await;
    let letter = hub.values(Topic::DeadLetters, 1).await.remove(0);
    let path = format!("/api/deadletters/{}/replay", letter["id"].as_str().unwrap());
    let stranger = providers::samples::Request { path, headers: vec![], body: vec![] };
    assert_eq!(hub.post(stranger).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(hub.admin(Method::POST, "/api/deadletters/dl_0/replay").await.status, StatusCode::NOT_FOUND);
    let replayed = replay(&hub, &letter).await;
    let letters = hub.values(Topic::DeadLetters, 2).await;
    let second: Value = serde_json::from_str(letters[1]["original"]["value"].as_str().unwrap()).unwrap();
    assert_eq!((&second["nonce"], &second["body"]), (&replayed["nonce"], &json!("no JSON")));
    assert_ne!(letters[0]["id"], letters[1]["id"]);

    // One that was seen, and can be read by now, is an event once more.
    let id = hub.post(signed("slack", JSON, slack_message("\"again\""))).await.id();
    let raw = hub
        .records(Topic::WebhooksRaw, 3)
        .await
        .into_iter()
        .find(|record| record.headers.get("type") == Some(b"slack"))
        .unwrap();
    let value = raw.value.as_deref().unwrap();
    append(&hub, Topic::WebhooksRaw, raw.position.partition, b"acme", Some(value)).await;
    assert_eq!(hub.all_events().await.len(), 1, "without a nonce it is a repeat");
    let original = json!({
        "topic": "webhooks.raw", "partition": raw.position.partition, "offset": raw.position.offset, "key": "acme",
        "value": std::str::from_utf8(value).unwrap(),
    });
    let letter = json!({
        "id": "dl_00000000000000000000000000000001", "tenantId": "acme", "stage": "normalize", "reason": "was a defect",
        "attempts": 1, "at": to_rfc3339(0), "original": original,
    });
    append(&hub, Topic::DeadLetters, home(&hub, "acme"), b"acme", Some(letter.to_string().as_bytes())).await;
    replay(&hub, &letter).await;
    replay(&hub, &letter).await;
    let told: Vec<_> = hub.all_events().await.into_iter().filter(|event| event["message"]["text"] == "again").collect();
    assert_eq!(told.len(), 3, "the first, and two replays of it");
    assert!(told.iter().any(|event| event["id"] == id));
    hub.is_unharmed().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept_and_replayed_exactly() {
    let hub = Hub::start_with(open_doors).await;
    let bytes: Vec<u8> = (0..=255).rev().collect();
    append(&hub, Topic::WebhooksRaw, home(&hub, "acme"), b"acme", Some(&bytes)).await;
    let letter = hub.values(Topic::DeadLetters, 1).await.remove(0);
    assert_eq!(letter["original"]["valueBase64"], base64(&bytes));
    replay(&hub, &letter).await;
    assert_eq!(hub.values(Topic::DeadLetters, 2).await[1]["original"]["valueBase64"], base64(&bytes));
    let raws = hub.records(Topic::WebhooksRaw, 2).await;
    assert!(raws.iter().all(|record| record.value.as_deref() == Some(&bytes)));
}

/// What would outgrow the log's limit must not be tried for ever: a letter
/// about a large record names its place, and a replay finds it there.
#[tokio::test]
async fn records_near_the_limit_do_not_stop_the_worker() {
    let hub = Hub::start_with(open_doors).await;
    let quotes = vec![b'"'; 31 << 20];
    append(&hub, Topic::WebhooksRaw, home(&hub, "acme"), b"acme", Some(&quotes)).await;
    let letter = hub.values(Topic::DeadLetters, 1).await.remove(0);
    assert_eq!(letter["original"]["value"], Value::Null, "too large to be kept twice");
    replay(&hub, &letter).await;
    let raws = hub.records(Topic::WebhooksRaw, 2).await;
    assert!(raws.iter().all(|record| record.value.as_deref() == Some(&quotes)));
    hub.values(Topic::DeadLetters, 2).await;

    // An event that is larger than its webhook.
    let text = "<b>\\n".repeat(3 << 20);
    let body = format!(
        "{{\"action\":\"opened\",\"issue\":{{\"number\":1,\"id\":1,\"title\":\"t\",\"body\":\"{text}\"}},\"repository\":{{\"full_name\":\"acme/rocket\"}}}}"
    );
    hub.post(signed("github", JSON, body)).await.id();
    hub.all_events().await;
    let told = hub.records(Topic::Events, 1).await.len() - 1 + hub.records(Topic::DeadLetters, 2).await.len() - 2;
    assert_eq!(told, 1, "an event, or a letter that says why not");
    hub.is_unharmed().await;
}
