//! What is read of the log's partitions, written down together.
//!
//! Every write is a sync of the disk that the journal may live on too: what comes
//! within a moment is written at once, and what was read is written before a stop.
//!
//! This is not `runtime::consumer`: there is no group, because the position stands
//! in the database, in the transaction that wrote what was read. Every process
//! reads all partitions, and records are written in batches, none by itself.

use std::{collections::BTreeMap, time::Duration};

use pipeline::ports::LogError;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::StoreError;
use runtime::supervisor::{Failure, RoleContext};

/// Records that are read at once.
pub(crate) const RECORDS_AT_ONCE: usize = 500;
/// Batches that are read ahead of the database.
const BATCHES_AHEAD: usize = 16;
/// What comes within this time is written together.
const GATHER: Duration = Duration::from_millis(50);
/// How long a position may stay unwritten when nothing of ours came.
const IDLE: Duration = Duration::from_secs(5);

/// What was read of one partition.
pub(crate) trait Batch: Send + 'static {
    /// Whether it says only how far was read.
    fn is_empty(&self) -> bool;
    /// Takes what was read after it.
    fn join(&mut self, more: Self);
}

/// Who writes down what was read, whole or not at all.
pub(crate) trait Writes: Sync {
    /// What it is given.
    type Batch: Batch;
    /// Writes what was read, by partition.
    fn write(&self, batches: BTreeMap<u32, Self::Batch>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Where readers lay what they read of a partition.
pub(crate) type BatchSender<B> = mpsc::Sender<(u32, B)>;

/// Readers, one a partition, and what they have read.
pub(crate) struct BatchWriter<B> {
    sender: BatchSender<B>,
    batches: mpsc::Receiver<(u32, B)>,
    readers: JoinSet<LogError>,
}

impl<B: Batch> BatchWriter<B> {
    /// Nobody reads yet.
    pub fn new() -> Self {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        BatchWriter { sender, batches, readers: JoinSet::new() }
    }

    /// One more reads, until the log fails.
    pub fn reads<F>(&mut self, read: impl FnOnce(BatchSender<B>) -> F)
    where
        F: Future<Output = LogError> + Send + 'static,
    {
        self.readers.spawn(read(self.sender.clone()));
    }

    /// Writes down what they read, until told to stop.
    pub async fn write_down(self, writer: &impl Writes<Batch = B>, mut context: RoleContext) -> Result<(), Failure> {
        let BatchWriter { sender, mut batches, mut readers } = self;
        drop(sender);
        context.running();
        let mut pending: BTreeMap<u32, B> = BTreeMap::new();
        let mut due = Instant::now() + IDLE;
        loop {
            tokio::select! {
                more = batches.recv() => match more {
                    Some((partition, batch)) => {
                        if !batch.is_empty() {
                            due = due.min(Instant::now() + GATHER);
                        }
                        match pending.get_mut(&partition) {
                            Some(known) => known.join(batch),
                            None => drop(pending.insert(partition, batch)),
                        }
                    }
                    None => {
                        writer.write(pending).await?;
                        let ended = readers.join_next().await;
                        return Err(ended.and_then(Result::ok).unwrap_or(LogError::Closed).into());
                    }
                },
                () = sleep_until(due) => {
                    writer.write(std::mem::take(&mut pending)).await?;
                    due = Instant::now() + IDLE;
                }
                () = context.told_to_stop() => return Ok(writer.write(pending).await?),
            }
        }
    }
}
