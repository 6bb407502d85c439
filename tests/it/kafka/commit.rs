//! Commits: whole or not at all, and never by a session that was replaced.

use pipeline::{
    ports::{Batch, LogError},
    topics::Topic,
};

use super::*;

const INPUTS: &[Topic] = &[Topic::Commands, Topic::WebhooksRaw];

async fn give(log: &KafkaLog, topic: Topic, values: &[&str]) {
    let records = values.iter().map(|value| record(topic, 0, "t", *value)).collect();
    log.append(records).await.expect("an append");
}

fn out(value: &str) -> NewRecord {
    record(Topic::Events, 0, "t", value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_shows_all_at_once_and_the_group_moves_with_it() {
    let Some(bench) = Bench::new("commit.whole").await else { return };
    let log = bench.log().await;
    give(&log, Topic::WebhooksRaw, &["a", "b"]).await;
    give(&log, Topic::Commands, &["tick"]).await;
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    let got = polled(&mut *session, 3).await;
    assert_eq!(
        got.iter().filter(|record| record.position.topic == Topic::WebhooksRaw).map(text).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(texts(&log, Topic::Events, 0).await.is_empty());
    let mut other = out("second");
    other.topic = Topic::Alerts;
    let batch =
        Batch { outputs: vec![out("first"), other], next_offsets: vec![(Topic::WebhooksRaw, 2), (Topic::Commands, 1)] };
    commit(&mut *session, batch).await;
    assert_eq!(texts(&log, Topic::Events, 0).await, ["first"]);
    assert_eq!(texts(&log, Topic::Alerts, 0).await, ["second"]);
    let lag = log.lag("pipeline", INPUTS).await.expect("a lag");
    let webhooks = lag.iter().find(|lag| lag.topic == Topic::WebhooksRaw && lag.partition == 0).expect("a line");
    assert_eq!((webhooks.first_offset, webhooks.end_offset, webhooks.group_offset), (0, 2, Some(2)));
    assert_eq!(webhooks.oldest_unread_at_ms, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_leaves_nothing_and_its_inputs_come_again() {
    let Some(bench) = Bench::new("commit.abort").await else { return };
    let log = bench.log().await;
    give(&log, Topic::WebhooksRaw, &["a", "b", "c"]).await;
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    polled(&mut *session, 3).await;
    // The last output names a partition that does not exist.
    let impossible = record(Topic::Events, 99, "t", "nowhere");
    let batch = Batch { outputs: vec![out("half"), impossible], next_offsets: vec![(Topic::WebhooksRaw, 3)] };
    let failed = session.commit(batch).await;
    assert!(matches!(failed, Err(LogError::Unavailable { .. })), "{failed:?}");
    // The session is over, whatever is asked of it.
    assert!(session.poll(10, Duration::ZERO).await.is_err());
    assert!(session.commit(Batch { outputs: vec![out("late")], next_offsets: Vec::new() }).await.is_err());
    drop(session);
    let (mut session, _) = session_of(&mut *member, 0).await;
    assert_eq!(polled(&mut *session, 3).await.iter().map(text).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(texts(&log, Topic::Events, 0).await.is_empty());
    let batch = Batch { outputs: vec![out("whole")], next_offsets: vec![(Topic::WebhooksRaw, 3)] };
    commit(&mut *session, batch).await;
    assert_eq!(texts(&log, Topic::Events, 0).await, ["whole"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_sessions_the_older_is_fenced() {
    let Some(bench) = Bench::new("commit.zombie").await else { return };
    let (old, new) = (bench.log_of("twin").await, bench.log_of("twin").await);
    give(&old, Topic::WebhooksRaw, &["a"]).await;
    let mut old_member = old.join("pipeline", INPUTS).await.expect("a place");
    let (mut zombie, _old_others) = session_of(&mut *old_member, 0).await;
    polled(&mut *zombie, 1).await;
    // The same name again: what a restart looks like when the old process only
    // seemed to be dead.
    let mut new_member = new.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _new_others) = session_of(&mut *new_member, 0).await;
    let batch = || Batch { outputs: vec![out("of the dead")], next_offsets: vec![(Topic::WebhooksRaw, 1)] };
    let refused = zombie.commit(batch()).await;
    assert!(matches!(refused, Err(LogError::Fenced { partition: 0, .. })), "{refused:?}");
    assert_eq!(polled(&mut *session, 1).await.len(), 1);
    let batch = Batch { outputs: vec![out("of the living")], next_offsets: vec![(Topic::WebhooksRaw, 1)] };
    commit(&mut *session, batch).await;
    assert_eq!(texts(&new, Topic::Events, 0).await, ["of the living"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_restored_as_of_the_last_commit() {
    let Some(bench) = Bench::new("commit.restore").await else { return };
    let log = bench.log().await;
    let state = |key: &str, value: Option<&str>| NewRecord {
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        ..record(Topic::PipelineState, 0, key, "")
    };
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    for outputs in [
        vec![state("t/a/1", Some("old")), state("t/a/2", Some("kept"))],
        vec![state("t/a/1", Some("new")), state("t/a/3", Some("deleted"))],
        vec![state("t/a/3", None)],
    ] {
        session.commit(Batch { outputs, next_offsets: Vec::new() }).await.expect("a commit");
    }
    drop((session, _others, member));
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    let mut restored = Vec::new();
    session
        .restore(Topic::PipelineState, &mut |record| {
            restored.push((String::from_utf8_lossy(&record.key).into_owned(), text(&record)));
        })
        .await
        .expect("a restore");
    assert_eq!(restored, [("t/a/2".to_owned(), "kept".to_owned()), ("t/a/1".to_owned(), "new".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_known_behind_the_marks_of_transactions() {
    let Some(bench) = Bench::new("commit.end").await else { return };
    let log = bench.log().await;
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    let mut reader = log.read(Topic::Events, 0, Start::Oldest, Visibility::Durable).await.expect("a reader");
    for n in 0..20 {
        let batch = Batch { outputs: vec![out(&n.to_string())], next_offsets: Vec::new() };
        commit(&mut *session, batch).await;
        let records = reader.ready(10).await.expect("records");
        assert_eq!(records.iter().map(text).collect::<Vec<_>>(), [n.to_string()]);
        assert!(reader.ready(10).await.expect("the end").is_empty());
        let ends = log.lag("", &[Topic::Events]).await.expect("the ends");
        assert_eq!(reader.position(), ends[0].end_offset, "the mark is passed, too");
    }
}
