//! The stories over the embedded journal: as it comes, and with segments so
//! small and memory so short that nearly everything is read from the disk.

use std::sync::Arc;

use log::embedded::{Durability, Journal, Settings};
use pipeline::ports::Log;
use tempfile::TempDir;

use super::{House, PARTITIONS};

struct Directory {
    directory: TempDir,
    settings: Settings,
    journal: Option<Arc<Journal>>,
}

impl Directory {
    fn new(settings: Settings) -> Self {
        let settings = Settings { partitions: PARTITIONS, clean_every: None, ..settings };
        Directory { directory: tempfile::tempdir().expect("a directory"), settings, journal: None }
    }
}

impl House for Directory {
    async fn open(&mut self) -> Arc<dyn Log> {
        self.journal = None;
        let journal = Journal::open(self.directory.path(), self.settings.clone()).expect("a journal");
        let journal = Arc::new(journal);
        self.journal = Some(journal.clone());
        journal
    }

    fn clean(&mut self, now_ms: u64) -> bool {
        self.journal.as_ref().expect("opened").clean(now_ms).expect("cleaned");
        true
    }
}

mod as_it_comes {
    use super::{Directory, Settings};

    crate::log::tell!(Some(Directory::new(Settings { segment_bytes: 1 << 20, ..Settings::default() })));
}

mod with_little_memory {
    use super::{Directory, Settings};

    crate::log::tell!(Some(Directory::new(Settings { segment_bytes: 4096, tail_bytes_max: 0, ..Settings::default() })));
}

mod syncing_now_and_then {
    use super::{Directory, Durability, Settings};

    crate::log::tell!(Some(Directory::new(Settings {
        segment_bytes: 64 << 10,
        durability: Durability::Interval,
        ..Settings::default()
    })));
}
