//! One trace, from a webhook of GitHub to a comment at ClickUp, as a collector
//! sees it; and what stands in the log lines on the way.

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use serde_json::json;

use super::{super::agents::Kind, House, until};

/// A span, as it was received.
#[derive(Clone, Debug, Default, PartialEq)]
struct Received {
    trace: String,
    id: String,
    parent: String,
    name: String,
    times: (u64, u64),
    attributes: BTreeMap<String, String>,
}

/// Takes spans over OTLP/HTTP, reading protobuf by its own rules.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Received>>>,
    resource: Arc<Mutex<BTreeMap<String, String>>>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message: number and content.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let content = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => {
                let (number, rest) = bytes.split_first_chunk::<8>().unwrap();
                bytes = rest;
                Field::Number(u64::from_le_bytes(*number))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(content)
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, content));
    }
    found
}

fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let of = |(field, content)| match content {
        Field::Bytes(bytes) if field == number => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(of).collect()
}

fn text(bytes: &[u8], number: u64) -> String {
    messages(bytes, number).first().map_or(String::new(), |text| String::from_utf8(text.to_vec()).unwrap())
}

fn hex(bytes: &[u8], number: u64) -> String {
    messages(bytes, number).first().map_or(String::new(), |id| id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn attributes(bytes: &[u8], number: u64) -> BTreeMap<String, String> {
    messages(bytes, number).into_iter().map(|pair| (text(pair, 1), text(messages(pair, 2)[0], 1))).collect()
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    collector.headers.lock().unwrap().push(headers);
    for resource_spans in messages(&body, 1) {
        *collector.resource.lock().unwrap() = attributes(messages(resource_spans, 1)[0], 1);
        for scope_spans in messages(resource_spans, 2) {
            for span in messages(scope_spans, 2) {
                let number = |number: u64| {
                    let found = fields(span).into_iter().find(|(field, _)| *field == number);
                    match found {
                        Some((_, Field::Number(number))) => number,
                        _ => 0,
                    }
                };
                collector.spans.lock().unwrap().push(Received {
                    trace: hex(span, 1),
                    id: hex(span, 2),
                    parent: hex(span, 4),
                    name: text(span, 5),
                    times: (number(7), number(8)),
                    attributes: attributes(span, 9),
                });
            }
        }
    }
}

impl Collector {
    async fn start() -> (Collector, String) {
        let collector = Collector::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/api/public/otel/v1/traces", post(take))
            .with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (collector, url)
    }

    fn of(&self, trace: &str) -> Vec<Received> {
        self.spans.lock().unwrap().iter().filter(|span| span.trace == trace).cloned().collect()
    }
}

/// From a span up to whoever sent the webhook, as far as that is known.
fn way(spans: &[Received], is_end: impl Fn(&Received) -> bool) -> Vec<&Received> {
    let Some(end) = spans.iter().find(|span| is_end(span)) else { return Vec::new() };
    let above = |span: &&Received| spans.iter().find(|parent| parent.id == span.parent);
    std::iter::successors(Some(end), above).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_a_webhook_to_a_comment() {
    let (collector, url) = Collector::start().await;
    let (langfuse, langfuse_url) = Collector::start().await;
    let house = House::open_with(|config| {
        config.traces.otlp_endpoint = url;
        config.traces.otlp_headers = "x-api-key=hush%201".to_owned();
        config.traces.environment = "testing".to_owned();
        config.traces.schedule_delay_ms = 20;
        config.langfuse.host = langfuse_url;
        config.langfuse.public_key = "pk".to_owned();
        config.langfuse.secret_key = "sk".to_owned();
    })
    .await;
    house.provider.task("86xyz");
    let task = json!({ "projectId": house.project, "provider": "clickup", "externalId": "86xyz", "title": "Ship it" });
    let task = house.api.ask("POST", "/api/tasks", &house.admin, Some(task)).await;
    let task = task.json()["data"]["id"].as_str().unwrap_or_else(|| panic!("{}", task.text)).to_owned();
    let mut socket = house.socket(Kind::Plain).await;
    let (trace, outside) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let sent = house.webhook("github", "issues.opened", &[("traceparent", &format!("00-{trace}-{outside}-01"))]).await;
    let event = sent.id();
    let told = socket.skip_to("task_assigned").await;
    assert_eq!(told["traceId"], trace);
    socket.say("message", json!({"taskId": task, "text": "Seen in the shop.", "traceId": told["traceId"]})).await;
    let is_comment = |span: &Received| span.name == "comment.posted" && span.attributes["nexus.provider"] == "clickup";
    let whole = ["comment.posted", "pipeline mirror", "agent message", "pipeline NewWorkItem", "webhook github"];
    // Spans come in any order: those above the comment's may be later.
    until("the whole way is told", || way(&collector.of(trace), is_comment).iter().map(|span| &span.name).eq(whole))
        .await;
    assert_eq!(house.provider.fakes.world().clickup_comments.all().count(), 1);

    let spans = collector.of(trace);
    let way = way(&spans, is_comment);
    let (comment, last) = (way[0], way[way.len() - 1]);
    assert_eq!(last.parent, outside, "the sender's own span is above ours");
    for span in &spans {
        assert!(span.times.0 > 1_700_000_000_000_000_000 && span.times.0 <= span.times.1, "{span:?}");
        assert_eq!(span.attributes["nexus.tenant.id"], "acme");
        assert_eq!(span.attributes["langfuse.environment"], "testing");
    }
    let pipeline = spans.iter().find(|span| span.name == "pipeline NewWorkItem").unwrap();
    assert_eq!((&pipeline.attributes["nexus.event.id"], &pipeline.id), (&event, &event[event.len() - 16..].to_owned()));
    let agent = spans.iter().find(|span| span.name == "agent message").unwrap();
    assert_eq!(agent.attributes["user.id"], house.agent.1);
    assert!(comment.attributes.contains_key("nexus.remote.id"), "{comment:?}");
    let resource = collector.resource.lock().unwrap().clone();
    assert_eq!(
        (resource["service.name"].as_str(), resource["deployment.environment.name"].as_str()),
        ("nexus", "testing")
    );
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(collector.headers.lock().unwrap()[0]["x-api-key"], "hush 1");
    until("Langfuse has it too", || langfuse.of(trace).iter().any(is_comment)).await;
    assert_eq!(langfuse.headers.lock().unwrap()[0]["authorization"], "Basic cGs6c2s=");
    // The words that were said are nowhere in it.
    assert!(!format!("{spans:?}").contains("Seen in the shop"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_holds_nothing_up() {
    let house = House::open_with(|config| {
        // Nobody listens there.
        config.traces.otlp_endpoint = "http://127.0.0.1:9".to_owned();
        config.traces.schedule_delay_ms = 10;
        config.traces.queue_spans_max = 4;
        config.traces.export_timeout_ms = 50;
    })
    .await;
    for _ in 0..30 {
        assert!(house.webhook("github", "issues.opened", &[]).await.status.is_success());
    }
    house.api.hub.events(30).await;
    house.api.hub.is_unharmed().await;
}

/// Log lines, kept.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_at_info_has_a_secret_or_anybodys_words() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO);
    // For all threads, and so for all tests: none of them may say any of this.
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).expect("no other test sets it");
    let house = House::open().await;
    let mut socket = house.socket(Kind::Plain).await;
    house.webhook("github", "issues.opened", &[]).await;
    let told = socket.skip_to("task_assigned").await;
    // A refusal makes the mirror say something of it, too.
    house.provider.fault(json!({"provider": "github", "method": "POST", "status": 422, "tellsToken": true}));
    let said = json!({"taskId": told["task"]["id"], "text": "words-of-an-agent", "traceId": told["traceId"]});
    socket.say("message", said).await;
    house.until("the failure", "/api/actions", |page| page.to_string().contains("\"failed\"")).await;
    house.stop("words-of-an-admin").await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let about: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_ours = |line: &&serde_json::Value| line["fields"]["trace"] == told["traceId"];
    let failure = about.iter().find(is_ours).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(failure["fields"]["tenant"], "acme");
    assert!(failure["fields"]["command"].is_string(), "{failure}");
    for secret in ["token-acme", super::SECRET, "words-of-an-agent", &house.agent.2, &house.admin, &house.api.local()] {
        assert!(!text.contains(secret), "{secret} stands in a log line");
    }
    let title = told["task"]["title"].as_str().unwrap();
    assert!(!text.contains(title), "the title of a task stands in a log line");
}
