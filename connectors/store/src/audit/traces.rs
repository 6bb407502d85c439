//! Which project a trace is of: what agents were told lately. A report of usage
//! names its trace and nothing else.
//!
//! Only places are remembered; the record is read when somebody asks for it.

use std::collections::VecDeque;

use hashbrown::HashMap;
use pipeline::{
    event::InboxEntry,
    ports::{Log, LogError, Record, Start, Visibility},
    topics::Topic,
};
use udfs::hash::from_hex;

/// Traces of one partition that are remembered: an agent that reports what it
/// used does so soon. About 40 bytes each.
const TRACES_MAX: usize = 20_000;
/// Records of before that are read at a start.
const BEFORE: u64 = 5_000;
/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 500;

/// See the module.
#[derive(Default)]
pub(super) struct Traces {
    places: HashMap<u128, u64>,
    order: VecDeque<u128>,
}

impl Traces {
    /// Those of the records before `next`.
    pub async fn read(log: &dyn Log, partition: u32, next: u64) -> Result<Traces, LogError> {
        let mut traces = Traces::default();
        let from = next.saturating_sub(BEFORE);
        let opened = log.read(Topic::AgentsInbox, partition, Start::Offset(from), Visibility::Durable).await;
        let mut reader = match opened {
            Err(LogError::Gone { .. }) => return Ok(traces),
            opened => opened?,
        };
        let mut at = from;
        while at < next {
            let records = reader.ready(RECORDS_AT_ONCE).await?;
            let Some(last) = records.last() else { break };
            at = last.position.offset + 1;
            records.iter().filter(|record| record.position.offset < next).for_each(|record| traces.note(record));
        }
        Ok(traces)
    }

    /// Remembers where a trace was told of; the first time counts.
    pub fn note(&mut self, record: &Record) {
        let parent = record.headers.get("traceparent").and_then(|parent| std::str::from_utf8(parent).ok());
        let Some(trace) = parent.and_then(|parent| from_hex(parent.split('-').nth(1)?)) else { return };
        if self.places.contains_key(&trace) {
            return;
        }
        self.places.insert(trace, record.position.offset);
        self.order.push_back(trace);
        if self.order.len() > TRACES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }

    /// The project that a trace is of, if that was told.
    pub async fn project(&self, log: &dyn Log, partition: u32, trace: &str) -> Option<String> {
        let offset = *self.places.get(&from_hex(trace)?)?;
        let opened = log.read(Topic::AgentsInbox, partition, Start::Offset(offset), Visibility::Durable).await;
        let records = opened.ok()?.ready(1).await.ok()?;
        let record = records.first().filter(|record| record.position.offset == offset)?;
        let entry: InboxEntry = serde_json::from_slice(record.value.as_deref()?).ok()?;
        entry.event?.project?.id
    }
}
