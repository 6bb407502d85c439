//! Questions over a lake of ten million events, beside DuckDB on the same files
//! in the same run.
//!
//! `cargo bench -p nexus-benches --features sql --bench lake -- --lake FOLDER
//! --python PYTHON`; the lake is made if it is not there. Without an interpreter
//! that has `duckdb`, the hub's own times alone.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use analytics::lake::{Files, Manifest, Sink};
use clap::Parser;
use nexus_benches::{WORDS, rss_mb};
use pipeline::{
    ports::{Headers, Lag, Log, LogError, Membership, NewRecord, Pending, Position, Reader, Record, Start, Visibility},
    topics::{Topic, partition_of},
};
use runtime::{
    clock::SystemClock,
    config::{Config, LakeSettings as Settings},
    sql::{Format, Question},
};
use serde_json::{Value, json};

/// See above.
#[derive(Parser)]
struct Arguments {
    /// Events of all tenants
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Where the lake is, or is to be
    #[arg(long)]
    lake: PathBuf,
    /// Whose most of them are
    #[arg(long, default_value = "acme")]
    tenant: String,
    /// The identity of the log that they are said to be of, in hex
    #[arg(long, default_value = "0")]
    identity: String,
    /// How often each question is asked
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// A Python that has DuckDB
    #[arg(long)]
    python: Option<PathBuf>,
    /// Cargo's own
    #[arg(long, hide = true)]
    bench: bool,
}

const PARTITIONS: u32 = 16;
/// 2026-11-19, three days of events.
const FIRST_MS: u64 = 1_795_046_400_000;
const DAYS_MS: u64 = 3 * 86_400_000;
/// What the tenants have of ten events, each in a partition of its own.
const SHARES: [u64; 3] = [7, 2, 1];

/// A log that has what it is asked for: the events of a few tenants.
struct Made {
    identity: u64,
    /// The tenant, partition and number of events of each.
    tenants: Vec<(String, u32, u64)>,
}

impl Made {
    fn new(arguments: &Arguments) -> Made {
        let mut tenants: Vec<(String, u32, u64)> = Vec::new();
        for (name, share) in [&*arguments.tenant, "beta", "gamma"].into_iter().zip(SHARES) {
            let mut name = name.to_owned();
            while tenants.iter().any(|(_, taken, _)| *taken == partition_of(&name, PARTITIONS)) {
                name.push('x');
            }
            let partition = partition_of(&name, PARTITIONS);
            tenants.push((name, partition, arguments.events * share / SHARES.iter().sum::<u64>()));
        }
        let identity = u64::from_str_radix(&arguments.identity, 16).expect("an identity is hex");
        Made { identity, tenants }
    }
}

impl Log for Made {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn partitions(&self) -> u32 {
        PARTITIONS
    }

    fn append(&self, _: Vec<NewRecord>) -> Pending<'static, Vec<Position>> {
        Box::pin(async { Err(LogError::Closed) })
    }

    fn read(&self, topic: Topic, partition: u32, from: Start, _: Visibility) -> Pending<'_, Box<dyn Reader>> {
        let next = if let Start::Offset(offset) = from { offset } else { 0 };
        let own = self.tenants.iter().find(|(_, own, _)| topic == Topic::Events && *own == partition).cloned();
        let (tenant, _, end) = own.unwrap_or_default();
        Box::pin(async move { Ok(Box::new(Making { tenant, partition, next, end }) as Box<dyn Reader>) })
    }

    fn join(&self, _: &str, _: &[Topic]) -> Pending<'_, Box<dyn Membership>> {
        Box::pin(async { Err(LogError::Closed) })
    }

    fn lag(&self, _: &str, topics: &[Topic]) -> Pending<'_, Vec<Lag>> {
        let lag = |(_, partition, end_offset): &(String, u32, u64)| Lag {
            topic: Topic::Events,
            partition: *partition,
            first_offset: 0,
            end_offset: *end_offset,
            group_offset: None,
            oldest_unread_at_ms: None,
        };
        let lags = self.tenants.iter().filter(|_| topics.contains(&Topic::Events)).map(lag).collect();
        Box::pin(async move { Ok(lags) })
    }

    fn ready(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

struct Making {
    tenant: String,
    partition: u32,
    next: u64,
    end: u64,
}

impl Reader for Making {
    fn next(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        self.ready(records_max)
    }

    fn ready(&mut self, records_max: usize) -> Pending<'_, Vec<Record>> {
        let end = self.end.min(self.next.saturating_add(records_max as u64));
        let records = (self.next..end).map(|offset| self.record(offset)).collect();
        self.next = end;
        Box::pin(async move { Ok(records) })
    }

    fn position(&self) -> u64 {
        self.next
    }
}

