//! Bad input: through the front door, from producers of their own, and over
//! bare sockets. Whatever comes, the answer is a clear error or a faithful
//! event, no worker stops, and memory stays bounded.

mod fixtures;
mod letters;
mod recipes;
mod replays;
mod sockets;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pipeline::{ports::Clock, topics::Topic};
use providers::samples::Request;
use reqwest::StatusCode;
use runtime::{clock::SystemClock, config::Config};
use serde_json::{Value, json};
use udfs::signature::{CLICKUP, GITHUB, JIRA, NEXUS, SLACK, Scheme, sign};

use super::hub::{Hub, SECRET};

/// Where a provider posts, and how it signs.
const DOORS: &[(&str, &str, Scheme)] = &[
    ("clickup", "/webhooks/clickup", CLICKUP),
    ("slack", "/webhooks/slack", SLACK),
    ("github", "/webhooks/github", GITHUB),
    ("jira", "/webhooks/jira/acme-jira", JIRA),
    ("cloudevents", "/api/webhooks/cloudevents", NEXUS),
    ("generic", "/api/webhooks/generic", NEXUS),
];

/// Every provider is believed with the tests' secret, whoever it says it is.
fn open_doors(config: &mut Config) {
    for (provider, ..) in DOORS {
        config.webhooks.secrets.insert((*provider).to_owned(), SECRET.to_owned());
    }
}

