//! Appends the originals of dead letters again.
//!
//! Each gets a nonce, which makes it another event than the one that may have
//! been seen, so that it is not dropped as a repeat.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use pipeline::{
    event::DeadLetter,
    ports::{Clock, Headers, Log, LogError, NewRecord, Position, RECORD_BYTES_MAX, Start, Visibility},
    topics::{Topic, partition_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::look::{Cursor, Look};
use runtime::identity::random_hex;

/// Originals that are appended together: enough to share a sync, few enough
/// that a failure leaves little in doubt.
const BATCH_RECORDS_MAX: usize = 64;
/// The same in bytes; a larger original goes by itself.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How often, and after which pause, a log that is busy is asked again.
const BUSY_TRIES_MAX: u32 = 200;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Why a letter cannot be replayed, now or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A newer version wrote it, or somebody else.
    #[error("the original's topic is not known here")]
    UnknownTopic,
    /// It was not written by us.
    #[error("the original's base64 cannot be read")]
    Unreadable,
    /// It was too large to be kept twice, and its topic has let it go.
    #[error("the original is not kept any more")]
    Gone,
    /// With its nonce it is larger than what the log takes.
    #[error("the original is too large to be appended again")]
    TooLarge,
}

impl Unfit {
    /// What programs may rely on.
    pub fn code(self) -> &'static str {
        match self {
            Unfit::UnknownTopic => "unknown_topic",
            Unfit::Unreadable => "unreadable",
            Unfit::Gone => "gone",
            Unfit::TooLarge => "too_large",
        }
    }
}

/// Why one letter was not replayed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotReplayed {
    /// The letter is to blame.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The log is.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl NotReplayed {
    fn of(error: LogError) -> Self {
        match error {
            LogError::TooLarge { .. } => Unfit::TooLarge.into(),
            error => error.into(),
        }
    }
}

/// What became of the letters of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// Originals that were appended again.
    pub replayed: u64,
    /// The others, by the code of the reason (see [`Unfit::code`]).
    pub skipped: BTreeMap<String, u64>,
}

impl Replayed {
    fn skip(&mut self, reason: Unfit) {
        *self.skipped.entry(reason.code().to_owned()).or_default() += 1;
    }
}

/// A run that the log ended early.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {} were sent once more before that", so_far.replayed)]
pub struct Interrupted {
    /// What had been done.
    pub so_far: Replayed,
    /// What the log said.
    #[source]
    pub error: LogError,
}

/// Appends one letter's original again.
pub async fn replay(log: &dyn Log, letter: &DeadLetter, nonce: &str, now_ms: u64) -> Result<Position, NotReplayed> {
    let record = original(log, letter, nonce, now_ms).await?;
    let positions = log.append(vec![record]).await.map_err(NotReplayed::of)?;
    positions.first().copied().ok_or(NotReplayed::Log(LogError::Closed))
}

/// Appends the originals of all letters again that `wanted` picks of those
/// that there are now.
pub async fn replay_all(
    log: &dyn Log,
    clock: &dyn Clock,
    wanted: impl Fn(&DeadLetter) -> bool,
) -> Result<Replayed, Interrupted> {
    let mut run = Run { log, batch: Vec::new(), batch_bytes: 0, so_far: Replayed::default() };
    match run.all(clock, wanted).await {
        Ok(()) => Ok(run.so_far),
        Err(error) => Err(Interrupted { so_far: run.so_far, error }),
    }
}

struct Run<'a> {
    log: &'a dyn Log,
    batch: Vec<NewRecord>,
    batch_bytes: usize,
    so_far: Replayed,
}

