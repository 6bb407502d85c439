//! Drives one partition: reads a batch, runs the chain, commits outputs, state
//! and progress as one.
//!
//! A defect costs one record. When a stage panics, nobody knows how much of what
//! it remembers was changed, so the partition's state is made anew: restored as
//! of the last commit, the batch run again up to the record, that record buried,
//! and the rest run. So memory and `pipeline.state` never part, and a replay
//! after a crash, in whatever batches, comes to the same. A panic while state is
//! flushed has no record to blame: it ends the worker, and its successor begins
//! from the last commit.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    flow::{Counts, Defect, Flow, Settings},
    ports::{Batch, LogError, Position, Record, Session},
    topics::Topic,
};

/// Records taken in one batch at most: enough to make a commit cheap, few
/// enough that the first of them is not kept waiting by the last.
const BATCH_RECORDS_MAX: usize = 512;
/// How long a poll waits; only bounds how late a stop is noticed.
const PATIENCE: Duration = Duration::from_millis(250);

/// What a worker has done, to be read from other threads.
#[derive(Debug, Default)]
#[allow(missing_docs)] // as in `Counts`
pub struct Progress {
    pub records: AtomicU64,
    pub published: AtomicU64,
    pub repeats: AtomicU64,
    pub twins: AtomicU64,
    pub dead: AtomicU64,
    pub moved: AtomicU64,
    /// Events remembered to know a repeat.
    pub remembered: AtomicU64,
    /// The log's clock, in milliseconds.
    pub now_ms: AtomicU64,
}

/// Restores the state of the session's partition, then works until the session
/// is fenced, the log fails, or `stop` says so. After `Ok`, everything that was
/// taken is durable.
pub async fn drive(
    session: &mut dyn Session,
    identity: u64,
    partitions: u32,
    settings: &Settings,
    progress: &Progress,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), LogError> {
    let mut flow = Flow::new(identity, partitions, settings);
    restore(session, &mut flow).await?;
    while !stop() {
        let records = session.poll(BATCH_RECORDS_MAX, PATIENCE).await?;
        if records.is_empty() {
            continue;
        }
        let before = flow.counts();
        let mut defects = BTreeMap::new();
        let batch = loop {
            match run(&mut flow, &records, &defects) {
                Ok(batch) => break batch,
                Err((number, defect)) => {
                    let Position { topic, partition, offset } = records[number].position;
                    tracing::error!(topic = topic.name(), partition, offset, %defect, "a record is buried");
                    defects.insert(number, defect);
                    // What is in memory is in doubt. What was committed is not.
                    flow = Flow::new(identity, partitions, settings);
                    restore(session, &mut flow).await?;
                    flow.count_from(before);
                }
            }
        };
        session.commit(batch).await?;
        progress.add(&before, &flow);
    }
    session.settle().await
}

/// Takes up what was kept as of the last commit.
async fn restore(session: &mut dyn Session, flow: &mut Flow) -> Result<(), LogError> {
    let mut entries = 0_u64;
    session
        .restore(Topic::PipelineState, &mut |record| {
            entries += 1;
            flow.restore(&record);
        })
        .await?;
    tracing::debug!(partition = session.partition(), entries, "state restored");
    Ok(())
}

/// Runs a batch of records, except for those that were found to be defective:
/// these are buried. A further one ends the run.
fn run(flow: &mut Flow, records: &[Record], defects: &BTreeMap<usize, Defect>) -> Result<Batch, (usize, Defect)> {
    let mut batch = Batch { outputs: Vec::with_capacity(records.len() * 2 + 1), next_offsets: Vec::new() };
    for (number, record) in records.iter().enumerate() {
        match defects.get(&number) {
            None => flow.on(record, &mut batch.outputs).map_err(|defect| (number, defect))?,
            Some(defect) => flow.bury(record, defect, &mut batch.outputs),
        }
        advance(&mut batch.next_offsets, record.position.topic, record.position.offset + 1);
    }
    if let Some(last) = records.last() {
        flow.flush(last, &mut batch.outputs);
    }
    Ok(batch)
}

fn advance(next_offsets: &mut Vec<(Topic, u64)>, topic: Topic, next: u64) {
    match next_offsets.iter_mut().find(|(known, _)| *known == topic) {
        Some((_, offset)) => *offset = next,
        None => next_offsets.push((topic, next)),
    }
}

impl Progress {
    fn add(&self, before: &Counts, flow: &Flow) {
        let now = flow.counts();
        self.records.fetch_add(now.records - before.records, Relaxed);
        self.published.fetch_add(now.published - before.published, Relaxed);
        self.repeats.fetch_add(now.repeats - before.repeats, Relaxed);
        self.twins.fetch_add(now.twins - before.twins, Relaxed);
        self.dead.fetch_add(now.dead - before.dead, Relaxed);
        self.moved.fetch_add(now.moved - before.moved, Relaxed);
        self.remembered.store(flow.remembered().seen as u64, Relaxed);
        self.now_ms.store(flow.now().as_ms(), Relaxed);
    }
}
