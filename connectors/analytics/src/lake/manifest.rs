//! Which files count.

use std::{collections::BTreeMap, io};

use serde::{Deserialize, Serialize};

use super::files::Files;

/// Its name.
pub const MANIFEST: &str = "manifest.json";

/// The version of its form.
const VERSION: u32 = 1;

/// What there is in a lake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    version: u32,
    /// The identity of the log whose records these are, in hex.
    log: String,
    /// By topic and partition: the first offset that is not in the lake yet.
    #[serde(default)]
    pub next: BTreeMap<String, BTreeMap<u32, u64>>,
    /// The files that count.
    #[serde(default)]
    pub files: Vec<File>,
    /// Tenants that were taken away, and until when what was written of them is
    /// nobody's.
    #[serde(default)]
    pub forgotten: BTreeMap<String, u64>,
}

/// One file, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    /// Where it is, from the lake's folder on.
    pub path: String,
    /// Its topic.
    pub topic: String,
    /// Its day (UTC), as `2026-11-21`.
    pub day: String,
    /// Its partition.
    pub partition: u32,
    /// The offsets that it begins and ends with.
    pub first_offset: u64,
    /// See `first_offset`.
    pub last_offset: u64,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// What its rows take in memory.
    pub plain_bytes: u64,
    /// The earliest and the latest time that a record of it was made.
    pub first_at_ms: u64,
    /// See `first_at_ms`.
    pub last_at_ms: u64,
    /// The first and the last of its tenants, in order of their names.
    pub first_tenant: String,
    /// See `first_tenant`.
    pub last_tenant: String,
}

impl File {
    /// Whether it may hold rows of a tenant.
    pub fn may_hold(&self, tenant: &str) -> bool {
        *self.first_tenant <= *tenant && *tenant <= *self.last_tenant
    }
}

impl Manifest {
    /// Of a log that has nothing in the lake yet.
    pub fn new(log: u64) -> Manifest {
        Manifest { version: VERSION, log: identity(log), ..Manifest::default() }
    }

    /// Reads it; nothing where there is none.
    pub async fn read(files: &Files, log: u64) -> io::Result<Option<Manifest>> {
        let Some(bytes) = files.read(MANIFEST).await? else { return Ok(None) };
        let manifest: Manifest = serde_json::from_slice(&bytes)?;
        if manifest.version != VERSION || manifest.log != identity(log) {
            let advice = "move it away, or name another place with lake.folder";
            return Err(io::Error::other(format!("{MANIFEST} is of another log or another version; {advice}")));
        }
        Ok(Some(manifest))
    }

    /// Replaces it whole, durably.
    pub async fn write(&self, files: &Files) -> io::Result<()> {
        files.put(MANIFEST, serde_json::to_vec_pretty(self)?).await
    }

    /// Whether what was written of a tenant at a time is nobody's any more.
    pub fn is_forgotten(&self, tenant: &str, at_ms: u64) -> bool {
        self.forgotten.get(tenant).is_some_and(|until_ms| at_ms <= *until_ms)
    }

    /// The first offset of a partition that is not in the lake.
    pub fn next(&self, topic: &str, partition: u32) -> u64 {
        self.next.get(topic).and_then(|next| next.get(&partition)).copied().unwrap_or(0)
    }

    /// From where on the log is to be read.
    pub fn set_next(&mut self, topic: &str, partition: u32, next: u64) {
        self.next.entry(topic.to_owned()).or_default().insert(partition, next);
    }

    /// The files of a partition that may hold a tenant's rows.
    pub fn files_of<'a>(&'a self, topic: &'a str, partition: u32, tenant: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.topic == topic && file.partition == partition && file.may_hold(tenant))
    }
}

fn identity(log: u64) -> String {
    format!("{log:016x}")
}
