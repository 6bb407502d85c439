//! Load through the front door: starts a hub as a process of its own, posts
//! signed webhooks over plain sockets, and follows `events` to see when each
//! webhook became one.
//!
//! `cargo build --release && cargo bench -p nexus-benches --bench load -- --help`

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use nexus_benches::{Spread, cpu_ms, rss_mb};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    time::sleep_until,
};
use udfs::signature::{CLICKUP, sign};

const SECRET: &str = "bench-webhook-secret";
const WEBHOOK: &str = "7fa3ec74-69a8-4530-a251-8a13730bd204";

/// How late a timer may be without anybody having been slow.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// Webhooks in, events out.
#[derive(Clone, Parser)]
struct Arguments {
    /// The binary to measure
    #[arg(long, default_value = "target/release/nexus")]
    nexus: PathBuf,
    /// Webhooks that count
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Webhooks before those
    #[arg(long, default_value_t = 5_000)]
    warmup: u64,
    /// Requests on their way at the same time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Webhooks a second; 0 for as many as are answered
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// Bytes of a body
    #[arg(long, default_value_t = 3000)]
    bytes: usize,
    /// Environment of the hub, NAME=VALUE (repeat)
    #[arg(long)]
    env: Vec<String>,
    /// Where the hub keeps its log
    #[arg(long)]
    data: Option<PathBuf>,
    /// Measure only accepting, do not follow the events
    #[arg(long)]
    accept_only: bool,
    /// Measure once more with this asked beside, over and over (SQL)
    #[arg(long)]
    query: Option<String>,
    /// Whose rows it is asked of
    #[arg(long, default_value = "default", requires = "query")]
    tenant: String,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

struct Shared {
    begun: Instant,
    next: AtomicU64,
    accepted_us: Mutex<Vec<u32>>,
    sent: Mutex<HashMap<String, u64>>,
    refused: AtomicU64,
    done: AtomicBool,
}

fn main() {
    let arguments = Arguments::parse();
    let data = arguments
        .data
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("nexus-load-{}", std::process::id())));
    let (mut hub, url) = start(&arguments, &data);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(&arguments, &hub, &url, &data));
    let _ = Command::new("kill").arg(hub.id().to_string()).status();
    let _ = hub.wait();
    if arguments.data.is_none() {
        let _ = std::fs::remove_dir_all(&data);
    }
}