impl Run<'_> {
    async fn all(&mut self, clock: &dyn Clock, wanted: impl Fn(&DeadLetter) -> bool) -> Result<(), LogError> {
        let mut look = Look::begin(self.log, Cursor::default()).await?;
        while let Some(found) = look.next().await? {
            let Some(letter) = found.letter.filter(&wanted) else { continue };
            match original(self.log, &letter, &random_hex(), clock.now_ms()).await {
                Ok(record) => self.put(record).await?,
                Err(NotReplayed::Unfit(reason)) => self.so_far.skip(reason),
                Err(NotReplayed::Log(error)) => return Err(error),
            }
        }
        self.flush().await
    }

    async fn put(&mut self, record: NewRecord) -> Result<(), LogError> {
        let bytes = record.bytes();
        if self.batch.len() == BATCH_RECORDS_MAX || self.batch_bytes + bytes > BATCH_BYTES_MAX {
            self.flush().await?;
        }
        self.batch.push(record);
        self.batch_bytes += bytes;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), LogError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let count = batch.len() as u64;
        match self.append(batch.clone()).await {
            Ok(()) => self.so_far.replayed += count,
            // By the log's own measure; whose fault it is, each tells alone.
            Err(LogError::TooLarge { .. }) => {
                for record in batch {
                    match self.append(vec![record]).await {
                        Ok(()) => self.so_far.replayed += 1,
                        Err(LogError::TooLarge { .. }) => self.so_far.skip(Unfit::TooLarge),
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits while the log is busy: what makes it so may be this very run.
    /// Any other failure may have left the records there, so it is not tried
    /// again.
    async fn append(&self, batch: Vec<NewRecord>) -> Result<(), LogError> {
        let mut tries = 0;
        loop {
            match self.log.append(batch.clone()).await {
                Err(LogError::Busy { .. }) if tries < BUSY_TRIES_MAX => tries += 1,
                other => return other.map(drop),
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }
}

/// What is appended for a letter.
async fn original(log: &dyn Log, letter: &DeadLetter, nonce: &str, now_ms: u64) -> Result<NewRecord, NotReplayed> {
    let original = &letter.original;
    let topic = Topic::from_name(&original.topic).ok_or(Unfit::UnknownTopic)?;
    let value = match (&original.value, &original.value_base64) {
        (Some(text), _) => with_nonce(text, nonce).into(),
        (None, Some(encoded)) => udfs::hash::from_base64(encoded).ok_or(Unfit::Unreadable)?.into(),
        (None, None) => {
            let bytes = in_place(log, topic, letter).await?.ok_or(Unfit::Gone)?;
            std::str::from_utf8(&bytes).map(|text| with_nonce(text, nonce).into()).unwrap_or(bytes)
        }
    };
    let record = NewRecord {
        topic,
        partition: partition_of(&original.key, log.partitions()),
        at_ms: now_ms,
        key: Bytes::from(original.key.clone()),
        value: Some(value),
        headers: Headers::new([("replay_of", letter.id.as_bytes()), ("nonce", nonce.as_bytes())]),
    };
    if record.bytes() > RECORD_BYTES_MAX { Err(Unfit::TooLarge.into()) } else { Ok(record) }
}

/// The original of a letter that does not hold it, if it is still kept.
async fn in_place(log: &dyn Log, topic: Topic, letter: &DeadLetter) -> Result<Option<Bytes>, LogError> {
    let (partition, offset) = (letter.original.partition, letter.original.offset);
    if partition >= log.partitions() {
        return Ok(None);
    }
    let found = match log.read(topic, partition, Start::Offset(offset), Visibility::Durable).await {
        Ok(mut reader) => reader.ready(1).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(records) => {
            let record = records.into_iter().next().filter(|record| record.position.offset == offset);
            Ok(record.and_then(|record| record.value))
        }
        Err(LogError::Gone { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same object with a nonce. Its fields stay text: as values they would
/// take many times the memory, and numbers would lose digits.
fn with_nonce(text: &str, nonce: &str) -> Vec<u8> {
    let fields = serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
    let (Ok(mut fields), Ok(nonce)) = (fields, to_raw_value(nonce)) else { return text.as_bytes().to_vec() };
    fields.insert("nonce".to_owned(), &nonce);
    serde_json::to_vec(&fields).unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_added_and_nothing_else_is_changed() {
        let text = r#"{"body": "{\"a\":1}", "n": 1.00000000000000000001, "nonce": "old", "deep": [ [1e400] ]}"#;
        let expected = r#"{"body":"{\"a\":1}","deep":[ [1e400] ],"n":1.00000000000000000001,"nonce":"new"}"#;
        assert_eq!(String::from_utf8_lossy(&with_nonce(text, "new")), expected);
        for text in ["", "[]", "no json", "{\"a\":", "7"] {
            assert_eq!(with_nonce(text, "new"), text.as_bytes());
        }
    }
}
