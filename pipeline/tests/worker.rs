//! The worker over the memory log: whatever is lost in a crash comes out again
//! with the same ids, and nothing comes out twice.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use pipeline::{
    event::{StandardEvent, Time},
    flow::{INPUTS, Settings},
    ports::{Headers, Log, LogError, NewRecord},
    testing::MemoryLog,
    topics::Topic,
    worker::{Progress, drive},
};
use proptest::prelude::*;
use serde_json::json;

const NOW_MS: u64 = 1_795_000_000_000;

/// Polls until the answer is there, or until it is clear that nothing but a
/// release of the log would bring it.
fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..1000).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    })
}

fn webhook(delivery: u32) -> NewRecord {
    let body = json!({ "type": "thing.done", "n": delivery }).to_string();
    let value = json!({
        "tenantId": "acme", "provider": "generic", "deliveryId": format!("d{delivery}"),
        "receivedAt": Time::from_ms(NOW_MS), "body": body,
    });
    NewRecord {
        topic: Topic::WebhooksRaw,
        partition: 0,
        at_ms: NOW_MS,
        key: Bytes::from_static(b"acme"),
        value: Some(value.to_string().into()),
        headers: Headers::default(),
    }
}

/// A worker's life: it restores, works on `records` records or fewer, and ends.
fn work(log: &MemoryLog, records: u64) -> Option<Result<(), LogError>> {
    run(async {
        let mut membership = log.join("workers", INPUTS).await?;
        let mut session = membership.next().await?;
        let progress = Progress::default();
        let stop = || progress.records.load(Relaxed) >= records;
        drive(&mut *session, log.identity(), log.partitions(), &Settings::default(), &progress, &stop).await
    })
}

fn events(log: &MemoryLog) -> Vec<StandardEvent> {
    let parse = |value: &Bytes| serde_json::from_slice(value).expect("an event");
    log.records(Topic::Events).iter().filter_map(|record| record.value.as_ref()).map(parse).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    Work,
    /// Works, but dies before anything of it is durable.
    Die,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => (0..30u32).prop_map(Step::Send), 1 => Just(Step::Work), 1 => Just(Step::Die)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn crashes_and_repeats_change_nothing(steps in prop::collection::vec(step(), 1..60)) {
        let (log, calm) = (MemoryLog::new(1), MemoryLog::new(1));
        let mut unread = 0;
        let mut sent = BTreeSet::new();
        for step in &steps {
            match step {
                Step::Send(delivery) => {
                    for log in [&log, &calm] {
                        run(log.append(vec![webhook(*delivery)])).expect("answered").expect("appended");
                    }
                    sent.insert(*delivery);
                    unread += 1;
                }
                Step::Work if unread > 0 => {
                    work(&log, unread).expect("ends").expect("well");
                    unread = 0;
                }
                Step::Die if unread > 0 => {
                    let before = events(&log).len();
                    log.hold();
                    prop_assert!(work(&log, unread).is_none(), "its commit never gets durable");
                    log.crash();
                    prop_assert_eq!(events(&log).len(), before, "nothing of it is seen");
                }
                _ => {}
            }
        }
        if unread > 0 {
            work(&log, unread).expect("ends").expect("well");
        }
        work(&calm, steps.iter().filter(|step| matches!(step, Step::Send(_))).count() as u64);
        let after = events(&log);
        prop_assert_eq!(after.len(), sent.len(), "each delivery is one event");
        prop_assert_eq!(after, events(&calm), "the same as if nothing had happened");
    }
}

#[test]
fn a_commit_that_fails_ends_the_worker_and_the_next_begins_where_it_was() {
    let log = MemoryLog::new(1);
    run(log.append(vec![webhook(1), webhook(2)])).expect("answered").expect("appended");
    log.fail_next_commit(LogError::Unavailable { detail: "test".to_owned() });
    assert!(matches!(work(&log, 2), Some(Err(LogError::Unavailable { .. }))));
    assert!(events(&log).is_empty());
    work(&log, 2).expect("ends").expect("well");
    assert_eq!(events(&log).len(), 2);
}