fn start(arguments: &Arguments, data: &PathBuf) -> (Child, String) {
    let mut command = Command::new(&arguments.nexus);
    command.arg("up").env("PORT", "0").env("NEXUS_DATA_DIR", data).env("WEBHOOK_SECRET_CLICKUP", SECRET);
    for pair in &arguments.env {
        let (name, value) = pair.split_once('=').expect("NAME=VALUE");
        command.env(name, value);
    }
    let mut hub = command.stderr(Stdio::piped()).spawn().expect("the hub starts: build it with cargo build --release");
    let mut lines = BufReader::new(hub.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let url = lines.by_ref().find_map(|line| Some(line.split_once("url=")?.1.split_whitespace().next()?.to_owned()));
    std::thread::spawn(move || lines.for_each(drop));
    (hub, url.expect("the hub gets ready"))
}

async fn measure(arguments: &Arguments, hub: &Child, url: &str, data: &std::path::Path) {
    let idle_mb = rss_mb(hub.id());
    let address = url.trim_start_matches("http://").to_owned();
    run(arguments, &address, arguments.warmup, data, false).await;
    report(arguments, hub, &address, data, idle_mb).await;
    let Some(sql) = arguments.query.clone() else { return };
    let asked = format!("{url}/api/sql?tenantId={}", arguments.tenant);
    let token = hub::Notice::read(data).expect("the hub left its notice").token;
    let (took_us, took) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let asking = tokio::spawn(ask(asked, token, sql, Arc::clone(&took_us), Arc::clone(&took)));
    // The first answer is for its caches.
    took.notified().await;
    took_us.lock().expect("unpoisoned").clear();
    println!("with a query beside:");
    report(arguments, hub, &address, data, idle_mb).await;
    asking.abort();
    println!("query            {}", Spread::of(&mut took_us.lock().expect("unpoisoned")));
}

/// Asks a query over and over.
async fn ask(url: String, token: String, sql: String, took_us: Arc<Mutex<Vec<u32>>>, took: Arc<Notify>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    loop {
        let begun = Instant::now();
        let question = client.post(&url).bearer_auth(&token).json(&serde_json::json!({ "sql": sql }));
        let answer = question.send().await.expect("the hub answers");
        let (status, text) = (answer.status(), answer.text().await.expect("an answer"));
        assert!(status.is_success(), "{status}: {text}");
        took_us.lock().expect("unpoisoned").push(begun.elapsed().as_micros() as u32);
        took.notify_one();
    }
}

async fn report(arguments: &Arguments, hub: &Child, address: &str, data: &std::path::Path, idle_mb: f64) {
    let (cpu_before, begun) = (cpu_ms(hub.id()), Instant::now());
    let (shared, events_us) = run(arguments, address, arguments.events, data, !arguments.accept_only).await;
    let (cpu, took) = (cpu_ms(hub.id()) - cpu_before, begun.elapsed());
    let mut accepted = shared.accepted_us.lock().expect("unpoisoned").clone();
    let accepted = Spread::of(&mut accepted);
    println!(
        "accepted {} of {} ({:.0}/s), refused {}",
        accepted.count,
        arguments.events,
        accepted.count as f64 / took.as_secs_f64(),
        shared.refused.load(Relaxed),
    );
    println!("accept           {accepted}");
    if let Some(mut events_us) = events_us {
        println!("accept -> events {}", Spread::of(&mut events_us));
    }
    println!(
        "hub: {:.1} ms CPU per 1,000, {idle_mb:.0} MB idle, {:.0} MB after",
        cpu as f64 * 1000.0 / arguments.events.max(1) as f64,
        rss_mb(hub.id()),
    );
}

/// Sends `count` webhooks; and, if asked to, waits for their events.
async fn run(
    arguments: &Arguments,
    address: &str,
    count: u64,
    data: &std::path::Path,
    follow: bool,
) -> (Arc<Shared>, Option<Vec<u32>>) {
    let shared = Arc::new(Shared {
        begun: Instant::now(),
        next: AtomicU64::new(0),
        accepted_us: Mutex::default(),
        sent: Mutex::default(),
        refused: AtomicU64::new(0),
        done: AtomicBool::new(false),
    });
    // A webhook that is sent again would be a repeat.
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let number = RUNS.fetch_add(1, Relaxed);
    let run = format!("{:x}", u64::from(std::process::id()) * 1_000_003 + number * 7_919 + count);
    let following =
        follow.then(|| tokio::spawn(follow_events(address.to_owned(), data.to_owned(), Arc::clone(&shared), count)));
    if follow {
        // The follower must be listening before the first webhook is sent.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let begun = Instant::now();
    let senders: Vec<_> = (0..arguments.concurrency)
        .map(|_| {
            let (shared, arguments, address, run) =
                (Arc::clone(&shared), arguments.clone(), address.to_owned(), run.clone());
            tokio::spawn(async move { send(&shared, &arguments, &address, &run, count, begun).await })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender ends");
    }
    shared.done.store(true, Relaxed);
    let events = match following {
        Some(following) => Some(following.await.expect("the follower ends")),
        None => None,
    };
    (shared, events)
}

async fn send(shared: &Shared, arguments: &Arguments, address: &str, run: &str, count: u64, begun: Instant) {
    let mut stream = TcpStream::connect(address).await.expect("the hub listens");
    stream.set_nodelay(true).expect("no delay");
    let mut answer = vec![0; 4096];
    loop {
        let number = shared.next.fetch_add(1, Relaxed);
        if number >= count {
            return;
        }
        let mut due = Instant::now();
        if arguments.rate > 0.0 {
            due = begun + Duration::from_secs_f64(number as f64 / arguments.rate);
            sleep_until(due.into()).await;
            // The timer's own millisecond is not the hub's; being late because
            // all connections were busy is.
            if due.elapsed() < TIMER_SLACK {
                due = Instant::now();
            }
        }
        let request = request(run, number, arguments.bytes);
        stream.write_all(&request).await.expect("sent");
        let length = stream.read(&mut answer).await.expect("answered");
        let text = std::str::from_utf8(&answer[..length]).unwrap_or_default();
        if !text.starts_with("HTTP/1.1 200") {
            shared.refused.fetch_add(1, Relaxed);
            continue;
        }
        shared.accepted_us.lock().expect("unpoisoned").push(due.elapsed().as_micros() as u32);
        if !arguments.accept_only
            && let Some(id) = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next())
        {
            let due_us = due.duration_since(shared.begun).as_micros() as u64;
            shared.sent.lock().expect("unpoisoned").insert(id.to_owned(), due_us);
        }
    }
}

fn request(run: &str, number: u64, bytes: usize) -> Vec<u8> {
    let history =
        1_000_000_000_000_000_000 + u64::from_str_radix(run, 16).unwrap_or(0) % 1_000_000 * 1_000_000_000_000 + number;
    let head = format!(
        "{{\"event\":\"taskCreated\",\"webhook_id\":\"{WEBHOOK}\",\"task_id\":\"b{run}{number:x}\",\"history_items\":[{{\"id\":\"{history}\",\
         \"type\":1,\"date\":\"1700000000000\",\"field\":\"task_creation\",\"parent_id\":\"901100000001\",\"data\":{{}},\"source\":null,\
         \"user\":{{\"id\":183,\"username\":\"Ann\",\"email\":\"ann@example.com\"}},\"before\":null,\"after\":null}}],\
         \"task\":{{\"id\":\"b{run}{number:x}\",\"name\":\"Ship it @AI_Squad\",\"description\":\""
    );
    let tail = "\"}}";
    let filler = "All work and no play makes this a dull body. ";
    let room = bytes.saturating_sub(head.len() + tail.len());
    let body: String = [head, filler.chars().cycle().take(room).collect(), tail.to_owned()].concat();
    let signature = sign(&CLICKUP, SECRET, "", 0, body.as_bytes()).expect("signed");
    let mut request = format!(
        "POST /webhooks/clickup HTTP/1.1\r\nhost: hub\r\ncontent-type: application/json\r\n{}: {}\r\ncontent-length: {}\r\n\r\n",
        signature[0].0,
        signature[0].1,
        body.len(),
    );
    request.push_str(&body);
    request.into_bytes()
}

/// Notes when each event arrives, in microseconds after its webhook was due.
async fn follow_events(address: String, data: PathBuf, shared: Arc<Shared>, count: u64) -> Vec<u32> {
    let notice = hub::Notice::read(&data).expect("the hub left its notice");
    let mut stream = TcpStream::connect(&address).await.expect("the hub listens");
    let request = format!(
        "GET /admin/topics/events?from=end&follow=true HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {}\r\n\r\n",
        notice.token
    );
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut lines = tokio::io::BufReader::with_capacity(1 << 20, stream).lines();
    let mut arrived: Vec<(String, u64)> = Vec::with_capacity(count as usize);
    while (arrived.len() as u64) < count {
        let next = tokio::time::timeout(Duration::from_secs(5), lines.next_line()).await;
        let Ok(Ok(Some(line))) = next else { break };
        if let Some(id) = line.split("\"value\":{\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()) {
            arrived.push((id.to_owned(), shared.begun.elapsed().as_micros() as u64));
        }
    }
    while !shared.done.load(Relaxed) {
        tokio::task::yield_now().await;
    }
    let sent = shared.sent.lock().expect("unpoisoned");
    arrived.iter().filter_map(|(id, at)| sent.get(id).map(|due| at.saturating_sub(*due) as u32)).collect()
}
