//! Crashes: of the broker, and of a worker between any two of its steps.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use pipeline::{ports::Batch, topics::Topic};

use super::*;

const INPUTS: &[Topic] = &[Topic::Commands, Topic::WebhooksRaw];

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_loses_and_repeats_nothing() {
    let Ok(control) = std::env::var("NEXUS_TEST_KAFKA_CTL") else {
        return eprintln!("crash.broker: off, because NEXUS_TEST_KAFKA_CTL is not set");
    };
    let _alone = BROKER.write().await;
    let Some(bench) = Bench::disturbing("crash.broker") else { return };
    let log = Arc::new(bench.log().await);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (log, stop) = (log.clone(), stop.clone());
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0.. {
                    if stop.load(Relaxed) {
                        break;
                    }
                    let value = format!("{writer}:{n:06}");
                    if let Ok(positions) = log.append(vec![record(Topic::Events, writer % 2, "t", value.clone())]).await
                    {
                        acknowledged.push((positions[0], value));
                    }
                }
                acknowledged
            })
        })
        .collect();
    let mut reader = log.read(Topic::Events, 0, Start::Oldest, Visibility::Durable).await.expect("a reader");
    let mut live = reader.next(1).await.expect("the first record");
    let begun = Instant::now();
    let restarted = tokio::process::Command::new(control).arg("restart").stdout(Stdio::null()).status().await;
    assert!(restarted.expect("the control command").success());
    // Written again after the restart, by the same log: as soon as the brokers
    // lead the partition again, which a port that answers does not say. Until
    // then an append is refused, as every caller is told.
    while let Err(refused) = log.append(vec![record(Topic::Events, 0, "t", "after")]).await {
        assert!(refused.can_retry(), "an append after the restart: {refused}");
        assert!(begun.elapsed() < PATIENCE, "no append after the restart: {refused}");
    }
    stop.store(true, Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("a writer"));
    }
    let read = [all(&log, Topic::Events, 0).await, all(&log, Topic::Events, 1).await];
    for (position, value) in &acknowledged {
        let found = read[position.partition as usize].iter().find(|record| record.position == *position);
        assert_eq!(found.map(text).as_deref(), Some(value.as_str()));
    }
    for partition in &read {
        for writer in 0..4 {
            let of_writer = partition.iter().map(text).filter(|value| value.starts_with(&format!("{writer}:")));
            let values: Vec<_> = of_writer.collect();
            assert!(values.is_sorted_by(|one, next| one < next), "out of order or twice");
        }
    }
    // A reader from before sees all of it, once.
    live.extend(drain(&mut *reader).await);
    assert_eq!(live.iter().map(text).collect::<Vec<_>>(), read[0].iter().map(text).collect::<Vec<_>>());
    let deadline = Instant::now() + PATIENCE;
    while log.ready().is_err() {
        assert!(Instant::now() < deadline, "{:?}", log.ready());
        tokio::task::yield_now().await;
    }
}

/// Copies every input to `events`, one commit each, until there are so many.
async fn copy(log: &KafkaLog, records: u64) -> Duration {
    let began = Instant::now();
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    let mut first = None;
    while !records_done(log, records).await {
        for record in session.poll(3, Duration::from_millis(200)).await.expect("records") {
            first.get_or_insert_with(|| began.elapsed());
            let batch = Batch {
                outputs: vec![super::record(Topic::Events, 0, "t", text(&record))],
                next_offsets: vec![(record.position.topic, record.position.offset + 1)],
            };
            session.commit(batch).await.expect("a commit");
        }
    }
    session.settle().await.expect("the last commit to be seen");
    first.unwrap_or_default()
}

async fn records_done(log: &KafkaLog, records: u64) -> bool {
    let lag = log.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("a lag");
    lag[0].group_offset == Some(records)
}

/// The process that is killed: this test binary again, told what to do.
#[tokio::test(flavor = "multi_thread")]
async fn worker_process() {
    let Ok(prefix) = std::env::var("NEXUS_TEST_KAFKA_WORKER") else { return };
    let Some(mut bench) = Bench::disturbing("crash.worker") else { return };
    bench.own = false;
    bench.settings.topic_prefix = prefix;
    bench.settings.instance_id = std::env::var("NEXUS_TEST_KAFKA_INSTANCE").ok();
    copy(&bench.log().await, u64::MAX).await;
}

fn start_worker(bench: &Bench, instance: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "kafka::crash::worker_process"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.env("NEXUS_TEST_KAFKA_WORKER", &bench.settings.topic_prefix);
    if let Some(instance) = instance {
        command.env("NEXUS_TEST_KAFKA_INSTANCE", instance);
    }
    command.spawn().expect("a worker")
}

/// Kills a worker again and again while it copies, then copies the rest.
async fn every_input_is_copied_once(test: &str, instance: Option<&str>) {
    let Some(bench) = Bench::new(test).await else { return };
    let log = match instance {
        Some(name) => bench.log_of(name).await,
        None => bench.log().await,
    };
    let records = (0..300).map(|n| record(Topic::WebhooksRaw, 0, "t", format!("{n:03}"))).collect();
    log.append(records).await.expect("an append");
    let mut events = log.read(Topic::Events, 0, Start::Oldest, Visibility::Durable).await.expect("a reader");
    let mut copied = Vec::new();
    for _ in 0..2 {
        let mut worker = start_worker(&bench, instance);
        let enough = copied.len() + 15;
        while copied.len() < enough {
            let some = tokio::time::timeout(PATIENCE, events.next(10)).await.expect("copies in time");
            copied.extend(some.expect("records"));
        }
        worker.kill().expect("a worker to kill");
        worker.wait().expect("its end");
    }
    let first = copy(&log, 300).await;
    println!("{test}: the first record came {first:?} after the last kill");
    // Ten seconds are the target, for a machine that does nothing else.
    assert!(first < PATIENCE, "taken over after {first:?}");
    let copied = texts(&log, Topic::Events, 0).await;
    let wrong = (0..300).zip(&copied).find(|(n, copy)| format!("{n:03}") != **copy);
    assert_eq!((copied.len(), wrong), (300, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced_by_another_and_nothing_is_lost_or_repeated() {
    every_input_is_copied_once("crash.takeover", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_comes_back_under_its_name_and_nothing_is_lost_or_repeated() {
    every_input_is_copied_once("crash.comeback", Some("worker-1")).await;
}
