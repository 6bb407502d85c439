//! One partition's records, from few consumers for the whole process.
//!
//! A consumer costs threads and a connection to every broker, and can be given
//! any set of partitions, but each only once. So a feed takes the first consumer
//! that does not have its partition yet: as many consumers as there are readers
//! of one partition, however many partitions there are.

use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pipeline::{
    ports::{LogError, Record},
    topics::Topic,
};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, base_consumer::PartitionQueue},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::Notify;

use super::{
    ASK_TIMEOUT,
    config::Settings,
    record::{broken, describe, incoming, unavailable},
};

/// How often a consumer's own events are served.
const SERVE_EVERY: Duration = Duration::from_millis(200);

/// The pause before a question is repeated.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Keeps librdkafka's chatter where it can be turned on.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = describe(&error), reason, "kafka client");
    }
}

impl ConsumerContext for Quiet {}
impl rdkafka::producer::ProducerContext for Quiet {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

/// The consumers of this process.
pub(super) struct Feeds {
    settings: Arc<Settings>,
    pumps: Mutex<Vec<Arc<Pump>>>,
    asker: Arc<Asker>,
}

/// Consumers that fetch nothing, for questions: a broker answers one request of
/// a connection at a time, and a fetch is held back until there is news. One
/// sees what is committed, the other everything.
#[derive(Default)]
struct Asker {
    committed: OnDemand,
    everything: OnDemand,
}

type OnDemand = Mutex<Option<Arc<BaseConsumer<Quiet>>>>;

struct Pump {
    consumer: Arc<BaseConsumer<Quiet>>,
    taken: Mutex<HashSet<(Topic, u32)>>,
    stop: Arc<AtomicBool>,
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

/// A partition of a consumer, taken until this goes.
struct Place {
    pump: Arc<Pump>,
    asker: Arc<Asker>,
    settings: Arc<Settings>,
    name: String,
    topic: Topic,
    partition: u32,
}

/// Wakes whoever waits for a feed, on a thread or in a task.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    thread: Condvar,
    task: Notify,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.thread.notify_one();
        self.task.notify_one();
    }

    /// Waits on this thread, at most until `deadline`.
    pub(super) fn wait(&self, deadline: Instant) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = deadline.saturating_duration_since(Instant::now());
        let (mut rung, _) =
            self.thread.wait_timeout_while(rung, patience, |rung| !*rung).unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }

    /// Waits in a task.
    pub(super) async fn heard(&self) {
        self.task.notified().await;
    }
}

/// One partition, from one offset on.
pub(super) struct Feed {
    /// Before the place: what it undoes when it goes would otherwise undo the
    /// next feed's that takes the same place.
    queue: PartitionQueue<Quiet>,
    place: Place,
    /// The offset after the last record handed out.
    next_offset: u64,
    /// The end as it was asked before the consumer was last set on its way, and
    /// whether it has said since that it reached an end: everything committed
    /// before that end was handed out then.
    asked_end: u64,
    reached: bool,
}

impl Feeds {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Feeds { settings, pumps: Mutex::default(), asker: Arc::default() }
    }

    /// The oldest offset and the last stable one of a partition. Blocks.
    pub(super) fn bounds(&self, topic: Topic, partition: u32) -> Result<(u64, u64), LogError> {
        self.asker.bounds(&self.settings, topic, partition)
    }

    /// The offset after the last record, committed or not. Blocks.
    pub(super) fn last(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        self.asker.last(&self.settings, topic, partition)
    }

    /// Starts to read at `offset`, which must be one that is kept or the next
    /// to be written. `end` is the last stable offset as asked just before.
    /// Blocks for a moment.
    pub(super) fn open(
        &self,
        topic: Topic,
        partition: u32,
        offset: u64,
        end: u64,
        bell: &Arc<Bell>,
    ) -> Result<Feed, LogError> {
        let name = self.settings.topic_name(topic);
        let pump = self.pump(|pump| pump.take(topic, partition))?;
        let (asker, settings) = (self.asker.clone(), self.settings.clone());
        let place = Place { pump, asker, settings, name, topic, partition };
        let queue = place.assign(offset, bell)?;
        Ok(Feed { queue, place, next_offset: offset, asked_end: end, reached: false })
    }

    /// The first consumer that suits, or a new one.
    fn pump(&self, suits: impl Fn(&Pump) -> bool) -> Result<Arc<Pump>, LogError> {
        let mut pumps = self.pumps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pump) = pumps.iter().find(|pump| suits(pump)) {
            return Ok(pump.clone());
        }
        let pump = Arc::new(Pump::start(&self.settings)?);
        suits(&pump);
        pumps.push(pump.clone());
        Ok(pump)
    }
}

impl Pump {
    fn start(settings: &Settings) -> Result<Pump, LogError> {
        let consumer: BaseConsumer<Quiet> = settings.reader().create_with_context(Quiet).map_err(broken)?;
        let consumer = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped) = (consumer.clone(), stop.clone());
        // Records never come this way: a partition's queue is split off before
        // it is assigned. Errors and statistics do.
        let serve = move || {
            while !stopped.load(Relaxed) {
                match served.poll(SERVE_EVERY) {
                    Some(Err(error)) => tracing::debug!(error = describe(&error), "kafka reader"),
                    Some(Ok(_)) => tracing::error!("a record came outside its feed"),
                    None => {}
                }
            }
        };
        std::thread::Builder::new().name("kafka-feeds".into()).spawn(serve).map_err(unavailable)?;
        Ok(Pump { consumer, taken: Mutex::default(), stop })
    }

    fn take(&self, topic: Topic, partition: u32) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert((topic, partition))
    }
}

