//! One partition of a group's inputs, and the transactions that move it.
//!
//! A session begins by fencing: `init_transactions` under the one transactional
//! id of this group and partition makes every older producer of that id a
//! zombie and completes or aborts what it had begun. Only then are the group's
//! offsets asked for, so they cannot move under this session. When a commit
//! fails, nothing is guessed: the session is over, and the next one starts from
//! what the brokers then say.
//!
//! All calls block their thread; a session has one of its own.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use pipeline::{
    ports::{Batch, LogError, Pending, Record, Session},
    topics::Topic,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata},
    error::{KafkaError, KafkaResult},
    producer::{BaseProducer, BaseRecord, Producer, PurgeConfig},
    types::RDKafkaErrorCode,
};

use super::{
    ASK_TIMEOUT,
    assignment::{Assignment, Member, Tenure},
    config::{COMMIT_TIMEOUT, RECORD_BYTES_MAX, Settings},
    feed::{Bell, Feed, Feeds, Quiet},
    record::{broken, describe, outgoing, unavailable, weight},
};

/// How long a fenced-off predecessor's transaction may take to end.
const TAKE_OVER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an abort may take; the next session ends what it did not.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Delivery is waited for in steps of this, librdkafka's smallest.
const STEP: Duration = Duration::from_millis(1);
/// Records of a restore handled at a time.
const RESTORE_RECORDS_MAX: usize = 4_096;

/// What it takes to open a session.
pub(super) struct Opening {
    pub(super) settings: Arc<Settings>,
    pub(super) feeds: Arc<Feeds>,
    pub(super) assignment: Arc<Assignment>,
    pub(super) member: Weak<BaseConsumer<Member>>,
    pub(super) group: String,
    pub(super) inputs: Vec<Topic>,
}

/// See [`Session`].
pub(super) struct KafkaSession {
    opening: Arc<Opening>,
    tenure: Arc<Tenure>,
    producer: BaseProducer<Quiet>,
    member: ConsumerGroupMetadata,
    inputs: Vec<Feed>,
    /// The tables among the inputs that were not yet read to where they ended
    /// when this session began.
    behind: VecDeque<usize>,
    /// Where the last commit wrote.
    written: BTreeSet<(Topic, u32)>,
    /// Which input is asked first next time.
    turn: usize,
    /// Why this session can do no more.
    over: Option<LogError>,
}

impl Opening {
    /// Fences, then finds where the group is, then starts to read. Blocks.
    pub(super) fn open(self: &Arc<Self>, tenure: &Arc<Tenure>) -> Result<KafkaSession, LogError> {
        let partition = tenure.partition;
        let producer: BaseProducer<Quiet> =
            self.settings.transactions(&self.group, partition).create_with_context(Quiet).map_err(broken)?;
        retry(TAKE_OVER_TIMEOUT, |left| producer.init_transactions(left))
            .map_err(|error| self.explain(error, partition))?;
        let member = self.member.upgrade().ok_or(LogError::Closed)?;
        let metadata = member.group_metadata().ok_or_else(|| unavailable("not yet a member of the group"))?;
        let mut asked = TopicPartitionList::new();
        for topic in &self.inputs {
            asked.add_partition(&self.settings.topic_name(*topic), partition as i32);
        }
        let committed = member.committed_offsets(asked, ASK_TIMEOUT).map_err(broken)?;
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for topic in &self.inputs {
            let offset = committed.find_partition(&self.settings.topic_name(*topic), partition as i32);
            let offset = offset.and_then(|found| match found.offset() {
                Offset::Offset(offset) => Some(offset.max(0) as u64),
                _ => None,
            });
            inputs.push(self.feed(*topic, partition, offset, &tenure.bell)?);
        }
        let tables = self.inputs.iter().enumerate().filter(|(_, topic)| topic.is_compacted());
        let behind = tables.map(|(input, _)| input).collect();
        Ok(KafkaSession {
            opening: self.clone(),
            tenure: tenure.clone(),
            producer,
            member: metadata,
            inputs,
            behind,
            written: BTreeSet::new(),
            turn: 0,
            over: None,
        })
    }

    fn feed(&self, topic: Topic, partition: u32, offset: Option<u64>, bell: &Arc<Bell>) -> Result<Feed, LogError> {
        let (first, end) = self.feeds.bounds(topic, partition)?;
        let offset = offset.unwrap_or(first);
        if offset < first {
            // Nothing brings these back; standing still would lose more.
            let (topic, lost) = (topic.name(), first - offset);
            tracing::error!(topic, partition, lost, "records were dropped by retention before they were read");
        }
        self.feeds.open(topic, partition, offset.max(first), end, bell)
    }

