//! The windows of `sql/streams` as this engine counts them, beside what the real
//! engine answered, and beside what the pipeline's own operators count in logs
//! that are written here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use analytics::datafusion::{
    arrow::json::ArrayWriter,
    prelude::{JsonReadOptions, SessionContext},
};
use pipeline::{
    ports::{Headers, Log, NewRecord},
    testing::MemoryLog,
    topics::Topic,
};
use runtime::{
    config::Config,
    sql::{Engine, Format, Question},
};
use serde_json::{Value, json};

use crate::arroyo::parity::{folder, operated, seeded, tumbled, two_threads};

async fn session(folder: &std::path::Path) -> SessionContext {
    let mut state = SessionContext::new().state();
    analytics::functions::register(&mut state).unwrap();
    let session = SessionContext::new_with_state(state);
    for table in ["agent_messages", "dispatches"] {
        let path = folder.join(format!("in/{table}.json")).display().to_string();
        session.register_json(table, &path, JsonReadOptions::default()).await.unwrap();
    }
    session
}

/// The rows of a query, as JSON texts of the named columns.
async fn rows(session: &SessionContext, sql: &str) -> BTreeSet<String> {
    let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let rows: Vec<Value> = serde_json::from_slice(&writer.into_inner()).unwrap_or_default();
    rows.iter().map(shown).collect()
}

/// What the real engine answered.
fn answered(folder: &std::path::Path, name: &str, columns: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder.join(format!("out/{name}.json"))).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| shown(&columns.iter().map(|name| ((*name).to_owned(), row[*name].clone())).collect())).collect()
}

fn shown(row: &Value) -> String {
    row.to_string()
}

const AT: &str = "arrow_cast(sent_at, 'Timestamp(Millisecond, Some(\"+00:00\"))')";
const DISPATCHED: &str = "arrow_cast(dispatched_at, 'Timestamp(Millisecond, Some(\"+00:00\"))')";
const SHOWN: &str = "'%Y-%m-%dT%H:%M:%S'";

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_are_those_of_the_real_engine() {
    let Some(folder) = folder() else { return };
    let session = session(&folder).await;
    let rate = format!(
        "SELECT agent_id AS key, to_char(start, {SHOWN}) AS window_start, count(*) AS n FROM \
         (SELECT agent_id, unnest(hop(INTERVAL '10 seconds', INTERVAL '1 minute', {AT})) AS start FROM agent_messages) \
         GROUP BY agent_id, start HAVING count(*) > 10"
    );
    assert_eq!(
        rows(&session, &rate).await,
        answered(&folder, "a_agent_rate.alerts", &["key", "window_start", "n"]),
        "messages of an agent a minute"
    );
    let providers = format!(
        "SELECT provider, to_char(minute, {SHOWN}) AS minute, count(*) AS n FROM \
         (SELECT provider, tumble(INTERVAL '1 minute', {DISPATCHED}) AS minute FROM dispatches) \
         GROUP BY provider, minute"
    );
    assert_eq!(
        rows(&session, &providers).await,
        answered(&folder, "f_analyst.provider_rate", &["provider", "minute", "n"]),
        "events of a provider a minute"
    );
    let noisy = format!(
        "SELECT agent_id, to_char(start + INTERVAL '10 minutes', {SHOWN}) AS at, count(*) AS n FROM \
         (SELECT agent_id, unnest(hop(INTERVAL '1 minute', INTERVAL '10 minutes', {DISPATCHED})) AS start \
          FROM dispatches) GROUP BY agent_id, start"
    );
    // Only the first ten of each window were told; those must be among ours.
    let ours = rows(&session, &noisy).await;
    let theirs = answered(&folder, "f_analyst.noisy_agents", &["agent_id", "at", "n"]);
    assert!(theirs.len() > 200 && theirs.is_subset(&ours), "{:?}", theirs.difference(&ours).collect::<Vec<_>>());
    let tenants = format!(
        "SELECT tenant, to_char(start + INTERVAL '5 minutes', {SHOWN}) AS at, count(*) AS n FROM \
         (SELECT tenant, unnest(hop(INTERVAL '1 minute', INTERVAL '5 minutes', {DISPATCHED})) AS start \
          FROM dispatches) GROUP BY tenant, start"
    );
    assert_eq!(
        rows(&session, &tenants).await,
        answered(&folder, "f_analyst.tenant_p95", &["tenant", "at", "n"]),
        "dispatches of a tenant in five minutes"
    );
}