impl Asker {
    /// The oldest offset and the last stable one.
    fn bounds(&self, settings: &Settings, topic: Topic, partition: u32) -> Result<(u64, u64), LogError> {
        ask(&*connected(&self.committed, || settings.reader())?, &settings.topic_name(topic), partition)
    }

    /// The offset after the last record, committed or not.
    fn last(&self, settings: &Settings, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let consumer = connected(&self.everything, || settings.observer("nexus.readers"))?;
        Ok(ask(&consumer, &settings.topic_name(topic), partition)?.1)
    }
}

fn connected(consumer: &OnDemand, config: impl Fn() -> ClientConfig) -> Result<Arc<BaseConsumer<Quiet>>, LogError> {
    let mut consumer = consumer.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*consumer {
        return Ok(known.clone());
    }
    let made = Arc::new(config().create_with_context(Quiet).map_err(broken)?);
    Ok(consumer.insert(made).clone())
}

/// Asks for both ends. A partition that was just made or whose leader moves has
/// none to answer for a moment.
fn ask(consumer: &BaseConsumer<Quiet>, name: &str, partition: u32) -> Result<(u64, u64), LogError> {
    let deadline = Instant::now() + ASK_TIMEOUT;
    loop {
        match consumer.fetch_watermarks(name, partition as i32, ASK_TIMEOUT) {
            Ok((first, end)) => return Ok((first.max(0) as u64, end.max(0) as u64)),
            Err(error) if Instant::now() > deadline => return Err(broken(error)),
            Err(_) => std::thread::sleep(ASK_AGAIN),
        }
    }
}

impl Place {
    fn bounds(&self) -> Result<(u64, u64), LogError> {
        self.asker.bounds(&self.settings, self.topic, self.partition)
    }

    fn list(&self, offset: Offset) -> Result<TopicPartitionList, LogError> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset(&self.name, self.partition as i32, offset).map_err(broken)?;
        Ok(partitions)
    }

    fn assign(&self, offset: u64, bell: &Arc<Bell>) -> Result<PartitionQueue<Quiet>, LogError> {
        let queue = self.pump.consumer.split_partition_queue(&self.name, self.partition as i32);
        let mut queue = queue.ok_or_else(|| unavailable(format!("{} has no queue", self.name)))?;
        let bell = bell.clone();
        queue.set_nonempty_callback(move || bell.ring());
        self.pump.consumer.incremental_assign(&self.list(Offset::Offset(offset as i64))?).map_err(broken)?;
        Ok(queue)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let given_back =
            self.list(Offset::Invalid).and_then(|list| self.pump.consumer.incremental_unassign(&list).map_err(broken));
        if let Err(error) = given_back {
            tracing::debug!(%error, topic = self.name, "a partition was not assigned any more");
        }
        self.pump.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&(self.topic, self.partition));
    }
}

impl Feed {
    /// Moves what has arrived into `records`, until it holds `records_max`.
    pub(super) fn take(&mut self, records_max: usize, records: &mut Vec<Record>) -> Result<(), LogError> {
        while records.len() < records_max {
            match self.queue.poll(Duration::ZERO) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    let record = incoming(&message, self.place.topic, self.place.partition);
                    // A repeat can only come after a new start; none may pass.
                    if record.position.offset >= self.next_offset {
                        self.next_offset = record.position.offset + 1;
                        records.push(record);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.reached = true,
                Some(Err(error)) => return Err(self.explain(error)),
            }
        }
        Ok(())
    }

    /// Whether everything before `end` was handed out; `None` when that is not
    /// known yet and [`Feed::take`] will tell.
    pub(super) fn is_past(&self, end: u64) -> Option<bool> {
        if self.next_offset >= end || (self.reached && self.asked_end >= end) {
            return Some(true);
        }
        if self.asked_end >= end { None } else { Some(false) }
    }

    /// Whether everything was handed out that stood before the end that was
    /// asked for last.
    pub(super) fn is_caught_up(&self) -> bool {
        self.is_past(self.asked_end) == Some(true)
    }

    /// Everything committed before this offset was handed out.
    pub(super) fn position(&self) -> u64 {
        if self.reached { self.next_offset.max(self.asked_end) } else { self.next_offset }
    }

    /// Sets the consumer on its way again from where it is, so that the next
    /// end that it reports is not older than `end`. (The last offsets of a
    /// partition may be marks of transactions, which nobody sees: an end can
    /// only be known by arriving.)
    pub(super) fn again(&mut self, end: u64) -> Result<(), LogError> {
        let from = self.place.list(Offset::Offset(self.next_offset as i64))?;
        let sought = self.place.pump.consumer.seek_partitions(from, ASK_TIMEOUT).map_err(broken)?;
        for partition in sought.elements() {
            partition.error().map_err(broken)?;
        }
        (self.asked_end, self.reached) = (end, false);
        Ok(())
    }

    /// The last stable offset now. Blocks.
    pub(super) fn end(&self) -> Result<u64, LogError> {
        Ok(self.place.bounds()?.1)
    }

    fn explain(&self, error: KafkaError) -> LogError {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => match self.place.bounds() {
                Ok((first, _)) => LogError::Gone { topic: self.place.topic.name(), asked: self.next_offset, first },
                Err(error) => error,
            },
            _ => broken(error),
        }
    }
}
