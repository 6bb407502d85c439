//! The stories; see the module above.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    ports::{Batch, Headers, Log, LogError, NewRecord, Record, Start},
    topics::Topic,
};

use super::{House, PARTITIONS, SOON, entry, event, everything, poll, reader, session, take, text, texts};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

async fn append(log: &dyn Log, records: Vec<NewRecord>) -> Vec<u64> {
    let positions = tokio::time::timeout(SOON, log.append(records)).await;
    positions.expect("an answer in time").expect("an append").iter().map(|position| position.offset).collect()
}

fn numbered(topic: Topic, partition: u32, numbers: std::ops::Range<u32>) -> Vec<NewRecord> {
    numbers.map(|number| event(topic, partition, &number.to_string())).collect()
}

fn number_texts(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

pub async fn records_are_read_in_the_order_they_were_written(mut house: impl House) {
    let log = house.open().await;
    let headers = Headers::new([("type", b"taskCreated".as_slice()), ("empty", b"")]);
    let first = NewRecord { at_ms: 7, headers: headers.clone(), ..event(Topic::Events, 1, "0") };
    let mut offsets = append(&*log, vec![first]).await;
    offsets.extend(append(&*log, numbered(Topic::Events, 1, 1..40)).await);
    append(&*log, numbered(Topic::Events, 2, 0..3)).await;
    append(&*log, numbered(Topic::Alerts, 1, 0..3)).await;
    offsets.extend(append(&*log, numbered(Topic::Events, 1, 40..50)).await);

    let mut reader = reader(&*log, Topic::Events, 1, Start::Oldest).await;
    let records = take(&mut *reader, 50).await;
    assert_eq!(texts(&records), number_texts(0..50));
    assert_eq!(records.iter().map(|record| record.position.offset).collect::<Vec<_>>(), offsets);
    assert!(offsets.is_sorted_by(|a, b| a < b));
    assert_eq!((records[0].at_ms, &records[0].key[..], &records[0].headers), (7, &b"acme"[..], &headers));
    assert!(reader.ready(10).await.expect("an answer").is_empty(), "nothing twice, nothing of other partitions");
    assert_eq!(reader.position(), offsets[49] + 1);

    let middle = Start::Offset(offsets[20]);
    let records = take(&mut *super::reader(&*log, Topic::Events, 1, middle).await, 30).await;
    assert_eq!(texts(&records), number_texts(20..50));
}

pub async fn records_survive_a_restart(mut house: impl House) {
    let log = house.open().await;
    let identity = log.identity();
    let before = append(&*log, numbered(Topic::Events, 1, 0..10)).await;
    log.close().await.expect("closed");
    drop(log);
    let log = house.open().await;
    assert_eq!(log.identity(), identity);
    assert_eq!(log.partitions(), PARTITIONS);
    assert_eq!(texts(&everything(&*log, Topic::Events, 1).await), number_texts(0..10));
    let after = append(&*log, numbered(Topic::Events, 1, 10..12)).await;
    assert!(before.last() < after.first(), "offsets are never given twice");
    assert_eq!(texts(&everything(&*log, Topic::Events, 1).await), number_texts(0..12));
}

pub async fn a_commit_is_seen_whole(mut house: impl House) {
    let log = house.open().await;
    let offsets = append(&*log, numbered(Topic::WebhooksRaw, 1, 0..2)).await;
    let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 1).await;
    poll(&mut *owner.session, 2).await;
    let outputs = vec![
        event(Topic::Events, 1, "an event"),
        event(Topic::AgentsInbox, 3, "a delivery"),
        entry(Topic::PipelineState, 1, "acme/seen/x", Some("1")),
    ];
    let batch = Batch { outputs, next_offsets: vec![(Topic::WebhooksRaw, offsets[1] + 1)] };
    owner.session.commit(batch).await.expect("a commit");
    owner.session.settle().await.expect("durable");
    assert_eq!(texts(&everything(&*log, Topic::Events, 1).await), ["an event"]);
    assert_eq!(texts(&everything(&*log, Topic::AgentsInbox, 3).await), ["a delivery"]);
    assert_eq!(texts(&everything(&*log, Topic::PipelineState, 1).await), ["1"]);
    let lags = log.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("the lag");
    let lag = lags.iter().find(|lag| lag.partition == 1).expect("of partition 1");
    assert_eq!((lag.group_offset, lag.oldest_unread_at_ms), (Some(offsets[1] + 1), None));

    // One that may not be written is not written in part.
    let outputs = vec![event(Topic::Events, 1, "half"), event(Topic::Events, PARTITIONS, "nowhere")];
    owner.session.commit(Batch { outputs, next_offsets: Vec::new() }).await.expect_err("no such partition");
    append(&*log, numbered(Topic::Events, 1, 0..1)).await;
    assert_eq!(texts(&everything(&*log, Topic::Events, 1).await), ["an event", "0"]);
}