/// Bits that look like chance, and are the same in each run.
fn dice(seed: u64) -> u64 {
    let mut value = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Making {
    /// A message or a change of a task, in the shape that the pipeline writes.
    fn record(&self, offset: u64) -> Record {
        let chance = dice(offset ^ u64::from(self.partition) << 40);
        let at_ms = FIRST_MS + DAYS_MS * offset / self.end.max(1);
        let provider = ["slack", "slack", "clickup", "clickup", "github", "jira"][chance as usize % 6];
        // Most are reported at once, some late.
        let late_ms = 80 + (chance >> 8) % 400 + if chance % 50 == 0 { (chance >> 16) % 30_000 } else { 0 };
        let time = |ms: u64| udfs::time::to_rfc3339(ms as i64);
        let words: Vec<&str> = (0..12).map(|place| WORDS[dice(chance + place) as usize % WORDS.len()]).collect();
        let (said, person, task) = (words.join(" "), (chance >> 24) % 400, (chance >> 32) % 20_000);
        let is_message = provider == "slack";
        let agent = (chance % 3 == 0).then(|| format!("agent-{}", (chance >> 40) % 60));
        let value = json!({
            "id": format!("{chance:016x}{offset:016x}"),
            "type": if is_message { "MessagePosted" } else { "TaskStatusChanged" },
            "tenantId": self.tenant,
            "occurredAt": time(at_ms - late_ms),
            "receivedAt": time(at_ms),
            "traceId": format!("{:016x}{:016x}", dice(chance), dice(offset)),
            "source": { "provider": provider, "event": if is_message { "message" } else { "taskStatusUpdated" },
                "connectionId": format!("{}-{provider}", self.tenant), "deliveryId": format!("D{offset}") },
            "actor": { "kind": if agent.is_some() { "agent" } else { "user" }, "trust": "member",
                "externalId": format!("U{person:06}"), "name": format!("Person {person}"), "agentId": agent },
            "subject": { "kind": if is_message { "message" } else { "task" }, "externalId": format!("S{task}"),
                "url": format!("https://example.com/{provider}/{task}") },
            "project": { "id": format!("project-{}", task % 40), "externalId": format!("9011{:05}", task % 40),
                "name": format!("Project {}", task % 40) },
            "task": { "id": format!("task-{task}"), "externalId": format!("86c{task:05}"), "title": words[..5].join(" "),
                "status": "in progress", "state": "active", "priority": "normal", "assignees": [format!("U{person:06}")] },
            "message": is_message.then(|| json!({ "text": said, "channelId": format!("C{:05}", task % 90),
                "threadTs": format!("{}.{:06}", at_ms / 1000, task), "threadSeq": task % 70 })),
            "changes": (!is_message).then(|| json!([{ "field": "status", "before": "to do", "after": "in progress" }])),
            "mentions": if chance % 7 == 0 { json!([{ "alias": "@AI_Squad" }]) } else { json!([]) },
            "unrouted": false,
            "raw": { "offset": offset },
        });
        Record {
            position: Position { topic: Topic::Events, partition: self.partition, offset },
            at_ms,
            key: self.tenant.clone().into(),
            value: Some(value.to_string().into()),
            headers: Headers::default(),
        }
    }
}

/// A question: its name, in the hub's SQL, and in DuckDB's over `events`, where
/// `{own}` stands for whose.
struct Asked {
    name: &'static str,
    ours: &'static str,
    theirs: &'static str,
}

const QUESTIONS: &[Asked] = &[
    Asked {
        name: "by provider and minute",
        ours: "SELECT provider, date_bin(INTERVAL '1 minute', received_at) AS minute, count(*) AS events
               FROM events GROUP BY 1, 2",
        theirs: "SELECT provider, epoch_ms(received_at) // 60000 AS minute, count(*) AS events
                 FROM events WHERE {own} GROUP BY 1, 2",
    },
    Asked {
        name: "p95 of a tenant",
        ours: "SELECT approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(received_at AS BIGINT) -
               CAST(occurred_at AS BIGINT)) AS p95 FROM events",
        theirs: "SELECT approx_quantile(epoch_ms(received_at) - epoch_ms(occurred_at), 0.95) AS p95
                 FROM events WHERE {own}",
    },
    Asked {
        name: "exact p95 of a tenant",
        ours: "SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY CAST(CAST(received_at AS BIGINT) -
               CAST(occurred_at AS BIGINT) AS DOUBLE)) AS p95 FROM events",
        theirs: "SELECT quantile_cont(epoch_ms(received_at) - epoch_ms(occurred_at), 0.95) AS p95
                 FROM events WHERE {own}",
    },
    Asked {
        name: "top 10 agents",
        ours: "SELECT actor_agent_id, count(*) AS events FROM events WHERE actor_agent_id IS NOT NULL
               GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10",
        theirs: "SELECT actor_agent_id, count(*) AS events FROM events WHERE {own} AND actor_agent_id IS NOT NULL
                 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10",
    },
];