/// What `acme` is answered over a log of these records.
struct Logged {
    engine: Arc<dyn Engine>,
    _folder: tempfile::TempDir,
}

impl Logged {
    async fn of(records: Vec<NewRecord>) -> Logged {
        let (log, folder) = (Arc::new(MemoryLog::new(1)), tempfile::tempdir().unwrap());
        log.append(records).await.unwrap();
        let mut config = Config::load(None, std::iter::empty()).unwrap();
        config.lake.folder = folder.path().display().to_string();
        Logged { engine: analytics::engine(&config, log).unwrap(), _folder: folder }
    }

    async fn rows(&self, sql: &str) -> Vec<Value> {
        let question = Question { tenant: "acme".to_owned(), text: sql.to_owned(), format: Format::Json };
        let answer = self.engine.ask(question).await.unwrap_or_else(|refused| panic!("{sql}: {refused}"));
        serde_json::from_slice::<Value>(&answer).unwrap()["data"].as_array().cloned().unwrap()
    }

    /// Whose window of `agents_actions` has how many, by its end.
    async fn windows(&self, starts: &str, width_ms: u64) -> BTreeMap<(u64, String), u64> {
        let sql = format!(
            "SELECT agent_id, CAST(start AS BIGINT) AS start, count(*) AS n FROM \
             (SELECT agent_id, {starts} AS start FROM agents_actions) GROUP BY agent_id, start"
        );
        let window = |row: &Value| {
            let end = row["start"].as_u64().unwrap() + width_ms;
            ((end, row["agent_id"].as_str().unwrap().to_owned()), row["n"].as_u64().unwrap())
        };
        self.rows(&sql).await.iter().map(window).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_log_is_counted_as_the_operators_count_it() {
    for seed in 0..8 {
        let said = seeded(seed);
        let actions = said.iter().map(|(agent, at)| NewRecord {
            topic: Topic::AgentsActions,
            partition: 0,
            at_ms: *at,
            key: "acme".into(),
            value: Some(
                json!({ "agentId": agent, "name": "message", "at": udfs::time::to_rfc3339(*at as i64) })
                    .to_string()
                    .into(),
            ),
            headers: Headers::default(),
        });
        let log = Logged::of(actions.collect()).await;
        let hop = "unnest(hop(INTERVAL '10 seconds', INTERVAL '1 minute', at))";
        assert_eq!(log.windows(hop, 60_000).await, operated(&said, 10_000, 60_000), "seed {seed}");
        let tumble = "tumble(INTERVAL '1 hour', at)";
        assert_eq!(log.windows(tumble, 3_600_000).await, tumbled(&said, 3_600_000), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fiftieth_messages_are_those_that_are_summed_up() {
    let recorded = two_threads();
    let summed_up = recorded.summed_up();
    let events = recorded.outputs.into_iter().filter(|record| record.topic == Topic::Events).collect();
    let fiftieth = "SELECT task_id, thread_seq FROM events \
                    WHERE type IN ('MessagePosted', 'CommentPosted') AND thread_seq % 50 = 0";
    let rows = Logged::of(events).await.rows(fiftieth).await;
    let told =
        rows.iter().map(|row| (row["task_id"].as_str().unwrap().to_owned(), row["thread_seq"].as_u64().unwrap()));
    assert_eq!(told.collect::<BTreeSet<_>>(), summed_up);
    assert_eq!(summed_up.len(), 3);
}
