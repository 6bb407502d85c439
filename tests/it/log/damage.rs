//! What the journal does when its files or its disk are not as they should be.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use log::embedded::{Journal, Settings, disk::Disk, faulty::FaultyDisk};
use pipeline::{
    ports::{Batch, Log, LogError, Start, Visibility},
    topics::Topic,
};
use tempfile::TempDir;

use super::{PARTITIONS, SOON, event, everything, session, take, texts};

/// What every frame begins with.
const FRAME: &[u8] = b"NXF1";

fn settings(segment_bytes: u64) -> Settings {
    Settings { partitions: PARTITIONS, segment_bytes, clean_every: None, ..Settings::default() }
}

fn open(directory: &TempDir, segment_bytes: u64) -> Result<Journal, LogError> {
    Journal::open(directory.path(), settings(segment_bytes))
}

fn on(disk: &FaultyDisk) -> Journal {
    Journal::open_on(Arc::new(disk.clone()), None, settings(64 << 10)).expect("a journal")
}

async fn append(journal: &Journal, values: &[&str]) {
    for value in values {
        journal.append(vec![event(Topic::Events, 1, value)]).await.expect("an append");
    }
}

async fn values(journal: &Journal) -> Vec<String> {
    texts(&everything(journal, Topic::Events, 1).await)
}

