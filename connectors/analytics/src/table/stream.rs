//! Reads a partition of a topic from its oldest record to where it ended when
//! the reading began.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use datafusion::{
    arrow::{datatypes::SchemaRef, record_batch::RecordBatch},
    error::{DataFusionError, Result},
    execution::{
        SendableRecordBatchStream, TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures_util::stream;
use pipeline::{
    ports::{Log, LogError, Reader, Record, Start, Visibility},
    topics::Topic,
};

use super::{Follow, asked::Asked, rows::Rows};

/// Records of a batch. Few enough that a query that only wants the first ones
/// has them soon, many enough that a column is worth building.
const RECORDS_AT_ONCE: usize = 1_024;

/// The records that a query wants.
pub struct Records {
    /// Of which log.
    pub log: Arc<dyn Log>,
    /// Of which topic.
    pub topic: Topic,
    /// Of which partition.
    pub partition: u32,
    /// Of which tenant.
    pub tenant: String,
    /// Which of them.
    pub asked: Asked,
    /// Which columns.
    pub schema: SchemaRef,
    /// Whether the end is waited at.
    pub follow: Option<Arc<Follow>>,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({}/{}, {:?})", self.topic.name(), self.partition, self.asked)
    }
}

impl PartitionStream for Records {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            log: Arc::clone(&self.log),
            topic: self.topic,
            partition: self.partition,
            tenant: self.tenant.clone(),
            asked: self.asked.clone(),
            follow: self.follow.clone(),
            rows: Rows::new(self.topic, &self.tenant, Arc::clone(&self.schema)),
            memory: MemoryConsumer::new("records").register(context.memory_pool()),
            reader: None,
            end: 0,
            newest: None,
        };
        let batches = stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|batch| (batch, reading)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

struct Reading {
    log: Arc<dyn Log>,
    topic: Topic,
    partition: u32,
    tenant: String,
    asked: Asked,
    follow: Option<Arc<Follow>>,
    rows: Rows,
    memory: MemoryReservation,
    reader: Option<Box<dyn Reader>>,
    end: u64,
    /// Of a compacted topic: the newest record of each key, once all are read.
    newest: Option<std::vec::IntoIter<Record>>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(follow) = self.follow.clone() {
            return self.next_written(&follow).await;
        }
        if self.topic.is_compacted() {
            return self.next_of_newest().await;
        }
        loop {
            let Some(records) = self.read().await? else { return Ok(None) };
            if !records.is_empty() {
                return self.rows.batch(&records).map(Some);
            }
        }
    }

    /// The next record that is written, alone, so that its row comes out at
    /// once and its offset is the row's.
    async fn next_written(&mut self, follow: &Follow) -> Result<Option<RecordBatch>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                let start = Start::Offset(self.asked.first);
                let reader = match self.log.read(self.topic, self.partition, start, Visibility::Durable).await {
                    Err(LogError::Gone { .. }) => {
                        self.log.read(self.topic, self.partition, Start::Oldest, Visibility::Durable).await
                    }
                    other => other,
                };
                self.reader.insert(reader.map_err(external)?)
            }
        };
        loop {
            let records = reader.next(1).await.map_err(external)?;
            let Some(record) = records.first() else { return Ok(None) };
            follow.read.store(record.position.offset, Ordering::Relaxed);
            if is_wanted(&self.tenant, &self.asked, record) {
                return self.rows.batch(&records).map(Some);
            }
        }
    }

    async fn next_of_newest(&mut self) -> Result<Option<RecordBatch>> {
        let newest = match &mut self.newest {
            Some(newest) => newest,
            None => {
                let newest = self.read_newest().await?;
                self.newest.insert(newest.into_iter())
            }
        };
        let records: Vec<Record> = newest.take(RECORDS_AT_ONCE).collect();
        if records.is_empty() { Ok(None) } else { self.rows.batch(&records).map(Some) }
    }

    /// The newest record of each key, in the order of their offsets; all of it
    /// counts as memory of the query.
    async fn read_newest(&mut self) -> Result<Vec<Record>> {
        let mut newest: HashMap<Bytes, Record> = HashMap::new();
        while let Some(records) = self.read().await? {
            for record in records {
                let size = |record: &Record| record.key.len() + record.value.as_ref().map_or(0, Bytes::len) + 128;
                match &record.value {
                    Some(_) => {
                        self.memory.try_grow(size(&record))?;
                        if let Some(before) = newest.insert(record.key.clone(), record) {
                            self.memory.shrink(size(&before));
                        }
                    }
                    None => {
                        if let Some(before) = newest.remove(&record.key) {
                            self.memory.shrink(size(&before));
                        }
                    }
                }
            }
        }
        let mut newest: Vec<Record> = newest.into_values().collect();
        newest.sort_unstable_by_key(|record| record.position.offset);
        Ok(newest)
    }

    /// The tenant's among the next records; nothing at the end.
    async fn read(&mut self) -> Result<Option<Vec<Record>>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => {
                // What is written while the query runs would keep it reading
                // for ever: it sees what was there when it began.
                let lags = self.log.lag("", &[self.topic]).await.map_err(external)?;
                let lag = lags.iter().find(|lag| lag.partition == self.partition);
                let (first, end) = lag.map_or((0, 0), |lag| (lag.first_offset, lag.end_offset));
                self.end = self.asked.last.map_or(end, |last| end.min(last.saturating_add(1)));
                let first = first.max(self.asked.first);
                if first >= self.end {
                    return Ok(None);
                }
                let (topic, start) = (self.topic, Start::Offset(first));
                let reader = match self.log.read(topic, self.partition, start, Visibility::Durable).await {
                    // Retention was faster.
                    Err(LogError::Gone { .. }) => {
                        self.log.read(topic, self.partition, Start::Oldest, Visibility::Durable).await
                    }
                    other => other,
                };
                self.reader.insert(reader.map_err(external)?)
            }
        };
        if self.end == 0 {
            return Ok(None);
        }
        let mut records = reader.ready(RECORDS_AT_ONCE).await.map_err(external)?;
        match records.last() {
            None => return Ok(None),
            Some(last) if last.position.offset + 1 >= self.end => {
                records.retain(|record| record.position.offset < self.end);
                // Whoever asks again is at the end.
                self.end = 0;
            }
            Some(_) => {}
        }
        records.retain(|record| is_wanted(&self.tenant, &self.asked, record));
        Ok(Some(records))
    }
}

fn is_wanted(tenant: &str, asked: &Asked, record: &Record) -> bool {
    let is_of_kind = |kind: &String| record.key.splitn(3, |byte| *byte == b'/').nth(1) == Some(kind.as_bytes());
    is_of(tenant, record)
        && asked.kind.as_ref().is_none_or(is_of_kind)
        && asked.after_ms.is_none_or(|after_ms| record.at_ms > after_ms)
}

/// Whether a record is a tenant's.
pub fn is_of(tenant: &str, record: &Record) -> bool {
    record.key.split(|byte| *byte == b'/').next() == Some(tenant.as_bytes())
}

pub fn external(error: LogError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