pub async fn a_session_reads_all_of_its_inputs(mut house: impl House) {
    let log = house.open().await;
    let inputs = [Topic::Commands, Topic::WebhooksRaw];
    for round in 0..10 {
        append(&*log, numbered(inputs[round as usize % 2], 2, round..round + 1)).await;
        append(&*log, numbered(Topic::AgentsActions, 2, 0..1)).await;
        append(&*log, numbered(inputs[0], 1, 0..1)).await;
    }
    let mut owner = session(&*log, "pipeline", &inputs, 2).await;
    let records = poll(&mut *owner.session, 10).await;
    for input in inputs {
        let of_input: Vec<_> = records.iter().filter(|record| record.position.topic == input).collect();
        assert_eq!(of_input.len(), 5);
        assert!(of_input.is_sorted_by_key(|record| record.position.offset));
    }
    assert!(records.iter().all(|record| record.position.partition == 2));
    assert!(owner.session.poll(10, Duration::from_millis(50)).await.expect("an answer").is_empty());
    append(&*log, numbered(inputs[1], 2, 77..78)).await;
    assert_eq!(texts(&poll(&mut *owner.session, 1).await), ["77"]);
}

pub async fn a_group_goes_on_where_it_was(mut house: impl House) {
    let log = house.open().await;
    append(&*log, numbered(Topic::WebhooksRaw, 0, 0..10)).await;
    {
        let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 0).await;
        let records = poll(&mut *owner.session, 4).await;
        let next_offsets = vec![(Topic::WebhooksRaw, records[3].position.offset + 1)];
        owner.session.commit(Batch { outputs: Vec::new(), next_offsets }).await.expect("a commit");
        // Read, but never committed: they come again.
        poll(&mut *owner.session, 3).await;
        owner.session.settle().await.expect("durable");
    }
    {
        let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 0).await;
        assert_eq!(texts(&poll(&mut *owner.session, 2).await), number_texts(4..6));
        let mut other = session(&*log, "another", &[Topic::WebhooksRaw], 0).await;
        assert_eq!(texts(&poll(&mut *other.session, 1).await), ["0"], "groups do not share their progress");
    }
    log.close().await.expect("closed");
    drop(log);
    let log = house.open().await;
    let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 0).await;
    assert_eq!(texts(&poll(&mut *owner.session, 6).await), number_texts(4..10));
}

pub async fn a_zombie_commits_nothing(mut house: impl House) {
    let log = house.open().await;
    append(&*log, numbered(Topic::WebhooksRaw, 3, 0..2)).await;
    let mut zombie = session(&*log, "pipeline", &[Topic::WebhooksRaw], 3).await;
    let records = poll(&mut *zombie.session, 1).await;
    let next_offsets = vec![(Topic::WebhooksRaw, records[0].position.offset + 1)];
    let batch =
        |value: &str| Batch { outputs: vec![event(Topic::Events, 3, value)], next_offsets: next_offsets.clone() };
    zombie.session.commit(batch("of the living")).await.expect("a commit");

    let mut successor = session(&*log, "pipeline", &[Topic::WebhooksRaw], 3).await;
    let refused = zombie.session.commit(batch("of the dead")).await;
    assert!(matches!(refused, Err(LogError::Fenced { partition: 3, .. })), "{refused:?}");
    let refused = zombie.session.poll(1, Duration::ZERO).await;
    assert!(matches!(refused, Err(LogError::Fenced { partition: 3, .. })), "{refused:?}");
    drop(zombie);

    assert_eq!(texts(&poll(&mut *successor.session, 1).await), ["1"], "it goes on behind the zombie's commit");
    successor.session.commit(batch("of the successor")).await.expect("a commit");
    successor.session.settle().await.expect("durable");
    assert_eq!(texts(&everything(&*log, Topic::Events, 3).await), ["of the living", "of the successor"]);
}

