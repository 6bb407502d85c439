//! A topic as lines of JSON, past and live: what `nexus tail` prints, with the
//! hub or without it.

use std::{collections::VecDeque, sync::Arc};

use pipeline::{
    event::Time,
    ports::{Log, LogError, Reader, Record, Start, Visibility},
    topics::Topic,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{sync::mpsc, task::JoinSet};

/// Records that are read at once, and lines that wait for a slow reader.
const RECORDS_AT_ONCE: usize = 256;

/// Which records.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// `start`, `end`, or an offset (in every partition that is read).
    #[serde(default = "start")]
    pub from: String,
    /// Go on with what is written from now on.
    #[serde(default)]
    pub follow: bool,
    /// Only this partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Not more than so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

fn start() -> String {
    "start".to_owned()
}

impl Query {
    /// Where to begin; `None` when `from` is none of what it may be.
    pub fn start(&self) -> Option<Start> {
        match self.from.as_str() {
            "start" => Some(Start::Oldest),
            "end" => Some(Start::Newest),
            offset => offset.parse().ok().map(Start::Offset),
        }
    }
}

/// Sends the records as lines, until all are sent or nobody listens. Within a
/// partition in order; between partitions by time, as far as the past goes.
pub async fn lines(
    log: Arc<dyn Log>,
    topic: Topic,
    query: Query,
    to: mpsc::Sender<Result<String, LogError>>,
) -> Result<(), LogError> {
    lines_of(log, topic, query, None, to).await
}

/// The same, of one tenant's records alone.
pub async fn lines_of(
    log: Arc<dyn Log>,
    topic: Topic,
    query: Query,
    whose: Option<&str>,
    to: mpsc::Sender<Result<String, LogError>>,
) -> Result<(), LogError> {
    let from = query.start().unwrap_or(Start::Oldest);
    let partitions: Vec<u32> = match query.partition {
        Some(partition) => vec![partition],
        None => (0..log.partitions()).collect(),
    };
    // What is written while the past is read would keep the reading going for
    // ever: the past ends where it ended when it was asked for.
    let ends = log.lag("", &[topic]).await?;
    let mut pasts = Vec::new();
    for partition in partitions {
        let end = ends.iter().find(|lag| lag.partition == partition).map_or(0, |lag| lag.end_offset);
        let reader = log.read(topic, partition, from, Visibility::Durable).await?;
        pasts.push(Past { reader, end, read: VecDeque::new(), done: end == 0 });
    }
    let mut left = query.limit.unwrap_or(u64::MAX);
    if from != Start::Newest {
        while left > 0 {
            let Some(record) = oldest(&mut pasts).await? else { break };
            if !is_of(&record, whose) {
                continue;
            }
            if to.send(Ok(line(&record))).await.is_err() {
                return Ok(());
            }
            left -= 1;
        }
    }
    if query.follow {
        follow(pasts, left, whose, to).await?;
    }
    Ok(())
}

struct Past {
    reader: Box<dyn Reader>,
    end: u64,
    read: VecDeque<Record>,
    done: bool,
}

/// The oldest of the next records of all partitions.
async fn oldest(pasts: &mut [Past]) -> Result<Option<Record>, LogError> {
    for past in pasts.iter_mut().filter(|past| past.read.is_empty() && !past.done) {
        past.read.extend(past.reader.ready(RECORDS_AT_ONCE).await?);
        past.done = past.read.back().is_none_or(|last| last.position.offset + 1 >= past.end);
    }
    let oldest = pasts.iter_mut().filter(|past| !past.read.is_empty()).min_by_key(|past| past.read[0].at_ms);
    Ok(oldest.and_then(|past| past.read.pop_front()))
}

/// Whether a record is the tenant's: its key is the tenant, or begins with it.
fn is_of(record: &Record, whose: Option<&str>) -> bool {
    whose.is_none_or(|tenant| record.key.split(|byte| *byte == b'/').next() == Some(tenant.as_bytes()))
}

async fn follow(
    pasts: Vec<Past>,
    mut left: u64,
    whose: Option<&str>,
    to: mpsc::Sender<Result<String, LogError>>,
) -> Result<(), LogError> {
    let (each, mut all) = mpsc::channel(1);
    let mut readers = JoinSet::new();
    for mut past in pasts {
        let each = each.clone();
        readers.spawn(async move {
            let mut records: Vec<Record> = past.read.into();
            loop {
                for record in records {
                    if each.send(Ok(record)).await.is_err() {
                        return;
                    }
                }
                records = match past.reader.next(RECORDS_AT_ONCE).await {
                    Ok(records) => records,
                    Err(error) => {
                        let _ = each.send(Err(error)).await;
                        return;
                    }
                };
            }
        });
    }
    drop(each);
    while left > 0 {
        let received = tokio::select! {
            received = all.recv() => received,
            () = to.closed() => None,
        };
        match received {
            Some(Ok(record)) if !is_of(&record, whose) => {}
            Some(Ok(record)) if to.send(Ok(line(&record))).await.is_ok() => left -= 1,
            Some(Err(error)) => return Err(error),
            _ => break,
        }
    }
    Ok(())
}

/// A record as one line of JSON. A value that is no JSON is shown as text.
pub fn line(record: &Record) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        topic: &'static str,
        partition: u32,
        offset: u64,
        at: Time,
        key: String,
        headers: serde_json::Map<String, serde_json::Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        value: Option<&'a RawValue>,
    }
    let value = record.value.as_deref().and_then(|value| serde_json::from_slice::<&RawValue>(value).ok());
    let text =
        record.value.as_deref().filter(|_| value.is_none()).map(|text| String::from_utf8_lossy(text).into_owned());
    let header = |(name, value): (&str, &[u8])| (name.to_owned(), String::from_utf8_lossy(value).into_owned().into());
    let line = Line {
        topic: record.position.topic.name(),
        partition: record.position.partition,
        offset: record.position.offset,
        at: Time::from_ms(record.at_ms),
        key: String::from_utf8_lossy(&record.key).into_owned(),
        headers: record.headers.iter().map(header).collect(),
        text,
        value,
    };
    // A producer's own JSON may be spread over lines; a line is one.
    let mut json = serde_json::to_string(&line).unwrap_or_default();
    if json.contains('\n') {
        json = json.replace(['\n', '\r'], " ");
    }
    json
}
