//! Records as a Parquet file.

use connectors::supervisor::Failure;
use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch},
        datatypes::{Int64Type, TimestampMillisecondType},
    },
    error::{DataFusionError, Result},
    parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
    },
};
use pipeline::topics::Topic;
use udfs::time::to_rfc3339;

use super::{files::Files, manifest::File};
use crate::columns::{self, LOG_AT, LOG_OFFSET, TENANT};

/// Rows of a group: few enough that a tenant's or an hour's are found without
/// reading the others.
const GROUP_ROWS_MAX: usize = 65_536;

/// The day of a time.
pub fn day(at_ms: u64) -> String {
    let mut time = to_rfc3339(i64::try_from(at_ms).unwrap_or(i64::MAX));
    time.truncate(10);
    time
}

/// Writes rows of one topic, partition and day, sorted by tenant and time.
pub async fn file(
    files: &Files,
    topic: Topic,
    partition: u32,
    day: &str,
    batches: &[RecordBatch],
) -> std::result::Result<File, Failure> {
    let schema = columns::schema(topic);
    let rows = sorted(&concat_batches(&schema, batches)?)?;
    let column = |name: &str| -> Result<_> {
        let found = rows.column_by_name(name);
        found.ok_or_else(|| DataFusionError::Internal(format!("{} has no {name}", topic.name())))
    };
    let tenants = column(TENANT)?.as_string::<i32>();
    let offsets = column(LOG_OFFSET)?.as_primitive::<Int64Type>();
    let times = column(LOG_AT)?.as_primitive::<TimestampMillisecondType>();
    let bounds = |values: &mut dyn Iterator<Item = i64>| {
        values.fold((u64::MAX, 0), |(first, last), value| {
            let value = u64::try_from(value).unwrap_or(0);
            (first.min(value), last.max(value))
        })
    };
    let (first_offset, last_offset) = bounds(&mut offsets.values().iter().copied());
    let (first_at_ms, last_at_ms) = bounds(&mut times.values().iter().copied());
    let last = rows.num_rows().saturating_sub(1);
    let (first_tenant, last_tenant) = (tenants.value(0).to_owned(), tenants.value(last).to_owned());
    let bytes = encoded(&rows)?;
    let topic = topic.name();
    // Two that are there at the same time differ in what they hold: also one that
    // another takes the place of.
    let (count, length) = (rows.num_rows(), bytes.len());
    let path = format!("topic={topic}/day={day}/{partition:04}-{first_offset:016}-{last_offset:016}-{count}.parquet");
    files.put(&path, bytes).await?;
    Ok(File {
        path,
        topic: topic.to_owned(),
        day: day.to_owned(),
        partition,
        first_offset,
        last_offset,
        rows: count as u64,
        bytes: length as u64,
        first_at_ms,
        last_at_ms,
        first_tenant,
        last_tenant,
    })
}

fn sorted(rows: &RecordBatch) -> Result<RecordBatch> {
    let by = [TENANT, LOG_AT, LOG_OFFSET].iter().filter_map(|name| rows.column_by_name(name));
    let by: Vec<SortColumn> = by.map(|values| SortColumn { values: values.clone(), options: None }).collect();
    Ok(take_record_batch(rows, &lexsort_to_indices(&by, None)?)?)
}

fn encoded(rows: &RecordBatch) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(bytes)
}
