//! The black box: what was done, by whom, and what it cost, as tables.
//!
//! In: `mirror.commands` and `mirror.results`, `agents.actions` and
//! `agents.inbox`, `alerts`, `audit`. Out: the audit trail, the commands that
//! wait, usage by day, budgets' alerts (through the outbox). Guaranteed: how far
//! each topic was read stands in the transaction that wrote what was read, so
//! nothing is told twice or left out by a crash; the trail only grows, and each
//! row's hash goes over the one before ([`chain`]).
//!
//! A log of another identity is read from its beginning, and the trail goes on
//! with it. What retention took before it was read leaves a row that says so.

pub mod chain;
pub mod query;
pub mod spending;
pub mod tables;
mod traces;
mod write;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::select_all;
use pipeline::{
    event::{Act, AgentAction, Alert, InboxEntry, MirrorCommand, MirrorResult, MirrorStage, Usage},
    ports::{Log, LogError, Reader, Record, Start, Visibility},
    topics::Topic,
};
use serde::de::DeserializeOwned;

use self::traces::Traces;
use crate::{
    Store,
    batch_writer::{self, BatchSender, BatchWriter, RECORDS_AT_ONCE, Writes as _},
};
use runtime::{
    acts,
    config::Prices,
    supervisor::{Failure, RoleContext},
};

pub use runtime::acts::cut_off;

/// What is read. Commands come first: a result needs to know what it ends.
pub const TOPICS: [Topic; 6] = [
    Topic::MirrorCommands,
    Topic::MirrorResults,
    Topic::AgentsActions,
    Topic::AgentsInbox,
    Topic::Alerts,
    Topic::Audit,
];

/// Something to be written down.
#[derive(Debug)]
enum Entry {
    /// The mirror is to do something.
    Wanted(Box<MirrorCommand>, Box<Act>, u64),
    /// It is about to.
    Claimed(String, String),
    /// It has, or not.
    Ended(Box<MirrorResult>, String),
    /// Something was done.
    Done(Box<Act>),
    /// An agent's calls to a model.
    Used(Box<Used>),
}

/// A report of usage.
#[derive(Debug)]
struct Used {
    tenant: String,
    agent: String,
    project: String,
    day: String,
    at_ms: u64,
    usage: Usage,
    trace_id: Option<String>,
}

/// What was read of one topic: from where, and where to read on.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    from: u64,
    next: u64,
}

/// What was read of one partition.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    stretches: BTreeMap<Topic, Stretch>,
    entries: Vec<Entry>,
}

/// Writes a log's acts into a store.
#[derive(Clone)]
pub struct AuditProjector {
    /// Into which store.
    pub store: Arc<Store>,
    /// From which log.
    pub log: Arc<dyn Log>,
    /// What models cost.
    pub prices: Arc<Prices>,
}

impl AuditProjector {
    /// Writes until told to stop.
    pub async fn run(self, context: RoleContext) -> Result<(), Failure> {
        let mut batch_writer = BatchWriter::new();
        for partition in 0..self.log.partitions() {
            let desk = self.desk(partition).await?;
            batch_writer.reads(|sender| desk.read_on(sender));
        }
        batch_writer.write_down(&self, context).await
    }

    /// Writes all there is now, for tests and commands that end then.
    pub async fn catch_up(&self) -> Result<(), Failure> {
        for partition in 0..self.log.partitions() {
            let mut desk = self.desk(partition).await?;
            for topic in TOPICS {
                while let Some(batch) = desk.ready(topic).await? {
                    self.write(BTreeMap::from([(partition, batch)])).await?;
                }
            }
        }
        Ok(())
    }

    /// Who reads a partition, from where it was left.
    async fn desk(&self, partition: u32) -> Result<Desk, Failure> {
        let mut readers = Vec::new();
        for topic in TOPICS {
            let (reader, next) = self.open(topic, partition).await?;
            readers.push(Place { topic, reader, next });
        }
        let inbox = readers.iter().find(|place| place.topic == Topic::AgentsInbox).map_or(0, |place| place.next);
        let traces = Traces::read(&*self.log, partition, inbox).await?;
        Ok(Desk { log: Arc::clone(&self.log), partition, readers, traces })
    }

    async fn open(&self, topic: Topic, partition: u32) -> Result<(Box<dyn Reader>, u64), Failure> {
        let open = |start| self.log.read(topic, partition, start, Visibility::Durable);
        let known = self.position(topic, partition).await?;
        let Some(next) = known else {
            self.begin(topic, partition, 0).await?;
            return Ok((open(Start::Oldest).await?, 0));
        };
        match open(Start::Offset(next)).await {
            Err(LogError::Gone { first, .. }) => {
                self.skip(topic, partition, next, first).await?;
                Ok((open(Start::Offset(first)).await?, first))
            }
            opened => Ok((opened?, next)),
        }
    }
}

impl batch_writer::Batch for Batch {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn join(&mut self, more: Batch) {
        for (topic, stretch) in more.stretches {
            self.stretches.entry(topic).and_modify(|known| known.next = stretch.next).or_insert(stretch);
        }
        self.entries.extend(more.entries);
    }
}

struct Place {
    topic: Topic,
    reader: Box<dyn Reader>,
    next: u64,
}

/// Reads one partition of all topics.
struct Desk {
    log: Arc<dyn Log>,
    partition: u32,
    readers: Vec<Place>,
    traces: Traces,
}

