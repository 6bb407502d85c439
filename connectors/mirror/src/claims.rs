//! What is known of commands from `mirror.results`, when a session begins: which
//! were claimed and have no end, and which have ended though the group could not
//! move past them yet.

use hashbrown::HashMap;
use pipeline::{
    event::{MirrorCommand, MirrorResult, MirrorStage},
    ports::{Headers, Log, LogError, NewRecord, Record, Start, Visibility},
    topics::Topic,
};

/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 1_024;
/// The header that says which command a result is of, by its offset: ids would
/// have to be remembered longer than the group is behind.
const OFFSET: &str = "command_offset";

/// How far a command was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Claimed then, without an end.
    Claimed(u64),
    /// It has ended.
    Ended,
}

/// The commands of one partition of which something is known.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<u64, Known>);

impl Claims {
    /// Reads what was written of commands from this offset on.
    pub async fn read(log: &dyn Log, partition: u32, from: u64) -> Result<Claims, LogError> {
        let mut claims = Claims::default();
        let mut reader = log.read(Topic::MirrorResults, partition, Start::Oldest, Visibility::Durable).await?;
        loop {
            let records = reader.ready(RECORDS_AT_ONCE).await?;
            if records.is_empty() {
                return Ok(claims);
            }
            records.iter().for_each(|record| claims.take_up(record, from));
        }
    }

    fn take_up(&mut self, record: &Record, from: u64) {
        let offset = record.headers.get(OFFSET).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let Some(offset) = offset.filter(|offset| *offset >= from) else { return };
        let known = match record.headers.get("type") {
            Some(b"claimed") => Known::Claimed(record.at_ms),
            _ => Known::Ended,
        };
        // A claim after an end would be another's: the end holds.
        let before = self.0.entry(offset).or_insert(known);
        if known == Known::Ended {
            *before = known;
        }
    }

    /// What is known of a command, and is not asked for again.
    pub fn take(&mut self, offset: u64) -> Option<Known> {
        self.0.remove(&offset)
    }
}

/// A result as it is written.
pub(super) fn written(result: &MirrorResult, offset: u64, partition: u32, command: Option<&Record>) -> NewRecord {
    // Fails for nothing that this type can hold.
    let value = serde_json::to_vec(result).unwrap_or_default();
    let trace = command.and_then(|record| record.headers.get("traceparent")).map(|trace| ("traceparent", trace));
    let offset = offset.to_string();
    let headers = [
        ("event_id", result.command_id.as_bytes()),
        ("type", stage(result.stage).as_bytes()),
        ("schema", b"nexus.mirror-result.v1".as_slice()),
        (OFFSET, offset.as_bytes()),
    ];
    NewRecord {
        topic: Topic::MirrorResults,
        partition,
        at_ms: result.at.as_ms(),
        key: result.tenant_id.clone().into(),
        value: Some(value.into()),
        headers: Headers::new(headers.into_iter().chain(trace)),
    }
}

/// A stage's word.
pub(super) fn stage(stage: MirrorStage) -> &'static str {
    match stage {
        MirrorStage::Claimed => "claimed",
        MirrorStage::Done => "done",
        MirrorStage::Failed => "failed",
        MirrorStage::Uncertain => "uncertain",
    }
}

/// A command, if a record is one.
pub(super) fn command(record: &Record) -> Result<MirrorCommand, String> {
    let value = record.value.as_deref().ok_or("a command without a value")?;
    let command: MirrorCommand = serde_json::from_slice(value).map_err(|error| format!("not a command: {error}"))?;
    // Whose token is used is a matter of the tenant: the two must agree.
    match command.tenant_id.as_bytes() == &*record.key {
        true => Ok(command),
        false => Err("the command names another tenant than its key".to_owned()),
    }
}
