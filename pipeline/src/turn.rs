//! One input record's turn: the time it is, where the outputs go, and the ids
//! that follow from the record's position.
//!
//! In: what a stage decides. Out: records, each with an id that a replay of the
//! same input gives again. Nothing here reads a clock or draws a random number.

use bytes::Bytes;
use serde::Serialize;
use udfs::hash::{Parts, hex};

use crate::{
    event::{Alert, DeadLetter, Original, RawRef, Severity, TenantKey, Time},
    ports::{Headers, NewRecord, Position, RECORD_BYTES_MAX, Record},
    topics::{CLOCK, Topic, UNROUTED, partition_of},
};

/// The largest original that a dead letter holds itself; a larger one is left
/// where it is. Text in a text grows, up to six times, and must still fit.
const ORIGINAL_BYTES_MAX: usize = RECORD_BYTES_MAX / 8;

/// One input record's turn: the time it is, and where the outputs go.
pub struct Turn<'a> {
    /// The log's clock: the highest time seen in this partition, in ms.
    pub now_ms: u64,
    /// The record whose turn it is.
    pub source: Position,
    /// The log's identity, a part of every id.
    pub identity: u64,
    /// How many partitions there are.
    pub partitions: u32,
    /// What the turn has produced so far.
    pub outputs: &'a mut Vec<NewRecord>,
}

