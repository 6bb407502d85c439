//! Appends: records in from any thread, positions out when the brokers have
//! them. One idempotent producer for the process; no thread and no task for a
//! record, only a ticket that its delivery report hands in.

use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};
use std::time::Duration;

use pipeline::ports::{LogError, NewRecord, Position};
use rdkafka::{
    ClientContext,
    error::{KafkaError, KafkaResult},
    message::{DeliveryResult, Message},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::oneshot;

use super::{
    config::{RECORD_BYTES_MAX, Settings},
    health::BrokerHealth,
    record::{broken, describe, outgoing, unavailable, weight},
};

type Sender = ThreadedProducer<Deliveries>;

/// The producer that all appends of this process share.
pub(super) struct Appender {
    settings: Arc<Settings>,
    names: Vec<String>,
    /// Shared by single records, exclusive for several of one call, so that
    /// nothing of this process comes between those.
    sender: RwLock<Sender>,
    waiting_bytes: Arc<AtomicUsize>,
    health: Arc<BrokerHealth>,
}

/// What happens when a record was delivered.
pub(super) struct Deliveries {
    waiting_bytes: Arc<AtomicUsize>,
    health: Arc<BrokerHealth>,
    /// The producer can do no more and must be made anew.
    spent: AtomicBool,
}

/// One record's part in a receipt.
pub(super) struct Ticket {
    receipt: Arc<Receipt>,
    index: usize,
    bytes: usize,
}

/// What one call waits for.
struct Receipt {
    left: AtomicUsize,
    answer: Mutex<Answer>,
}

struct Answer {
    positions: Vec<Position>,
    reply: Option<oneshot::Sender<Result<Vec<Position>, LogError>>>,
}

impl Appender {
    pub(super) fn new(settings: &Arc<Settings>) -> KafkaResult<Appender> {
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let health = Arc::new(BrokerHealth::new(settings.append_bytes_max, waiting_bytes.clone()));
        let sender = connect(settings, &waiting_bytes, &health)?;
        let names = pipeline::topics::TOPICS.iter().map(|spec| settings.topic_name(spec.topic)).collect();
        Ok(Appender { settings: settings.clone(), names, sender: RwLock::new(sender), waiting_bytes, health })
    }

    pub(super) fn health(self: &Arc<Self>) -> Arc<BrokerHealth> {
        self.health.clone()
    }

    /// Takes the records at once, or says why not; the answer follows when all
    /// of them are durable.
    pub(super) fn append(
        &self,
        records: Vec<NewRecord>,
    ) -> Result<impl Future<Output = Result<Vec<Position>, LogError>> + Send + 'static, LogError> {
        self.reserve(&records)?;
        let (reply, answer) = oneshot::channel();
        let positions =
            records.iter().map(|record| Position { topic: record.topic, partition: record.partition, offset: 0 });
        let receipt = Arc::new(Receipt {
            left: AtomicUsize::new(records.len()),
            answer: Mutex::new(Answer { positions: positions.collect(), reply: Some(reply) }),
        });
        if records.is_empty() {
            receipt.settle(Ok(()));
        } else if records.len() == 1 {
            let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
            self.send_all(&sender, &records, &receipt);
        } else {
            let sender = self.sender.write().unwrap_or_else(PoisonError::into_inner);
            self.send_all(&sender, &records, &receipt);
        }
        self.replace_if_spent();
        Ok(async move { answer.await.map_err(|_| LogError::Closed)? })
    }

    /// Waits until everything taken is durable or has failed.
    pub(super) fn flush(&self) -> Result<(), LogError> {
        let timeout = Duration::from_millis(u64::from(self.settings.append_timeout_ms) + 1_000);
        self.sender.read().unwrap_or_else(PoisonError::into_inner).flush(timeout).map_err(broken)
    }

    fn reserve(&self, records: &[NewRecord]) -> Result<(), LogError> {
        let mut bytes = 0;
        for record in records {
            let one = weight(record);
            if one > RECORD_BYTES_MAX {
                return Err(LogError::TooLarge { bytes: one, max_bytes: RECORD_BYTES_MAX });
            }
            if record.partition >= self.settings.partitions {
                let detail = format!("partition {} of {} does not exist", record.partition, self.settings.partitions);
                return Err(LogError::Unavailable { detail });
            }
            bytes += one;
        }
        let bound_bytes = self.settings.append_bytes_max;
        // A single call may be larger than the bound when nothing else waits.
        let room = |waiting: usize| (waiting == 0 || waiting + bytes <= bound_bytes).then_some(waiting + bytes);
        self.waiting_bytes.fetch_update(SeqCst, SeqCst, room).map_err(|_| LogError::Busy { bound_bytes })?;
        Ok(())
    }

    fn send_all(&self, sender: &Sender, records: &[NewRecord], receipt: &Arc<Receipt>) {
        for (index, record) in records.iter().enumerate() {
            let ticket = Box::new(Ticket { receipt: receipt.clone(), index, bytes: weight(record) });
            let message = BaseRecord {
                topic: &self.names[record.topic as usize - 1],
                partition: Some(record.partition as i32),
                payload: record.value.as_deref(),
                key: Some(&record.key[..]),
                timestamp: Some(record.at_ms as i64),
                headers: outgoing(&record.headers),
                delivery_opaque: ticket,
            };
            if let Err((error, _)) = sender.send(message) {
                sender.client().context().note(&error);
                let unsent: usize = records[index..].iter().map(weight).sum();
                self.waiting_bytes.fetch_sub(unsent, SeqCst);
                return receipt.settle(Err(broken(error)));
            }
        }
    }

    /// A producer that lost its place for good is replaced by a new one; the
    /// records that it held have failed and their callers were told.
    fn replace_if_spent(&self) {
        if !self.sender.read().unwrap_or_else(PoisonError::into_inner).client().context().spent.load(Relaxed) {
            return;
        }
        let mut sender = self.sender.write().unwrap_or_else(PoisonError::into_inner);
        if sender.client().context().spent.load(Relaxed) {
            match connect(&self.settings, &self.waiting_bytes, &self.health) {
                Ok(fresh) => *sender = fresh,
                Err(error) => tracing::error!(error = describe(&error), "no new producer could be made"),
            }
        }
    }
}

