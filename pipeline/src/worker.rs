//! Drives one partition: reads a batch, runs the chain, commits outputs, state
//! and progress as one.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::{
    flow::{Counts, Flow, Settings},
    ports::{Batch, LogError, Session},
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

/// Where this process's workers begin: the state was restored, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// Entries of `pipeline.state` that were read.
    pub entries: u64,
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
    let mut restored = Restored { entries: 0 };
    session
        .restore(Topic::PipelineState, &mut |record| {
            restored.entries += 1;
            flow.restore(&record);
        })
        .await?;
    tracing::debug!(partition = session.partition(), entries = restored.entries, "state restored");
    let mut before = Counts::default();
    while !stop() {
        let records = session.poll(BATCH_RECORDS_MAX, PATIENCE).await?;
        let Some(last) = records.last() else { continue };
        let mut batch = Batch { outputs: Vec::with_capacity(records.len() * 2 + 1), next_offsets: Vec::new() };
        for record in &records {
            if let Err(defect) = flow.on(record, &mut batch.outputs) {
                flow.bury(record, &defect, &mut batch.outputs);
            }
            advance(&mut batch.next_offsets, record.position.topic, record.position.offset + 1);
        }
        flow.flush(last, &mut batch.outputs);
        session.commit(batch).await?;
        progress.add(&before, &flow);
        before = flow.counts();
    }
    session.settle().await
}

fn advance(next_offsets: &mut Vec<(Topic, u64)>, topic: Topic, next: u64) {
    match next_offsets.iter_mut().find(|(known, _)| *known == topic) {
        Some((_, offset)) => *offset = next,
        None => next_offsets.push((topic, next)),
    }
}

impl Progress {
    fn add(&self, before: &Counts, flow: &Flow) {
        let now = &flow.counts();
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
