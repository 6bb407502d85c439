//! The role `lake`: follows the streams and writes what they hold into files.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use datafusion::arrow::array::RecordBatch;
use pipeline::{
    ports::{Clock, Lag, Log, LogError, Reader, Record, Start, Visibility},
    topics::{CLOCK, Topic},
};
use runtime::{
    config::LakeSettings as Settings,
    supervisor::{Failure, RoleContext},
};

use super::{files::Files, manifest::Manifest, merge, note::Note, topics, write};
use tokio::sync::Notify;

use crate::table::Rows;

/// Records that are read at once: as many as have about so many bytes, by those
/// before them, and no more than so many; a few where nothing is known of them.
const BYTES_AT_ONCE: usize = 1 << 20;
const RECORDS_AT_ONCE: usize = 1_024;
const FIRST_RECORDS: usize = 16;

/// Whether to stop.
type Stop = dyn Fn() -> bool + Sync;

/// What writes the lake of one log. There is one of them: on Kafka too, one
/// process has the role.
pub struct Sink {
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    files: Files,
    settings: Settings,
}

impl Sink {
    /// Into these files.
    pub fn new(log: Arc<dyn Log>, clock: Arc<dyn Clock>, files: Files, settings: Settings) -> Sink {
        Sink { log, clock, files, settings }
    }

    /// Writes until told to stop; what has been read by then is written. A nudge
    /// has it begin at once.
    pub async fn run(&self, mut context: RoleContext, nudge: &Notify) -> Result<(), Failure> {
        let mut manifest = self.open().await?;
        context.running();
        let told = context.stop.clone();
        let stop = move || *told.borrow();
        loop {
            self.turn_until(&mut manifest, &stop).await?;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(self.settings.flush_ms)) => {}
                () = nudge.notified() => {}
                _ = context.stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    /// Takes up the manifest, and removes what no manifest names.
    pub async fn open(&self) -> Result<Manifest, Failure> {
        let identity = self.log.identity();
        let manifest = Manifest::read(&self.files, identity).await?.unwrap_or_else(|| Manifest::new(identity));
        merge::sweep(&self.files, &manifest).await?;
        Ok(manifest)
    }

    /// Writes what there is now, forgets who is to be forgotten, joins small
    /// files, lets old ones go.
    pub async fn turn(&self, manifest: &mut Manifest) -> Result<(), Failure> {
        self.turn_until(manifest, &|| false).await
    }

    /// The same, but a stop waits for one file at most.
    async fn turn_until(&self, manifest: &mut Manifest, stop: &Stop) -> Result<(), Failure> {
        let ends = self.log.lag("", &topics().collect::<Vec<_>>()).await?;
        for end in ends {
            self.catch_up(manifest, &end, stop).await?;
        }
        if stop() {
            return Ok(());
        }
        let notes = Note::all(&self.files).await?;
        let mut gone = Vec::new();
        for note in &notes {
            gone.extend(merge::forget(&self.files, manifest, &note.tenant, note.until_ms).await?);
        }
        let bytes_max = self.bytes_max() as u64;
        gone.extend(merge::join(&self.files, manifest, self.settings.files_max, bytes_max).await?);
        gone.extend(merge::expire(manifest, self.clock.now_ms(), self.settings.keep_days));
        if !gone.is_empty() || !notes.is_empty() {
            manifest.write(&self.files).await?;
        }
        for file in gone {
            self.files.remove(&file.path).await?;
        }
        for note in notes {
            note.done(&self.files).await?;
        }
        Ok(())
    }

    async fn catch_up(&self, manifest: &mut Manifest, lag: &Lag, stop: &Stop) -> Result<(), Failure> {
        let (topic, partition, end) = (lag.topic, lag.partition, lag.end_offset);
        let mut next = manifest.next(topic.name(), partition).max(lag.first_offset);
        if next >= end || stop() {
            return Ok(());
        }
        let mut reader = self.reader(topic, partition, next).await?;
        let rows = Rows::of_all(topic);
        let (mut read, mut at_once) = (Read::default(), FIRST_RECORDS);
        while next < end && !stop() {
            let mut records = reader.ready(at_once).await?;
            let Some(last) = records.last() else {
                // Nothing is left below the end: what is not there is not missing.
                next = end;
                break;
            };
            next = last.position.offset + 1;
            let bytes: usize = records.iter().filter_map(|record| record.value.as_ref()).map(bytes::Bytes::len).sum();
            at_once = (BYTES_AT_ONCE * records.len() / bytes.max(1)).clamp(1, RECORDS_AT_ONCE);
            records.retain(|record| &*record.key != CLOCK.as_bytes() && !is_forgotten(manifest, record));
            read.add(&rows, records)?;
            if read.count >= self.settings.rows_max || read.bytes >= self.bytes_max() {
                self.put(manifest, topic, partition, next, std::mem::take(&mut read)).await?;
            }
        }
        self.put(manifest, topic, partition, next, read).await
    }

    async fn reader(&self, topic: Topic, partition: u32, from: u64) -> Result<Box<dyn Reader>, LogError> {
        match self.log.read(topic, partition, Start::Offset(from), Visibility::Durable).await {
            // Retention was faster than we were: what is gone is gone.
            Err(LogError::Gone { .. }) => self.log.read(topic, partition, Start::Oldest, Visibility::Durable).await,
            other => other,
        }
    }

    /// Files first, then the manifest that names them.
    async fn put(
        &self,
        manifest: &mut Manifest,
        topic: Topic,
        partition: u32,
        next: u64,
        read: Read,
    ) -> Result<(), Failure> {
        for (day, batches) in read.days {
            manifest.files.push(write::file(&self.files, topic, partition, &day, batches).await?);
        }
        manifest.set_next(topic.name(), partition, next);
        Ok(manifest.write(&self.files).await?)
    }

    /// What the rows of one file may take in memory.
    fn bytes_max(&self) -> usize {
        self.settings.file_mb_max << 20
    }
}

fn is_forgotten(manifest: &Manifest, record: &Record) -> bool {
    std::str::from_utf8(&record.key).is_ok_and(|tenant| manifest.is_forgotten(tenant, record.at_ms))
}

/// What was read and is not written yet, by day: how many rows, and how much
/// memory they take.
#[derive(Default)]
struct Read {
    days: BTreeMap<String, Vec<RecordBatch>>,
    count: usize,
    bytes: usize,
}

impl Read {
    fn add(&mut self, rows: &Rows, records: Vec<Record>) -> Result<(), Failure> {
        let mut days: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in records {
            self.count += 1;
            days.entry(write::day(record.at_ms)).or_default().push(record);
        }
        for (day, records) in days {
            let batch = rows.batch(&records)?;
            self.bytes += batch.get_array_memory_size();
            self.days.entry(day).or_default().push(batch);
        }
        Ok(())
    }
}