pub async fn every_partition_has_one_session(mut house: impl House) {
    let log = house.open().await;
    let mut membership = log.join("pipeline", &[Topic::WebhooksRaw]).await.expect("a place");
    let mut sessions = Vec::new();
    for _ in 0..PARTITIONS {
        sessions.push(tokio::time::timeout(SOON, membership.next()).await.expect("in time").expect("a session"));
    }
    let given: BTreeSet<u32> = sessions.iter().map(|session| session.partition()).collect();
    assert_eq!(given.len(), PARTITIONS as usize);
    let more = tokio::time::timeout(Duration::from_millis(100), membership.next()).await;
    assert!(more.is_err(), "no partition is given twice");

    let ended = sessions.pop().expect("the last one").partition();
    let again = tokio::time::timeout(SOON, membership.next()).await.expect("in time").expect("a session");
    assert_eq!(again.partition(), ended);
    drop((again, sessions, membership));
    let mut successor = log.join("pipeline", &[Topic::WebhooksRaw]).await.expect("a place");
    for _ in 0..PARTITIONS {
        tokio::time::timeout(SOON, successor.next()).await.expect("in time").expect("a session");
    }
}

pub async fn state_is_restored_to_its_newest(mut house: impl House) {
    let log = house.open().await;
    let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 1).await;
    let state = |key: &str, value: Option<&str>| entry(Topic::PipelineState, 1, key, value);
    let commits = [
        vec![state("acme/a/1", Some("old")), state("acme/b/1", Some("kept"))],
        vec![state("acme/gone/1", Some("x")), state("acme/a/1", Some("older"))],
        vec![state("acme/gone/1", None), state("acme/back/1", None), state("acme/a/1", Some("new"))],
        vec![state("acme/back/1", Some("again"))],
    ];
    for outputs in commits {
        owner.session.commit(Batch { outputs, next_offsets: Vec::new() }).await.expect("a commit");
    }
    append(&*log, vec![entry(Topic::PipelineState, 2, "acme/a/1", Some("of another partition"))]).await;
    let expected = [("acme/b/1", "kept"), ("acme/a/1", "new"), ("acme/back/1", "again")];
    // The successor sees what was committed last, though nobody waited for it.
    let mut successor = session(&*log, "pipeline", &[Topic::WebhooksRaw], 1).await;
    assert_eq!(restored(&mut *successor.session).await, expected.map(|(key, value)| (key.into(), value.into())));
    drop((owner, successor));
    log.close().await.expect("closed");
    drop(log);
    let log = house.open().await;
    let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 1).await;
    assert_eq!(restored(&mut *owner.session).await, expected.map(|(key, value)| (key.into(), value.into())));
}

async fn restored(session: &mut dyn pipeline::ports::Session) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    let mut each = |record: pipeline::ports::Record| {
        entries.push((String::from_utf8_lossy(&record.key).into_owned(), text(&record)));
    };
    session.restore(Topic::PipelineState, &mut each).await.expect("restored");
    entries
}

