//! The group: who works on what, and where the next one goes on.

use pipeline::{
    ports::{Batch, LogError},
    topics::Topic,
};

use super::*;

const INPUTS: &[Topic] = &[Topic::Commands, Topic::WebhooksRaw];

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_member_goes_on_after_the_last_commit() {
    let Some(bench) = Bench::new("group.resume").await else { return };
    let log = bench.log().await;
    let records = (0..10).map(|n| record(Topic::WebhooksRaw, 0, "t", n.to_string())).collect();
    log.append(records).await.expect("an append");
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    polled(&mut *session, 6).await;
    // Progress alone is a commit too.
    session.commit(Batch { outputs: Vec::new(), next_offsets: vec![(Topic::WebhooksRaw, 4)] }).await.expect("a commit");
    drop((session, _others, member));

    let lag = log.lag("pipeline", &[Topic::WebhooksRaw]).await.expect("a lag");
    assert_eq!((lag[0].group_offset, lag[0].end_offset), (Some(4), 10));
    assert!(lag[0].oldest_unread_at_ms.is_some_and(|at_ms| at_ms > began_ms()), "the broker's time");
    assert_eq!(lag[1].group_offset, None);

    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    assert_eq!(polled(&mut *session, 6).await.iter().map(text).collect::<Vec<_>>(), ["4", "5", "6", "7", "8", "9"]);
}

/// As production has it: no name stands before the topics' and groups' names.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_asks_where_topics_end_and_how_far_they_are() {
    let Some(mut bench) = Bench::new("group.nobody").await else { return };
    bench.settings.topic_prefix.clear();
    let log = bench.log().await;
    let before = log.lag("", &[Topic::Alerts]).await.expect("the ends");
    log.append(vec![record(Topic::Alerts, 0, "t", "one")]).await.expect("an append");
    let after = log.lag("", &[Topic::Alerts]).await.expect("the ends");
    assert_eq!(after[0].end_offset, before[0].end_offset + 1);
    assert!(after.iter().all(|lag| lag.group_offset.is_none() && lag.oldest_unread_at_ms.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share_the_partitions_and_what_was_taken_back_is_fenced() {
    let Some(bench) = Bench::new("group.share").await else { return };
    let (one, two) = (bench.log().await, bench.log().await);
    let mut first = one.join("pipeline", INPUTS).await.expect("a place");
    let mut before = [next_session(&mut *first).await, next_session(&mut *first).await];
    let mut second = two.join("pipeline", INPUTS).await.expect("a place");
    let theirs = next_session(&mut *second).await;
    for session in &mut before {
        let refused = session.poll(1, Duration::ZERO).await;
        assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    }
    drop(before);
    let ours = next_session(&mut *first).await;
    assert_eq!(ours.partition() + theirs.partition(), 1);
    // The one that leaves hands over its own.
    drop((theirs, second));
    let mut all = vec![next_session(&mut *first).await.partition(), next_session(&mut *first).await.partition()];
    all.sort_unstable();
    assert_eq!(all, [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_waits_behind_another() {
    let Some(bench) = Bench::new("group.fair").await else { return };
    let log = bench.log().await;
    let mut member = log.join("pipeline", INPUTS).await.expect("a place");
    let (mut session, _others) = session_of(&mut *member, 0).await;
    let many = |topic, count| (0..count).map(|n: u32| record(topic, 0, "t", n.to_string())).collect();
    log.append(many(Topic::WebhooksRaw, 2_000)).await.expect("an append");
    log.append(many(Topic::Commands, 100)).await.expect("an append");
    // Once both have arrived, a batch has its share of each.
    polled(&mut *session, 200).await;
    let got = polled(&mut *session, 1_900).await;
    let last = got.iter().rposition(|record| record.position.topic == Topic::Commands);
    assert!(last.is_none_or(|last| last < 1_000), "the last command came as number {last:?}");
}
