//! Where the lake's files are: a folder, or a bucket of an S3-compatible store.
//! A file that is put is there whole and durably, or not at all.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use datafusion::{
    datasource::listing::ListingTableUrl,
    error::DataFusionError,
    execution::{object_store::ObjectStoreUrl, runtime_env::RuntimeEnv},
};
use futures_util::TryStreamExt;
use object_store::{
    ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    path::Path as Name,
};
use runtime::{config::LakeSettings as Settings, supervisor::Failure};

/// What a bucket's name begins with, where a folder's would stand.
const BUCKET: &str = "s3://";

/// Attempts of one request after the first, and how long all may take. What
/// fails then is tried again by the sink's next turn.
const RETRIES_MAX: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// The files of one lake.
#[derive(Clone, Debug)]
pub struct Files(Place);

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Bucket { store: Arc<dyn ObjectStore>, url: ObjectStoreUrl, prefix: Name },
}

impl Files {
    /// As the settings say; without any, `lake` in the data directory.
    pub fn open(settings: &Settings, data_dir: &Path) -> Result<Files, Failure> {
        match settings.folder.strip_prefix(BUCKET) {
            Some(bucket) => Files::in_bucket(settings, bucket),
            None if settings.folder.is_empty() => Ok(Files::in_folder(&data_dir.join("lake"))),
            None => Ok(Files::in_folder(Path::new(&settings.folder))),
        }
    }

    /// In a folder, which need not be there yet.
    pub fn in_folder(folder: &Path) -> Files {
        Files(Place::Folder(folder.to_owned()))
    }

    /// In `bucket/prefix`. What the settings leave open is as the environment's
    /// `AWS_…` says, or the machine's own role.
    fn in_bucket(settings: &Settings, place: &str) -> Result<Files, Failure> {
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
        for (key, value) in [
            (AmazonS3ConfigKey::Endpoint, &settings.endpoint),
            (AmazonS3ConfigKey::Region, &settings.region),
            (AmazonS3ConfigKey::AccessKeyId, &settings.access_key_id),
            (AmazonS3ConfigKey::SecretAccessKey, &settings.secret_access_key),
        ] {
            if !value.is_empty() {
                builder = builder.with_config(key, value);
            }
        }
        // Who writes `http://` means it.
        builder = builder.with_allow_http(settings.endpoint.starts_with("http://"));
        let store = Arc::new(builder.build()?);
        let url = ObjectStoreUrl::parse(format!("{BUCKET}{bucket}"))?;
        Ok(Files(Place::Bucket { store, url, prefix: Name::parse(prefix.trim_end_matches('/'))? }))
    }

    /// Lets queries read them.
    pub fn register(&self, runtime: &RuntimeEnv) {
        if let Place::Bucket { store, url, .. } = &self.0 {
            runtime.register_object_store(url.as_ref(), Arc::clone(store));
        }
    }

    /// Where a query finds one.
    pub fn url(&self, name: &str) -> Result<ListingTableUrl, DataFusionError> {
        match &self.0 {
            Place::Folder(folder) => ListingTableUrl::parse(folder.canonicalize()?.join(name).display().to_string()),
            Place::Bucket { url, prefix, .. } => {
                ListingTableUrl::parse(format!("{}{}", url.as_str(), below(prefix, name)))
            }
        }
    }

    /// What tells one content of a file from the next; nothing where there is
    /// none.
    pub async fn stamp(&self, name: &str) -> io::Result<Option<String>> {
        match &self.0 {
            // Two may be written within what the clock of a file system tells
            // apart; they are two files.
            Place::Folder(folder) => Ok(there(fs::metadata(folder.join(name)))?
                .map(|metadata| format!("{}.{} {}", metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))),
            Place::Bucket { store, prefix, .. } => {
                let found = there(store.head(&below(prefix, name)).await.map_err(io::Error::from))?;
                Ok(found.map(|meta| meta.e_tag.unwrap_or_else(|| meta.last_modified.to_rfc3339())))
            }
        }
    }

    /// What is in one.
    pub async fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        match &self.0 {
            Place::Folder(folder) => Ok(there(fs::read(folder.join(name)))?.map(Bytes::from)),
            Place::Bucket { store, prefix, .. } => {
                let Some(found) = there(store.get(&below(prefix, name)).await.map_err(io::Error::from))? else {
                    return Ok(None);
                };
                Ok(Some(found.bytes().await?))
            }
        }
    }

    /// Puts one, over what was there.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        match &self.0 {
            Place::Folder(folder) => replace(&folder.join(name), &bytes),
            Place::Bucket { store, prefix, .. } => {
                store.put(&below(prefix, name), bytes.into()).await?;
                Ok(())
            }
        }
    }

    /// Takes one away, if it is there.
    pub async fn remove(&self, name: &str) -> io::Result<()> {
        let removed = match &self.0 {
            Place::Folder(folder) => fs::remove_file(folder.join(name)),
            Place::Bucket { store, prefix, .. } => store.delete(&below(prefix, name)).await.map_err(io::Error::from),
        };
        there(removed).map(|_| ())
    }

    /// The names of all that begin so.
    pub async fn list(&self, beginning: &str) -> io::Result<Vec<String>> {
        let mut names = match &self.0 {
            Place::Folder(folder) => {
                let mut names = Vec::new();
                walk(folder, "", &mut names)?;
                names
            }
            Place::Bucket { store, prefix, .. } => {
                let all: Vec<_> = store.list(Some(prefix)).try_collect().await.map_err(io::Error::from)?;
                let within = |location: &Name| {
                    location
                        .prefix_match(prefix)
                        .map(|parts| parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/"))
                };
                all.iter().filter_map(|meta| within(&meta.location)).collect()
            }
        };
        names.retain(|name| name.starts_with(beginning));
        Ok(names)
    }
}

fn below(prefix: &Name, name: &str) -> Name {
    name.split('/').fold(prefix.clone(), |path, part| path.join(part))
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
