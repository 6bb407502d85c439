//! How the commands of whoever may read the data directory find the hub.

use std::{
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use runtime::supervisor::Failure;

/// The file in the data directory.
const NAME: &str = "hub.json";

/// Where the hub is, and what lets in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// Where it listens.
    pub url: String,
    /// What lets them in. A new one at every start.
    pub token: String,
}

impl Notice {
    /// The notice in a data directory. A hub that died leaves its notice
    /// behind: whoever reads it must be prepared that nobody answers.
    pub fn read(data_dir: &Path) -> Option<Notice> {
        serde_json::from_slice(&std::fs::read(data_dir.join(NAME)).ok()?).ok()
    }

    /// Readable by its owner alone: it holds a token.
    pub(super) fn write(&self, data_dir: &Path) -> Result<PathBuf, Failure> {
        std::fs::create_dir_all(data_dir)?;
        let path = data_dir.join(NAME);
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(path)
    }
}
