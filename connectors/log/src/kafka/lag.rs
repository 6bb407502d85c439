//! How far a group is: three questions for all partitions together, and one
//! short read for each partition that is behind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pipeline::{
    ports::{Lag, LogError},
    topics::Topic,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{
    ASK_TIMEOUT, blocking,
    config::Settings,
    feed::{ASK_AGAIN, Bell, Feeds, Quiet},
    record::broken,
};

/// How long the oldest unread records may take to arrive, all together.
const READ_TIMEOUT: Duration = Duration::from_millis(500);
/// Partitions whose oldest unread record is looked at in one measurement.
const READS_MAX: usize = 64;

type Observer = BaseConsumer<Quiet>;

/// What is kept between measurements: a consumer for each group (it never
/// joins), and the times of records already looked at.
pub(super) struct Lags {
    settings: Arc<Settings>,
    observers: Mutex<HashMap<String, Arc<Observer>>>,
    /// For each partition one offset and when its record was made.
    times: Mutex<HashMap<(Topic, u32), (u64, u64)>>,
}

impl Lags {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Lags { settings, observers: Mutex::default(), times: Mutex::default() }
    }

    fn observer(&self, group: &str) -> Result<Arc<Observer>, LogError> {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = observers.get(group) {
            return Ok(known.clone());
        }
        // Kafka has no consumer without a name; this one asks for ends only.
        let name = if group.is_empty() { "nexus.readers" } else { group };
        let observer: Observer = self.settings.observer(name).create_with_context(Quiet).map_err(broken)?;
        let observer = Arc::new(observer);
        observers.insert(group.to_owned(), observer.clone());
        Ok(observer)
    }

    fn known_time(&self, lag: &Lag) -> Option<u64> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let (offset, at_ms) = times.get(&(lag.topic, lag.partition))?;
        (*offset == unread_from(lag)).then_some(*at_ms)
    }
}

/// See `Log::lag`.
pub(super) async fn measure(
    lags: &Arc<Lags>,
    feeds: &Arc<Feeds>,
    group: String,
    topics: Vec<Topic>,
) -> Result<Vec<Lag>, LogError> {
    let (lags, feeds) = (lags.clone(), feeds.clone());
    blocking(move || {
        let mut measured = offsets(&lags, &group, &topics)?;
        if !group.is_empty() {
            look_at_oldest(&lags, &feeds, &mut measured)?;
        }
        Ok(measured)
    })
    .await
}

fn offsets(lags: &Lags, group: &str, topics: &[Topic]) -> Result<Vec<Lag>, LogError> {
    let observer = lags.observer(group)?;
    let mut all = TopicPartitionList::new();
    for topic in topics {
        all.add_partition_range(&lags.settings.topic_name(*topic), 0, lags.settings.partitions as i32 - 1);
    }
    // Kafka's marks for the two ends stand where a time would.
    let ask = |end: Offset| {
        let deadline = Instant::now() + ASK_TIMEOUT;
        loop {
            let mut asked = all.clone();
            asked.set_all_offsets(end).map_err(broken)?;
            match observer.offsets_for_times(asked, ASK_TIMEOUT) {
                Ok(found) => return Ok(found.to_topic_map()),
                Err(error) if is_moving(&error) && Instant::now() < deadline => std::thread::sleep(ASK_AGAIN),
                Err(error) => return Err(broken(error)),
            }
        }
    };
    let first = ask(Offset::Beginning)?;
    let end = ask(Offset::End)?;
    let committed = if group.is_empty() {
        HashMap::new()
    } else {
        observer.committed_offsets(all.clone(), ASK_TIMEOUT).map_err(broken)?.to_topic_map()
    };
    let mut measured = Vec::with_capacity(all.count());
    for topic in topics {
        for partition in 0..lags.settings.partitions {
            let key = (lags.settings.topic_name(*topic), partition as i32);
            let end_offset = number(end.get(&key)).unwrap_or(0);
            measured.push(Lag {
                topic: *topic,
                partition,
                // An empty partition has no first record to name.
                first_offset: number(first.get(&key)).unwrap_or(end_offset),
                end_offset,
                group_offset: number(committed.get(&key)),
                oldest_unread_at_ms: None,
            });
        }
    }
    Ok(measured)
}

/// A partition that was just made or whose leader moves has none to answer for
/// a moment. Brokers that are away are another matter: who asks is told so.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    matches!(error.rdkafka_error_code(), Some(LeaderNotAvailable | NotLeaderForPartition))
}

fn number(offset: Option<&Offset>) -> Option<u64> {
    match offset {
        Some(Offset::Offset(offset)) => Some((*offset).max(0) as u64),
        _ => None,
    }
}

fn unread_from(lag: &Lag) -> u64 {
    lag.group_offset.unwrap_or(lag.first_offset).max(lag.first_offset)
}

fn look_at_oldest(lags: &Lags, feeds: &Feeds, measured: &mut [Lag]) -> Result<(), LogError> {
    let bell = Arc::new(Bell::default());
    let mut opened = Vec::new();
    for (index, lag) in measured.iter_mut().enumerate() {
        if unread_from(lag) >= lag.end_offset {
            continue;
        }
        lag.oldest_unread_at_ms = lags.known_time(lag);
        if lag.oldest_unread_at_ms.is_none() && opened.len() < READS_MAX {
            opened.push((index, feeds.open(lag.topic, lag.partition, unread_from(lag), lag.end_offset, &bell)?));
        }
    }
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut records = Vec::with_capacity(1);
    while !opened.is_empty() && Instant::now() < deadline {
        let mut waiting = Vec::with_capacity(opened.len());
        for (index, mut feed) in opened {
            feed.take(1, &mut records)?;
            let lag = &mut measured[index];
            if let Some(record) = records.pop() {
                lag.oldest_unread_at_ms = Some(record.at_ms);
                let mut times = lags.times.lock().unwrap_or_else(PoisonError::into_inner);
                times.insert((lag.topic, lag.partition), (unread_from(lag), record.at_ms));
            } else if feed.is_past(lag.end_offset) != Some(true) {
                // Only what is not committed yet may lie ahead otherwise.
                waiting.push((index, feed));
            }
        }
        opened = waiting;
        if !opened.is_empty() {
            bell.wait(deadline);
        }
    }
    Ok(())
}