pub async fn streams_expire_from_their_beginning(mut house: impl House) {
    let log = house.open().await;
    let at = |at_ms: u64, value: &str| NewRecord { at_ms, ..event(Topic::WebhooksRaw, 1, value) };
    let old = append(&*log, vec![at(1000, "old"), at(2000, "old too")]).await;
    let mut behind = reader(&*log, Topic::WebhooksRaw, 1, Start::Oldest).await;
    assert_eq!(texts(&take(&mut *behind, 1).await), ["old"]);
    append(&*log, vec![NewRecord { at_ms: 1000, ..event(Topic::Events, 1, "kept for longer") }]).await;
    if !house.clean(2000 + 7 * DAY_MS) {
        return;
    }
    let new = append(&*log, vec![at(1000 + 8 * DAY_MS, "new")]).await;
    house.clean(2000 + 7 * DAY_MS);
    assert_eq!(texts(&everything(&*log, Topic::WebhooksRaw, 1).await), ["new"]);
    assert_eq!(texts(&everything(&*log, Topic::Events, 1).await), ["kept for longer"]);
    let gone = log.read(Topic::WebhooksRaw, 1, Start::Offset(old[0]), pipeline::ports::Visibility::Durable).await;
    match gone.err() {
        Some(LogError::Gone { topic: "webhooks.raw", asked, first }) => assert_eq!((asked, first), (old[0], new[0])),
        other => panic!("expected Gone, not {other:?}"),
    }
    let lags = log.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("the lag");
    let lag = lags.iter().find(|lag| lag.partition == 1).expect("of partition 1");
    assert_eq!((lag.first_offset, lag.group_offset), (new[0], None));
    log.close().await.expect("closed");
    drop((log, behind));
    let log = house.open().await;
    assert_eq!(texts(&everything(&*log, Topic::WebhooksRaw, 1).await), ["new"]);
    let mut owner = session(&*log, "pipeline", &[Topic::WebhooksRaw], 1).await;
    assert_eq!(texts(&poll(&mut *owner.session, 1).await), ["new"]);
}

pub async fn tables_keep_the_newest_of_each_key(mut house: impl House) {
    let log = house.open().await;
    for round in 0..200 {
        let value = format!("{round}");
        let records = ["a", "b", "c"].map(|key| entry(Topic::Presence, 1, &format!("acme/agent/{key}"), Some(&value)));
        append(&*log, records.into()).await;
    }
    append(&*log, vec![entry(Topic::Presence, 1, "acme/agent/c", None)]).await;
    // An expired stream beside it makes a cleaning worthwhile.
    append(&*log, vec![NewRecord { at_ms: 0, ..event(Topic::Alerts, 1, "x") }]).await;
    if !house.clean(1_700_000_000_000) {
        return;
    }
    let left = everything(&*log, Topic::Presence, 1).await;
    let left: Vec<_> = left.iter().map(|record| (record.key.clone(), text(record))).collect();
    let expected = [("acme/agent/a", "199"), ("acme/agent/b", "199"), ("acme/agent/c", "(nothing)")];
    assert_eq!(left, expected.map(|(key, value)| (Bytes::from(key), value.to_owned())));
    append(&*log, vec![entry(Topic::Presence, 1, "acme/agent/a", Some("200"))]).await;
    log.close().await.expect("closed");
    drop(log);
    let log = house.open().await;
    let mut reader = reader(&*log, Topic::Presence, 1, Start::Offset(0)).await;
    assert_eq!(texts(&take(&mut *reader, 4).await), ["199", "199", "(nothing)", "200"], "a table is never Gone");
}