/// A body as a provider would send and sign it; with a delivery id of its own,
/// where the provider has such a thing.
fn signed(provider: &str, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Request {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = format!("hostile-{}", NUMBER.fetch_add(1, Relaxed));
    let (_, path, scheme) = DOORS.iter().find(|door| door.0 == provider).unwrap();
    let body = body.into();
    let mut headers = sign(scheme, SECRET, &id, SystemClock.now_ms() / 1000, &body).unwrap();
    headers.extend(content_type.map(|kind| ("content-type", kind.to_owned())));
    if provider == "github" {
        headers.extend([("x-github-delivery", id), ("x-github-event", "issues".to_owned())]);
    }
    Request { path: (*path).to_owned(), headers, body }
}

fn is_signature(name: &str) -> bool {
    matches!(
        name,
        "x-signature" | "x-slack-signature" | "x-hub-signature-256" | "x-hub-signature" | "x-webhook-signature"
    )
}

fn unsigned(mut request: Request) -> Request {
    request.headers.retain(|(name, _)| !is_signature(name));
    request
}

const JSON: Option<&str> = Some("application/json");

fn slack_message(text: &str) -> String {
    format!(
        r#"{{"type":"event_callback","team_id":"T0ACME","event_id":"Ev{}","event":{{"type":"message","channel":"C1","user":"U1","ts":"1700000000.{:06}","text":{text}}}}}"#,
        udfs::hash::hex(udfs::hash::content(text.as_bytes())),
        udfs::hash::content(text.as_bytes()) % 1_000_000,
    )
}

#[tokio::test]
async fn what_is_no_object_of_json_is_refused_by_every_door() {
    let hub = Hub::start_with(open_doors).await;
    let bodies: &[&[u8]] = &[
        b"",
        b" \r\n\t",
        b"{",
        b"{}",
        b"{\"event\":\"taskCreated\",",
        b"{\"event\":\"taskCreated\",}",
        b"{'event':'taskCreated'}",
        b"{\"event\":\"taskCreated\"} x",
        b"{\"event\":\"a\"}\n{\"event\":\"b\"}",
        b"[]",
        b"[{\"event\":\"taskCreated\"}]",
        b"\"taskCreated\"",
        b"17",
        b"null",
        b"\xef\xbb\xbf{\"event\":\"taskCreated\"}",
        b"\xff\xfe{\0}\0",
        b"{\"event\":\"\xff\xfe\"}",
        b"{\"event\":\"\xc0\xaf\"}",
        b"{\"event\":\"\xed\xa0\x80\"}",
        b"{\"event\":\"a\0b\"}",
        b"{\"event\":\"a\nb\"}",
        b"{\"event\":\"\\x41\"}",
        b"{\"event\":\"\\u12",
        b"{\"a\":NaN}",
        b"{\"a\":-Infinity}",
        b"{\"a\":01}",
        b"{\"a\":0x1f}",
        b"payload=%7B%7D",
    ];
    for body in bodies {
        for (provider, ..) in DOORS {
            let kind = if *provider == "cloudevents" { Some("application/cloudevents+json") } else { JSON };
            let request = signed(provider, kind, *body);
            let shown = String::from_utf8_lossy(body);
            let answer = hub.post(request.clone()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{provider} {shown:?}: {}", answer.text);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.json()["code"], "bad_body", "{provider} {shown:?}: {}", answer.text);
            // A stranger is not told what is wrong with the body.
            let answer = hub.post(unsigned(request)).await;
            let expected = if *provider == "clickup" { StatusCode::BAD_REQUEST } else { StatusCode::UNAUTHORIZED };
            assert_eq!(answer.status, expected, "{provider} {shown:?}: {}", answer.text);
        }
    }
    assert!(hub.all_events().await.is_empty());
    assert_eq!(hub.records(Topic::WebhooksRaw, 0).await.len(), 1, "the marker's");
    hub.is_unharmed().await;
}

#[tokio::test]
async fn depth_is_bounded_before_anything_recurses() {
    let hub = Hub::start_with(open_doors).await;
    let nested = |depth: usize| format!("{{\"event\":\"x\",\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    for (provider, ..) in DOORS.iter().filter(|door| door.0 != "cloudevents") {
        for (body, expected) in [
            (nested(63), None),
            (nested(64), Some("64")),
            (nested(100_000), Some("64")),
            (format!("{{\"a\":{}", "[".repeat(400_000)), Some("64")),
            ("{\"a\":".repeat(100_000), Some("64")),
        ] {
            let answer = hub.post(signed(provider, JSON, body)).await;
            match expected {
                None => assert!(
                    answer.status.is_success() || *provider == "slack" || *provider == "jira",
                    "{provider}: {}",
                    answer.text
                ),
                Some(limit) => {
                    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{provider}");
                    assert!(answer.text.contains(limit), "{provider} tells the limit: {}", answer.text);
                }
            }
        }
    }
    let deep = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/\",\"type\":\"t\",\"data\":{}{}}}",
        "[".repeat(9000),
        "]".repeat(9000)
    );
    let answer = hub.post(signed("cloudevents", Some("application/cloudevents+json"), deep)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    hub.all_events().await;
    hub.is_unharmed().await;
}

#[tokio::test]
async fn content_types_and_encodings_that_lie_are_415() {
    let hub = Hub::start_with(open_doors).await;
    let body = "{\"event\":\"taskCreated\",\"task_id\":\"a\"}";
    for kind in [
        None,
        Some("text/plain"),
        Some("multipart/form-data; boundary=x"),
        Some("application/json; charset=utf-16"),
        Some("application/json; charset=iso-8859-1"),
        Some("application/json; charset=\"utf-8\"; charset=utf-16"),
        Some("application/"),
        Some("json"),
        Some("\u{e9}"),
        Some(";;;"),
    ] {
        for (provider, ..) in DOORS {
            let answer = hub.post(signed(provider, kind, body)).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{provider} {kind:?}: {}", answer.text);
        }
    }
    for encoding in ["gzip", "deflate", "br", "identity", "x"] {
        let mut request = signed("clickup", JSON, body);
        request.headers.push(("content-encoding", encoding.to_owned()));
        assert_eq!(hub.post(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
    }
    // A JSON body that is declared a form, and forms that are none.
    let form = Some("application/x-www-form-urlencoded");
    for body in [body, "payload=%zz", "payload=%ff", "payload=", "payload=5", "", "x=y"] {
        for provider in ["slack", "github"] {
            assert_eq!(
                hub.post(signed(provider, form, body)).await.status,
                StatusCode::BAD_REQUEST,
                "{provider} {body}"
            );
        }
    }
    assert!(hub.all_events().await.is_empty());
    hub.is_unharmed().await;
}

/// Legal, and awkward: accepted, kept byte for byte, and told faithfully.
#[tokio::test]
async fn awkward_texts_become_faithful_events() {
    let hub = Hub::start_with(open_doors).await;
    let texts = [
        (r#""a\u0000b""#, "a\u{0}b"),
        (r#""hi \ud800 lo \udc00""#, "hi \u{fffd} lo \u{fffd}"),
        (r#""\ud83d\ude00 = 😀""#, "😀 = 😀"),
        (r#""safe \u202egnp.exe\u202c""#, "safe \u{202e}gnp.exe\u{202c}"),
        ("\"e\u{301}\u{200d}\u{feff}\"", "e\u{301}\u{200d}\u{feff}"),
        (r#""&lt;script&gt; {{7*7}} ${jndi:x} ' OR 1=1;--""#, "<script> {{7*7}} ${jndi:x} ' OR 1=1;--"),
    ];
    let mut sent = Vec::new();
    for (text, told) in texts {
        let body = slack_message(text);
        let id = hub.post(signed("slack", JSON, body.clone())).await.id();
        sent.push((id, body, told));
    }
    let events = hub.all_events().await;
    let raws = hub.values(Topic::WebhooksRaw, sent.len()).await;
    for (id, body, told) in sent {
        let event = events.iter().find(|event| event["id"] == id).unwrap_or_else(|| panic!("{body}"));
        assert_eq!(event["message"]["text"], told, "{body}");
        assert!(raws.iter().any(|raw| raw["body"] == body), "{body}");
    }
    hub.is_unharmed().await;
}

/// Fields of other types than the provider's are no fields, and no defect.
#[tokio::test]
async fn odd_types_ids_and_numbers_harm_nothing() {
    let hub = Hub::start_with(open_doors).await;
    let long = "9".repeat(4000);
    let odd = [
        "null",
        "0",
        "-1",
        "1e400",
        "-0",
        "18446744073709551616",
        &long,
        "true",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[null,1,\"x\",[],{}]",
        "{\"id\":{\"id\":[]}}",
        "\"\\u0000\"",
        "\"../../etc/passwd\\r\\nX: 1\"",
        "\"\\ud800\"",
        "\"9999999999999999999999\"",
        "\"-9223372036854775808\"",
        "\"1642734631.523\"",
    ];
    let bodies: &[(&str, &str)] = &[
        (
            "clickup",
            r#"{"event":"taskUpdated","task_id":ODD,"webhook_id":"w","history_items":[{"id":"1","date":"1700000000000","field":"status"}]}"#,
        ),
        ("clickup", r#"{"event":"taskUpdated","task_id":"a","webhook_id":ODD,"history_items":ODD}"#),
        (
            "clickup",
            r#"{"event":"taskUpdated","task_id":"a","history_items":[{"id":ODD,"date":ODD,"field":ODD,"user":ODD,"before":ODD,"after":ODD}]}"#,
        ),
        ("clickup", r#"{"event":ODD,"task_id":"a","__proto__":ODD,"constructor":{"prototype":ODD}}"#),
        (
            "slack",
            r#"{"type":"event_callback","team_id":ODD,"event_id":ODD,"event_time":ODD,"event":{"type":"message","channel":ODD,"user":ODD,"ts":ODD,"text":ODD,"blocks":ODD,"files":ODD,"thread_ts":ODD}}"#,
        ),
        ("slack", r#"{"type":ODD,"team_id":"T0ACME","event":ODD,"challenge":ODD}"#),
        (
            "github",
            r#"{"action":ODD,"issue":{"number":ODD,"title":ODD,"body":ODD,"user":ODD,"labels":ODD},"repository":ODD,"installation":ODD,"sender":ODD}"#,
        ),
        ("github", r#"{"action":"opened","issue":ODD,"repository":{"full_name":ODD,"description":ODD}}"#),
        (
            "jira",
            r#"{"webhookEvent":"jira:issue_updated","timestamp":ODD,"issue":{"id":ODD,"key":ODD,"fields":ODD},"user":ODD,"changelog":ODD}"#,
        ),
        ("jira", r#"{"webhookEvent":ODD,"timestamp":1,"issue":ODD,"comment":ODD}"#),
        ("generic", r#"{"id":ODD,"type":ODD,"event":ODD,"timestamp":ODD,"data":ODD}"#),
        ("generic", r#"{"a":ODD,"a":ODD,"":ODD}"#),
    ];
    let mut accepted = Vec::new();
    for (provider, body) in bodies {
        for value in odd {
            let body = body.replace("ODD", value);
            let answer = hub.post(signed(provider, JSON, body.clone())).await;
            let status = answer.status;
            assert!(
                status == StatusCode::OK || status == StatusCode::BAD_REQUEST,
                "{provider} {body}: {}",
                answer.text
            );
            if status == StatusCode::OK && answer.json()["data"]["duplicate"] == false {
                accepted.push((answer.id(), body));
            }
        }
    }
    let events = hub.all_events().await;
    let letters = hub.values(Topic::DeadLetters, 0).await;
    assert!(accepted.len() > 100, "{} were accepted", accepted.len());
    for letter in &letters {
        let value: Value = serde_json::from_str(letter["original"]["value"].as_str().unwrap()).unwrap();
        assert!(accepted.iter().any(|(_, body)| value["body"] == *body), "the original is whole: {letter}");
        assert!(!letter["reason"].as_str().unwrap().contains("defect"), "{letter}");
    }
    println!("{} accepted, {} events, {} dead letters", accepted.len(), events.len(), letters.len());
    hub.is_unharmed().await;
}

/// Two answers to one question are none.
#[tokio::test]
async fn a_body_that_says_two_things_gets_one_answer() {
    let hub = Hub::start_with(open_doors).await;
    let two_types = r#"{"type":"url_verification","challenge":"abc","type":"event_callback","team_id":"T0ACME","event":{"type":"message","text":"x","channel":"C1","ts":"1.2"}}"#;
    let answer = hub.post(signed("slack", JSON, two_types)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    let two_webhooks =
        json!({ "event": "taskCreated", "webhook_id": "w" }).to_string().replace("\"w\"", "\"w\",\"webhook_id\":\"v\"");
    assert_eq!(hub.post(signed("clickup", JSON, two_webhooks)).await.status, StatusCode::BAD_REQUEST);
    for challenge in ["{\"a\":1}", "7", "null", "[]"] {
        let body = format!("{{\"type\":\"url_verification\",\"challenge\":{challenge}}}");
        assert_eq!(hub.post(signed("slack", JSON, body)).await.status, StatusCode::BAD_REQUEST, "{challenge}");
    }
    let reflected = r#"{"type":"url_verification","challenge":"<script>alert(1)</script>\r\nSet-Cookie: a=b"}"#;
    let answer = hub.post(signed("slack", JSON, reflected)).await;
    assert_eq!(answer.headers["content-type"], "application/json", "a browser shows it, and runs nothing");
    assert!(!answer.headers.contains_key("set-cookie"));
    assert!(hub.all_events().await.is_empty());
}
