//! Between Kafka's messages and the port's records, and between both sides'
//! errors. Foreign producers write what they like: nothing here may fail on it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use pipeline::{
    ports::{Headers, LogError, NewRecord, Position, Record},
    topics::Topic,
};
use rdkafka::{
    error::KafkaError,
    message::{BorrowedHeaders, BorrowedMessage, Header, Headers as _, Message, OwnedHeaders},
};

/// What Kafka adds to a record, roughly; also what bounds the number of empty
/// records that may wait.
const FRAME_BYTES: usize = 256;

/// What a record weighs while it waits.
pub(super) fn weight(record: &NewRecord) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, Bytes::len) + record.headers.encoded().len() + FRAME_BYTES
}

/// The headers to send; none at all costs nothing.
pub(super) fn outgoing(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.encoded().is_empty() {
        return None;
    }
    let mut owned = OwnedHeaders::new();
    for (name, value) in headers.iter() {
        owned = owned.insert(Header { key: name, value: Some(value) });
    }
    Some(owned)
}

/// A record as it was read.
pub(super) fn incoming(message: &BorrowedMessage<'_>, topic: Topic, partition: u32) -> Record {
    Record {
        position: Position { topic, partition, offset: message.offset().max(0) as u64 },
        at_ms: message.timestamp().to_millis().unwrap_or(0).max(0) as u64,
        key: message.key().map_or_else(Bytes::new, Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: message.headers().map_or_else(Headers::default, incoming_headers),
    }
}

fn incoming_headers(headers: &BorrowedHeaders) -> Headers {
    let pairs: Vec<_> = (0..headers.count())
        // rdkafka panics on a name that is no UTF-8. Such a header is left out:
        // nobody here could ask for it.
        .filter_map(|index| catch_unwind(AssertUnwindSafe(|| headers.try_get(index))).ok().flatten())
        .map(|header| (header.key, header.value.unwrap_or_default()))
        .collect();
    Headers::new(pairs)
}

/// Something failed that may work again later.
pub(super) fn unavailable(error: impl std::fmt::Display) -> LogError {
    LogError::Unavailable { detail: error.to_string() }
}

/// An error of the library, without its wrapping.
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        KafkaError::ClientConfig(_, detail, key, _) => format!("{key}: {detail}"),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

/// The same as something to try again.
pub(super) fn broken(error: KafkaError) -> LogError {
    LogError::Unavailable { detail: describe(&error) }
}
