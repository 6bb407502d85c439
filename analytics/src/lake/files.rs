//! Where the lake's files are: a folder.
//! A file that is put is there whole and durably, or not at all.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use connectors::config::Lake as Settings;
use datafusion::{datasource::listing::ListingTableUrl, error::DataFusionError};

/// The files of one lake.
#[derive(Clone, Debug)]
pub struct Files(PathBuf);

impl Files {
    /// As the settings say; without any, `lake` in the data directory.
    pub fn open(settings: &Settings, data_dir: &Path) -> Files {
        match settings.folder.as_str() {
            "" => Files(data_dir.join("lake")),
            folder => Files(folder.into()),
        }
    }

    /// Where a query finds one.
    pub fn url(&self, name: &str) -> Result<ListingTableUrl, DataFusionError> {
        ListingTableUrl::parse(self.0.canonicalize()?.join(name).display().to_string())
    }

    /// What tells one content of a file from the next; nothing where there is
    /// none. Two may be written within what the clock of a file system tells
    /// apart; they are two files.
    pub async fn stamp(&self, name: &str) -> io::Result<Option<String>> {
        let found = there(fs::metadata(self.0.join(name)))?;
        Ok(found.map(|metadata| format!("{}.{} {}", metadata.mtime(), metadata.mtime_nsec(), metadata.ino())))
    }

    /// What is in one.
    pub async fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        Ok(there(fs::read(self.0.join(name)))?.map(Bytes::from))
    }

    /// Puts one, over what was there.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        replace(&self.0.join(name), &bytes)
    }

    /// Takes one away, if it is there.
    pub async fn remove(&self, name: &str) -> io::Result<()> {
        there(fs::remove_file(self.0.join(name))).map(|_| ())
    }

    /// The names of all that begin so.
    pub async fn list(&self, beginning: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        walk(&self.0, "", &mut names)?;
        names.retain(|name| name.starts_with(beginning));
        Ok(names)
    }
}

/// What is not there is no error.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn walk(folder: &Path, within: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in there(fs::read_dir(folder.join(within)))?.into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = if within.is_empty() { name } else { format!("{within}/{name}") };
        match entry.file_type()?.is_dir() {
            true => walk(folder, &name, names)?,
            false => names.push(name),
        }
    }
    Ok(())
}

/// Puts a file in its place, whole and synced, or leaves what was there.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    fs::create_dir_all(&folder)?;
    let begun = path.with_extension("begun");
    let mut file = fs::File::create(&begun)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&begun, path)?;
    fs::File::open(&folder)?.sync_all()
}
