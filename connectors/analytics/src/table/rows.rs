//! Records as rows: each wanted column is built from the records' values.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            ArrayRef, BooleanBuilder, Int32Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
            RecordBatchOptions, StringArray, StringBuilder, TimestampMillisecondArray, TimestampMillisecondBuilder,
        },
        datatypes::SchemaRef,
    },
    error::Result,
};
use pipeline::{ports::Record, topics::Topic};
use serde_json::Value;

use crate::columns::{self, Column, KEY_ID, KEY_KIND, Kind, LOG_AT, LOG_OFFSET, LOG_PARTITION, RAW, TENANT};

/// Makes batches of one schema.
pub struct Rows {
    topic: Topic,
    /// The tenant, where all records are of one.
    tenant: Option<String>,
    schema: SchemaRef,
    /// Whether anything of the value itself is wanted.
    reads_values: bool,
}

impl Rows {
    /// Of a tenant's topic, with the columns of a schema.
    pub fn new(topic: Topic, tenant: &str, schema: SchemaRef) -> Rows {
        let reads_values = schema.fields().iter().any(|field| of_value(topic, field.name()).is_some());
        Rows { topic, tenant: Some(tenant.to_owned()), schema, reads_values }
    }

    /// Of all tenants of a topic, with all columns.
    pub fn of_all(topic: Topic) -> Rows {
        Rows { topic, tenant: None, schema: columns::schema(topic), reads_values: true }
    }

    /// A batch of records.
    pub fn batch(&self, records: &[Record]) -> Result<RecordBatch> {
        let parse = |record: &Record| serde_json::from_slice(record.value.as_deref()?).ok();
        let values: Vec<Option<Value>> =
            if self.reads_values { records.iter().map(parse).collect() } else { Vec::new() };
        let arrays = self.schema.fields().iter().map(|field| match of_value(self.topic, field.name()) {
            Some(column) => array(column, &values),
            None => self.own(field.name(), records),
        });
        // Without columns (`count(*)`) the rows are still to be counted.
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays.collect(), &options)?)
    }

    /// A column of what a record says of itself.
    fn own(&self, name: &str, records: &[Record]) -> ArrayRef {
        let key = |part: usize| {
            let parts = records.iter().map(|record| {
                let key = String::from_utf8_lossy(&record.key);
                key.splitn(3, '/').nth(part).map(str::to_owned)
            });
            Arc::new(parts.collect::<StringArray>())
        };
        match name {
            TENANT => match &self.tenant {
                Some(tenant) => Arc::new(StringArray::from_iter_values(records.iter().map(|_| tenant))),
                None => key(0),
            },
            KEY_KIND => key(1),
            KEY_ID => key(2),
            LOG_AT => {
                let times = records.iter().map(|record| i64::try_from(record.at_ms).unwrap_or(i64::MAX));
                Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("+00:00"))
            }
            LOG_PARTITION => {
                Arc::new(Int32Array::from_iter_values(records.iter().map(|record| record.position.partition as i32)))
            }
            LOG_OFFSET => {
                Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.position.offset as i64)))
            }
            _ => {
                debug_assert_eq!(name, RAW);
                let raw = records.iter().map(|record| record.value.as_deref().map(String::from_utf8_lossy));
                Arc::new(raw.collect::<StringArray>())
            }
        }
    }
}

fn of_value(topic: Topic, name: &str) -> Option<&'static Column> {
    columns::columns(topic).iter().find(|column| column.name == name)
}

fn array(column: &Column, values: &[Option<Value>]) -> ArrayRef {
    let path: Vec<&str> = column.path.split('.').collect();
    let found = values.iter().map(|value| {
        let start = value.as_ref()?;
        path.iter().try_fold(start, |value, name| value.get(name)).filter(|value| !value.is_null())
    });
    match column.kind {
        Kind::Text => {
            let mut built = StringBuilder::new();
            found.for_each(|value| built.append_option(value.map(text)));
            Arc::new(built.finish())
        }
        Kind::Json => {
            let mut built = StringBuilder::new();
            found.for_each(|value| built.append_option(value.map(Value::to_string)));
            Arc::new(built.finish())
        }
        Kind::Whole => {
            let mut built = Int64Builder::new();
            found.for_each(|value| built.append_option(value.and_then(Value::as_i64)));
            Arc::new(built.finish())
        }
        Kind::Truth => {
            let mut built = BooleanBuilder::new();
            found.for_each(|value| built.append_value(value.and_then(Value::as_bool).unwrap_or(false)));
            Arc::new(built.finish())
        }
        Kind::Time => {
            let mut built = TimestampMillisecondBuilder::new();
            found.for_each(|value| {
                built.append_option(value.and_then(Value::as_str).and_then(udfs::time::from_rfc3339));
            });
            Arc::new(built.finish().with_timezone("+00:00"))
        }
        Kind::List => {
            let mut built = ListBuilder::new(StringBuilder::new());
            for value in found {
                let members = value.and_then(Value::as_array);
                for member in members.into_iter().flatten() {
                    built.values().append_value(text(member));
                }
                built.append(members.is_some());
            }
            Arc::new(built.finish())
        }
    }
}

/// Text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
