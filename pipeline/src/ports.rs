//! What the dataflow asks of the world: a [`Log`].
//!
//! Three implementations exist (memory for tests, one embedded journal, Kafka)
//! and one conformance suite runs over all of them. What each promises:
//!
//! * records of one topic and partition are read in the order of their offsets,
//!   each offset once, and never before they are durable (except by
//!   [`Visibility::Early`], see there);
//! * [`Log::append`] answers when the records are durable, and not before;
//! * [`Session::commit`] takes effect whole or not at all: outputs, state and
//!   the position in the inputs;
//! * of two sessions of one group and partition, the older one is fenced: from
//!   the moment the newer exists, nothing of it can be committed.

use std::{future::Future, pin::Pin, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};

use crate::topics::Topic;

/// The largest record that every log takes: key, value and headers together.
/// More than the largest body of a provider, written as text in a record.
pub const RECORD_BYTES_MAX: usize = 32 << 20;

/// An answer that comes later. No runtime is named: whoever polls it, drives it.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: u32,
    /// Its number within both, from zero, without repetition.
    pub offset: u64,
}

/// A record as it is read.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it is.
    pub position: Position,
    /// When its writer made it, in milliseconds since the epoch; in Kafka's
    /// `webhooks.raw`, where anybody may write, when the broker got it.
    pub at_ms: u64,
    /// The tenant id, or `tenant/kind/id` in a compacted topic.
    pub key: Bytes,
    /// What it says; nothing in a compacted topic deletes the key.
    pub value: Option<Bytes>,
    /// Small named values beside it.
    pub headers: Headers,
}

/// A record to be written.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// To which topic.
    pub topic: Topic,
    /// To which partition (see [`crate::topics::partition_of`]).
    pub partition: u32,
    /// See [`Record::at_ms`].
    pub at_ms: u64,
    /// See [`Record::key`].
    pub key: Bytes,
    /// See [`Record::value`].
    pub value: Option<Bytes>,
    /// See [`Record::headers`].
    pub headers: Headers,
}

impl NewRecord {
    /// Its size, by which [`RECORD_BYTES_MAX`] goes.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + self.headers.encoded().len()
    }
}

/// Small named values beside a record, in one allocation.
///
/// Encoded as a sequence of: name length (1 byte), name, value length (2 bytes,
/// little endian), value. That is also how the embedded journal stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// From pairs; a name beyond 255 bytes or a value beyond 65,535 is cut.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut buffer = BytesMut::with_capacity(160);
        for (name, value) in pairs {
            let name = &name.as_bytes()[..name.len().min(usize::from(u8::MAX))];
            let value = &value[..value.len().min(usize::from(u16::MAX))];
            buffer.put_u8(name.len() as u8);
            buffer.put_slice(name);
            buffer.put_u16_le(value.len() as u16);
            buffer.put_slice(value);
        }
        Headers(buffer.freeze())
    }

    /// From the encoding; `None` when it is not one.
    pub fn decode(encoded: Bytes) -> Option<Self> {
        let mut rest = &encoded[..];
        while !rest.is_empty() {
            let (_, _, after) = split_header(rest)?;
            rest = after;
        }
        Some(Headers(encoded))
    }

    /// The encoding.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (name, value, after) = split_header(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

fn split_header(encoded: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (&name_len, rest) = encoded.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
    let (value_len, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*value_len)))?;
    Some((std::str::from_utf8(name).ok()?, value, rest))
}

/// What went wrong in a log, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The log cannot take more just now: try again after a while.
    #[error("the log is behind its bound of {bound_bytes} waiting bytes")]
    Busy {
        /// How much may wait.
        bound_bytes: usize,
    },
    /// A record that no log may hold: the caller's fault, never to be retried.
    #[error("a record of {bytes} bytes is beyond the limit of {max_bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// Another session owns this partition now: stop, and claim again.
    #[error("partition {partition} of group {group} belongs to a newer session")]
    Fenced {
        /// The consumer group.
        group: String,
        /// The partition that was lost.
        partition: u32,
    },
    /// What was asked for is older than what is kept.
    #[error("offset {asked} of {topic} is gone; the oldest is {first}")]
    Gone {
        /// The topic's name.
        topic: &'static str,
        /// The offset that was asked for.
        asked: u64,
        /// The first offset that exists.
        first: u64,
    },
    /// Stored bytes do not match their checksum. They are never served.
    #[error("corrupt log: {detail}; restore the file from a backup or move it away to lose what it holds")]
    Corrupt {
        /// Which file, where in it, and what is wrong.
        detail: String,
    },
    /// The disk, the broker or the network failed; it may come back.
    #[error("the log is unavailable: {detail}")]
    Unavailable {
        /// What failed, and how.
        detail: String,
    },
    /// What is on the disk is in doubt, for good: nothing is taken any more,
    /// and only opening the log anew tells what was kept.
    #[error("the log is lost until it is opened anew: {detail}")]
    Lost {
        /// What failed, and how.
        detail: String,
    },
    /// The log was closed by its owner.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// Whether the same call may succeed later.
    pub fn can_retry(&self) -> bool {
        matches!(self, LogError::Busy { .. } | LogError::Unavailable { .. })
    }
}

