//! Keeps the lake in order: small files become large ones, old ones go, what is
//! a tenant's goes with the tenant, and what a crash left behind too.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use datafusion::{
    arrow::{
        array::{AsArray, BooleanArray, RecordBatch},
        compute::filter_record_batch,
        datatypes::TimestampMillisecondType,
    },
    parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder,
};
use pipeline::topics::Topic;
use runtime::supervisor::Failure;

use super::{
    files::Files,
    manifest::{File, Manifest},
    write,
};
use crate::columns::{LOG_AT, TENANT};

/// Joins the files of a topic, day and partition where they are more than
/// `files_max` small ones, up to what one file may hold; those that are in the
/// joined one are answered, to be removed once the manifest is written.
pub async fn join(
    files: &Files,
    manifest: &mut Manifest,
    files_max: usize,
    plain_bytes_max: u64,
) -> Result<Vec<File>, Failure> {
    let mut places: BTreeMap<(String, String, u32), Vec<File>> = BTreeMap::new();
    for file in manifest.files.iter().filter(|file| file.plain_bytes * 2 <= plain_bytes_max) {
        places.entry((file.topic.clone(), file.day.clone(), file.partition)).or_default().push(file.clone());
    }
    let mut gone = Vec::new();
    for ((topic, day, partition), mut small) in places {
        let Some(topic) = Topic::from_name(&topic).filter(|_| small.len() > files_max.max(1)) else { continue };
        small.sort_by_key(|file| file.first_offset);
        let mut bytes = 0;
        small.retain(|file| {
            bytes += file.plain_bytes;
            bytes <= plain_bytes_max
        });
        if small.len() < 2 {
            continue;
        }
        let mut batches = Vec::new();
        for file in &small {
            batches.extend(rows(files, file).await?);
        }
        let joined = write::file(files, topic, partition, &day, batches).await?;
        manifest.files.retain(|file| !small.contains(file));
        manifest.files.push(joined);
        gone.extend(small);
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

/// Takes a tenant's rows out of all files; those that others take the place of
/// are answered, to be removed once the manifest is written.
pub async fn forget(files: &Files, manifest: &mut Manifest, tenant: &str, until_ms: u64) -> Result<Vec<File>, Failure> {
    let mut gone = Vec::new();
    for file in manifest.files.clone() {
        let Some(topic) = Topic::from_name(&file.topic) else { continue };
        if !file.may_hold(tenant) || file.first_at_ms > until_ms {
            continue;
        }
        let (mut kept, mut is_changed) = (Vec::new(), false);
        for batch in rows(files, &file).await? {
            let others = others(&batch, tenant, until_ms);
            is_changed |= others.true_count() < batch.num_rows();
            let batch = filter_record_batch(&batch, &others)?;
            kept.extend(Some(batch).filter(|batch| batch.num_rows() > 0));
        }
        if !is_changed {
            continue;
        }
        manifest.files.retain(|other| other != &file);
        if !kept.is_empty() {
            manifest.files.push(write::file(files, topic, file.partition, &file.day, kept).await?);
        }
        gone.push(file);
    }
    let until = manifest.forgotten.entry(tenant.to_owned()).or_default();
    *until = until_ms.max(*until);
    Ok(gone)
}

/// Which rows are somebody else's, or were written after a tenant of this name
/// began anew.
fn others(batch: &RecordBatch, tenant: &str, until_ms: u64) -> BooleanArray {
    let (Some(tenants), Some(times)) = (batch.column_by_name(TENANT), batch.column_by_name(LOG_AT)) else {
        return BooleanArray::from(vec![true; batch.num_rows()]);
    };
    let (tenants, times) = (tenants.as_string::<i32>(), times.as_primitive::<TimestampMillisecondType>());
    let is_other =
        |(own, at): (Option<&str>, &i64)| own != Some(tenant) || u64::try_from(*at).is_ok_and(|at| at > until_ms);
    tenants.iter().zip(times.values()).map(|row| Some(is_other(row))).collect()
}

async fn rows(files: &Files, file: &File) -> Result<Vec<RecordBatch>, Failure> {
    let Some(bytes) = files.read(&file.path).await? else {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{} is in the manifest, but not there", file.path),
        )
        .into());
    };
    let batches = ParquetRecordBatchReaderBuilder::try_new(Bytes::clone(&bytes))?.build()?;
    Ok(batches.collect::<Result<_, _>>()?)
}

/// Removes what no manifest names. Nothing else is touched: only files that are
/// called as ours are.
pub async fn sweep(files: &Files, manifest: &Manifest) -> io::Result<()> {
    for name in files.list("topic=").await? {
        let ours = name.ends_with(".parquet") || name.ends_with(".begun");
        if ours && !manifest.files.iter().any(|file| file.path == name) {
            files.remove(&name).await?;
        }
    }
    Ok(())
}
