//! How many events one core takes through the whole chain: from the bytes of a
//! `webhooks.raw` value to the bytes of the records that are written.
//!
//! `cargo bench -p nexus-benches --bench operators [-- FILTER]`. Every request
//! is different, so each is published and remembered. `bare` is a tenant without
//! a directory (whatever names a place is kept as unrouted), `mapped` one whose
//! project tells each event to all of its ten agents. The time is the thread's
//! own on a processor (the wall's where the system does not tell), and the
//! fastest of several rounds counts: a shared machine only makes a round slower.

use std::{hint::black_box, time::Instant};

use pipeline::{
    flow::{Flow, Settings},
    inputs::normalize,
    ports::{Headers, NewRecord, Position, Record},
    topics::{Topic, partition_of},
    turn::Turn,
};
use serde_json::{Value, json};

const ROUNDS: usize = 7;
const REQUESTS: usize = 20_000;
/// As many as a worker commits at once.
const BATCH: usize = 512;
const PARTITIONS: u32 = 1;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!(
        "{:<24}{:>8}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}",
        "request", "bytes", "bare /s", "mapped /s", "ns bare", "ns mapped", "read", "normalize"
    );
    for (name, request) in requests() {
        if name.contains(&filter) {
            measure(name, request);
        }
    }
}

type Make = fn(usize) -> Value;