/// What an operator looks up must be there when the record comes that asks for
/// it, however the log brings the two.
pub async fn tables_are_known_before_streams(mut house: impl House) {
    const INPUTS: &[Topic] = &[Topic::Control, Topic::Commands, Topic::WebhooksRaw];
    const ROWS: u32 = 300;
    let log = house.open().await;
    let row = |number: u32| entry(Topic::Control, 1, &format!("acme/project/{number}"), Some(&number.to_string()));
    append(&*log, (0..ROWS).map(row).collect()).await;
    append(&*log, numbered(Topic::WebhooksRaw, 1, 0..20)).await;
    // Between the first look and the next one everything arrives, as it does
    // where many processes share few cores. The answer must not depend on it.
    for looks in 1..=INPUTS.len() {
        let mut owner = session(&*log, "pipeline", INPUTS, 1).await;
        let mut records = Vec::new();
        for _ in 0..looks {
            records.extend(owner.session.poll(1_000, Duration::ZERO).await.expect("records"));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        while records.len() < ROWS as usize + 20 {
            let polled = owner.session.poll(1_000, SOON).await.expect("records");
            assert!(!polled.is_empty(), "only {} records came in time", records.len());
            records.extend(polled);
        }
        let first_of_stream = records.iter().position(|record| record.position.topic == Topic::WebhooksRaw);
        assert_eq!(first_of_stream, Some(ROWS as usize), "a stream came before the rows, after {looks} looks");
    }
}

pub async fn a_table_may_be_an_input(mut house: impl House) {
    const INPUTS: &[Topic] = &[Topic::Control, Topic::WebhooksRaw];
    let log = house.open().await;
    let row = |number: u32| {
        let value = format!("{number}{}", " ".repeat(200));
        NewRecord { at_ms: 1, ..entry(Topic::Control, 1, &format!("acme/project/{}", number % 3), Some(&value)) }
    };
    for number in 0..60 {
        append(&*log, vec![row(number), event(Topic::WebhooksRaw, 1, &number.to_string())]).await;
    }
    // What was read is committed half way; then rows that were not read are
    // replaced, and what they were is cleaned away.
    let mut owner = session(&*log, "pipeline", INPUTS, 1).await;
    let first = poll(&mut *owner.session, 30).await;
    let next = |topic| {
        let of_topic = first.iter().filter(|record| record.position.topic == topic);
        of_topic.map(|record| (topic, record.position.offset + 1)).next_back()
    };
    let next_offsets = INPUTS.iter().filter_map(|topic| next(*topic)).collect();
    owner.session.commit(Batch { outputs: Vec::new(), next_offsets }).await.expect("a commit");
    owner.session.settle().await.expect("durable");
    append(&*log, (60..63).map(row).collect()).await;
    drop(owner);
    log.close().await.expect("closed");
    drop(log);
    let log = house.open().await;
    house.clean(2 * DAY_MS);
    let mut owner = session(&*log, "pipeline", INPUTS, 1).await;
    let mut read = first;
    let newest = |read: &[Record], key: u32| -> Option<u32> {
        let key = format!("acme/project/{key}");
        text(read.iter().rfind(|record| record.key == key.as_bytes())?).trim().parse().ok()
    };
    let is_whole = |read: &[Record]| {
        let webhooks = read.iter().filter(|record| record.position.topic == Topic::WebhooksRaw).count();
        webhooks >= 60 && (0..3).all(|key| newest(read, key) >= Some(60))
    };
    // A log elsewhere may have nothing to give for a moment.
    let begun = std::time::Instant::now();
    while !is_whole(&read) && begun.elapsed() < SOON {
        read.extend(owner.session.poll(7, Duration::from_millis(300)).await.expect("records"));
    }
    read.extend(owner.session.poll(7, Duration::from_millis(300)).await.expect("records"));
    for topic in INPUTS {
        let offsets = read.iter().filter(|record| record.position.topic == *topic).map(|record| record.position.offset);
        assert!(offsets.is_sorted_by(|a, b| a < b), "each once, in order");
    }
    let webhooks = read.iter().filter(|record| record.position.topic == Topic::WebhooksRaw);
    assert_eq!(webhooks.map(text).collect::<Vec<_>>(), number_texts(0..60), "no hole in a stream beside it");
    for key in 0..3 {
        let number = newest(&read, key).expect("a row");
        assert!((60..63).contains(&number), "the newest row of {key} is {number}");
    }
}

pub async fn appends_at_once_stay_apart(mut house: impl House) {
    const WRITERS: u32 = 8;
    const APPENDS: u32 = 50;
    let log = house.open().await;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let log: Arc<dyn Log> = log.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..APPENDS {
                let record = |part: u32| event(Topic::Events, 2, &format!("{writer} {number} {part}"));
                log.append((0..3).map(record).collect()).await.expect("an append");
            }
        }));
    }
    for task in tasks {
        tokio::time::timeout(SOON, task).await.expect("in time").expect("no panic");
    }
    let records = texts(&everything(&*log, Topic::Events, 2).await);
    assert_eq!(records.len(), (WRITERS * APPENDS * 3) as usize);
    let mut next = [0; WRITERS as usize];
    for append in records.chunks(3) {
        let writer: usize = append[0].split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        let expected: Vec<_> = (0..3).map(|part| format!("{writer} {} {part}", next[writer])).collect();
        assert_eq!(append, expected, "in order, and next to each other");
        next[writer] += 1;
    }
}

