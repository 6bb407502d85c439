//! In which epoch the numbers of the agents' events count.
//!
//! The gateway may tell agents of what the pipeline made before that is durable,
//! because after a crash the same inputs give the same outputs. That holds only
//! while the same code runs with the same settings: after an unclean stop with
//! another version, or other settings of the pipeline, what agents saw last may
//! never come about, and a new epoch says so. With Kafka nothing is told before
//! it is committed, so there is one epoch for ever.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;

/// The file in the data directory.
const NAME: &str = "epoch.json";

/// The epoch of a log that begins.
pub const FIRST: u64 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Noted {
    epoch: u64,
    /// How often the journal was opened after an unclean stop.
    journal: u64,
    /// What ran.
    version: String,
    /// What it was set to.
    settings: u64,
}

/// The epoch of an embedded log that was just opened. `unclean_opens` is how
/// often it was opened after an unclean stop, this time included.
pub fn of_journal(config: &Config, unclean_opens: u64) -> io::Result<u64> {
    let settings = serde_json::to_vec(&(&config.pipeline, &config.log.partitions))?;
    of(&config.data_dir, unclean_opens, env!("CARGO_PKG_VERSION"), xxh3_64(&settings))
}

fn of(directory: &Path, journal: u64, version: &str, settings: u64) -> io::Result<u64> {
    let path = directory.join(NAME);
    let noted = match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice::<Noted>(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let epoch = match &noted {
        // No note beside a log that was used means that it is from before.
        None => FIRST + u64::from(journal > 0),
        Some(noted) => {
            let same = noted.version == version && noted.settings == settings;
            noted.epoch + u64::from(!same && noted.journal != journal)
        }
    };
    let now = Noted { epoch, journal, version: version.to_owned(), settings };
    if noted.as_ref() != Some(&now) {
        std::fs::create_dir_all(directory)?;
        let next = directory.join("epoch.json.tmp");
        std::fs::write(&next, serde_json::to_vec_pretty(&now)?)?;
        std::fs::File::open(&next)?.sync_all()?;
        std::fs::rename(&next, &path)?;
        std::fs::File::open(directory)?.sync_all()?;
    }
    Ok(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_crash_and_a_change_together_begin_a_new_epoch() {
        let directory = tempfile::tempdir().expect("a directory");
        let of = |journal, version, settings| of(directory.path(), journal, version, settings).expect("noted");
        assert_eq!(of(0, "1", 7), 1, "new");
        assert_eq!(of(0, "1", 7), 1, "clean");
        assert_eq!(of(1, "1", 7), 1, "a crash");
        assert_eq!(of(1, "2", 7), 1, "an upgrade after a clean stop");
        assert_eq!(of(2, "3", 7), 2, "a crash, then an upgrade");
        assert_eq!(of(2, "3", 7), 2, "clean");
        assert_eq!(of(3, "3", 8), 3, "a crash, then other settings");
    }

    #[test]
    fn a_log_without_a_note_that_crashed_before_is_in_doubt() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(of(directory.path(), 2, "1", 7).expect("noted"), 2);
        std::fs::write(directory.path().join(NAME), "{").expect("written");
        assert!(of(directory.path(), 2, "1", 7).is_err());
    }
}