/// From where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that is kept.
    Oldest,
    /// What is written from now on.
    Newest,
    /// This offset. An older one than is kept gives [`LogError::Gone`]; one
    /// that compaction removed gives the next that is there.
    Offset(u64),
}

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Durable (and committed) records only. For every reader but one.
    Durable,
    /// In the embedded log also the outputs of commits whose own sync is still
    /// under way. Safe only where a repeat after a crash is recognised by its
    /// id, because the replay writes the same records again: for the agents'
    /// gateway. The same as `Durable` in logs that cannot tell.
    Early,
}

/// Outputs, state and progress, to be committed whole or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// What to append, state (`pipeline.state`) included.
    pub outputs: Vec<NewRecord>,
    /// For each input topic that moved: the offset to read next.
    pub next_offsets: Vec<(Topic, u64)>,
}

/// How far a consumer group is in one topic and partition.
#[derive(Clone, Debug)]
pub struct Lag {
    /// Which topic.
    pub topic: Topic,
    /// Which partition.
    pub partition: u32,
    /// The oldest offset that is kept.
    pub first_offset: u64,
    /// The offset that the next record will get.
    pub end_offset: u64,
    /// The offset that the group reads next; `None` when nobody of the group
    /// ever committed here.
    pub group_offset: Option<u64>,
    /// When the oldest record that the group has not read was made.
    pub oldest_unread_at_ms: Option<u64>,
}

/// A durable, partitioned, ordered log of every topic.
pub trait Log: Send + Sync + 'static {
    /// Names this log for as long as its records live. Ids made from positions
    /// include it, so that a new log never repeats an old one's ids.
    fn identity(&self) -> u64;

    /// How many partitions every topic has.
    fn partitions(&self) -> u32;

    /// Appends, in order and next to each other where they share a partition;
    /// answers with their positions when all of them are durable.
    fn append(&self, records: Vec<NewRecord>) -> Pending<'static, Vec<Position>>;

    /// Reads one partition of a topic, without a group.
    fn read(&self, topic: Topic, partition: u32, from: Start, visibility: Visibility) -> Pending<'_, Box<dyn Reader>>;

    /// Joins a group whose members share the partitions among them: the member
    /// that owns partition p owns it in all of `inputs`.
    fn join(&self, group: &str, inputs: &[Topic]) -> Pending<'_, Box<dyn Membership>>;

    /// How far `group` is in each of `topics`. An empty group is nobody: only
    /// where the topics begin and end is told.
    fn lag(&self, group: &str, topics: &[Topic]) -> Pending<'_, Vec<Lag>>;

    /// Whether an append may be expected to succeed now. Cheap.
    fn ready(&self) -> Result<(), LogError>;

    /// Waits until everything taken so far is durable, then takes no more.
    fn close(&self) -> Pending<'_, ()>;
}

/// Reads one partition of one topic.
pub trait Reader: Send {
    /// At least one record and at most `records_max`, waiting for as long as
    /// there is none. May be dropped while it waits without losing anything.
    fn next(&mut self, records_max: usize) -> Pending<'_, Vec<Record>>;

    /// What there is now: like `next`, but an empty answer at the end.
    fn ready(&mut self, records_max: usize) -> Pending<'_, Vec<Record>>;

    /// Everything before this offset that can ever be read was handed out. At the
    /// end it may lie beyond the last record: a log's own marks have offsets too.
    fn position(&self) -> u64;
}

/// A place in a consumer group.
pub trait Membership: Send {
    /// The next partition that this member is given, as a session of its own.
    /// Waits for as long as there is none to give.
    fn next(&mut self) -> Pending<'_, Box<dyn Session>>;
}

/// The right to process one partition of a group's inputs, until fenced.
///
/// A session belongs to one thread of its own: an implementation may block it.
pub trait Session: Send {
    /// Which partition.
    fn partition(&self) -> u32;

    /// Hands over every live record of a compacted topic's partition, oldest
    /// first, as of the last commit: this session's own, or that of whoever had
    /// the partition before. May be called again at any time.
    fn restore<'a>(&'a mut self, topic: Topic, each: &'a mut (dyn FnMut(Record) + Send)) -> Pending<'a, ()>;

    /// Input records in the log's order, at most `records_max`, waiting at most
    /// `patience` for the first; an empty answer when none came. A log without an
    /// order between topics hands out what stood in tables (compacted inputs)
    /// when the session began before anything of a stream.
    fn poll(&mut self, records_max: usize, patience: Duration) -> Pending<'_, Vec<Record>>;

    /// Hands the batch to the log: all of it will take effect, or nothing.
    /// An answer means that it is taken in order, not yet that it is durable:
    /// a crash may still undo it, and then the inputs are read again.
    fn commit(&mut self, batch: Batch) -> Pending<'_, ()>;

    /// Waits until all that was committed is durable.
    fn settle(&mut self) -> Pending<'_, ()>;
}

/// The wall clock, for the edges; operators are given the log's own time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> u64;
}
