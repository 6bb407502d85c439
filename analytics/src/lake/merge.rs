//! Keeps the lake in order: small files become large ones, old ones go, and
//! what a crash left behind too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use connectors::supervisor::Failure;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::topics::Topic;

use super::{
    manifest::{File, Manifest},
    write,
};

/// Bytes of the files that are joined into one, which are in memory meanwhile.
const JOINED_BYTES_MAX: u64 = 64 << 20;

/// Joins the files of a topic, day and partition where they are more than
/// `files_max` small ones; those that are in the joined one are answered, to be
/// removed once the manifest is written.
pub fn join(folder: &Path, manifest: &mut Manifest, files_max: usize) -> Result<Vec<File>, Failure> {
    let mut places: BTreeMap<(String, String, u32), Vec<File>> = BTreeMap::new();
    for file in manifest.files.iter().filter(|file| file.bytes * 2 <= JOINED_BYTES_MAX) {
        places.entry((file.topic.clone(), file.day.clone(), file.partition)).or_default().push(file.clone());
    }
    let mut gone = Vec::new();
    for ((topic, day, partition), mut files) in places {
        let Some(topic) = Topic::from_name(&topic).filter(|_| files.len() > files_max.max(1)) else { continue };
        files.sort_by_key(|file| file.first_offset);
        let mut bytes = 0;
        files.retain(|file| {
            bytes += file.bytes;
            bytes <= JOINED_BYTES_MAX
        });
        if files.len() < 2 {
            continue;
        }
        let mut batches = Vec::new();
        for file in &files {
            let opened = fs::File::open(folder.join(&file.path))?;
            for batch in ParquetRecordBatchReaderBuilder::try_new(opened)?.build()? {
                batches.push(batch?);
            }
        }
        let joined = write::file(folder, topic, partition, &day, &batches)?;
        manifest.files.retain(|file| !files.contains(file));
        manifest.files.push(joined);
        gone.extend(files);
    }
    Ok(gone)
}

/// Takes the files that are older than so many days out of the manifest. None
/// at all where it is zero.
pub fn expire(manifest: &mut Manifest, now_ms: u64, keep_days: u64) -> Vec<File> {
    if keep_days == 0 {
        return Vec::new();
    }
    let oldest_ms = now_ms.saturating_sub(keep_days.saturating_mul(86_400_000));
    let (kept, old) = std::mem::take(&mut manifest.files).into_iter().partition(|file| file.last_at_ms >= oldest_ms);
    manifest.files = kept;
    old
}

/// Removes what no manifest names. Nothing else is touched: only files that are
/// called as ours are.
pub fn sweep(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let named: BTreeSet<_> = manifest.files.iter().map(|file| folder.join(&file.path)).collect();
    let within = |folder: &Path, prefix: &str| -> io::Result<Vec<_>> {
        let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        let fits = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
        Ok(entries.into_iter().filter(fits).map(|entry| entry.path()).collect())
    };
    for topic in within(folder, "topic=")? {
        for day in within(&topic, "day=")? {
            for file in within(&day, "")? {
                let ours = file.extension().is_some_and(|extension| extension == "parquet" || extension == "begun");
                if ours && !named.contains(&file) {
                    fs::remove_file(file)?;
                }
            }
        }
    }
    Ok(())
}