pub async fn the_lag_is_told(mut house: impl House) {
    let log = house.open().await;
    // Not in `webhooks.raw`: there Kafka's brokers say what time it is.
    let at = |at_ms: u64| NewRecord { at_ms, ..event(Topic::AgentsActions, 1, "") };
    let offsets = append(&*log, vec![at(100), at(200), at(300)]).await;
    let of = async |group: &str| {
        let lags = log.lag(group, &[Topic::AgentsActions, Topic::Commands]).await.expect("the lag");
        assert_eq!(lags.len(), 2 * PARTITIONS as usize);
        let lag = lags.into_iter().find(|lag| lag.partition == 1 && lag.topic == Topic::AgentsActions);
        lag.expect("of partition 1")
    };
    let lag = of("pipeline").await;
    assert_eq!((lag.first_offset, lag.group_offset, lag.oldest_unread_at_ms), (offsets[0], None, Some(100)));
    assert!(lag.end_offset > offsets[2]);
    let mut owner = session(&*log, "pipeline", &[Topic::AgentsActions, Topic::Commands], 1).await;
    let next_offsets = vec![(Topic::AgentsActions, offsets[0] + 1)];
    owner.session.commit(Batch { outputs: Vec::new(), next_offsets }).await.expect("a commit");
    owner.session.settle().await.expect("durable");
    let lag = of("pipeline").await;
    assert_eq!((lag.group_offset, lag.oldest_unread_at_ms), (Some(offsets[0] + 1), Some(200)));
    assert_eq!(of("another").await.group_offset, None);
}

pub async fn readers_may_give_up_waiting(mut house: impl House) {
    let log = house.open().await;
    let mut reader = reader(&*log, Topic::Events, 1, Start::Oldest).await;
    let mut read = Vec::new();
    for number in 0..20 {
        // Given up while nothing is there, and now and then while something comes.
        let mut appending = None;
        for _ in 0..3 {
            let waiting = reader.next(1);
            if appending.is_none() {
                appending = Some(log.append(numbered(Topic::Events, 1, number..number + 1)));
            }
            if let Ok(records) = tokio::time::timeout(Duration::from_micros(300), waiting).await {
                read.extend(texts(&records.expect("records")));
            }
        }
        appending.expect("begun").await.expect("an append");
    }
    let left = take(&mut *reader, 20 - read.len()).await;
    read.extend(texts(&left));
    assert_eq!(read, number_texts(0..20));

    let waiting = tokio::spawn(async move { texts(&take(&mut *reader, 1).await) });
    append(&*log, numbered(Topic::Events, 1, 20..21)).await;
    assert_eq!(tokio::time::timeout(SOON, waiting).await.expect("woken").expect("no panic"), ["20"]);
}

pub async fn the_newest_is_what_comes_after(mut house: impl House) {
    let log = house.open().await;
    append(&*log, numbered(Topic::Events, 1, 0..5)).await;
    let mut reader = reader(&*log, Topic::Events, 1, Start::Newest).await;
    assert!(reader.ready(10).await.expect("an answer").is_empty());
    append(&*log, numbered(Topic::Events, 1, 5..6)).await;
    assert_eq!(texts(&take(&mut *reader, 1).await), ["5"]);
}

pub async fn a_closed_log_takes_nothing(mut house: impl House) {
    let log = house.open().await;
    log.ready().expect("ready");
    let mut waiting = reader(&*log, Topic::Events, 1, Start::Oldest).await;
    let taken = log.append(numbered(Topic::Events, 1, 0..1));
    log.close().await.expect("closed");
    taken.await.expect("what was taken before is durable");
    assert!(matches!(log.append(numbered(Topic::Events, 1, 1..2)).await, Err(LogError::Closed)));
    assert!(matches!(log.ready(), Err(LogError::Closed)));
    let ended = tokio::time::timeout(SOON, waiting.next(1)).await.expect("no reader waits for ever");
    assert!(matches!(ended, Err(LogError::Closed)), "{ended:?}");
    log.close().await.expect("closing twice changes nothing");
}
