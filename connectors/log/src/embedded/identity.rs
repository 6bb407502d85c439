//! Who the journal is: a small file that names it and says how it was left.

use std::io;

use pipeline::ports::LogError;
use serde::{Deserialize, Serialize};

use super::{
    disk::{Disk, read_up_to, unavailable, write_all},
    segment::corrupt,
};

const NAME: &str = "journal.json";
const NEXT_NAME: &str = "journal.json.tmp";
const FORMAT: u32 = 1;
/// A file this small is read whole; a larger one is not ours.
const BYTES_MAX: usize = 64 << 10;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Identity {
    format: u32,
    /// Random, made once.
    pub(super) identity: u64,
    /// How often the journal was opened after it had not been closed.
    pub(super) epoch: u64,
    /// How many partitions its topics have; never changes.
    pub(super) partitions: u32,
    /// Where it ended when it was closed; absent while it is open.
    pub(super) closed_at_seq: Option<u64>,
}

impl Identity {
    /// Of a new journal.
    pub(super) fn create(partitions: u32) -> Result<Self, LogError> {
        let identity = getrandom::u64()
            .map_err(|error| LogError::Unavailable { detail: format!("no randomness for a new journal: {error}") })?;
        Ok(Identity { format: FORMAT, identity, epoch: 0, partitions, closed_at_seq: None })
    }

    /// Of an existing journal; nothing if there is none.
    pub(super) fn read(disk: &dyn Disk) -> Result<Option<Self>, LogError> {
        let failed = |error: &io::Error| unavailable("cannot read journal.json", error);
        let file = match disk.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let bytes = read_up_to(&*file, 0, BYTES_MAX).map_err(|error| failed(&error))?;
        let identity: Identity =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(NAME, 0, &format!("cannot be read: {error}")))?;
        if identity.format != FORMAT || identity.partitions == 0 {
            return Err(corrupt(NAME, 0, &format!("format {} is not known to this version", identity.format)));
        }
        Ok(Some(identity))
    }

    /// The same, of a journal that ends at a frame and is closed.
    pub(super) fn closed_at(self, next_seq: u64) -> Self {
        Identity { closed_at_seq: Some(next_seq), ..self }
    }

    /// Replaces the file, durably and whole.
    pub(super) fn write(&self, disk: &dyn Disk) -> Result<(), LogError> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        let write = || {
            let file = disk.create(NEXT_NAME)?;
            write_all(&*file, &bytes, 0)?;
            file.sync()?;
            disk.rename(NEXT_NAME, NAME)?;
            disk.sync()
        };
        write().map_err(|error| unavailable("cannot write journal.json", &error))
    }
}
