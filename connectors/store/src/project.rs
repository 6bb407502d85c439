//! The projector: what the pipeline keeps of its tenants, as tables.
//!
//! In: `pipeline.state`, the kinds `task`, `unrouted`, `candidate` and `notice`.
//! Out: the tables of these names. Guaranteed: how far the log was read stands in the
//! transaction that wrote what was read, so nothing is missed or undone by a
//! crash or a repeat; a log of another identity, or one that no longer has what
//! was to be read next, is projected anew.

use std::{collections::BTreeMap, sync::Arc};

use pipeline::{
    event::StateEntry,
    ports::{Log, LogError, Reader, Record, Start, Visibility},
    topics::Topic,
};
use serde_json::Value as Json;

use super::{
    Store, StoreError,
    database::{INDEXED_CHARS_MAX, Tx, Value},
    sql, tasks,
};
use crate::batch_writer::{Batch, BatchSender, BatchWriter, RECORDS_AT_ONCE, Writes};
use runtime::supervisor::{Failure, RoleContext};

/// The tables: the kind of their entries, and their statements.
struct Table {
    kind: &'static str,
    put: &'static str,
    delete: &'static str,
    delete_partition: &'static str,
    columns: fn(&Json) -> Vec<Value>,
}

macro_rules! table {
    ($kind:literal, $table:literal, $columns:expr) => {
        Table {
            kind: $kind,
            put: sql!($table, "_put"),
            delete: sql!($table, "_delete"),
            delete_partition: sql!($table, "_delete_partition"),
            columns: $columns,
        }
    };
}

/// THE list.
const TABLES: &[Table] = &[
    table!("task", "tasks", tasks::columns),
    table!("unrouted", "unrouted", |data| vec![data.to_string().into()]),
    table!("candidate", "candidates", |data| vec![data.to_string().into()]),
    table!("notice", "notices", |data| vec![data.to_string().into()]),
];

/// One entry that changed.
struct Change {
    table: &'static Table,
    tenant: String,
    id: String,
    offset: u64,
    data: Option<Json>,
}

/// What was read of one partition: from where, the changes, and where to read on.
pub(crate) struct Read {
    from: u64,
    next: u64,
    changes: Vec<Change>,
}

/// Projects a log's state into a store.
#[derive(Clone)]
pub struct Projector {
    /// Into which store.
    pub store: Arc<Store>,
    /// From which log.
    pub log: Arc<dyn Log>,
}

impl Projector {
    /// Projects until told to stop.
    pub async fn run(self, context: RoleContext) -> Result<(), Failure> {
        let mut batch_writer = BatchWriter::new();
        for partition in 0..self.log.partitions() {
            let (reader, from) = self.reader(partition).await?;
            batch_writer.reads(|sender| read(reader, partition, from, sender));
        }
        batch_writer.write_down(&self, context).await
    }

    /// Projects all there is now, for tests and commands that end then.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        for partition in 0..self.log.partitions() {
            let (mut reader, mut from) = self.reader(partition).await?;
            loop {
                let records = reader.ready(RECORDS_AT_ONCE).await?;
                let Some(last) = records.last() else { break };
                let next = last.position.offset + 1;
                let changes = records.iter().filter_map(change).collect();
                self.write(BTreeMap::from([(partition, Read { from, next, changes })])).await?;
                from = next;
            }
        }
        Ok(())
    }

    /// From where this log's partition was left; from the beginning, its rows
    /// taken away, where that is not known or not there any more.
    async fn reader(&self, partition: u32) -> Result<(Box<dyn Reader>, u64), Failure> {
        let open = |start| self.log.read(Topic::PipelineState, partition, start, Visibility::Durable);
        let mut gone = None;
        loop {
            let mut tx = self.store.database.begin().await?;
            tx.lock(&claim(partition)).await?;
            match self.position(&mut tx, partition).await? {
                Some(next) if gone != Some(next) => {
                    drop(tx);
                    match open(Start::Offset(next)).await {
                        Err(LogError::Gone { .. }) => gone = Some(next),
                        opened => return Ok((opened?, next)),
                    }
                }
                _ => {
                    for table in TABLES {
                        tx.execute(table.delete_partition, &[i64::from(partition).into()]).await?;
                    }
                    self.set_position(&mut tx, partition, 0).await?;
                    tx.commit().await?;
                    return Ok((open(Start::Oldest).await?, 0));
                }
            }
        }
    }

    async fn position(&self, tx: &mut Tx, partition: u32) -> Result<Option<u64>, StoreError> {
        let values = [i64::from(partition).into(), self.identity().into()];
        let lines = tx.rows(sql!("projections_get"), &values).await?;
        let next = lines.first().map(|line| line.number(0)).transpose()?;
        Ok(next.and_then(|next| u64::try_from(next).ok()))
    }

    async fn set_position(&self, tx: &mut Tx, partition: u32, next: u64) -> Result<(), StoreError> {
        let values = [i64::from(partition).into(), self.identity().into(), number(next).into()];
        tx.execute(sql!("projections_set"), &values).await?;
        Ok(())
    }

    fn identity(&self) -> String {
        format!("{:016x}", self.log.identity())
    }
}

