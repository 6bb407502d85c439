//! The log's promises, kept by a real Kafka.
//!
//! Switched on by `NEXUS_TEST_KAFKA=host:port` (see `deploy/dev/kafka.sh`);
//! then a broker that does not answer is a failure. Every test has topics of its
//! own. The one that restarts the broker also needs `NEXUS_TEST_KAFKA_CTL`, a
//! command that takes `restart`, and has the broker for itself.

mod append;
mod commit;
mod crash;
mod foreign;
mod group;
mod read;

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use log::kafka::{KafkaLog, Settings};
use pipeline::{
    ports::{Batch, Headers, Log, Membership, NewRecord, Reader, Record, Session, Start, Visibility},
    topics::{TOPICS, Topic},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::sync::{RwLock, RwLockReadGuard};

/// How many partitions the tests' topics have.
const PARTITIONS: u32 = 2;
/// What must have happened by then will not happen any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Held for writing by whoever restarts the broker.
static BROKER: RwLock<()> = RwLock::const_new(());

/// One test's topics on the shared broker.
pub struct Bench {
    pub settings: Settings,
    /// Removed at the end; not by a process that shares another's topics.
    own: bool,
    _undisturbed: Option<RwLockReadGuard<'static, ()>>,
}

impl Bench {
    /// `None`, said aloud, when the tests with Kafka are off.
    pub async fn new(test: &str) -> Option<Bench> {
        let undisturbed = BROKER.read().await;
        let mut bench = Bench::disturbing(test)?;
        bench._undisturbed = Some(undisturbed);
        Some(bench)
    }

    /// For a test that restarts the broker and holds [`BROKER`] by itself.
    fn disturbing(test: &str) -> Option<Bench> {
        let Ok(brokers) = std::env::var("NEXUS_TEST_KAFKA") else {
            eprintln!("{test}: off, because NEXUS_TEST_KAFKA is not set");
            return None;
        };
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let mut settings = Settings::new(brokers, PARTITIONS);
        settings.topic_prefix = format!("{test}.{}.{}.{number}.", began_ms(), std::process::id());
        settings.replication = Some(1);
        Some(Bench { settings, own: true, _undisturbed: None })
    }

    /// A process's log on these topics.
    async fn log(&self) -> KafkaLog {
        KafkaLog::open(self.settings.clone()).await.expect("the broker that NEXUS_TEST_KAFKA names")
    }

    /// The same of a process with a name that survives restarts.
    async fn log_of(&self, instance: &str) -> KafkaLog {
        let settings = Settings { instance_id: Some(instance.to_owned()), ..self.settings.clone() };
        KafkaLog::open(settings).await.expect("the broker that NEXUS_TEST_KAFKA names")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !self.own {
            return;
        }
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.settings.brokers);
        let names: Vec<_> = TOPICS.iter().map(|spec| format!("{}{}", self.settings.topic_prefix, spec.name)).collect();
        // A thread, because a test's own runtime cannot be waited for from here.
        let removed = std::thread::spawn(move || {
            let admin: AdminClient<DefaultClientContext> = config.create().ok()?;
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
            runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())).ok()
        });
        if !matches!(removed.join(), Ok(Some(_))) {
            eprintln!("the topics {}* are left behind", self.settings.topic_prefix);
        }
    }
}

/// Commits, and waits until others can see it.
async fn commit(session: &mut dyn Session, batch: Batch) {
    session.commit(batch).await.expect("a commit");
    session.settle().await.expect("a commit that is seen");
}

/// When these tests began. Not an invented time: brokers drop what is older than
/// a topic keeps, by the time that the record itself says.
fn began_ms() -> u64 {
    static BEGAN: LazyLock<u64> =
        LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as u64);
    *BEGAN
}

fn record(topic: Topic, partition: u32, key: &str, value: impl Into<String>) -> NewRecord {
    NewRecord {
        topic,
        partition,
        at_ms: began_ms(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Some(Bytes::from(value.into())),
        headers: Headers::new([("type", &b"test"[..])]),
    }
}

fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"(nothing)")).into_owned()
}

/// Everything there is in a partition now.
async fn all(log: &KafkaLog, topic: Topic, partition: u32) -> Vec<Record> {
    let mut reader = log.read(topic, partition, Start::Oldest, Visibility::Durable).await.expect("a reader");
    drain(&mut *reader).await
}

async fn drain(reader: &mut dyn Reader) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        let some = reader.ready(1_000).await.expect("records or the end");
        if some.is_empty() {
            return records;
        }
        records.extend(some);
    }
}

async fn texts(log: &KafkaLog, topic: Topic, partition: u32) -> Vec<String> {
    all(log, topic, partition).await.iter().map(text).collect()
}

async fn next_session(member: &mut dyn Membership) -> Box<dyn Session> {
    tokio::time::timeout(PATIENCE, member.next()).await.expect("a partition in time").expect("a session")
}

/// The session of one partition; the others that come first are let go.
async fn session_of(member: &mut dyn Membership, partition: u32) -> (Box<dyn Session>, Vec<Box<dyn Session>>) {
    let mut others = Vec::new();
    loop {
        let session = next_session(member).await;
        if session.partition() == partition {
            return (session, others);
        }
        others.push(session);
    }
}

/// Polls until so many records came.
async fn polled(session: &mut dyn Session, records: usize) -> Vec<Record> {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut got = Vec::new();
    while got.len() < records {
        assert!(std::time::Instant::now() < deadline, "{} of {records} records came", got.len());
        got.extend(session.poll(records - got.len(), Duration::from_millis(100)).await.expect("records"));
    }
    got
}
