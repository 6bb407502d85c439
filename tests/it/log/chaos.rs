//! The embedded journal in a process that is killed again and again.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use log::embedded::{Journal, Settings};
use pipeline::{
    ports::{Batch, Log},
    topics::Topic,
};

use super::{PARTITIONS, SOON, event, everything, session, text};

/// Tells this binary that it is the one to be killed, and where to write.
const ROLE: &str = "NEXUS_TEST_CHAOS_DIRECTORY";
const WRITERS: u32 = 16;
const ROUNDS: u32 = 15;

fn open(directory: &Path) -> Journal {
    let settings =
        Settings { partitions: PARTITIONS, segment_bytes: 256 << 10, clean_every: None, ..Settings::default() };
    Journal::open(directory, settings).expect("it opens, however it was left")
}

#[test]
fn a_killed_process_loses_nothing_that_it_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let rounds = std::env::var("NEXUS_CHAOS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    for round in 0..rounds {
        // Another moment each time, from "just begun" to "well under way".
        let answered = run_and_kill(directory.path(), 1 + (round as usize * 7919) % 3000);
        runtime.block_on(check(directory.path(), &answered));
    }
}

/// What the process said it had: per writer the last number, and the last commit.
fn run_and_kill(directory: &Path, lines: usize) -> BTreeMap<String, u64> {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["log::chaos::the_one_to_be_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let (sender, lines_read) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let mut answered = BTreeMap::new();
    let mut note = |line: String| {
        if let Some((who, number)) = line.strip_prefix("answered ").and_then(|said| said.rsplit_once(' ')) {
            answered.insert(who.to_owned(), number.parse().expect("a number"));
        }
    };
    for _ in 0..lines {
        note(lines_read.recv_timeout(SOON).expect("it goes on until it is killed"));
    }
    child.kill().expect("killed");
    child.wait().expect("dead");
    reading.join().expect("no panic");
    // What it said before it was killed counts too.
    lines_read.try_iter().for_each(note);
    answered
}

async fn check(directory: &Path, answered: &BTreeMap<String, u64>) {
    let journal = open(directory);
    let mut last = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in everything(&journal, Topic::Events, partition).await {
            let value = text(&record);
            let (who, number) = value.rsplit_once(' ').expect("who and number");
            let number: u64 = number.parse().expect("a number");
            let before = last.insert(who.to_owned(), number);
            assert_eq!(number, before.map_or(0, |before| before + 1), "{who} has no holes and no repeats");
        }
    }
    for (who, number) in answered.iter().filter(|(who, _)| *who != "commit") {
        let there = last.get(who).copied();
        assert!(there >= Some(*number), "{who} was answered {number}, but {there:?} is the last");
    }
    let parts = [everything(&journal, Topic::Alerts, 0).await, everything(&journal, Topic::AgentsInbox, 3).await];
    assert_eq!(parts[0].len(), parts[1].len(), "commits are whole");
    let lags = journal.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("the lag");
    let committed = lags[0].group_offset.unwrap_or_default();
    assert_eq!(committed, parts[0].len() as u64);
    assert!(answered.get("commit").is_none_or(|settled| committed > *settled), "{committed} {answered:?}");
    journal.close().await.expect("closed");
}

/// Not a test of its own: writes until it is killed.
#[test]
fn the_one_to_be_killed() {
    let Ok(directory) = std::env::var(ROLE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let journal = Arc::new(open(Path::new(&directory)));
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let journal = journal.clone();
            tasks.push(tokio::spawn(async move { write(&journal, writer).await }));
        }
        tasks.push(tokio::spawn(async move { commit(&journal).await }));
        for task in tasks {
            task.await.expect("no panic");
        }
    });
}

async fn write(journal: &Journal, writer: u32) {
    let (who, partition) = (format!("writer {writer}"), writer % PARTITIONS);
    let before = everything(journal, Topic::Events, partition).await;
    let mine = before.iter().filter(|record| text(record).starts_with(&format!("{who} "))).count() as u64;
    for number in mine.. {
        journal.append(vec![event(Topic::Events, partition, &format!("{who} {number}"))]).await.expect("an append");
        println!("answered {who} {number}");
    }
}

async fn commit(journal: &Journal) {
    let mut owner = session(journal, "pipeline", &[Topic::WebhooksRaw], 0).await;
    let lags = journal.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("the lag");
    for number in lags[0].group_offset.unwrap_or_default().. {
        let outputs = vec![event(Topic::Alerts, 0, "x"), event(Topic::AgentsInbox, 3, "y")];
        let batch = Batch { outputs, next_offsets: vec![(Topic::WebhooksRaw, number + 1)] };
        owner.session.commit(batch).await.expect("a commit");
        if number % 10 == 0 {
            owner.session.settle().await.expect("durable");
            println!("answered commit {number}");
        }
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
}
