//! One journal on the local disk for all topics: the log of a hub that has no
//! Kafka.
//!
//! Records come in by [`Log::append`](pipeline::ports::Log::append) and
//! [`Session::commit`](pipeline::ports::Session::commit); each call is one
//! frame, and a frame is whole or nothing. One thread writes all frames one
//! after the other and makes many of them durable with one sync. Readers get
//! fresh records from memory and old ones from the files.
//!
//! ```text
//! append ─▸ order: seq, offsets ─▸ writer: pwrite, fdatasync ─▸ publish ─▸ readers, sessions
//!                    │                                             ▲
//!                    └────────────▸ tail (memory) ─────────────────┘
//! ```
//!
//! What is guaranteed is written at [`pipeline::ports`]; beyond that, damage of
//! the files is told from an unfinished write (see `recovery`) and never served.

mod cleaner;
mod cursor;
pub mod disk;
pub mod faulty;
mod frame;
mod groups;
mod identity;
mod index;
mod journal;
mod metrics;
mod order;
mod plan;
mod reader;
mod recovery;
mod segment;
mod session;
mod shared;
mod tail;
mod writer;

use std::{collections::BTreeMap, time::Duration};

use pipeline::{
    ports::RECORD_BYTES_MAX,
    topics::{Keep, Topic},
};

pub use cleaner::Cleaned;
pub use journal::Journal;
pub use metrics::JournalMetrics;

/// When an append is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has it: a power cut loses nothing that was answered.
    #[default]
    Sync,
    /// When the system has it; the disk does within a second. A crash of the
    /// process loses nothing, a power cut up to that second.
    Interval,
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Partitions of every topic. Only a new journal takes this.
    pub partitions: u32,
    /// When an append is answered.
    pub durability: Durability,
    /// Size of a segment, reserved ahead.
    pub segment_bytes: u64,
    /// How much may wait for the disk before appends are told to come back.
    pub pending_bytes_max: usize,
    /// The largest record, without its fixed part.
    pub record_bytes_max: usize,
    /// How much of the newest is kept in memory for readers.
    pub tail_bytes_max: usize,
    /// For how long streams are kept, where it is not as the topic's own
    /// [`Keep::Days`] says. Has no meaning for compacted topics.
    pub keep: BTreeMap<Topic, Duration>,
    /// How often the journal looks for what has expired; `None`: only when
    /// [`Journal::clean`] is called.
    pub clean_every: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            partitions: 8,
            durability: Durability::Sync,
            segment_bytes: 64 << 20,
            pending_bytes_max: 64 << 20,
            record_bytes_max: RECORD_BYTES_MAX,
            tail_bytes_max: 32 << 20,
            keep: BTreeMap::new(),
            clean_every: Some(Duration::from_secs(60)),
        }
    }
}

/// A segment smaller than this would hold little but its own footer; a larger
/// one than the other would not be preallocated on a small machine.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (4 << 10)..=(1 << 30);

impl Settings {
    /// With every number inside of what works.
    fn checked(mut self) -> Self {
        self.partitions = self.partitions.max(1);
        self.segment_bytes = self.segment_bytes.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
        self
    }

    /// How long a stream's records stay; `None`: compacted.
    fn keep_ms(&self, topic: Topic) -> Option<u64> {
        match topic.spec().keep {
            Keep::Latest => None,
            Keep::Days(days) => {
                let default = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
                Some(self.keep.get(&topic).unwrap_or(&default).as_millis() as u64)
            }
        }
    }
}

/// What metrics tell of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records written since it was opened.
    pub records_written: u64,
    /// Bytes written since it was opened, frames included.
    pub bytes_written: u64,
    /// Syncs since it was opened.
    pub syncs: u64,
    /// Bytes that wait to be durable.
    pub pending_bytes: u64,
    /// Segments that there are.
    pub segments: u64,
    /// Room that they take on the disk, reserved room included.
    pub disk_bytes: u64,
}
