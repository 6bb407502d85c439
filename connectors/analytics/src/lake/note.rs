//! Notes that a tenant was taken away: who, and until when what was written of
//! them is nobody's. They wait beside the files, for whoever writes these.

use std::io;

use serde::{Deserialize, Serialize};

use super::files::Files;

/// Where they are.
const FOLDER: &str = "forget/";

/// One note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Who.
    pub tenant: String,
    /// What was made at this time or before is to go.
    pub until_ms: u64,
}

impl Note {
    /// All that are there.
    pub async fn all(files: &Files) -> io::Result<Vec<Note>> {
        let mut notes = Vec::new();
        for name in files.list(FOLDER).await?.into_iter().filter(|name| name.ends_with(".json")) {
            let bytes = files.read(&name).await?.unwrap_or_default();
            match serde_json::from_slice(&bytes) {
                Ok(note) => notes.push(note),
                Err(error) => tracing::warn!(%error, %name, "a note to forget a tenant cannot be read"),
            }
        }
        Ok(notes)
    }

    /// Leaves it.
    pub async fn leave(&self, files: &Files) -> io::Result<()> {
        files.put(&self.name(), serde_json::to_vec(self)?).await
    }

    /// Whether it still waits.
    pub async fn waits(&self, files: &Files) -> io::Result<bool> {
        Ok(files.stamp(&self.name()).await?.is_some())
    }

    /// Takes it away.
    pub async fn done(&self, files: &Files) -> io::Result<()> {
        files.remove(&self.name()).await
    }

    /// A tenant's name may hold anything.
    fn name(&self) -> String {
        format!("{FOLDER}{:032x}-{}.json", udfs::hash::content(&self.tenant), self.until_ms)
    }
}
