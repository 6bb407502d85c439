//! An analyst sees the rows of the own tenant and no others, however the query
//! is written.

use std::sync::Arc;

use analytics::lake::{Files, Sink};
use pipeline::{
    ports::{Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::{TOPICS, partition_of},
};
use proptest::{prelude::*, test_runner::TestRunner};
use runtime::{
    clock::SystemClock,
    config::Config,
    sql::{Engine, Format, Question},
};

use super::Asked;

const TENANTS: &[&str] = &["acme", "umbra", "acme2", "a"];

/// An engine over a log in which every value of a tenant's names it. All of
/// them share the one partition, and files of the lake.
async fn engine(folder: &std::path::Path) -> Arc<dyn Engine> {
    let log = Arc::new(MemoryLog::new(1));
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    config.lake.folder = folder.display().to_string();
    log.append(records()).await.unwrap();
    let files = Files::open(&config.lake, folder).unwrap();
    let sink = Sink::new(log.clone(), Arc::new(SystemClock), files, config.lake.clone());
    let mut manifest = sink.open().await.unwrap();
    sink.turn(&mut manifest).await.unwrap();
    assert!(manifest.files.len() > 5);
    log.append(records()).await.unwrap();
    analytics::engine(&config, log).unwrap()
}

fn records() -> Vec<NewRecord> {
    let mut records = Vec::new();
    for spec in TOPICS {
        for tenant in TENANTS {
            for number in 0..3 {
                let key =
                    if spec.topic.is_compacted() { format!("{tenant}/task/{number}") } else { (*tenant).to_owned() };
                let value = serde_json::json!({
                    "id": format!("of-{tenant}-{number}"), "type": "MessagePosted", "name": "message", "key": key,
                    "tenantId": TENANTS[number % TENANTS.len()], "commandId": format!("of-{tenant}-{number}"),
                    "agentId": format!("of-{tenant}"), "at": "2026-01-01T12:00:00.000Z", "data": {"text": format!("of-{tenant}")},
                    "receivedAt": "2026-01-01T12:00:00.000Z", "occurredAt": "2026-01-01T12:00:00.000Z",
                    "source": {"provider": format!("of-{tenant}"), "event": "message"}, "to": [{"agentId": format!("of-{tenant}"), "seq": 1}],
                    "event": {"id": format!("of-{tenant}-{number}")}, "message": {"text": "x", "threadTs": format!("of-{tenant}")},
                });
                records.push(NewRecord {
                    topic: spec.topic,
                    partition: partition_of(tenant, 1),
                    at_ms: 1_767_268_800_000,
                    key: key.into(),
                    value: Some(value.to_string().into()),
                    headers: Headers::default(),
                });
            }
        }
    }
    records
}

fn tables() -> Vec<String> {
    let topics = analytics::columns::tables().map(|(name, _)| name);
    topics.chain(analytics::views::VIEWS.iter().map(|(name, _)| (*name).to_owned())).collect()
}

/// Queries of all shapes over two of the tables.
fn queries() -> impl Strategy<Value = String> {
    let table = || proptest::sample::select(tables());
    let tenant = || proptest::sample::select(TENANTS.to_vec());
    (table(), table(), tenant(), 0..12usize).prop_map(|(one, other, tenant, shape)| match shape {
        0 => format!("SELECT * FROM {one}"),
        1 => format!("SELECT * FROM nexus.public.{one} UNION ALL SELECT * FROM {one}"),
        2 => format!("SELECT * FROM {one} CROSS JOIN {other} LIMIT 50"),
        3 => format!("SELECT * FROM {one} WHERE EXISTS (SELECT 1 FROM {other}) OR true"),
        4 => format!("WITH x AS (SELECT * FROM {one}) SELECT * FROM x, x AS y LIMIT 50"),
        5 => format!("SELECT (SELECT count(*) FROM {other}) AS n, t.* FROM {one} AS t"),
        6 => format!("SELECT * FROM (SELECT *, row_number() OVER () AS r FROM {one}) WHERE r < 100"),
        7 => format!("SELECT * FROM {one} AS t LEFT JOIN {other} AS u ON true LIMIT 50"),
        8 => format!("SELECT * FROM {one} EXCEPT SELECT * FROM {one} WHERE false"),
        9 => format!("SELECT string_agg(CAST(t AS TEXT), ',') FROM (SELECT 'of-' || '{tenant}' AS t)  x WHERE 1 = 0"),
        10 => format!("SELECT tenant_id, raw FROM events WHERE tenant_id = '{tenant}' OR 1 = 1"),
        _ => {
            format!("SELECT raw, log_offset FROM pipeline_state WHERE key_kind = 'task' AND key_id LIKE '%' --{tenant}")
        }
    })
}

#[test]
fn random_queries_never_show_another_tenants_rows() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = runtime.block_on(engine(folder.path()));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() });
    let seen = std::cell::Cell::new(0);
    runner
        .run(&(queries(), 0..TENANTS.len()), |(query, who)| {
            let tenant = TENANTS[who];
            let question = Question { tenant: tenant.to_owned(), text: query.clone(), format: Format::Csv };
            // Some of them do not fit their tables: that is an answer too.
            let Ok(answer) = runtime.block_on(engine.ask(question)) else { return Ok(()) };
            let answer = String::from_utf8_lossy(&answer).into_owned();
            for other in TENANTS.iter().filter(|other| **other != tenant) {
                for mark in [format!("of-{other}-"), format!("of-{other},"), format!("of-{other}\"")] {
                    prop_assert!(!answer.contains(&mark), "{tenant} sees {other} by {query}: {answer}");
                }
            }
            if answer.contains(&format!("of-{tenant}")) {
                seen.set(seen.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    assert!(seen.get() > 30, "only {} queries showed anything", seen.get());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_analysts_ask_one_hub() {
    let asked = Asked::start().await;
    let ids = async |token: &str| {
        let rows = asked.rows(token, "SELECT id, tenant_id FROM events").await;
        rows.into_iter().map(|row| (row["id"].to_string(), row["tenant_id"].to_string())).collect::<Vec<_>>()
    };
    let (acme, umbra) = (ids(&asked.acme).await, ids(&asked.umbra).await);
    assert!(acme.len() > 3 && umbra.len() == 1, "{acme:?} {umbra:?}");
    assert!(acme.iter().all(|(id, tenant)| tenant == "\"acme\"" && !umbra.iter().any(|(other, _)| other == id)));
    // An empty name is nobody's.
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new(1));
    let engine = analytics::engine(&Config::load(None, std::iter::empty()).unwrap(), log).unwrap();
    let question = Question { tenant: String::new(), text: "SELECT * FROM events".to_owned(), format: Format::Json };
    assert!(engine.ask(question).await.is_err());
}
