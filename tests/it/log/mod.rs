//! What every log promises: one story a promise, told over each of them.
//!
//! A log that is to be tested brings a [`House`] and one line of `tell!`.
//! The stories know no offset beforehand, only orders and differences, so a
//! log may leave holes; topics are the real ones, so a house must be empty when
//! it is opened first.

mod chaos;
mod damage;
mod embedded;
mod kafka;
mod memory;
mod simulation;
mod stories;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    ports::{Headers, Log, NewRecord, Reader, Record, Session, Start, Visibility},
    topics::Topic,
};

/// Where a log lives while a story opens and closes it.
pub trait House: Send {
    /// Opens the log, with four partitions. Called again only after the log
    /// that was opened before was closed and let go.
    fn open(&mut self) -> impl Future<Output = Arc<dyn Log>> + Send;

    /// Has the log let go of what has expired at `now_ms`, or was replaced.
    /// False where that cannot be asked for: the story then ends.
    fn clean(&mut self, _now_ms: u64) -> bool {
        false
    }
}

/// Partitions of the logs under test.
pub const PARTITIONS: u32 = 4;

/// How long to wait for what must come. Only a failing test waits that long.
pub const SOON: Duration = Duration::from_secs(60);

/// Makes one test of each story, for a house that is there; where it is none,
/// because a service is switched off, the story says so and ends.
macro_rules! tell {
    ($house:expr; $($story:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                if let Some(house) = $house {
                    crate::log::stories::$story(house).await;
                }
            }
        )+
    };
    ($house:expr) => {
        crate::log::tell! {
            $house;
            records_are_read_in_the_order_they_were_written,
            records_survive_a_restart,
            a_commit_is_seen_whole,
            a_session_reads_all_of_its_inputs,
            a_group_goes_on_where_it_was,
            a_zombie_commits_nothing,
            every_partition_has_one_session,
            state_is_restored_to_its_newest,
            streams_expire_from_their_beginning,
            tables_keep_the_newest_of_each_key,
            a_table_may_be_an_input,
            tables_are_known_before_streams,
            appends_at_once_stay_apart,
            the_lag_is_told,
            readers_may_give_up_waiting,
            the_newest_is_what_comes_after,
            a_closed_log_takes_nothing,
        }
    };
}
pub(crate) use tell;

/// A record of a stream.
pub fn event(topic: Topic, partition: u32, value: &str) -> NewRecord {
    NewRecord {
        topic,
        partition,
        at_ms: 1_700_000_000_000,
        key: Bytes::from_static(b"acme"),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::default(),
    }
}

/// A record of a table; without a value it deletes.
pub fn entry(topic: Topic, partition: u32, key: &str, value: Option<&str>) -> NewRecord {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    NewRecord { key: Bytes::copy_from_slice(key.as_bytes()), value, ..event(topic, partition, "") }
}

/// What a record says.
pub fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"(nothing)")).into_owned()
}

/// What records say.
pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(text).collect()
}

/// A reader of what is durable.
pub async fn reader(log: &dyn Log, topic: Topic, partition: u32, from: Start) -> Box<dyn Reader> {
    log.read(topic, partition, from, Visibility::Durable).await.expect("a reader")
}

/// Exactly so many records, waiting for them.
pub async fn take(reader: &mut dyn Reader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let next = tokio::time::timeout(SOON, reader.next(count - records.len())).await;
        records.extend(next.expect("records in time").expect("records"));
    }
    records
}

/// Everything that there is.
pub async fn everything(log: &dyn Log, topic: Topic, partition: u32) -> Vec<Record> {
    let mut reader = reader(log, topic, partition, Start::Oldest).await;
    let mut records = Vec::new();
    loop {
        let more = reader.ready(100).await.expect("records");
        if more.is_empty() {
            return records;
        }
        records.extend(more);
    }
}

/// Exactly so many records of a session, waiting for them.
pub async fn poll(session: &mut dyn Session, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let polled = session.poll(count - records.len(), SOON).await.expect("records");
        assert!(!polled.is_empty(), "{} of {count} records came in time", records.len());
        records.extend(polled);
    }
    records
}

/// The session of one partition; the others are kept beside it.
pub async fn session(log: &dyn Log, group: &str, inputs: &[Topic], partition: u32) -> Owner {
    let mut membership = log.join(group, inputs).await.expect("a place in the group");
    let mut others = Vec::new();
    loop {
        let session = tokio::time::timeout(SOON, membership.next()).await;
        let session = session.expect("a partition in time").expect("a partition");
        if session.partition() == partition {
            return Owner { session, _others: others, _membership: membership };
        }
        others.push(session);
    }
}

/// A session together with what keeps it from being given to others.
pub struct Owner {
    pub session: Box<dyn Session>,
    _others: Vec<Box<dyn Session>>,
    _membership: Box<dyn pipeline::ports::Membership>,
}