/// DuckDB, in a process of its own: a line with SQL in, a line with the
/// milliseconds and the number of rows out.
struct Duck {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

const DUCK: &str = r"
import json, sys, time, duckdb
db = duckdb.connect(config={'threads': 2})
for line in sys.stdin:
    begun = time.perf_counter()
    rows = db.execute(json.loads(line)).fetchall()
    print(json.dumps([(time.perf_counter() - begun) * 1000, len(rows)]), flush=True)
";

impl Duck {
    fn start(python: &Path) -> Duck {
        let mut command = Command::new(python);
        let mut child = command
            .args(["-c", DUCK])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Duck { child, to, from: BufReader::new(from) }
    }

    fn ask(&mut self, sql: &str) -> (f64, u64) {
        writeln!(self.to, "{}", Value::from(sql)).expect("DuckDB listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("DuckDB answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("DuckDB gave up on {sql}"))
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn fill(log: &Arc<Made>, files: &Files, settings: &Settings) -> Manifest {
    if let Some(manifest) = Manifest::read(files, log.identity).await.expect("a manifest") {
        return manifest;
    }
    let sink = Sink::new(Arc::clone(log) as Arc<dyn Log>, Arc::new(SystemClock), files.clone(), settings.clone());
    let begun = Instant::now();
    let mut manifest = sink.open().await.expect("a manifest");
    sink.turn(&mut manifest).await.expect("a lake");
    let (took, rows) = (begun.elapsed().as_secs_f64(), manifest.files.iter().map(|file| file.rows).sum::<u64>());
    println!(
        "filled in {took:.0} s, {:.0} events a second (and made them), {:.0} MB in memory",
        rows as f64 / took,
        rss_mb(std::process::id())
    );
    manifest
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let log = Arc::new(Made::new(&arguments));
    let mut config = Config::load(None, std::iter::empty()).expect("the defaults");
    config.lake.folder = arguments.lake.display().to_string();
    config.sql.threads = 2;
    let files = Files::open(&config.lake, Path::new("")).expect("a folder");
    let manifest = fill(&log, &files, &config.lake).await;
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let rows: u64 = manifest.files.iter().map(|file| file.rows).sum();
    println!("{rows} events in {} files, {:.2} GB", manifest.files.len(), bytes as f64 / 1e9);

    let engine = analytics::engine(&config, Arc::clone(&log) as Arc<dyn Log>).expect("an engine");
    let mut duck = arguments.python.as_deref().map(Duck::start);
    if let Some(duck) = &mut duck {
        let paths: Vec<String> =
            manifest.files.iter().map(|file| format!("'{}'", arguments.lake.join(&file.path).display())).collect();
        duck.ask(&format!(
            "CREATE VIEW events AS SELECT * FROM read_parquet([{}], hive_partitioning = false)",
            paths.join(", ")
        ));
    }
    println!("\n| question | hub | DuckDB | ratio |\n| --- | --- | --- | --- |");
    for question in QUESTIONS {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // The first time of each is for the caches.
        for _ in 0..=arguments.runs {
            let (mut own_ms, mut their_ms) = (0.0, 0.0);
            for (tenant, ..) in &log.tenants {
                let begun = Instant::now();
                let asked = Question { tenant: tenant.clone(), text: question.ours.to_owned(), format: Format::Json };
                let answer = engine.ask(asked).await.unwrap_or_else(|refused| panic!("{}: {refused}", question.name));
                own_ms += begun.elapsed().as_secs_f64() * 1000.0;
                let answer: Value = serde_json::from_slice(&answer).expect("JSON");
                let rows = answer["data"].as_array().map_or(0, Vec::len) as u64;
                if let Some(duck) = &mut duck {
                    let own = format!("tenant_id = '{tenant}'");
                    let (ms, their_rows) = duck.ask(&question.theirs.replace("{own}", &own));
                    assert_eq!(rows, their_rows, "{} of {tenant}", question.name);
                    their_ms += ms;
                }
            }
            ours.push(own_ms);
            theirs.push(their_ms);
        }
        let (ours, theirs) = (median(ours.split_off(1)), median(theirs.split_off(1)));
        println!("| {} | {ours:.0} ms | {theirs:.0} ms | {:.2} |", question.name, ours / theirs);
    }
    println!("\n{:.0} MB in memory", rss_mb(std::process::id()));
}
