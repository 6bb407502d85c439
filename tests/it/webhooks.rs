//! Webhooks through the front door: every route and every row of the contract.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use pipeline::{ports::Clock, topics::Topic};
use providers::samples::{self, Request};
use reqwest::StatusCode;
use runtime::clock::SystemClock;
use serde_json::{Value, json};
use udfs::signature::{CLICKUP, NEXUS, PAGERDUTY, SLACK, STANDARD_WEBHOOKS, Scheme, sign};

use super::hub::{Hub, SECRET};

fn now_s() -> u64 {
    SystemClock.now_ms() / 1000
}

/// A request to a path, signed by a scheme.
fn signed(scheme: &Scheme, secret: &str, path: &str, id: &str, at_s: u64, body: &str) -> Request {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(sign(scheme, secret, id, at_s, body.as_bytes()).unwrap());
    Request { path: path.to_owned(), headers, body: body.as_bytes().to_vec() }
}

fn without(mut request: Request, header: &str) -> Request {
    request.headers.retain(|(name, _)| *name != header);
    request
}

#[tokio::test]
async fn every_sample_is_accepted_and_becomes_an_event_of_its_tenant() {
    let hub = Hub::start_with(|config| {
        // Some say nothing that a connection could be found by.
        for provider in ["clickup", "github", "slack"] {
            config.webhooks.secrets.insert(provider.to_owned(), SECRET.to_owned());
        }
    })
    .await;
    let mut sent = Vec::new();
    for sample in samples::all() {
        let answer = hub.webhook(sample.provider, sample.event).await;
        assert_eq!(answer.json()["data"]["duplicate"], false, "{} {}: {}", sample.provider, sample.event, answer.text);
        sent.push((sample, answer.id()));
    }
    let events = hub.all_events().await;
    // Some samples tell of the same thing in other words, and one thing is one
    // event: what every sample alone becomes is held by the snapshots.
    let raws = hub.values(Topic::WebhooksRaw, sent.len()).await;
    let unrouted = events.iter().filter(|event| event["tenantId"] == "_unrouted").count();
    assert!(events.iter().all(|event| event["tenantId"] == "acme" || event["unrouted"] == true));
    assert!(unrouted < 5, "{unrouted} events belong to nobody");
    assert!(events.len() >= 80, "{} events of {} samples", events.len(), sent.len());
    assert_eq!(raws.len(), sent.len() + 1, "and the marker's");
    assert!(hub.values(Topic::DeadLetters, 0).await.is_empty());
}

#[tokio::test]
async fn the_body_is_kept_byte_for_byte() {
    let hub = Hub::start().await;
    let body = "{ \"event\" : \"odd\\u0020\\/ spacing\",\n\t\"n\":1.50e3, \"é\":\"\\ud83e\\udd80\"  }";
    let request = signed(&NEXUS, SECRET, "/api/webhooks/generic/acme-generic", "e1", now_s(), body);
    let id = hub.post(request).await.id();
    let raw = &hub.values(Topic::WebhooksRaw, 1).await[0];
    assert_eq!(raw["body"], body);
    assert_eq!(raw["provider"], "generic");
    assert_eq!(raw["connectionId"], "acme-generic");
    assert_eq!(raw["deliveryId"], "e1");
    assert_eq!(raw["tenantId"], "acme");
    assert!(udfs::time::from_rfc3339(raw["receivedAt"].as_str().unwrap()).is_some());
    let event = &hub.events(1).await[0];
    assert_eq!(event["id"], id, "the answer names the event");
    assert_eq!(event["raw"]["topic"], "webhooks.raw");
}

#[tokio::test]
async fn slack_is_challenged_and_its_teams_pick_the_tenant() {
    let hub = Hub::start().await;
    let challenge = json!({ "type": "url_verification", "challenge": "c-1", "token": "t" }).to_string();
    let answer = hub.post(signed(&SLACK, SECRET, "/webhooks/slack", "", now_s(), &challenge)).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "challenge": "c-1" })));
    let forged = hub.post(signed(&SLACK, "other", "/webhooks/slack", "", now_s(), &challenge)).await;
    assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
    assert!(!forged.text.contains("c-1"));

    hub.webhook("slack", "message").await.id();
    hub.post(hub.sample("umbra", "slack", "message")).await.id();
    let mut tenants: Vec<_> =
        hub.events(2).await.iter().map(|event| event["tenantId"].as_str().unwrap().to_owned()).collect();
    tenants.sort();
    assert_eq!(tenants, ["acme", "umbra"]);
}