impl Turn<'_> {
    /// An id that a replay of the same record gives again.
    pub fn id(&self, prefix: &str, operator: &str, index: usize) -> String {
        id_of(self.identity, self.source, prefix, operator, index)
    }

    /// Writes a value to a stream, keyed by its tenant.
    pub fn emit(&mut self, topic: Topic, tenant: &str, value: &impl Serialize, headers: Headers) {
        let partition = partition_of(tenant, self.partitions);
        self.put(topic, partition, Bytes::copy_from_slice(tenant.as_bytes()), to_json(value), headers);
    }

    /// Writes what is already JSON to a stream, keyed by its tenant.
    pub fn emit_bytes(&mut self, topic: Topic, tenant: &str, value: Bytes, headers: Headers) {
        let partition = partition_of(tenant, self.partitions);
        self.put(topic, partition, Bytes::copy_from_slice(tenant.as_bytes()), Some(value), headers);
    }

    /// Keeps one entry of state whose data is already JSON.
    pub fn keep_bytes(&mut self, tenant: &str, kind: &str, id: &str, data: &[u8]) {
        let key = TenantKey::new(tenant, kind, id).to_bytes();
        let value = Bytes::from([b"{\"data\":", data, b"}"].concat());
        self.put(Topic::PipelineState, self.source.partition, key, Some(value), Headers::default());
    }

    /// Lets one entry of state go.
    pub fn forget(&mut self, tenant: &str, kind: &str, id: &str) {
        self.keep(tenant, kind, id, None::<&()>);
    }

    /// The log's clock, as values write it.
    pub fn now(&self) -> Time {
        Time::from_ms(self.now_ms)
    }

    /// Where the record is whose turn it is, as events write it.
    pub fn raw(&self) -> RawRef {
        let Position { topic, partition, offset } = self.source;
        RawRef { topic: topic.name().to_owned(), partition, offset }
    }

    /// Keeps one entry of state, or lets it go (`None`).
    pub fn keep(&mut self, tenant: &str, kind: &str, id: &str, data: Option<&impl Serialize>) {
        #[derive(Serialize)]
        struct StateValue<'a, T: ?Sized> {
            data: &'a T,
        }
        let key = TenantKey::new(tenant, kind, id).to_bytes();
        let value = data.and_then(|data| written(&StateValue { data }, ENTRY_BYTES));
        // A tenant's state stays in the partition that works on it; the clock's
        // belongs to the partition itself.
        self.put(Topic::PipelineState, self.source.partition, key, value, Headers::default());
    }

    /// Raises an alert.
    pub fn alert(&mut self, kind: &str, severity: Severity, tenant: &str, subject: &str, message: String) {
        self.alert_traced(kind, severity, tenant, subject, message, None);
    }

    /// Raises an alert about something that has a trace.
    pub fn alert_traced(
        &mut self,
        kind: &str,
        severity: Severity,
        tenant: &str,
        subject: &str,
        message: String,
        trace_id: Option<&str>,
    ) {
        let alert = Alert {
            kind: kind.to_owned(),
            severity,
            tenant_id: tenant.to_owned(),
            subject: subject.to_owned(),
            message,
            at: Time::from_ms(self.now_ms),
            trace_id: trace_id.map(str::to_owned),
        };
        let headers = Headers::new([("type", kind.as_bytes()), ("schema", b"nexus.alert.v1".as_slice())]);
        self.emit(Topic::Alerts, tenant, &alert, headers);
    }

    /// Puts away a record that cannot be processed, whole (or, if it is very
    /// large, by its place), with the reason.
    pub fn bury(&mut self, record: &Record, stage: &str, reason: impl Into<String>) {
        let reason = reason.into();
        let key = String::from_utf8_lossy(&record.key).into_owned();
        let tenant = if key.is_empty() || key.contains('/') || key == CLOCK { UNROUTED } else { key.as_str() };
        let id = self.id("dl", stage, 0);
        let value = record.value.as_deref().unwrap_or_default();
        let (value, value_base64) = match std::str::from_utf8(value) {
            _ if value.len() > ORIGINAL_BYTES_MAX => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(udfs::hash::base64(value))),
        };
        let letter = DeadLetter {
            id: id.clone(),
            tenant_id: tenant.to_owned(),
            stage: stage.to_owned(),
            reason: reason.clone(),
            attempts: 1,
            at: Time::from_ms(self.now_ms),
            original: Original {
                topic: record.position.topic.name().to_owned(),
                partition: record.position.partition,
                offset: record.position.offset,
                key: key.clone(),
                value,
                value_base64,
            },
        };
        let headers = Headers::new([
            ("event_id", id.as_bytes()),
            ("type", stage.as_bytes()),
            ("schema", b"nexus.dead-letter.v1".as_slice()),
        ]);
        let tenant = tenant.to_owned();
        self.emit(Topic::DeadLetters, &tenant, &letter, headers);
        self.alert("dead_letter", Severity::Warning, &tenant, &id, format!("{stage}: {reason}"));
    }

    pub(crate) fn put(&mut self, topic: Topic, partition: u32, key: Bytes, value: Option<Bytes>, headers: Headers) {
        self.outputs.push(NewRecord { topic, partition, at_ms: self.now_ms, key, value, headers });
    }
}

/// The id that the operator's output number `index` for the record at `source`
/// has, for ever.
pub fn id_of(identity: u64, source: Position, prefix: &str, operator: &str, index: usize) -> String {
    let name = Parts::new()
        .number(identity)
        .number(source.topic as u64)
        .number(u64::from(source.partition))
        .number(source.offset)
        .add(operator)
        .number(index as u64)
        .finish();
    let mut id = String::with_capacity(prefix.len() + 33);
    id.push_str(prefix);
    id.push('_');
    id.push_str(&hex(name));
    id
}

/// As much as most entries of state take.
const ENTRY_BYTES: usize = 96;
/// As much as most events take: growing a buffer step by step costs more than
/// room, but entries of state are many and small.
const VALUE_BYTES: usize = 1_536;

pub(crate) fn to_json(value: &impl Serialize) -> Option<Bytes> {
    written(value, VALUE_BYTES)
}

/// The values of this crate hold no map with keys that are not text and no
/// foreign `Serialize`, so this does not fail; if it ever did, the record would
/// be written without a value rather than stop the worker.
fn written(value: &impl Serialize, capacity: usize) -> Option<Bytes> {
    let mut buffer = Vec::with_capacity(capacity);
    serde_json::to_writer(&mut buffer, value).ok()?;
    Some(buffer.into())
}