/// The segments, oldest first.
fn segments(directory: &TempDir) -> Vec<PathBuf> {
    let names = fs::read_dir(directory.path()).expect("a directory");
    let mut paths: Vec<PathBuf> = names.map(|entry| entry.expect("a name").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

/// Where the frames of a segment start.
fn frames(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(FRAME)).collect()
}

/// A journal of three records in one segment, left as `is_closed` says.
async fn three_records(is_closed: bool) -> (TempDir, PathBuf, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(&directory, 4096).expect("a journal");
    append(&journal, &["first", "second", "third"]).await;
    if is_closed {
        journal.close().await.expect("closed");
    }
    drop(journal);
    let path = segments(&directory).remove(0);
    let bytes = fs::read(&path).expect("a segment");
    (directory, path, bytes)
}

#[tokio::test]
async fn a_torn_write_is_cut_at_any_byte() {
    let (directory, path, whole) = three_records(false).await;
    let last = *frames(&whole).last().expect("frames");
    let end = whole.iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
    for (number, cut) in (last..end).enumerate() {
        for rest in [0, 0xa5] {
            let mut torn = whole.clone();
            torn[cut..].fill(0);
            torn[cut + 1..end + 16].fill(rest);
            fs::write(&path, &torn).expect("written");
            let journal = open(&directory, 4096).expect("it opens");
            assert_eq!(values(&journal).await, ["first", "second"], "cut at {cut}");
            assert!(journal.epoch() > number as u64, "every unclean start is another epoch");
            append(&journal, &["fourth"]).await;
            drop(journal);
            let journal = open(&directory, 4096).expect("it opens");
            assert_eq!(values(&journal).await, ["first", "second", "fourth"], "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn what_was_cut_never_comes_back() {
    let disk = FaultyDisk::new(7);
    let journal = on(&disk);
    append(&journal, &["a"]).await;
    // One write for two frames, of which the first is then torn.
    disk.set_held_syncs(true);
    let written = journal.stats().bytes_written;
    let mut appends = vec![journal.append(vec![event(Topic::Events, 1, "b")])];
    while journal.stats().bytes_written == written {
        tokio::task::yield_now().await;
    }
    appends.extend(["c", "d"].map(|value| journal.append(vec![event(Topic::Events, 1, value)])));
    disk.set_held_syncs(false);
    for append in appends {
        append.await.expect("an append");
    }
    drop(journal);
    let file = disk.open("00000000000000000000.seg").expect("the segment");
    let mut bytes = vec![0; 4096];
    let length = file.read_at(&mut bytes, 0).expect("read");
    let third = frames(&bytes[..length])[2];
    file.write_at(&[0xff], third as u64 + 40).expect("written");

    let journal = on(&disk);
    assert_eq!(values(&journal).await, ["a", "b"]);
    append(&journal, &["e"]).await;
    drop(journal);
    assert_eq!(values(&on(&disk)).await, ["a", "b", "e"], "d would fit behind e");
}

#[tokio::test]
async fn damage_of_what_was_durable_is_told_from_a_torn_write() {
    let (directory, path, whole) = three_records(false).await;
    let frames = frames(&whole);
    for at in frames[0]..frames[1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        fs::write(&path, &damaged).expect("written");
        match open(&directory, 4096).err() {
            Some(LogError::Corrupt { detail }) => {
                assert!(detail.contains(path.file_name().and_then(|name| name.to_str()).expect("a name")), "{detail}");
                assert!(detail.contains(&format!("byte {}", frames[0])), "{detail}");
            }
            // Padding behind a frame says nothing, so it may be anything.
            None if whole[at] == 0 && at + 8 > frames[1] => {}
            other => panic!("expected Corrupt at byte {at}, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_closed_journal_is_missed_when_it_ends_too_early() {
    let (directory, path, whole) = three_records(true).await;
    let mut damaged = whole.clone();
    damaged[*frames(&whole).last().expect("frames") + 20] ^= 1;
    fs::write(&path, &damaged).expect("written");
    assert!(matches!(open(&directory, 4096).err(), Some(LogError::Corrupt { .. })));
    fs::write(&path, &whole).expect("written");
    let journal = open(&directory, 4096).expect("it opens");
    assert_eq!(journal.epoch(), 0, "it was closed");
    assert_eq!(values(&journal).await, ["first", "second", "third"]);
}

#[tokio::test]
async fn a_flipped_bit_of_a_sealed_segment_is_never_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let expected: Vec<String> = (0..200).map(|number| format!("record number {number}")).collect();
    let journal = open(&directory, 4096).expect("a journal");
    append(&journal, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    journal.close().await.expect("closed");
    drop(journal);
    let path = segments(&directory).remove(1);
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let whole = fs::read(&path).expect("a segment");
    let (mut refused, mut served) = (0, 0);
    // All of the header and the footer, and some of the frames between.
    for at in (0..whole.len()).filter(|at| *at < 64 || *at + 128 > whole.len() || at % 37 == 0) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("written");
        let outcome = async {
            let journal = open(&directory, 4096)?;
            let mut reader = journal.read(Topic::Events, 1, Start::Oldest, Visibility::Durable).await?;
            let mut read = Vec::new();
            while read.len() < expected.len() {
                read.extend(texts(&reader.ready(1000).await?));
                assert_eq!(read, expected[..read.len()], "bit flipped in byte {at}");
            }
            journal.close().await
        };
        match outcome.await {
            Ok(()) => served += 1,
            Err(LogError::Corrupt { detail }) => {
                assert!(detail.contains(&name), "{detail}");
                refused += 1;
            }
            Err(other) => panic!("expected Corrupt for byte {at}, not {other}"),
        }
    }
    assert!(refused > 20 && served > 20, "damaged frames are refused ({refused}), footers made again ({served})");
}

#[tokio::test]
async fn a_footer_may_be_there_when_the_frames_before_it_are_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(&directory, 4096).expect("a journal");
    let expected: Vec<String> = (0..150).map(|number| format!("record number {number}")).collect();
    append(&journal, &expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
    drop(journal);
    // The power went while the second segment was being sealed: the third was
    // not begun, and of the last writes only the footer came through.
    let paths = segments(&directory);
    assert!(paths.len() > 2);
    paths[2..].iter().for_each(|path| fs::remove_file(path).expect("removed"));
    let mut bytes = fs::read(&paths[1]).expect("a segment");
    let kept = frames(&fs::read(&paths[0]).expect("a segment")).len() + frames(&bytes).len() - 1;
    let last = *frames(&bytes).last().expect("frames");
    bytes[last..last + 64].fill(0);
    fs::write(&paths[1], &bytes).expect("written");
    let journal = open(&directory, 4096).expect("nobody was promised what is missing");
    assert_eq!(values(&journal).await, expected[..kept]);
    append(&journal, &["next"]).await;
    assert_eq!(values(&journal).await.last().map(String::as_str), Some("next"));
}

#[tokio::test]
async fn a_directory_belongs_to_one_hub() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = open(&directory, 4096).expect("a journal");
    let second = open(&directory, 4096).err().expect("refused");
    assert!(second.to_string().contains("another hub uses this directory"), "{second}");
    journal.close().await.expect("closed");
    open(&directory, 4096).expect("it is free once it is closed");
}

#[tokio::test]
async fn short_writes_are_carried_on() {
    let disk = FaultyDisk::new(1);
    let journal = on(&disk);
    disk.set_short_writes(true);
    append(&journal, &["first", "second"]).await;
    let journal = { on(&disk.crash()) };
    assert_eq!(values(&journal).await, ["first", "second"]);
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let disk = FaultyDisk::new(2);
    let journal = on(&disk);
    append(&journal, &["first"]).await;
    disk.set_free_bytes(Some(0));
    // More than what is reserved.
    let large = "x".repeat(60 << 10);
    let mut waiting: Vec<_> = (0..4).map(|_| journal.append(vec![event(Topic::Events, 2, &large)])).collect();
    let stalled = async {
        while journal.ready().is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, stalled).await.expect("it says so");
    let refused = journal.append(vec![event(Topic::Events, 1, "refused")]).await;
    assert!(matches!(&refused, Err(error @ LogError::Unavailable { .. }) if error.can_retry()), "{refused:?}");
    assert!(everything(&journal, Topic::Events, 2).await.len() < 4, "nothing is seen before it is durable");
    disk.set_free_bytes(None);
    while let Some(append) = waiting.pop() {
        tokio::time::timeout(SOON, append).await.expect("in time").expect("kept and written");
    }
    journal.ready().expect("ready again");
    append(&journal, &["second"]).await;
    assert_eq!(values(&journal).await, ["first", "second"]);
    assert_eq!(everything(&journal, Topic::Events, 2).await.len(), 4);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_believed() {
    let disk = FaultyDisk::new(3);
    let journal = on(&disk);
    append(&journal, &["first"]).await;
    disk.set_failing_syncs(true);
    let failed = journal.append(vec![event(Topic::Events, 1, "lost")]).await;
    assert!(matches!(failed, Err(LogError::Lost { .. })), "{failed:?}");
    disk.set_failing_syncs(false);
    assert!(matches!(journal.ready(), Err(LogError::Lost { .. })), "not even when the disk works again");
    assert!(matches!(journal.append(vec![event(Topic::Events, 1, "x")]).await, Err(LogError::Lost { .. })));
    let read = journal.read(Topic::Events, 1, Start::Oldest, Visibility::Durable).await;
    assert!(matches!(read.err(), Some(LogError::Lost { .. })));
    assert!(journal.close().await.is_err(), "what was taken is not durable");
    let journal = on(&disk.crash());
    assert_eq!(values(&journal).await.first().map(String::as_str), Some("first"));
}

#[tokio::test]
async fn only_commits_are_seen_before_they_are_durable_and_only_by_early_readers() {
    let disk = FaultyDisk::new(4);
    let journal = on(&disk);
    let mut owner = session(&journal, "pipeline", &[Topic::WebhooksRaw], 1).await;
    let mut early = journal.read(Topic::AgentsInbox, 1, Start::Oldest, Visibility::Early).await.expect("a reader");
    let mut durable = journal.read(Topic::AgentsInbox, 1, Start::Oldest, Visibility::Durable).await.expect("a reader");
    disk.set_held_syncs(true);
    let outputs = vec![event(Topic::AgentsInbox, 1, "delivered early")];
    owner.session.commit(Batch { outputs, next_offsets: Vec::new() }).await.expect("taken");
    let appending = journal.append(vec![event(Topic::AgentsInbox, 1, "appended")]);
    assert_eq!(texts(&take(&mut *early, 1).await), ["delivered early"]);
    assert!(early.ready(10).await.expect("an answer").is_empty());
    assert!(durable.ready(10).await.expect("an answer").is_empty());
    disk.set_held_syncs(false);
    appending.await.expect("an append");
    assert_eq!(texts(&take(&mut *durable, 2).await), ["delivered early", "appended"]);
    assert_eq!(texts(&take(&mut *early, 1).await), ["appended"]);
}

#[tokio::test]
async fn a_record_may_be_larger_than_a_segment() {
    let disk = FaultyDisk::new(6);
    let settings = Settings { tail_bytes_max: 0, ..settings(4096) };
    let open = |disk: &FaultyDisk| Journal::open_on(Arc::new(disk.clone()), None, settings.clone()).expect("a journal");
    let journal = open(&disk);
    // Beyond what a reader, and what recovery, reads at once.
    let expected = ["small".to_owned(), "y".repeat(1 << 20), "small".to_owned(), "z".repeat(5 << 20)];
    append(&journal, &expected.each_ref().map(String::as_str)).await;
    assert!(values(&journal).await == expected);
    let journal = open(&disk.crash());
    assert!(values(&journal).await == expected);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let disk = FaultyDisk::new(5);
    let settings = Settings { pending_bytes_max: 10_000, record_bytes_max: 6000, ..settings(64 << 10) };
    let journal = Journal::open_on(Arc::new(disk.clone()), None, settings).expect("a journal");
    let record = |bytes: usize| vec![event(Topic::Events, 1, &"x".repeat(bytes))];
    let refused = journal.append(record(7000)).await;
    assert!(matches!(refused, Err(LogError::TooLarge { max_bytes: 6000, .. })), "{refused:?}");
    disk.set_held_syncs(true);
    let first = journal.append(record(5900));
    let refused = journal.append(record(5900)).await;
    assert!(matches!(refused, Err(LogError::Busy { bound_bytes: 10_000 })), "{refused:?}");
    // A commit waits for room instead, because its batch cannot be given again.
    let mut owner = session(&journal, "pipeline", &[Topic::WebhooksRaw], 1).await;
    let mut commit = owner.session.commit(Batch { outputs: record(5900), next_offsets: Vec::new() });
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut commit).await.is_err());
    disk.set_held_syncs(false);
    first.await.expect("an append");
    tokio::time::timeout(SOON, commit).await.expect("in time").expect("a commit");
}