impl Desk {
    /// Hands over what is read until the log fails.
    async fn read_on(mut self, sender: BatchSender<Batch>) -> LogError {
        loop {
            let waiting = self.readers.iter_mut().enumerate().map(|(index, place)| {
                let Place { reader, .. } = place;
                Box::pin(async move { (index, reader.next(RECORDS_AT_ONCE).await) })
            });
            let ((index, records), ..) = select_all(waiting).await;
            let batch = match records {
                Ok(records) => self.take(index, &records).await,
                Err(error) => return error,
            };
            match batch {
                Ok(batch) => {
                    if sender.send((self.partition, batch)).await.is_err() {
                        return LogError::Closed;
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// What there is of a topic now.
    async fn ready(&mut self, topic: Topic) -> Result<Option<Batch>, LogError> {
        let Some(index) = self.readers.iter().position(|place| place.topic == topic) else { return Ok(None) };
        let records = self.readers[index].reader.ready(RECORDS_AT_ONCE).await?;
        if records.is_empty() { Ok(None) } else { self.take(index, &records).await.map(Some) }
    }

    async fn take(&mut self, index: usize, records: &[Record]) -> Result<Batch, LogError> {
        let mut batch = Batch::default();
        match self.readers[index].topic {
            // A command is durable before its result is: read to the end, it is
            // among them.
            Topic::MirrorResults => self.all_of(Topic::MirrorCommands, &mut batch).await?,
            // And an event before what its agent says of it.
            Topic::AgentsActions => self.all_of(Topic::AgentsInbox, &mut batch).await?,
            _ => {}
        }
        self.add(index, records, &mut batch).await;
        Ok(batch)
    }

    async fn all_of(&mut self, topic: Topic, batch: &mut Batch) -> Result<(), LogError> {
        let Some(index) = self.readers.iter().position(|place| place.topic == topic) else { return Ok(()) };
        loop {
            let records = self.readers[index].reader.ready(RECORDS_AT_ONCE).await?;
            if records.is_empty() {
                return Ok(());
            }
            self.add(index, &records, batch).await;
        }
    }

    async fn add(&mut self, index: usize, records: &[Record], batch: &mut Batch) {
        let Some(last) = records.last() else { return };
        let (from, next) = (self.readers[index].next, last.position.offset + 1);
        self.readers[index].next = next;
        let stretch = Stretch { from, next };
        let known = batch.stretches.entry(last.position.topic).or_insert(stretch);
        known.next = next;
        for record in records {
            let entry = self.entry(record).await;
            batch.entries.extend(entry);
        }
    }

    async fn entry(&mut self, record: &Record) -> Option<Entry> {
        let id = || acts::id_of(self.log.identity(), record);
        let header = |name: &str| record.headers.get(name).and_then(|text| std::str::from_utf8(text).ok());
        match record.position.topic {
            Topic::MirrorCommands => {
                let command: MirrorCommand = read(record)?;
                let act = acts::of_command(&command, header("by"));
                Some(Entry::Wanted(Box::new(command), Box::new(act), record.position.offset))
            }
            Topic::MirrorResults => {
                let result: MirrorResult = read(record)?;
                Some(match result.stage {
                    MirrorStage::Claimed => Entry::Claimed(result.tenant_id, result.command_id),
                    _ => Entry::Ended(Box::new(result), id()),
                })
            }
            Topic::Alerts => acts::of_alert(&read::<Alert>(record)?, id()).map(|act| Entry::Done(Box::new(act))),
            Topic::Audit => read::<Act>(record).map(|act| Entry::Done(Box::new(act))),
            Topic::AgentsInbox => {
                self.traces.note(record);
                if header("type") != Some("tool_result") {
                    return None;
                }
                Some(Entry::Done(Box::new(acts::of_decision(&read::<InboxEntry>(record)?, id()))))
            }
            Topic::AgentsActions if header("type") == Some("trace") => {
                acts::of_trace(&read::<AgentAction>(record)?, id()).map(|act| Entry::Done(Box::new(act)))
            }
            Topic::AgentsActions if header("type") == Some("usage") => {
                let action: AgentAction = read(record)?;
                let usage: Usage = serde_json::from_value(action.data.clone()).ok()?;
                let given = action.data.get("projectId").and_then(|project| project.as_str());
                let project = match (given, &action.trace_id) {
                    (Some(project), _) => Some(project.chars().take(128).collect()),
                    (None, Some(trace)) => self.traces.project(&*self.log, self.partition, trace).await,
                    (None, None) => None,
                };
                Some(Entry::Used(Box::new(Used {
                    tenant: action.tenant_id,
                    agent: action.agent_id,
                    project: project.unwrap_or_default(),
                    day: action.at.to_string().chars().take(10).collect(),
                    at_ms: action.at.as_ms(),
                    usage: Usage { model: usage.model.chars().take(200).collect(), ..usage },
                    trace_id: action.trace_id,
                })))
            }
            _ => None,
        }
    }
}

fn read<T: DeserializeOwned>(record: &Record) -> Option<T> {
    let value = record.value.as_deref()?;
    match serde_json::from_slice(value) {
        Ok(value) => Some(value),
        Err(error) => {
            let (topic, offset) = (record.position.topic.name(), record.position.offset);
            tracing::warn!(topic, offset, %error, "a record is not understood, and not in the trail");
            None
        }
    }
}
