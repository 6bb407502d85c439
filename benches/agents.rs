//! Agents' sockets, by the thousand: starts a gateway over an embedded log as a
//! process of its own, opens sockets of one kind, and measures how fast they
//! open, what each takes while it is idle, how late a broadcast reaches them,
//! and how many events a second ten of them are told.
//!
//! `cargo bench -p nexus-benches --bench agents -- --kind plain --sockets 10000`

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::{Parser, ValueEnum};
use gateway::{Counts, Gateway, Parts, Settings};
use log::embedded::{self, Journal};
use nexus_benches::{Spread, cpu_ms, rss_mb};
use pipeline::{
    event::{Addressee, Agent, Client, Control, InboxEntry, Role, Row, Time},
    ports::{Headers, Log, NewRecord},
    topics::{Topic, partition_of},
};
use runtime::{
    auth::Tokens,
    clock::SystemClock,
    directory::Directory,
    http::server,
    process::raise_open_files,
    supervisor::{Board, RoleContext, Status},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

const SECRET: &[u8] = b"of the benchmark only";
const TENANT: &str = "bench";

/// How a socket is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Plain,
    SocketIo,
}

/// Sockets, by the thousand.
#[derive(Clone, Parser)]
struct Arguments {
    /// Which kind; both, one after the other, when none is named
    #[arg(long)]
    kind: Option<Kind>,
    /// How many sockets
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// Handshakes at the same time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Broadcasts to all of them
    #[arg(long, default_value_t = 10)]
    broadcasts: usize,
    /// Events to ten of them, as fast as they go
    #[arg(long, default_value_t = 20_000)]
    events: usize,
    /// Bytes of an event's message
    #[arg(long, default_value_t = 1_000)]
    bytes: usize,
    /// Be the gateway (the benchmark starts itself with this)
    #[arg(long, hide = true)]
    serve: bool,
    /// `cargo bench` says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if arguments.serve {
        return runtime.block_on(serve(&arguments));
    }
    let kinds = arguments.kind.map_or(vec![Kind::Plain, Kind::SocketIo], |kind| vec![kind]);
    for kind in kinds {
        runtime.block_on(measure(&arguments, kind));
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn name_of(number: usize) -> String {
    format!("agent-{number}")
}

fn record(topic: Topic, partitions: u32, key: String, value: Vec<u8>) -> NewRecord {
    let partition = partition_of(TENANT, partitions);
    NewRecord { topic, partition, at_ms: 0, key: key.into(), value: Some(value.into()), headers: Headers::default() }
}

fn row<R: Row>(partitions: u32, id: &str, row: &R) -> NewRecord {
    let control = Control {
        kind: R::KIND.to_owned(),
        tenant_id: TENANT.to_owned(),
        id: id.to_owned(),
        data: serde_json::to_value(row).expect("a row"),
        at: Time(0),
    };
    let value = serde_json::to_vec(&control).expect("JSON");
    record(Topic::Control, partitions, format!("{TENANT}/{}/{id}", R::KIND), value)
}

/// The gateway, and the pipeline's part: tells agents what it is told to.
async fn serve(arguments: &Arguments) {
    let folder = std::env::temp_dir().join(format!("nexus-bench-{}", std::process::id()));
    let journal = embedded::Settings { partitions: 4, ..Default::default() };
    let log: Arc<dyn Log> = Arc::new(Journal::open(&folder, journal).expect("a journal"));
    let directory = Arc::new(Directory::default());
    for chunk in (0..arguments.sockets).collect::<Vec<_>>().chunks(500) {
        let rows = chunk.iter().flat_map(|number| {
            let (name, client_id) = (name_of(*number), format!("cli-{number}"));
            let agent = Agent { name: name.clone(), client_id: client_id.clone(), enabled: true, ..Default::default() };
            let client = Client { agent_id: Some(name.clone()), enabled: true, ..Default::default() };
            [row(log.partitions(), &name, &agent), row(log.partitions(), &client_id, &client)]
        });
        log.append(rows.collect()).await.expect("appended");
    }
    let (known, knows) = tokio::sync::oneshot::channel();
    tokio::spawn(Arc::clone(&directory).follow(Arc::clone(&log), move || _ = known.send(())));
    knows.await.expect("caught up");
    let gateway = Gateway::new(Parts {
        log: Arc::clone(&log),
        directory: Arc::clone(&directory),
        tokens: Arc::new(Tokens::new(SECRET, directory, Arc::new(SystemClock))),
        clock: Arc::new(SystemClock),
        counts: Arc::new(Counts::new().expect("counts")),
        kill_switch: nexus_benches::kill_switch(),
        settings: Settings::default(),
    });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let board = Arc::new(Board::default());
    let context = RoleContext { role: "gateway", board: Arc::clone(&board), stop: stopped.clone() };
    tokio::spawn(Arc::clone(&gateway).run(context));
    while board.all().get("gateway") != Some(&Status::Running) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = server::Settings {
        connections_max: 60_000,
        head_timeout: Duration::from_secs(30),
        drain_timeout: Duration::from_secs(1),
    };
    tokio::spawn(server::serve(listener, gateway.router(), serving, stopped));
    println!("{port}");
    let (orders, mut ordered) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if orders.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut seqs = vec![0_u64; arguments.sockets];
    while let Some(order) = ordered.recv().await {
        let (all, count) = match order.split_once(' ') {
            Some(("all", count)) => (arguments.sockets, count),
            Some(("ten", count)) => (arguments.sockets.min(10), count),
            _ => continue,
        };
        let count: usize = count.parse().expect("a number");
        let mut appends = std::collections::VecDeque::new();
        for number in 0..count {
            let value = entry(&mut seqs[..all], arguments.bytes, number);
            appends.push_back(log.append(vec![record(Topic::AgentsInbox, log.partitions(), TENANT.to_owned(), value)]));
            if appends.len() > 256 {
                appends.pop_front().expect("some").await.expect("appended");
            }
        }
        for append in appends {
            append.await.expect("appended");
        }
        println!("told");
    }
    let _ = stop.send(true);
    let _ = std::fs::remove_dir_all(folder);
}

fn entry(seqs: &mut [u64], bytes: usize, number: usize) -> Vec<u8> {
    let to = seqs.iter_mut().enumerate().map(|(agent, seq)| {
        *seq += 1;
        Addressee { agent_id: name_of(agent), seq: *seq, prev_seq: *seq - 1, name: None }
    });
    let mut data = serde_json::Map::new();
    data.insert("message".to_owned(), "x".repeat(bytes).into());
    let entry = InboxEntry {
        id: format!("evt_{:016x}{number:016x}", now_ns()),
        tenant_id: TENANT.to_owned(),
        trace_id: None,
        name: "context_update".to_owned(),
        to: to.collect(),
        at: Time(0),
        event: None,
        data: Some(data),
    };
    serde_json::to_vec(&entry).expect("JSON")
}

/// The gateway as a process.
struct Hub {
    child: Child,
    orders: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Hub {
    fn start(arguments: &Arguments) -> Hub {
        let mut child = Command::new(std::env::current_exe().expect("a name"))
            .args(["--serve", "--sockets", &arguments.sockets.to_string(), "--bytes", &arguments.bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the benchmark starts itself");
        let orders = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.next().expect("a line").expect("text").parse().expect("a port");
        Hub { child, orders, lines, port }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("it listens");
        self.lines.next().expect("an answer").expect("text");
    }
}

/// What the sockets of this process hear.
#[derive(Default)]
struct Heard {
    events: AtomicU64,
    late_us: Mutex<Vec<u32>>,
}

async fn measure(arguments: &Arguments, kind: Kind) {
    let mut hub = Hub::start(arguments);
    let tokens = Tokens::new(SECRET, Arc::new(Directory::default()), Arc::new(SystemClock));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = hub.child.id();
    let (before_mb, heard) = (rss_mb(pid), Arc::new(Heard::default()));
    let places = Arc::new(Semaphore::new(arguments.concurrency));
    let made: Vec<_> = (0..arguments.sockets)
        .map(|number| tokens.issue(TENANT, &format!("cli-{number}"), &name_of(number), Role::Agent))
        .collect();
    let (begun, mut opening) = (Instant::now(), JoinSet::new());
    for token in made {
        let (places, port) = (Arc::clone(&places), hub.port);
        opening.spawn(async move {
            let _place = places.acquire_owned().await.expect("open");
            open(kind, port, &token).await.expect("opened")
        });
    }
    let mut sockets = Vec::new();
    while let Some(socket) = opening.join_next().await {
        sockets.push(socket.expect("opened"));
    }
    let rate = arguments.sockets as f64 / begun.elapsed().as_secs_f64();
    // Presence is written, read back, and all is quiet again.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let each_kib = (rss_mb(pid) - before_mb) * 1024.0 / arguments.sockets as f64;
    println!("{kind:?}: {rate:.0} connects/s, {each_kib:.2} KiB an idle socket ({before_mb:.0} MB before)");
    for socket in sockets {
        tokio::spawn(listen(socket, Arc::clone(&heard)));
    }
    for _ in 0..arguments.broadcasts {
        let wanted = heard.events.load(SeqCst) + arguments.sockets as u64;
        hub.order("all 1");
        all_heard(&heard, wanted).await;
    }
    let mut late = std::mem::take(&mut *heard.late_us.lock().expect("unpoisoned"));
    println!("{kind:?}: a broadcast to {} reaches them after {}", arguments.sockets, Spread::of(&mut late));
    let ten = arguments.sockets.min(10) as u64;
    let (begun, cpu) = (Instant::now(), cpu_ms(pid));
    let wanted = heard.events.load(SeqCst) + arguments.events as u64 * ten;
    hub.order(&format!("ten {}", arguments.events));
    all_heard(&heard, wanted).await;
    let took = begun.elapsed().as_secs_f64();
    let told = arguments.events as f64 * ten as f64;
    let cpu = (cpu_ms(pid) - cpu) as f64 * 1_000.0 / arguments.events as f64;
    println!("{kind:?}: {:.0} events/s told to {ten} agents, {cpu:.0} ms CPU for 1,000 events to all", told / took);
    println!("{kind:?}: {:.0} MB at the end", rss_mb(pid));
    let _ = hub.child.kill();
    let _ = hub.child.wait();
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join(format!("nexus-bench-{pid}")));
}

async fn all_heard(heard: &Heard, wanted: u64) {
    let begun = Instant::now();
    while heard.events.load(SeqCst) < wanted {
        assert!(begun.elapsed() < Duration::from_secs(120), "{} of {wanted}", heard.events.load(SeqCst));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Opens a socket and says that it is ready.
async fn open(kind: Kind, port: u16, token: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (path, ready) = match kind {
        Kind::Plain => ("/agents/ws", r#"{"event":"agent_ready","data":{}}"#),
        Kind::SocketIo => ("/socket.io/?EIO=4&transport=websocket", r#"42/agents,["agent_ready",{}]"#),
    };
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    if kind == Kind::SocketIo {
        until(&mut stream, b"0{").await?;
        stream.write_all(&masked("40/agents,{}")).await?;
    }
    until(&mut stream, b"\"resumed\"").await?;
    stream.write_all(&masked(ready)).await?;
    Ok(stream)
}

/// Reads until something was said.
async fn until(stream: &mut TcpStream, what: &[u8]) -> std::io::Result<()> {
    let (mut all, mut piece) = (Vec::new(), [0; 512]);
    while !all.windows(what.len()).any(|window| window == what) {
        match stream.read(&mut piece).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => all.extend_from_slice(&piece[..count]),
        }
    }
    Ok(())
}

/// A short text frame of a client, with a mask of zeros.
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Counts the events that come, by where each tells its id, and how late.
async fn listen(mut stream: TcpStream, heard: Arc<Heard>) {
    const MARK: &[u8] = b"\"eventId\":\"evt_";
    let (mut rest, mut piece) = (Vec::new(), vec![0; 4_096]);
    while let Ok(count) = stream.read(&mut piece).await {
        if count == 0 {
            return;
        }
        rest.extend_from_slice(&piece[..count]);
        let mut at = 0;
        while let Some(found) = rest[at..].windows(MARK.len()).position(|window| window == MARK) {
            let id = at + found + MARK.len();
            let Some(digits) = rest.get(id..id + 16) else { break };
            let sent_ns = std::str::from_utf8(digits).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
            let late_us = now_ns().saturating_sub(sent_ns.unwrap_or_default()) / 1_000;
            heard.late_us.lock().expect("unpoisoned").push(late_us.min(u64::from(u32::MAX)) as u32);
            heard.events.fetch_add(1, SeqCst);
            at = id + 16;
        }
        let keep = rest.len().min(MARK.len() + 16).min(rest.len() - at);
        rest.drain(..rest.len() - keep);
    }
}