impl Batch for Read {
    fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn join(&mut self, more: Read) {
        self.next = more.next;
        self.changes.extend(more.changes);
    }
}

impl Writes for Projector {
    type Batch = Read;

    /// Writes what was read, whole or not at all.
    async fn write(&self, reads: BTreeMap<u32, Read>) -> Result<(), StoreError> {
        if reads.is_empty() {
            return Ok(());
        }
        let is_upkeeps = |change: &Change| matches!(change.table.kind, "candidate" | "notice");
        let is_for_upkeep = reads.values().flat_map(|read| &read.changes).any(is_upkeeps);
        let mut tx = self.store.database.begin().await?;
        for (partition, read) in reads {
            // Another process may project the same log: who comes later finds
            // the work done.
            tx.lock(&claim(partition)).await?;
            let position = self.position(&mut tx, partition).await?.unwrap_or(0);
            if read.from > position {
                // Another process began anew: what lies between is not there.
                let detail = format!("the projection of partition {partition} began anew");
                return Err(StoreError::Unavailable { detail });
            }
            for change in read.changes.into_iter().filter(|change| change.offset >= position) {
                apply(&mut tx, partition, change).await?;
            }
            if read.next > position {
                self.set_position(&mut tx, partition, read.next).await?;
            }
        }
        tx.commit().await?;
        if is_for_upkeep {
            self.store.noticed.notify_one();
        }
        Ok(())
    }
}

fn claim(partition: u32) -> String {
    format!("_projection/{partition}")
}

fn number(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

async fn apply(tx: &mut Tx, partition: u32, change: Change) -> Result<(), StoreError> {
    let mut values: Vec<Value> = vec![change.tenant.into(), change.id.into()];
    match change.data {
        None => tx.execute(change.table.delete, &values).await?,
        Some(data) => {
            values.extend([i64::from(partition).into(), number(change.offset).into()]);
            values.extend((change.table.columns)(&data));
            tx.execute(change.table.put, &values).await?
        }
    };
    Ok(())
}

/// Hands over what is read until the log fails.
async fn read(mut reader: Box<dyn Reader>, partition: u32, mut from: u64, sender: BatchSender<Read>) -> LogError {
    loop {
        let records = match reader.next(RECORDS_AT_ONCE).await {
            Ok(records) => records,
            Err(error) => return error,
        };
        let Some(last) = records.last() else { continue };
        let next = last.position.offset + 1;
        let changes = records.iter().filter_map(change).collect();
        if sender.send((partition, Read { from, next, changes })).await.is_err() {
            return LogError::Closed;
        }
        from = next;
    }
}

/// What a record changes; nothing if it is another operator's own.
fn change(record: &Record) -> Option<Change> {
    let key = std::str::from_utf8(&record.key).ok()?;
    let mut parts = key.splitn(3, '/');
    let (tenant, kind, id) = (parts.next()?, parts.next()?, parts.next()?);
    let table = TABLES.iter().find(|table| table.kind == kind)?;
    if key.chars().nth(INDEXED_CHARS_MAX).is_some() {
        tracing::warn!(tenant, kind, "an entry's id is too long for a table");
        return None;
    }
    let data = match record.value.as_deref().map(serde_json::from_slice::<StateEntry>) {
        None => None,
        Some(Ok(entry)) => Some(entry.data),
        Some(Err(error)) => {
            tracing::warn!(key, %error, "an entry of the pipeline's state is not understood");
            return None;
        }
    };
    let (tenant, id) = (tenant.to_owned(), id.to_owned());
    Some(Change { table, tenant, id, offset: record.position.offset, data })
}