    fn explain(&self, error: KafkaError, partition: u32) -> LogError {
        let code = match &error {
            KafkaError::Transaction(inner) => Some(inner.code()),
            other => other.rdkafka_error_code(),
        };
        let fenced = matches!(
            code,
            Some(
                RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::ProducerFenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
                    | RDKafkaErrorCode::InvalidProducerIdMapping
                    | RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId
            )
        );
        if fenced { LogError::Fenced { group: self.group.clone(), partition } } else { broken(error) }
    }
}

/// Repeats what librdkafka says may be repeated, within `timeout`.
fn retry(timeout: Duration, mut call: impl FnMut(Duration) -> KafkaResult<()>) -> KafkaResult<()> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match call(left.max(STEP)) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                std::thread::sleep(STEP);
            }
            other => return other,
        }
    }
}

impl KafkaSession {
    fn standing(&self) -> Result<(), LogError> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        if self.tenure.is_over() {
            let (group, partition) = (self.opening.group.clone(), self.tenure.partition);
            return Err(LogError::Fenced { group, partition });
        }
        Ok(())
    }

    fn restore_now(&self, topic: Topic, each: &mut (dyn FnMut(Record) + Send)) -> Result<(), LogError> {
        self.standing()?;
        let bell = Arc::new(Bell::default());
        let (first, end) = self.opening.feeds.bounds(topic, self.tenure.partition)?;
        let mut feed = self.opening.feeds.open(topic, self.tenure.partition, first, end, &bell)?;
        let mut records = Vec::new();
        // Compaction comes late: until then older records of a key, and the
        // ones that deleted it, are still there.
        let mut live = HashMap::new();
        let mut deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            feed.take(RESTORE_RECORDS_MAX, &mut records)?;
            if !records.is_empty() {
                deadline = Instant::now() + ASK_TIMEOUT;
                for record in records.drain(..) {
                    match record.value {
                        Some(_) => live.insert(record.key.clone(), record),
                        None => live.remove(&record.key),
                    };
                }
            } else if feed.is_past(end) == Some(true) {
                let mut live: Vec<Record> = live.into_values().collect();
                live.sort_unstable_by_key(|record| record.position.offset);
                live.into_iter().for_each(each);
                return Ok(());
            } else if Instant::now() > deadline {
                return Err(unavailable(format!("{} was not read to its end", topic.name())));
            } else {
                self.standing()?;
                bell.wait(deadline);
            }
        }
    }

    fn poll_now(&mut self, records_max: usize, patience: Duration) -> Result<Vec<Record>, LogError> {
        let deadline = Instant::now() + patience;
        loop {
            self.standing()?;
            let records = self.take(records_max.max(1))?;
            if !records.is_empty() || Instant::now() >= deadline {
                return Ok(records);
            }
            self.tenure.bell.wait(deadline);
        }
    }

    /// Reads the tables up to where they ended when the session began; false
    /// while one of them has not come that far.
    ///
    /// What stands in a table holds for every record of a stream that comes
    /// later. But each partition is fetched for itself, by whichever consumer
    /// had room for it: without this, a stream that a warm connection brings
    /// would be worked on before the table that a cold one has to fetch.
    fn catch_up(&mut self, records_max: usize, records: &mut Vec<Record>) -> Result<bool, LogError> {
        while let Some(&table) = self.behind.front() {
            self.inputs[table].take(records_max, records)?;
            if !self.inputs[table].is_caught_up() {
                return Ok(false);
            }
            self.behind.pop_front();
        }
        Ok(true)
    }

    /// What has arrived, a fair share of each input, in the order of the inputs.
    fn take(&mut self, records_max: usize) -> Result<Vec<Record>, LogError> {
        let mut records = Vec::new();
        if !self.catch_up(records_max, &mut records)? {
            return Ok(records);
        }
        let inputs = self.inputs.len();
        // The second round lets the busy have what the quiet left.
        for round in 0..2 {
            for step in 0..inputs {
                let input = (self.turn + step) % inputs;
                let share = if round == 0 {
                    records_max.saturating_sub(records.len()).div_ceil(inputs - step)
                } else {
                    records_max
                };
                let until = (records.len() + share).min(records_max);
                self.inputs[input].take(until, &mut records)?;
            }
        }
        self.turn = (self.turn + 1) % inputs.max(1);
        records.sort_by_key(|record| self.opening.inputs.iter().position(|topic| *topic == record.position.topic));
        Ok(records)
    }

    fn commit_now(&mut self, batch: &Batch) -> Result<(), LogError> {
        self.standing()?;
        if batch.outputs.is_empty() && batch.next_offsets.is_empty() {
            return Ok(());
        }
        // Found before anything is begun: such a batch can never be committed.
        if let Some(bytes) = batch.outputs.iter().map(weight).find(|bytes| *bytes > RECORD_BYTES_MAX) {
            return Err(LogError::TooLarge { bytes, max_bytes: RECORD_BYTES_MAX });
        }
        self.written.clear();
        self.written.extend(batch.outputs.iter().map(|output| (output.topic, output.partition)));
        self.transact(batch).map_err(|error| {
            let partition = self.tenure.partition;
            tracing::warn!(group = self.opening.group, partition, error = describe(&error), "a commit failed");
            let error = self.opening.explain(error, partition);
            if !matches!(error, LogError::Fenced { .. }) {
                self.abort();
            }
            self.over = Some(error.clone());
            error
        })
    }

    fn transact(&self, batch: &Batch) -> KafkaResult<()> {
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        let left = || deadline.saturating_duration_since(Instant::now()).max(STEP);
        self.producer.begin_transaction()?;
        for output in &batch.outputs {
            let name = self.opening.settings.topic_name(output.topic);
            let mut record = BaseRecord {
                topic: &name,
                partition: Some(output.partition as i32),
                payload: output.value.as_deref(),
                key: Some(&output.key[..]),
                timestamp: Some(output.at_ms as i64),
                headers: outgoing(&output.headers),
                delivery_opaque: (),
            };
            while let Err((error, refused)) = self.producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || Instant::now() > deadline {
                    return Err(error);
                }
                self.producer.poll(STEP);
                record = refused;
            }
        }
        if !batch.next_offsets.is_empty() {
            let mut offsets = TopicPartitionList::with_capacity(batch.next_offsets.len());
            for (topic, next) in &batch.next_offsets {
                let (name, partition) = (self.opening.settings.topic_name(*topic), self.tenure.partition as i32);
                offsets.add_partition_offset(&name, partition, Offset::Offset(*next as i64))?;
            }
            // While the outputs are on their way; the commit waits for both.
            retry(left(), |left| self.producer.send_offsets_to_transaction(&offsets, &self.member, left))?;
        }
        self.delivered(deadline)?;
        retry(left(), |left| self.producer.commit_transaction(left))
    }

    /// Waits until nothing is on its way. The library's own flush looks only
    /// every tenth of a second.
    fn delivered(&self, deadline: Instant) -> KafkaResult<()> {
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
            }
            self.producer.poll(STEP);
        }
        Ok(())
    }

    /// A commit answers when it is decided and durable; the marks that let readers
    /// see it follow a little later. Waits for those, in every partition that the
    /// last commit wrote to (the ones before it had to be done by then).
    fn settle_now(&mut self) -> Result<(), LogError> {
        self.standing()?;
        let feeds = &self.opening.feeds;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        for (topic, partition) in std::mem::take(&mut self.written) {
            let last = feeds.last(topic, partition)?;
            while feeds.bounds(topic, partition)?.1 < last {
                if Instant::now() > deadline {
                    return Err(unavailable(format!("a commit to {} does not come to its end", topic.name())));
                }
                std::thread::sleep(STEP);
            }
        }
        Ok(())
    }

    fn abort(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let aborted = self
            .delivered(Instant::now() + ABORT_TIMEOUT)
            .and_then(|()| retry(ABORT_TIMEOUT, |left| self.producer.abort_transaction(left)));
        if let Err(error) = aborted {
            // Left to the next session's fencing, or to the broker's time-out.
            tracing::debug!(error = describe(&error), "a transaction was not aborted");
        }
    }
}

impl Session for KafkaSession {
    fn partition(&self) -> u32 {
        self.tenure.partition
    }

    fn restore<'a>(&'a mut self, topic: Topic, each: &'a mut (dyn FnMut(Record) + Send)) -> Pending<'a, ()> {
        Box::pin(async move {
            self.settle_now()?;
            self.restore_now(topic, each)
        })
    }

    fn poll(&mut self, records_max: usize, patience: Duration) -> Pending<'_, Vec<Record>> {
        Box::pin(async move { self.poll_now(records_max, patience) })
    }

    fn commit(&mut self, batch: Batch) -> Pending<'_, ()> {
        Box::pin(async move { self.commit_now(&batch) })
    }

    fn settle(&mut self) -> Pending<'_, ()> {
        Box::pin(async move { self.settle_now() })
    }
}

impl Drop for KafkaSession {
    fn drop(&mut self) {
        // The partition is given back before it is offered again.
        self.inputs.clear();
        self.opening.assignment.offer_again(&self.tenure);
    }
}