#[tokio::test]
async fn one_slack_post_is_one_event_however_often_it_is_told() {
    let hub = Hub::start().await;
    let request = hub.sample("acme", "slack", "message");
    let first = hub.post(request.clone()).await;
    // At once, with the retry's headers.
    let mut again = request.clone();
    again.headers.push(("x-slack-retry-num", "1".to_owned()));
    let again = hub.post(again).await;
    assert_eq!((again.id(), &again.json()["data"]["duplicate"]), (first.id(), &json!(true)));
    // As another event with the same channel and ts, without them: a mention.
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    body["event_id"] = "Ev0ANOTHER1".into();
    body["event"]["type"] = "app_mention".into();
    let told_otherwise = signed(&SLACK, SECRET, "/webhooks/slack", "", now_s(), &body.to_string());
    assert_eq!(hub.post(told_otherwise).await.json()["data"]["duplicate"], false, "the door does not know");
    assert_eq!(hub.all_events().await.len(), 1, "but the pipeline does");
}

#[tokio::test]
async fn events_of_an_unknown_team_are_kept_apart_with_one_alert() {
    let hub = Hub::start_with(|config| {
        config.webhooks.secrets.insert("slack".to_owned(), SECRET.to_owned());
    })
    .await;
    for _ in 0..3 {
        let mut request = hub.sample("acme", "slack", "message");
        let mut body: Value = serde_json::from_slice(&request.body).unwrap();
        body["team_id"] = "T0STRANGER".into();
        request = signed(&SLACK, SECRET, "/webhooks/slack", "", now_s(), &body.to_string());
        hub.post(request).await.id();
    }
    let events = hub.events(3).await;
    assert!(events.iter().all(|event| event["tenantId"] == "_unrouted" && event["unrouted"] == true), "{events:#?}");
    let alerts = hub.values(Topic::Alerts, 1).await;
    assert_eq!(alerts.len(), 1);
    assert_eq!((&alerts[0]["kind"], &alerts[0]["subject"]), (&json!("connection.unknown"), &json!("slack:T0STRANGER")));
}

