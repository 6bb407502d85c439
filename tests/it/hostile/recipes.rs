//! Bodies too large to be kept as files, sent to a hub in a process of its own,
//! so that what they cost in memory can be measured.

use std::time::Duration;

use providers::samples::Request;
use reqwest::StatusCode;

use super::{SECRET, signed, slack_message, unsigned};
use crate::{
    hub::client,
    process::{Process, nexus},
};

/// What the hub may take, whatever is sent to it: the largest body that is
/// allowed, its record, the journal's cache and the pipeline's copy.
const MEMORY_MB_MAX: u64 = 350;

/// How much dearer than a plain body a byte may be, in processor time. The
/// dearest that is legal takes about twice as much; a careless reader takes
/// thousands.
const DEARER_MAX: f64 = 10.0;
/// What is measured beside the body: what the pipeline does with the one before
/// it, and the clock's own steps.
const SMALL_CHANGE: Duration = Duration::from_secs(1);

struct Target {
    process: Process,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Target {
    fn start() -> Target {
        let directory = tempfile::tempdir().unwrap();
        let mut command = nexus();
        command.arg("up").env("NEXUS_DATA_DIR", directory.path()).env("PORT", "0").env("NEXUS_DEFAULT_TENANT", "acme");
        command.env("SLACK_SIGNING_SECRET", SECRET).env("NEXUS_LOG_SEGMENT_MB", "4");
        for provider in ["CLICKUP", "GITHUB", "GENERIC"] {
            command.env(format!("WEBHOOK_SECRET_{provider}"), SECRET);
        }
        Target { process: Process::start(command), client: client(), _directory: directory }
    }

    /// The answer's status.
    async fn post(&self, request: Request) -> StatusCode {
        let mut post = self.client.post(format!("{}{}", self.process.url, request.path)).body(request.body);
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        post.send().await.expect("an answer, also to who still sends").status()
    }
}

const JSON: Option<&str> = super::JSON;

fn repeat(pieces: &[(&str, usize)]) -> String {
    pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect()
}

/// A gzip stream of `bytes` spaces: one literal, then "258 times the byte
/// before" over and over, in deflate's fixed code.
fn gzip_of_spaces(bytes: usize) -> Vec<u8> {
    let mut bits = vec![true, true, false];
    // Huffman codes are packed from their first bit on.
    let mut code = |code: u32, length: u32| bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
    code(0x30 + u32::from(b' '), 8);
    for _ in 0..bytes / 258 {
        code(0b1100_0101, 8);
        code(0, 5);
    }
    code(0, 7);
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    stream.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit))));
    stream.extend([0; 8]);
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_bodies_are_refused_or_taken_in_bounded_memory_and_work() {
    let hub = Target::start();
    let refused = StatusCode::BAD_REQUEST;
    let too_large = StatusCode::PAYLOAD_TOO_LARGE;
    let taken = StatusCode::OK;
    let task = |more: &str| format!("{{\"event\":\"taskCreated\",\"task_id\":\"a\"{more}}}");
    let keys = |count: usize, value: &str| (0..count).map(|key| format!(",\"k{key:04}\":{value}")).collect::<String>();
    let twenty = format!("{{\"k\":1{}}}", keys(20, "\"v\""));
    let blocks = repeat(&[
        (r#"{"type":"event_callback","event":{"type":"message","blocks":"#, 1),
        ("[", 100_000),
        ("]", 100_000),
        ("}}", 1),
    ]);
    let push = {
        let commit =
            format!("{{\"id\":\"{}\",\"message\":\"{}\",\"added\":[\"a\",\"b\"]}}", "0".repeat(40), "m".repeat(900));
        let commits = vec![commit.as_str(); 26_200_000 / (commit.len() + 1)].join(",");
        format!(
            "{{\"ref\":\"refs/heads/main\",\"repository\":{{\"full_name\":\"acme/rocket\"}},\"commits\":[{commits}]}}"
        )
    };
    assert!((25_000_000..26_214_400).contains(&push.len()), "{}", push.len());
    let plain = format!("{{\"action\":\"x\",\"repository\":{{\"description\":\"{}\"}}}}", "a".repeat(5_000_000));
    let (plain_length, before) = (plain.len(), hub.process.cpu());
    assert_eq!(hub.post(signed("github", JSON, plain)).await, taken);
    let plain = hub.process.cpu() - before;
    println!("{plain_length} plain bytes for {plain:?}");
    let zeros = |count: usize| format!("[0{}]", ",0".repeat(count));
    for (what, provider, body, expected) in [
        ("nesting of 10 MB", "slack", repeat(&[("[", 5_000_000), ("]", 5_000_000)]), too_large),
        ("nesting of 10 MB on GitHub's route", "github", repeat(&[("[", 5_000_000), ("]", 5_000_000)]), refused),
        (
            "objects nested in 12 MB",
            "clickup",
            repeat(&[("{\"a\":", 2_000_000), ("1", 1), ("}", 2_000_000)]),
            too_large,
        ),
        (
            "the same on GitHub's route",
            "github",
            repeat(&[("{\"a\":", 2_000_000), ("1", 1), ("}", 2_000_000)]),
            refused,
        ),
        ("nesting within a field", "slack", blocks, refused),
        ("5,000 keys", "clickup", task(&keys(5_000, "\"v\"")), taken),
        ("5,000 keys of 20 keys", "clickup", task(&keys(5_000, &twenty)), too_large),
        ("200,000 times one key", "generic", format!("{{\"a\":0{}}}", ",\"a\":0".repeat(174_000)), taken),
        ("more of them on GitHub's route", "github", format!("{{\"a\":0{}}}", ",\"a\":0".repeat(4_000_000)), taken),
        ("a text of 10 MB", "slack", slack_message(&format!("\"{}\"", "a".repeat(10_000_000))), too_large),
        ("a text of escapes", "slack", slack_message(&format!("\"{}\"", "\\u0041".repeat(170_000))), taken),
        ("Slack's longest text", "slack", slack_message(&format!("\"{}\"", "é".repeat(40_000))), taken),
        ("many mentions", "clickup", task(&format!(",\"text_content\":\"{}\"", "@a1 <@U1> ".repeat(90_000))), taken),
        ("a million items", "clickup", task(&format!(",\"history_items\":{}", zeros(1_000_000))), too_large),
        ("half a million items", "clickup", task(&format!(",\"history_items\":{}", zeros(500_000))), taken),
        ("a million digits", "generic", format!("{{\"id\":{}}}", "9".repeat(1_000_000)), refused),
        ("a million digits behind the point", "generic", format!("{{\"id\":0.{}}}", "9".repeat(1_000_000)), taken),
        ("a push of 25 MB", "github", push, taken),
        (
            "a repository of 25 MB",
            "github",
            format!("{{\"action\":\"x\",\"repository\":{}}}", zeros(12_000_000)),
            taken,
        ),
        (
            "25 MB of objects",
            "github",
            format!("{{\"action\":\"x\",\"repository\":[{}0]}}", "{},".repeat(8_000_000)),
            taken,
        ),
        ("one byte more than GitHub's 25 MB", "github", " ".repeat(26_214_401), too_large),
    ] {
        let length = body.len();
        let request = signed(provider, JSON, body);
        let before = hub.process.cpu();
        let status = hub.post(request.clone()).await;
        let took = hub.process.cpu() - before;
        println!("{what}: {length} bytes, {status} for {took:?}, peak {} MB", hub.process.memory_peak_mb());
        assert_eq!(status, expected, "{what}");
        let status = hub.post(unsigned(request)).await;
        assert!(status.is_client_error(), "{what}, unsigned: {status}");
        let most = plain.mul_f64(DEARER_MAX * length as f64 / plain_length as f64) + SMALL_CHANGE;
        assert!(took < most, "{what}: {took:?} of the processor, where {most:?} were expected at most");
    }
    let mut bomb = signed("clickup", JSON, gzip_of_spaces(100_000_000));
    bomb.headers.push(("content-encoding", "gzip".to_owned()));
    assert_eq!(hub.post(bomb).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // Nothing of this is in the way of what comes behind.
    assert_eq!(hub.post(signed("slack", JSON, slack_message("\"well?\""))).await, StatusCode::OK);
    let ready = hub.client.get(format!("{}/health/ready", hub.process.url)).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let peak_mb = hub.process.memory_peak_mb();
    println!("peak: {peak_mb} MB");
    assert!(peak_mb < MEMORY_MB_MAX, "{peak_mb} MB");
}

/// Strangers who all send as much as is allowed, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_at_the_same_time_share_a_bounded_memory() {
    let hub = Target::start();
    let request = unsigned(signed("github", JSON, vec![b' '; 25_000_000]));
    let posts = (0..16).map(|_| hub.post(request.clone()));
    let statuses = futures_util::future::join_all(posts).await;
    let busy = statuses.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert!(
        statuses.iter().all(|status| *status == StatusCode::UNAUTHORIZED || *status == StatusCode::SERVICE_UNAVAILABLE)
    );
    assert_eq!(hub.post(signed("slack", JSON, slack_message("\"small\""))).await, StatusCode::OK);
    let peak_mb = hub.process.memory_peak_mb();
    println!("{busy} of 16 were sent away; peak: {peak_mb} MB");
    assert!(peak_mb < MEMORY_MB_MAX, "{peak_mb} MB");
}