fn requests() -> [(&'static str, Make); 6] {
    [
        ("slack message, small", |n| slack(n, 0)),
        ("slack message, 3 KB", |n| slack(n, 2_100)),
        ("clickup status, small", |n| clickup_status(n)),
        ("clickup status, 3 KB", |n| clickup_task(n)),
        ("clickup comment", |n| clickup_comment(n)),
        ("cloudevent", |n| cloudevent(n)),
    ]
}

fn measure(name: &str, make: Make) {
    let records: Vec<Record> = (0..REQUESTS).map(|number| record(number, &make(number))).collect();
    let bytes: usize = records.iter().filter_map(|record| record.value.as_ref()).map(|value| value.len()).sum();
    let fastest = |round: fn(&[Record])| (0..ROUNDS).map(|_| timed(|| round(&records))).min().unwrap_or_default();
    let per_event = |ns: u128| ns as f64 / REQUESTS as f64;
    let (read, normalized, bare, mapped) = (fastest(read), fastest(normalized), fastest(bare), fastest(mapped));
    println!(
        "{name:<24}{:>8}{:>12.0}{:>12.0}{:>10.0}{:>10.0}{:>10.0}{:>10.0}",
        bytes / REQUESTS,
        1e9 / per_event(bare),
        1e9 / per_event(mapped),
        per_event(bare),
        per_event(mapped),
        per_event(read),
        per_event(normalized.saturating_sub(read)),
    );
}

fn timed(round: impl FnOnce()) -> u128 {
    let (start, start_cpu_ns) = (Instant::now(), cpu_ns());
    round();
    let wall_ns = start.elapsed().as_nanos();
    cpu_ns().zip(start_cpu_ns).map_or(wall_ns, |(now, then)| u128::from(now - then))
}

/// The whole chain, as a worker runs it, for a tenant without a directory.
fn bare(records: &[Record]) {
    whole(records, &[]);
}

/// The same where every event is told to ten agents.
fn mapped(records: &[Record]) {
    whole(records, &directory());
}

fn whole(records: &[Record], before: &[Record]) {
    let mut flow = Flow::new(1, PARTITIONS, &Settings::default());
    let mut outputs: Vec<NewRecord> = Vec::with_capacity(BATCH * 2);
    for record in before {
        flow.on(record, &mut outputs).expect("no defect");
    }
    for batch in records.chunks(BATCH) {
        for record in batch {
            flow.on(record, &mut outputs).expect("no defect");
        }
        if let Some(last) = batch.last() {
            flow.flush(last, &mut outputs);
        }
        black_box(&outputs);
        outputs.clear();
    }
    assert_eq!(flow.counts().published, records.len() as u64, "every request is an event of its own");
}

/// Ten agents in one workgroup, a project that tells them all, and the thread
/// that the Slack messages stand in.
fn directory() -> Vec<Record> {
    let agents: Vec<String> = (0..10).map(|number| format!("agt_orchard_{number}")).collect();
    let mut rows: Vec<(String, Value)> = agents
        .iter()
        .map(|id| (format!("agent/{id}"), json!({ "name": id, "clientId": "cli", "externalIds": [], "enabled": true })))
        .collect();
    rows.push(("workgroup/wg".to_owned(), json!({ "name": "Orchard", "agentIds": agents })));
    rows.push(("alias/als".to_owned(), json!({ "alias": "@AI_Squad", "agentIds": agents })));
    let project = json!({
        "name": "Shop", "workgroupId": "wg", "clickupListId": "901200345678", "slackChannelId": "C0SHOPDEV1",
        "notify": "all",
    });
    rows.push(("project/prj".to_owned(), project));
    let mut records: Vec<Record> = rows
        .into_iter()
        .map(|(name, data)| {
            let mut parts = name.split('/');
            let (kind, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let row =
                json!({ "kind": kind, "tenantId": "orchard", "id": id, "data": data, "at": "2026-11-21T08:00:00Z" });
            input(Topic::Control, &format!("orchard/{name}"), &row)
        })
        .collect();
    let track = json!({
        "kind": "trackTask", "correlationId": "bench", "tenantId": "orchard", "projectId": "prj",
        "provider": "clickup", "externalId": "tracked", "threadTs": "1795240000.000100", "at": "2026-11-21T08:00:00Z",
    });
    records.push(input(Topic::Commands, "orchard", &track));
    records
}

fn input(topic: Topic, key: &str, value: &Value) -> Record {
    Record {
        position: Position { topic, partition: 0, offset: 0 },
        at_ms: 1_795_248_000_000,
        key: key.to_owned().into(),
        value: serde_json::to_vec(value).ok().map(Into::into),
        headers: Headers::default(),
    }
}

/// Only the record's own JSON.
fn read(records: &[Record]) {
    for record in records {
        let webhook = normalize::read(record).map_err(|rejected| rejected.reason);
        black_box(webhook.expect("the requests above can be read"));
    }
}

/// That, and the provider's.
fn normalized(records: &[Record]) {
    let mut outputs = Vec::new();
    for record in records {
        let webhook = normalize::read(record).map_err(|rejected| rejected.reason);
        let webhook = webhook.expect("the requests above can be read");
        let source = record.position;
        let turn = Turn { now_ms: 0, source, identity: 1, partitions: PARTITIONS, outputs: &mut outputs };
        black_box(normalize::on(&webhook, &turn).map_err(|rejected| rejected.reason).is_ok());
    }
}

/// How long this thread has run, as Linux counts it.
fn cpu_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn record(number: usize, webhook: &Value) -> Record {
    let tenant = "orchard";
    let partition = partition_of(tenant, PARTITIONS);
    Record {
        position: Position { topic: Topic::WebhooksRaw, partition, offset: number as u64 },
        at_ms: 1_795_248_000_000,
        key: tenant.into(),
        value: serde_json::to_vec(webhook).ok().map(Into::into),
        headers: Headers::default(),
    }
}

fn webhook(provider: &str, body: &Value) -> Value {
    json!({
        "tenantId": "orchard", "provider": provider, "connectionId": "con_orchard_1",
        "receivedAt": "2026-11-21T08:00:00.000Z", "contentType": "application/json",
        "headers": { "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
        "body": body.to_string(),
    })
}

fn slack(number: usize, more_bytes: usize) -> Value {
    let ts = format!("1795247{:03}.{:06}", number / 1_000_000, number % 1_000_000);
    let text = "Could <@U0NEXUSBOT> and *@AI_Squad* look at <https://shop.example/cart|the cart>? Totals are off.";
    let mut body = json!({
        "token": "not-used", "team_id": "T0ORCHARD1", "api_app_id": "A0ORCHARD1", "type": "event_callback",
        "event": {
            "client_msg_id": "7d9b6a1e-53c4-4c0a-8a8e-3f2d1c0b9a87", "type": "message", "text": text,
            "user": "U0ADANOVAK", "ts": ts, "thread_ts": "1795240000.000100", "team": "T0ORCHARD1",
            "channel": "C0SHOPDEV1", "event_ts": ts, "channel_type": "channel",
        },
        "event_id": format!("Ev{number:09}"), "event_time": 1_795_247_910, "event_context": "4-orchard",
    });
    if more_bytes > 0 {
        let section = json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x".repeat(more_bytes / 8) } });
        body["event"]["blocks"] = json!(vec![section; 8]);
    }
    webhook("slack", &body)
}

fn history(number: usize, field: &str, before: Value, after: Value) -> Value {
    json!({
        "id": format!("48100200300{number:08}"), "type": 1, "date": "1795247900123", "field": field,
        "parent_id": "901200345678", "data": { "status_type": "custom" }, "source": null,
        "user": {
            "id": 40118823, "username": "Ada Novak", "email": "ada@orchard.example", "color": "#4466ff",
            "initials": "AN", "profilePicture": null,
        },
        "before": before, "after": after,
    })
}

fn clickup_status(number: usize) -> Value {
    let status = |name: &str| json!({ "status": name, "color": "#87909e", "orderindex": 0, "type": "open" });
    let item = history(number, "status", status("to do"), status("in progress"));
    webhook(
        "clickup",
        &json!({
            "event": "taskStatusUpdated", "history_items": [item], "task_id": "86c3kq9zt",
            "webhook_id": "5d0c8a61-3f0e-4b7e-9d27-6b1f0a2c9e44",
        }),
    )
}

fn clickup_task(number: usize) -> Value {
    let mut request = clickup_status(number);
    let mut body: Value = request["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
    let field =
        json!({ "id": "862a38bb", "name": "Kind", "type": "drop_down", "type_config": { "options": ["a", "b"] } });
    body["task"] = json!({
        "id": "86c3kq9zt", "name": "Checkout fails for gift cards", "text_content": "Totals turn negative. ".repeat(40),
        "status": { "status": "in progress", "color": "#87909e" }, "assignees": [{ "id": 40118824 }], "priority": null,
        "custom_fields": vec![field; 10], "list": { "id": "901200345678", "name": "Shop" },
        "url": "https://app.clickup.com/t/86c3kq9zt",
    });
    request["body"] = json!(body.to_string());
    request
}

fn clickup_comment(number: usize) -> Value {
    let mut item = history(number, "comment", Value::Null, json!("90120077001122"));
    item["comment"] = json!({
        "id": "90120077001122", "date": "1795247901234", "parent": "86c3kq9zt", "type": 1,
        "comment": [{ "text": "@AI_Squad please look at the gift card path", "attributes": {} }],
        "text_content": "@AI_Squad please look at the gift card path\n", "reactions": [], "emails": [],
    });
    webhook(
        "clickup",
        &json!({
            "event": "taskCommentPosted", "history_items": [item], "task_id": "86c3kq9zt",
            "webhook_id": "5d0c8a61-3f0e-4b7e-9d27-6b1f0a2c9e44",
        }),
    )
}

fn cloudevent(number: usize) -> Value {
    let mut request = webhook(
        "orchard",
        &json!({
            "specversion": "1.0", "type": "example.orchard.harvested", "source": "https://orchard.example/rows/7",
            "id": format!("harvest-{number}"), "time": "2026-11-21T07:59:10Z", "data": { "kilos": 812 },
        }),
    );
    request["contentType"] = json!("application/cloudevents+json");
    request
}