#[tokio::test]
async fn clickup_is_never_told_401() {
    let hub = Hub::start().await;
    let good = hub.sample("acme", "clickup", "taskCreated");
    let mut unsigned = without(good.clone(), "x-signature");
    assert_eq!(hub.post(unsigned.clone()).await.status, StatusCode::BAD_REQUEST);
    unsigned.headers.push(("x-signature", "0".repeat(64)));
    assert_eq!(hub.post(unsigned.clone()).await.status, StatusCode::BAD_REQUEST);
    unsigned.body = b"{".to_vec();
    assert_eq!(hub.post(unsigned).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(hub.post(good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_shared_clickup_secret_reaches_the_default_tenant_alone() {
    let hub = Hub::start_with(|config| {
        config.webhooks.secrets.insert("clickup".to_owned(), "shared".to_owned());
        config.connections[0].tenant = "umbra".to_owned();
    })
    .await;
    let body = |webhook: &str| json!({ "event": "taskDeleted", "task_id": "t1", "webhook_id": webhook }).to_string();
    let post = |secret: &str, webhook: &str| signed(&CLICKUP, secret, "/webhooks/clickup", "", 0, &body(webhook));
    hub.post(post("shared", "nobody's")).await.id();
    let umbras = "7689a169-a000-4985-8676-6902b96d6627";
    assert_eq!(hub.post(post("shared", umbras)).await.status, StatusCode::BAD_REQUEST, "umbra's own secret counts");
    hub.post(post(SECRET, umbras)).await.id();
    let tenants: Vec<_> = hub.events(2).await.iter().map(|event| event["tenantId"].clone()).collect();
    assert!(tenants.contains(&json!("acme")) && tenants.contains(&json!("umbra")), "{tenants:?}");
}

#[tokio::test]
async fn github_needs_its_headers_and_may_send_forms() {
    let hub = Hub::start().await;
    let good = hub.sample("acme", "github", "issues.opened");
    assert_eq!(hub.post(without(good.clone(), "x-github-delivery")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(hub.post(without(good.clone(), "x-github-event")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(hub.post(without(good.clone(), "x-hub-signature-256")).await.status, StatusCode::UNAUTHORIZED);
    let again = hub.post(good.clone()).await;
    assert_eq!(again.json()["data"]["duplicate"], false, "what was refused is not remembered");
    assert_eq!(hub.post(good.clone()).await.json()["data"]["duplicate"], true, "a redelivery is");

    let encoded: String = good.body.iter().map(|byte| format!("%{byte:02x}")).collect();
    let form = format!("payload={encoded}");
    let mut headers = sign(&udfs::signature::GITHUB, SECRET, "", 0, form.as_bytes()).unwrap();
    headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
    headers.push(("x-github-event", "issues".to_owned()));
    headers.push(("x-github-delivery", "7d1c62a6-0000-4000-8000-000000000001".to_owned()));
    hub.post(Request { path: good.path, headers, body: form.into_bytes() }).await.id();
    hub.webhook("github", "ping").await.id();
    let events = hub.events(3).await;
    assert_eq!(events.iter().filter(|event| event["type"] == "NewWorkItem").count(), 2, "{events:#?}");
}

#[tokio::test]
async fn jira_sends_to_its_connections_address() {
    let hub = Hub::start().await;
    let good = hub.sample("acme", "jira", "issue_created");
    assert_eq!(good.path, "/webhooks/jira/acme-jira");
    let at = |path: &str| Request { path: path.to_owned(), ..good.clone() };
    assert_eq!(hub.post(at("/webhooks/jira/nobody")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.post(at("/webhooks/jira/acme-slack")).await.status, StatusCode::NOT_FOUND, "not a Jira connection");
    assert_eq!(hub.post(at("/webhooks/jira")).await.status, StatusCode::NOT_FOUND);
    let without_identifier = without(good, "x-atlassian-webhook-identifier");
    let first = hub.post(without_identifier.clone()).await;
    assert_eq!(hub.post(without_identifier).await.json()["data"]["duplicate"], true);
    assert_eq!(hub.events(1).await[0]["id"], first.id());
    let raw = &hub.values(Topic::WebhooksRaw, 1).await[0];
    let delivery = raw["deliveryId"].as_str().unwrap();
    assert!(delivery.starts_with("jira:webhook:acme-jira:jira:issue_created:"), "{delivery}");
}

#[tokio::test]
async fn the_headers_that_are_there_choose_the_scheme() {
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hub = Hub::start_with(|config| {
        let generic = config.connections.iter_mut().find(|connection| connection.id == "acme-generic").unwrap();
        // While a secret is being replaced, both count.
        generic.secrets = vec![whsec.to_owned()];
        config.webhooks.secrets.insert("acme-ci".to_owned(), "ci".to_owned());
    })
    .await;
    let path = "/api/webhooks/generic/acme-generic";
    let body = "{\"type\":\"thing.done\"}";
    for (scheme, secret) in [(&NEXUS, SECRET), (&STANDARD_WEBHOOKS, whsec), (&PAGERDUTY, SECRET)] {
        hub.post(signed(scheme, secret, path, "m1", now_s(), &format!("{body} "))).await.id();
        let stale = hub.post(signed(scheme, secret, path, "m2", now_s() - 301, body)).await;
        let expected = if *scheme == PAGERDUTY { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(stale.status, expected, "{}: only PagerDuty signs no time", scheme.name);
    }
    hub.webhook("stripe", "invoice.paid").await.id();
    let in_ms = signed(&NEXUS, SECRET, path, "m3", SystemClock.now_ms(), body);
    hub.post(in_ms).await.id();
    let two_signatures = {
        let mut request = signed(&STANDARD_WEBHOOKS, whsec, path, "m4", now_s(), body);
        let signature = request.headers.iter_mut().find(|(name, _)| *name == "webhook-signature").unwrap();
        signature.1 = format!("v1,{} {}", udfs::hash::base64(&[0; 32]), signature.1);
        request
    };
    hub.post(two_signatures).await.id();

    let no_id = without(signed(&NEXUS, SECRET, path, "m5", now_s(), body), "x-webhook-event-id");
    assert_eq!(hub.post(no_id).await.status, StatusCode::UNAUTHORIZED);
    let no_time = without(signed(&NEXUS, SECRET, path, "m5", now_s(), body), "x-webhook-timestamp");
    assert_eq!(hub.post(no_time).await.status, StatusCode::UNAUTHORIZED);
    let unsigned = without(signed(&NEXUS, SECRET, path, "m5", now_s(), body), "x-webhook-signature");
    assert_eq!(hub.post(unsigned).await.status, StatusCode::UNAUTHORIZED);

    // The environment's name of a provider has underscores.
    for provider in ["acme-ci", "acme_ci", "Acme-CI"] {
        hub.post(signed(&NEXUS, "ci", &format!("/api/webhooks/{provider}"), provider, now_s(), body)).await.id();
    }
    let unknown = hub.post(signed(&NEXUS, "ci", "/api/webhooks/nobody", "m6", now_s(), body)).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let wrong_link = hub.post(signed(&NEXUS, SECRET, "/api/webhooks/generic/acme-slack", "m6", now_s(), body)).await;
    assert_eq!(wrong_link.status, StatusCode::NOT_FOUND);
    let no_secret = hub.post(signed(&NEXUS, SECRET, "/api/webhooks/pagerduty", "m6", now_s(), body)).await;
    assert_eq!(no_secret.status, StatusCode::UNAUTHORIZED, "known, but without a secret");
}

#[tokio::test]
async fn a_timestamp_counts_as_long_as_the_settings_say() {
    let (path, body) = ("/api/webhooks/generic/acme-generic", r#"{"type":"thing.done"}"#);
    for (tolerance_s, age_s, expected) in [(60, 0, 200), (60, 90, 401), (600, 400, 200), (600, 630, 401)] {
        let hub = Hub::start_with(|config| config.webhooks.tolerance_s = tolerance_s).await;
        let answer = hub.post(signed(&NEXUS, SECRET, path, "m1", now_s() - age_s, body)).await;
        assert_eq!(answer.status.as_u16(), expected, "{age_s} s of {tolerance_s}: {}", answer.text);
        if expected == 401 {
            assert_eq!(answer.json()["detail"], format!("the timestamp is more than {tolerance_s} s from now"));
        }
        let challenge = r#"{"type":"url_verification","challenge":"c"}"#;
        let answer = hub.post(signed(&SLACK, SECRET, "/webhooks/slack", "", now_s() - age_s, challenge)).await;
        assert_eq!(answer.status.as_u16(), expected, "Slack, {age_s} s of {tolerance_s}: {}", answer.text);
    }
}

#[tokio::test]
async fn cloud_events_come_in_three_modes() {
    let hub = Hub::start().await;
    let path = "/api/webhooks/cloudevents/acme-cloudevents";
    let send = |content_type: &'static str, body: String, more: Vec<(&'static str, String)>| {
        let mut request = signed(&NEXUS, SECRET, path, "e", now_s(), &body);
        request.headers.retain(|(name, _)| !matches!(*name, "content-type" | "x-webhook-event-id"));
        request.headers.push(("content-type", content_type.to_owned()));
        request.headers.extend(more);
        request
    };
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/s", "type": "a.b", "data": { "x": 1 } });
    hub.post(send("application/cloudevents+json", event("1").to_string(), vec![])).await.id();
    let batch = json!([event("2"), event("3"), event("1")]).to_string();
    hub.post(send("application/cloudevents-batch+json", batch, vec![])).await.id();
    let binary = |id: &str| {
        [("ce-id", id), ("ce-source", "/s"), ("ce-type", "a.b"), ("ce-specversion", "1.0")]
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec()
    };
    hub.post(send("text/plain", "not JSON at all".to_owned(), binary("4"))).await.id();
    assert_eq!(hub.post(send("text/plain", "again".to_owned(), binary("4"))).await.json()["data"]["duplicate"], true);
    let events = hub.all_events().await;
    assert_eq!(events.len(), 4, "the batch repeats the first: {events:#?}");
    assert!(events.iter().all(|event| event["source"]["event"] == "a.b"));

    let mut bad = event("5");
    bad.as_object_mut().unwrap().remove("source");
    let refused = hub.post(send("application/cloudevents+json", bad.to_string(), vec![])).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.json()["detail"].as_str().unwrap().contains("source"), "{}", refused.text);
}

#[tokio::test]
async fn concurrent_repeats_wait_for_the_first_and_are_one_event() {
    let hub = Arc::new(Hub::start().await);
    let request = hub.sample("acme", "github", "issues.opened");
    let firsts = Arc::new(AtomicU64::new(0));
    let posts: Vec<_> = (0..50)
        .map(|_| {
            let (hub, request, firsts) = (Arc::clone(&hub), request.clone(), Arc::clone(&firsts));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for _ in 0..20 {
                    let answer = hub.post(request.clone()).await;
                    firsts.fetch_add(u64::from(answer.json()["data"]["duplicate"] == false), Relaxed);
                    ids.push(answer.id());
                }
                ids
            })
        })
        .collect();
    let mut ids = Vec::new();
    for post in posts {
        ids.extend(post.await.unwrap());
    }
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), firsts.load(Relaxed)), (1, 1));
    assert_eq!(hub.all_events().await.len(), 1);
}

#[tokio::test]
async fn without_a_secret_nothing_is_believed_unless_that_is_allowed() {
    let bare = |config: &mut runtime::config::Config| config.connections.clear();
    let hub = Hub::start_with(bare).await;
    let mut request = hub.sample("acme", "slack", "message");
    assert_eq!(hub.post(request.clone()).await.status, StatusCode::UNAUTHORIZED);
    let hub = Hub::start_with(|config| {
        bare(config);
        config.allow_unsigned = true;
    })
    .await;
    request.headers.retain(|(name, _)| *name == "content-type");
    hub.post(request).await.id();
    let events = hub.events(1).await;
    assert_eq!(events[0]["tenantId"], "_unrouted", "no connection says whose team this is");
}

#[tokio::test]
async fn health_tells_depth_lag_and_age() {
    let hub = Hub::start().await;
    for path in ["/health", "/health/live", "/health/ready", "/webhooks/health", "/metrics", "/schemas"] {
        assert_eq!(hub.get(path).await.status, StatusCode::OK, "{path}");
    }
    hub.webhook("slack", "message").await.id();
    hub.events(1).await;
    let health = loop {
        let health = hub.get("/webhooks/health").await.json();
        let topic = |name: &str| {
            health["data"]["topics"].as_array().unwrap().iter().find(|topic| topic["topic"] == name).cloned().unwrap()
        };
        let raw = topic("webhooks.raw");
        assert_eq!(raw["depth"], 1);
        if raw["lag"] == 0 {
            assert_eq!(raw["oldestAgeMs"], 0);
            break health;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((&health["data"]["status"], &health["data"]["deadLetters"]), (&json!("ok"), &json!(0)));
    let posted = hub.post(Request { path: "/webhooks/health".to_owned(), headers: vec![], body: vec![] }).await;
    assert_eq!(posted.status, StatusCode::OK, "asked with POST, too");
    let metrics = hub.get("/metrics").await.text;
    assert!(metrics.contains("nexus_webhooks_total{outcome=\"stored\",provider=\"slack\"} 1"), "{metrics}");
    let journal = |metrics: &str, name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("nexus_journal_{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse::<u64>().unwrap()
    };
    let at_least = |name: &str, least: u64| assert!(journal(&metrics, name) >= least, "{name}: {metrics}");
    at_least("written_records_total", 2);
    at_least("written_bytes_total", 1_000);
    at_least("syncs_total", 1);
    at_least("segments", 1);
    at_least("disk_bytes", 1 << 20);
    at_least("pending_bytes", 0);
    assert_eq!(journal(&metrics, "epoch"), 0);
    let ready = hub.get("/health/ready").await.json();
    assert_eq!(ready["data"]["roles"]["pipeline"]["state"], "running", "{ready}");
    assert_eq!(hub.get("/nothing").await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/webhooks/slack").await.status, StatusCode::METHOD_NOT_ALLOWED);
}
