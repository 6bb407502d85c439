//! Appends: in order, with their true positions, refused when they must be.

use pipeline::{
    ports::{Log, LogError},
    topics::Topic,
};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appends_keep_each_callers_order_and_answer_with_true_positions() {
    let Some(bench) = Bench::new("append.order").await else { return };
    let log = std::sync::Arc::new(bench.log().await);
    let callers = (0..8).map(|caller| {
        let log = log.clone();
        tokio::spawn(async move {
            // Called in order, awaited together.
            let calls: Vec<_> = (0..100)
                .map(|n| log.append(vec![record(Topic::Events, caller % 2, "t", format!("{caller}:{n:03}"))]))
                .collect();
            let mut positions = Vec::new();
            for call in calls {
                positions.extend(call.await.expect("an append"));
            }
            (caller, positions)
        })
    });
    let mut answers = Vec::new();
    for caller in callers {
        answers.push(caller.await.expect("a caller"));
    }
    let read = [all(&log, Topic::Events, 0).await, all(&log, Topic::Events, 1).await];
    assert_eq!(read[0].len() + read[1].len(), 800);
    for (caller, positions) in answers {
        let partition = &read[(caller % 2) as usize];
        for (n, position) in positions.iter().enumerate() {
            let found = partition.iter().find(|record| record.position == *position).expect("a record there");
            assert_eq!(text(found), format!("{caller}:{n:03}"));
            assert_eq!(found.headers.get("type"), Some(&b"test"[..]));
            assert_eq!(found.at_ms, began_ms());
        }
        assert!(positions.is_sorted_by_key(|position| position.offset));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_one_call_lie_next_to_each_other() {
    let Some(bench) = Bench::new("append.together").await else { return };
    let log = std::sync::Arc::new(bench.log().await);
    let callers = (0..6).map(|caller| {
        let log = log.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let records = (0..5).map(|n| record(Topic::Events, 0, "t", format!("{caller}:{n}"))).collect();
                log.append(records).await.expect("an append");
            }
        })
    });
    for caller in callers {
        caller.await.expect("a caller");
    }
    for five in texts(&log, Topic::Events, 0).await.chunks(5) {
        let caller = five[0].split(':').next().expect("a caller");
        let expected: Vec<_> = (0..5).map(|n| format!("{caller}:{n}")).collect();
        assert_eq!(five, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_log_may_hold_is_refused_and_the_largest_is_taken() {
    let Some(bench) = Bench::new("append.size").await else { return };
    let log = bench.log().await;
    let big = "x".repeat(25 << 20);
    log.append(vec![record(Topic::WebhooksRaw, 0, "t", big.clone())]).await.expect("a provider's largest body");
    assert_eq!(all(&log, Topic::WebhooksRaw, 0).await[0].value.as_deref(), Some(big.as_bytes()));
    let refused = log.append(vec![record(Topic::WebhooksRaw, 0, "t", "x".repeat(33 << 20))]).await;
    assert!(matches!(refused, Err(LogError::TooLarge { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_callers_are_told_to_come_back() {
    let Some(mut bench) = Bench::new("append.busy").await else { return };
    bench.settings.append_bytes_max = 64 << 10;
    let log = bench.log().await;
    let calls: Vec<_> = (0..200).map(|_| log.append(vec![record(Topic::Events, 0, "t", "x".repeat(4_000))])).collect();
    let mut taken = 0;
    let mut busy = 0;
    for call in calls {
        match call.await {
            Ok(_) => taken += 1,
            Err(LogError::Busy { bound_bytes }) => {
                assert_eq!(bound_bytes, 64 << 10);
                busy += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(taken >= 15 && busy > 0, "{taken} taken, {busy} busy");
    assert_eq!(all(&log, Topic::Events, 0).await.len(), taken);
    assert!(log.ready().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_takes_no_more() {
    let Some(bench) = Bench::new("append.close").await else { return };
    let log = bench.log().await;
    let last = log.append(vec![record(Topic::Events, 0, "t", "last")]);
    log.close().await.expect("a flush");
    last.await.expect("taken before the close");
    assert!(matches!(log.append(vec![record(Topic::Events, 0, "t", "late")]).await, Err(LogError::Closed)));
    assert!(matches!(log.ready(), Err(LogError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_number_of_partitions_is_refused_by_name_and_numbers() {
    let Some(bench) = Bench::new("append.partitions").await else { return };
    let first = bench.log().await;
    let again = bench.log().await;
    assert_eq!(first.identity(), again.identity());
    let other = Settings { partitions: 3, ..bench.settings.clone() };
    let refused = KafkaLog::open(other).await.err().expect("a refusal").to_string();
    assert!(refused.contains("webhooks.raw has 2 partitions") && refused.contains("says 3"), "{refused}");
}
