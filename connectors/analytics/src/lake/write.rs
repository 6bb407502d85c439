//! Records as a Parquet file.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch},
        compute::{SortColumn, concat, interleave_record_batch, lexsort_to_indices},
        datatypes::{Int64Type, SchemaRef, TimestampMillisecondType},
    },
    error::Result,
    parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
        schema::types::ColumnPath,
    },
};
use pipeline::topics::Topic;
use runtime::supervisor::Failure;
use udfs::time::to_rfc3339;

use super::{files::Files, manifest::File};
use crate::columns::{self, LOG_AT, LOG_OFFSET, RAW, TENANT};

/// Rows of a group: few enough that a tenant's or an hour's are found without
/// reading the others.
const GROUP_ROWS_MAX: usize = 65_536;

/// Rows that are copied into their order at once, and what they may take in
/// memory: they are there once already.
const ROWS_AT_ONCE: usize = 4_096;
const BYTES_AT_ONCE: usize = 2 << 20;

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
    batches: Vec<RecordBatch>,
) -> std::result::Result<File, Failure> {
    let schema = columns::schema(topic);
    let (tenants, times, offsets) =
        (whole(&schema, &batches, TENANT)?, whole(&schema, &batches, LOG_AT)?, whole(&schema, &batches, LOG_OFFSET)?);
    let order = in_order(&batches, &[&tenants, &times, &offsets])?;
    let bounds = |values: &mut dyn Iterator<Item = i64>| {
        values.fold((u64::MAX, 0), |(first, last), value| {
            let value = u64::try_from(value).unwrap_or(0);
            (first.min(value), last.max(value))
        })
    };
    let (first_offset, last_offset) = bounds(&mut offsets.as_primitive::<Int64Type>().values().iter().copied());
    let (first_at_ms, last_at_ms) =
        bounds(&mut times.as_primitive::<TimestampMillisecondType>().values().iter().copied());
    let names = || tenants.as_string::<i32>().iter().flatten();
    let (first_tenant, last_tenant) = (names().min().unwrap_or_default(), names().max().unwrap_or_default());
    let plain_bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    let of_a_row = plain_bytes / order.len().max(1) + 1;
    let bytes = encoded(&schema, &batches, &order, (BYTES_AT_ONCE / of_a_row).clamp(1, ROWS_AT_ONCE))?;
    drop(batches);
    let topic = topic.name();
    // Two that are there at the same time differ in what they hold: also one that
    // another takes the place of.
    let (count, length) = (order.len(), bytes.len());
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
        plain_bytes: plain_bytes as u64,
        first_at_ms,
        last_at_ms,
        first_tenant: first_tenant.to_owned(),
        last_tenant: last_tenant.to_owned(),
    })
}

/// One column of all batches.
fn whole(schema: &SchemaRef, batches: &[RecordBatch], name: &str) -> Result<ArrayRef> {
    let place = schema.index_of(name)?;
    let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(place).as_ref()).collect();
    Ok(concat(&parts)?)
}

/// Where the rows are, batch and row, in the order of these columns.
fn in_order(batches: &[RecordBatch], by: &[&ArrayRef]) -> Result<Vec<(usize, usize)>> {
    let places = |(number, batch): (usize, &RecordBatch)| (0..batch.num_rows()).map(move |row| (number, row));
    let places: Vec<_> = batches.iter().enumerate().flat_map(places).collect();
    let by: Vec<SortColumn> =
        by.iter().map(|values| SortColumn { values: ArrayRef::clone(values), options: None }).collect();
    Ok(lexsort_to_indices(&by, None)?.values().iter().map(|place| places[*place as usize]).collect())
}

fn encoded(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    order: &[(usize, usize)],
    rows_at_once: usize,
) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // No two values are the same.
        .set_column_dictionary_enabled(ColumnPath::from(RAW), false)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .build();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, SchemaRef::clone(schema), Some(properties))?;
    for rows in order.chunks(rows_at_once) {
        writer.write(&interleave_record_batch(&batches, rows)?)?;
    }
    writer.close()?;
    Ok(bytes)
}
