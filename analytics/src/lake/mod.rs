//! The lake: streams as Parquet files in a folder, which outlive the log's
//! retention and which DuckDB, Spark or pandas read without us.
//!
//! `topic=T/day=D/P-FIRST-LAST.parquet`, sorted by tenant and time, and beside
//! them `manifest.json`, which is replaced whole: it names the files that count
//! and up to where each partition is in them. A file is written and synced
//! before the manifest that names it, so what the manifest says is there, once;
//! what a crash left behind is in no manifest and goes at the next start.

mod manifest;
mod merge;
mod sink;
mod write;

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use pipeline::topics::{Keep, TOPICS, Topic};

pub use manifest::{File, Manifest};
pub use sink::Sink;

/// The manifest's name.
const MANIFEST: &str = "manifest.json";

/// The topics that go into the lake: all streams but what only carries time and
/// answers.
pub fn topics() -> impl Iterator<Item = Topic> {
    let streams = TOPICS.iter().filter(|spec| matches!(spec.keep, Keep::Days(_)));
    streams.map(|spec| spec.topic).filter(|topic| !matches!(topic, Topic::Commands | Topic::CommandsResults))
}

/// When a manifest was written and which file it is: two may be written within
/// what the clock of a file system tells apart.
type Written = (SystemTime, u64);

/// A lake, as its readers see it.
pub struct Lake {
    folder: PathBuf,
    /// The manifest as it was last read, and when that was written.
    read: Mutex<Option<(Written, Arc<Manifest>)>>,
}

impl Lake {
    /// In a folder, which need not be there yet.
    pub fn new(folder: &Path) -> Lake {
        Lake { folder: folder.to_owned(), read: Mutex::new(None) }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What there is, for the log of this identity. Nothing where there is no
    /// manifest; an error where it is another log's.
    pub fn manifest(&self, log: u64) -> std::io::Result<Arc<Manifest>> {
        let path = self.folder.join(MANIFEST);
        let written = match path.metadata() {
            Ok(metadata) => (metadata.modified()?, metadata.ino()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, manifest)) = &*read
            && *at == written
        {
            return Ok(Arc::clone(manifest));
        }
        let manifest = Arc::new(Manifest::read(&path, log)?);
        *read = Some((written, Arc::clone(&manifest)));
        Ok(manifest)
    }
}
