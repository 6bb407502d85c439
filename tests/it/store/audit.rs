//! The tables of the black box: the same on each engine, and after any repeat.

use std::{collections::BTreeMap, sync::Arc};

use pipeline::{
    event::{
        Act, AgentAction, Alert, EVERYBODY, MirrorCommand, MirrorPlace, MirrorResult, MirrorStage, MirrorText,
        MirrorWork, Time,
    },
    ports::{Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::{Topic, partition_of},
};
use runtime::config::Price;
use serde::Serialize;
use serde_json::json;
use store::{
    Paging, Store, StoreError,
    announce::Announcer,
    audit::{AuditProjector, spending::Period},
    audit::{
        query::{ActFilter, UsageFilter, WaitingFilter},
        tables::Budget,
    },
};

use super::{Bench, on_each};

const PARTITIONS: u32 = 3;
/// The 21st of November 2026, in the morning.
const MORNING_MS: i64 = 1_795_248_000_000;

async fn append(log: &MemoryLog, topic: Topic, kind: &str, value: &impl Serialize) {
    let record = NewRecord {
        topic,
        partition: partition_of("a", PARTITIONS),
        at_ms: 1,
        key: "a".into(),
        value: Some(serde_json::to_vec(value).unwrap().into()),
        headers: Headers::new([("type", kind.as_bytes())]),
    };
    log.append(vec![record]).await.expect("appended");
}

fn command(number: u64) -> MirrorCommand {
    MirrorCommand {
        id: format!("mir_{number}"),
        tenant_id: "a".to_owned(),
        connection_id: "con".to_owned(),
        lane: "lane".to_owned(),
        work: MirrorWork::Post {
            place: MirrorPlace::Clickup { task_id: "86".to_owned() },
            text: MirrorText { markdown: "hush".to_owned(), ..MirrorText::default() },
            author: None,
        },
        attempt: 1,
        project_id: None,
        task_id: Some(format!("task_{number}")),
        action_id: None,
        at: Time(MORNING_MS),
        deadline: Time(MORNING_MS + 1),
        trace_id: None,
    }
}

async fn used(log: &MemoryLog, agent: &str, model: &str, tokens: u64) {
    let action: AgentAction = serde_json::from_value(json!({
        "id": format!("act_{agent}_{model}_{tokens}"), "tenantId": "a", "agentId": agent, "name": "usage",
        "at": Time(MORNING_MS),
        "data": {"model": model, "inputTokens": tokens, "outputTokens": 0, "projectId": "prj"},
    }))
    .expect("an action");
    append(log, Topic::AgentsActions, "usage", &action).await;
}

fn trail(store: &Arc<Store>, log: &MemoryLog) -> AuditProjector {
    let prices = BTreeMap::from([("m*".to_owned(), Price { input: 1.0, output: 1.0 })]);
    AuditProjector { store: Arc::clone(store), log: Arc::new(log.clone()), prices: Arc::new(prices) }
}

fn budget(scope: &str, limit_micros: i64) -> Budget {
    Budget { scope: scope.to_owned(), period: Period::Day, limit_micros, hard_stop: true }
}

async fn budgets(store: &Store) -> Vec<(String, i64)> {
    let page = store.budgets("a", "2026-11-21", &Paging::default()).await.expect("a page");
    page.rows.into_iter().map(|(budget, spent)| (budget.scope, spent)).collect()
}

async fn story(bench: Bench) {
    let bench = bench.with_tenants(&["a"]).await;
    let (store, log) = (Arc::new(bench.another().await), MemoryLog::new(PARTITIONS));
    for budget in [budget(EVERYBODY, 1_000_000), budget("agt_1", 100_000)] {
        store.set_budget("a", &budget).await.expect("set");
    }
    for number in 1..=3 {
        append(&log, Topic::MirrorCommands, "post", &command(number)).await;
    }
    let done = MirrorResult::of(&command(1), MirrorStage::Done, Time(MORNING_MS + 5));
    append(&log, Topic::MirrorResults, "done", &done).await;
    let claimed = MirrorResult::of(&command(2), MirrorStage::Claimed, Time(MORNING_MS + 6));
    append(&log, Topic::MirrorResults, "claimed", &claimed).await;
    let alert = Alert::new("project.throttled", "a", "prj", "too many", Time(MORNING_MS + 7));
    append(&log, Topic::Alerts, "project.throttled", &alert).await;
    let act = Act { id: "aud_1".to_owned(), tenant_id: "a".to_owned(), action: "x".to_owned(), ..Act::default() };
    append(&log, Topic::Audit, "x", &act).await;
    append(&log, Topic::Audit, "x", &act).await;
    used(&log, "agt_1", "m1", 30_000).await;
    used(&log, "agt_1", "m1", 30_000).await;
    used(&log, "agt_2", "m2", 400_000).await;
    trail(&store, &log).catch_up().await.expect("written");
    // Another process finds it done; two at a time do it once.
    trail(&store, &log).catch_up().await.expect("nothing to do");
    used(&log, "agt_1", "m1", 45_000).await;
    let (one, two) = (trail(&store, &log), trail(&store, &log));
    let (one, two) = tokio::join!(one.catch_up(), two.catch_up());
    assert!(one.is_ok() || two.is_ok(), "{one:?} {two:?}");

    let acts = async |filter: ActFilter| {
        let page = store.acts("a", &filter, &Paging::default()).await.expect("a page");
        page.rows.into_iter().map(|entry| entry.act.action).collect::<Vec<_>>()
    };
    let mut all = acts(ActFilter::default()).await;
    all.sort();
    // The budget of an agent was used up, once; the same act counts once. People's
    // own acts come through the log.
    assert_eq!(all, ["agent.held", "comment.posted", "project.throttled", "x"]);
    assert_eq!(acts(ActFilter { task_id: Some("task_1".to_owned()), ..Default::default() }).await, ["comment.posted"]);
    let late = ActFilter { from_ms: Some(MORNING_MS + 6), to_ms: Some(MORNING_MS + 8), ..Default::default() };
    assert_eq!(acts(late).await, ["project.throttled"]);
    let first = store.acts("a", &ActFilter::default(), &Paging { limit: 3, after: None }).await.expect("a page");
    let rest = Paging { limit: 3, after: first.next.clone() };
    let rest = store.acts("a", &ActFilter::default(), &rest).await.expect("a page");
    assert_eq!((first.rows.len(), rest.rows.len(), rest.next), (3, 1, None));

    let waiting = async |filter: WaitingFilter| {
        let page = store.waiting_commands(&filter, &Paging::default()).await.expect("a page");
        page.rows.into_iter().map(|waiting| (waiting.id, waiting.claimed)).collect::<Vec<_>>()
    };
    let own = WaitingFilter { tenant: Some("a".to_owned()), ..Default::default() };
    assert_eq!(waiting(own).await, [("mir_2".to_owned(), true), ("mir_3".to_owned(), false)]);
    let third = WaitingFilter { task_id: Some("task_3".to_owned()), ..Default::default() };
    assert_eq!(waiting(third).await, [("mir_3".to_owned(), false)]);
    assert!(waiting(WaitingFilter { tenant: Some("b".to_owned()), ..Default::default() }).await.is_empty());

    let page = store.usage("a", &UsageFilter::default(), &Paging { limit: 1, after: None }).await.expect("a page");
    let row = &page.rows[0];
    assert_eq!((row.agent_id.as_str(), row.reports, row.input_tokens, row.cost), ("agt_1", 3, 105_000, 0.105));
    let rest = Paging { limit: 1, after: page.next };
    let rest = store.usage("a", &UsageFilter::default(), &rest).await.expect("a page");
    assert_eq!((rest.rows[0].agent_id.as_str(), rest.next), ("agt_2", None));
    assert_eq!(budgets(&store).await, [(EVERYBODY.to_owned(), 505_000), ("agt_1".to_owned(), 105_000)]);
    // Half of the tenant's, and all steps of the agent's, each once.
    let announcer = Announcer { store: Arc::clone(&store), log: Arc::new(log.clone()), house: None };
    announcer.catch_up().await.expect("announced");
    let told = log.records(Topic::Alerts);
    let mut kinds: Vec<_> = told
        .iter()
        .map(|record| serde_json::from_slice::<Alert>(record.value.as_deref().unwrap_or_default()).unwrap())
        .filter(|alert| alert.kind.starts_with("budget."))
        .map(|alert| (alert.subject, alert.kind))
        .collect();
    kinds.sort();
    let told =
        [(EVERYBODY, "budget.half"), ("agt_1", "budget.half"), ("agt_1", "budget.nearly"), ("agt_1", "budget.spent")];
    assert_eq!(kinds, told.map(|(subject, kind)| (subject.to_owned(), kind.to_owned())));
    store.delete_budget("a", "agt_1").await.expect("gone");
    assert!(matches!(store.delete_budget("a", "agt_1").await, Err(StoreError::NotFound { .. })));
    assert_eq!(budgets(&store).await.len(), 1);

    let (faults, heads) = store.verify(None).await.expect("read");
    assert!(faults.is_empty(), "{faults:?}");
    assert!(heads.iter().any(|(tenant, rows, _)| tenant == "a" && *rows == 4), "{heads:?}");

    // Another log: what waited was the old one's, and the chain goes on.
    let another = MemoryLog::new(PARTITIONS).with_identity(7);
    append(&another, Topic::MirrorCommands, "post", &command(9)).await;
    append(&another, Topic::Audit, "x", &Act { id: "aud_2".to_owned(), ..act }).await;
    trail(&store, &another).catch_up().await.expect("written");
    assert_eq!(waiting(WaitingFilter::default()).await, [("mir_9".to_owned(), false)]);
    let (faults, heads) = store.verify(Some("a")).await.expect("read");
    assert!(faults.is_empty() && heads[0].1 >= 5, "{faults:?} {heads:?}");

    // The trail outlives its tenant, the rest does not.
    store.tenants().delete_all("a").await.expect("gone");
    assert!(waiting(WaitingFilter::default()).await.is_empty() && budgets(&store).await.is_empty());
    let usage = store.usage("a", &UsageFilter::default(), &Paging::default()).await.expect("a page");
    assert!(usage.rows.is_empty(), "{usage:?}");
    assert_eq!(store.verify(Some("a")).await.expect("read").1, heads);
}

#[tokio::test]
async fn what_was_done_is_written_once() {
    on_each("box", story).await;
}
