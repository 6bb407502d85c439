//! Readers: where they start, when they are at the end, and that giving up a
//! wait loses nothing.

use pipeline::{ports::LogError, topics::Topic};
use rdkafka::{Offset, TopicPartitionList};

use super::*;

async fn fill(log: &KafkaLog, values: std::ops::Range<usize>) {
    let records = values.map(|n| record(Topic::Events, 0, "t", n.to_string())).collect();
    log.append(records).await.expect("an append");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_starts_where_it_is_told() {
    let Some(bench) = Bench::new("read.start").await else { return };
    let log = bench.log().await;
    fill(&log, 0..10).await;
    let from = |start| log.read(Topic::Events, 0, start, Visibility::Durable);
    let mut oldest = from(Start::Oldest).await.expect("a reader");
    let mut seventh = from(Start::Offset(7)).await.expect("a reader");
    let mut newest = from(Start::Newest).await.expect("a reader");
    let mut beyond = from(Start::Offset(12)).await.expect("a reader");
    assert_eq!(drain(&mut *oldest).await.len(), 10);
    assert_eq!(drain(&mut *seventh).await.len(), 3);
    assert!(newest.ready(10).await.expect("the end").is_empty());
    assert!(beyond.ready(10).await.expect("the end").is_empty());
    fill(&log, 10..14).await;
    assert_eq!(drain(&mut *newest).await.iter().map(text).collect::<Vec<_>>(), ["10", "11", "12", "13"]);
    assert_eq!(drain(&mut *beyond).await.iter().map(text).collect::<Vec<_>>(), ["12", "13"]);
    assert_eq!(oldest.next(2).await.expect("records").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_given_up_loses_nothing() {
    let Some(bench) = Bench::new("read.cancel").await else { return };
    let log = std::sync::Arc::new(bench.log().await);
    let mut reader = log.read(Topic::Events, 0, Start::Oldest, Visibility::Durable).await.expect("a reader");
    let writer = log.clone();
    let written = tokio::spawn(async move {
        for n in 0..200 {
            fill(&writer, n..n + 1).await;
        }
    });
    let mut got = Vec::new();
    let mut given_up = 0;
    while got.len() < 200 {
        match tokio::time::timeout(Duration::from_micros(300), reader.next(7)).await {
            Ok(records) => got.extend(records.expect("records").iter().map(text)),
            Err(_) => given_up += 1,
        }
    }
    written.await.expect("the writer");
    assert!(given_up > 0);
    assert_eq!(got, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_is_in_the_next_ready() {
    let Some(bench) = Bench::new("read.ready").await else { return };
    let log = bench.log().await;
    let mut reader = log.read(Topic::Events, 0, Start::Oldest, Visibility::Durable).await.expect("a reader");
    for n in 0..100 {
        fill(&log, n..n + 1).await;
        let records = reader.ready(10).await.expect("records");
        assert_eq!(records.iter().map(text).collect::<Vec<_>>(), [n.to_string()]);
        assert!(reader.ready(10).await.expect("the end").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_took_is_gone_and_the_oldest_is_named() {
    let Some(bench) = Bench::new("read.gone").await else { return };
    let log = bench.log().await;
    fill(&log, 0..10).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &bench.settings.brokers).create().expect("an admin client");
    let mut before = TopicPartitionList::new();
    let topic = format!("{}events", bench.settings.topic_prefix);
    before.add_partition_offset(&topic, 0, Offset::Offset(4)).expect("an offset");
    admin.delete_records(&before, &AdminOptions::new()).await.expect("a deletion");
    let refused = log.read(Topic::Events, 0, Start::Offset(2), Visibility::Durable).await.err();
    assert!(matches!(refused, Some(LogError::Gone { topic: "events", asked: 2, first: 4 })), "{refused:?}");
    assert_eq!(texts(&log, Topic::Events, 0).await, ["4", "5", "6", "7", "8", "9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_one_partition_do_not_disturb_each_other() {
    let Some(bench) = Bench::new("read.many").await else { return };
    let log = bench.log().await;
    fill(&log, 0..50).await;
    let mut readers = Vec::new();
    for start in 0..4 {
        let start = Start::Offset(start * 10);
        readers.push(log.read(Topic::Events, 0, start, Visibility::Durable).await.expect("a reader"));
    }
    for (index, reader) in readers.iter_mut().enumerate() {
        assert_eq!(drain(&mut **reader).await.len(), 50 - index * 10);
    }
    // A place that was given back is taken again, and works.
    drop(readers);
    for _ in 0..5 {
        assert_eq!(all(&log, Topic::Events, 0).await.len(), 50);
    }
}