/// The watch asks through the same connections as the appends.
impl Appender {
    pub(super) fn ask(&self, timeout: Duration) -> KafkaResult<()> {
        let client = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        client.client().fetch_metadata(self.names.first().map(String::as_str), timeout).map(|_| ())
    }
}

fn connect(settings: &Settings, waiting_bytes: &Arc<AtomicUsize>, health: &Arc<BrokerHealth>) -> KafkaResult<Sender> {
    settings.appender().create_with_context(Deliveries {
        waiting_bytes: waiting_bytes.clone(),
        health: health.clone(),
        spent: AtomicBool::new(false),
    })
}

impl Deliveries {
    fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.spent.store(true, Relaxed);
        }
        self.health.delivery_failed(describe(error));
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.spent.store(true, Relaxed);
        }
        tracing::debug!(error = describe(&error), reason, "kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        self.waiting_bytes.fetch_sub(ticket.bytes, SeqCst);
        match result {
            Ok(message) => {
                self.health.delivered();
                ticket.receipt.delivered(ticket.index, message.offset());
            }
            Err((error, _)) => {
                self.note(error);
                ticket.receipt.settle(Err(unavailable(describe(error))));
            }
        }
    }
}

impl Receipt {
    fn delivered(&self, index: usize, offset: i64) {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).positions[index].offset = offset.max(0) as u64;
        if self.left.fetch_sub(1, SeqCst) == 1 {
            self.settle(Ok(()));
        }
    }

    /// Answers the caller, once.
    fn settle(&self, outcome: Result<(), LogError>) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reply) = answer.reply.take() {
            let positions = std::mem::take(&mut answer.positions);
            // Nobody waits any more when the caller went away.
            let _ = reply.send(outcome.map(|()| positions));
        }
    }
}
