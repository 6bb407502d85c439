//! Dead letters: looked through, and sent on their way once more.

use bytes::Bytes;
use pipeline::{
    event::DeadLetter,
    ports::{Headers, Log, LogError, NewRecord, Position, Start, Visibility},
    topics::{Topic, partition_of},
};
use serde_json::Value;

/// Letters that are looked through at most for one answer.
const LOOKED_AT_MAX: usize = 100_000;

/// All letters, oldest first in each partition, that `wanted` picks; at most
/// `letters_max`.
pub async fn list(
    log: &dyn Log,
    letters_max: usize,
    mut wanted: impl FnMut(&DeadLetter) -> bool,
) -> Result<Vec<DeadLetter>, LogError> {
    let mut letters = Vec::new();
    let mut looked_at = 0;
    for partition in 0..log.partitions() {
        let mut reader = log.read(Topic::DeadLetters, partition, Start::Oldest, Visibility::Durable).await?;
        loop {
            let records = reader.ready(256).await?;
            looked_at += records.len();
            if records.is_empty() || looked_at > LOOKED_AT_MAX {
                break;
            }
            for record in records {
                let letter = record.value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
                let Some(letter) = letter.filter(&mut wanted) else { continue };
                letters.push(letter);
                if letters.len() == letters_max {
                    return Ok(letters);
                }
            }
        }
    }
    Ok(letters)
}

/// Appends a letter's original again. The nonce makes it another event than
/// the one that may have been seen, so that it is not dropped as a repeat.
pub async fn replay(
    log: &dyn Log,
    letter: &DeadLetter,
    nonce: &str,
    now_ms: u64,
) -> Result<Option<Position>, LogError> {
    let Some(topic) = Topic::from_name(&letter.original.topic) else { return Ok(None) };
    let value = match (&letter.original.value, &letter.original.value_base64) {
        (Some(text), _) => with_nonce(text, nonce),
        (None, Some(encoded)) => match udfs::hash::from_base64(encoded) {
            Some(bytes) => bytes,
            None => return Ok(None),
        },
        (None, None) => match in_place(log, topic, letter).await? {
            Some(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => with_nonce(text, nonce),
                Err(_) => bytes.into(),
            },
            None => return Ok(None),
        },
    };
    let record = NewRecord {
        topic,
        partition: partition_of(&letter.original.key, log.partitions()),
        at_ms: now_ms,
        key: Bytes::from(letter.original.key.clone()),
        value: Some(value.into()),
        headers: Headers::new([("replay_of", letter.id.as_bytes()), ("nonce", nonce.as_bytes())]),
    };
    Ok(log.append(vec![record]).await?.first().copied())
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

fn with_nonce(text: &str, nonce: &str) -> Vec<u8> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(mut value)) => {
            value.insert("nonce".to_owned(), nonce.into());
            Value::Object(value).to_string().into_bytes()
        }
        _ => text.as_bytes().to_vec(),
    }
}
