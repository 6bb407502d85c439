//! The lake: streams as Parquet files in a folder or a bucket, which outlive the
//! log's retention and which DuckDB, Spark or pandas read without us.
//!
//! `topic=T/day=D/P-FIRST-LAST-ROWS.parquet`, sorted by tenant and time, and
//! beside them `manifest.json`, which is replaced whole: it names the files that
//! count and up to where each partition is in them. A file is written and synced
//! before the manifest that names it, so what the manifest says is there, once;
//! what a crash left behind is in no manifest and goes at the next start.
//!
//! A tenant that is taken away leaves a note in `forget`, which is done with when
//! nothing of the tenant is in a file any more.

mod files;
mod manifest;
mod merge;
mod note;
mod sink;
mod write;

use std::sync::{Arc, Mutex, PoisonError};

use pipeline::topics::{Keep, TOPICS, Topic};
use tokio::sync::Notify;

pub use files::Files;
pub use manifest::{File, Manifest};
pub use note::Note;
pub use sink::Sink;

use manifest::MANIFEST;

/// The topics that go into the lake: all streams but what only carries time and
/// answers.
pub fn topics() -> impl Iterator<Item = Topic> {
    let streams = TOPICS.iter().filter(|spec| matches!(spec.keep, Keep::Days(_)));
    streams.map(|spec| spec.topic).filter(|topic| !matches!(topic, Topic::Commands | Topic::CommandsResults))
}

/// A lake, as its readers see it.
pub struct Lake {
    files: Files,
    /// The manifest as it was last read, and what told it from others.
    read: Mutex<Option<(String, Arc<Manifest>)>>,
    /// Wakes a sink of this process.
    pub nudge: Arc<Notify>,
}

impl Lake {
    /// Of these files.
    pub fn new(files: Files) -> Lake {
        Lake { files, read: Mutex::new(None), nudge: Arc::default() }
    }

    /// Where it is.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// What there is, for the log of this identity. Nothing where there is no
    /// manifest; an error where it is another log's.
    pub async fn manifest(&self, log: u64) -> std::io::Result<Arc<Manifest>> {
        let Some(stamp) = self.files.stamp(MANIFEST).await? else { return Ok(Arc::default()) };
        if let Some(manifest) = self.known(&stamp) {
            return Ok(manifest);
        }
        let manifest = Arc::new(Manifest::read(&self.files, log).await?.unwrap_or_default());
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, Arc::clone(&manifest)));
        Ok(manifest)
    }

    fn known(&self, stamp: &str) -> Option<Arc<Manifest>> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.as_ref().filter(|(known, _)| known == stamp).map(|(_, manifest)| Arc::clone(manifest))
    }
}
