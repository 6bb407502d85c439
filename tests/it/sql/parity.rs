//! The windows of `sql/streams` as this engine counts them, beside what the real
//! engine answered. Its inputs and answers lie beside the payloads that
//! `NEXUS_FIXTURES` names.

use std::{collections::BTreeSet, path::PathBuf};

use analytics::datafusion::{
    arrow::json::ArrayWriter,
    prelude::{JsonReadOptions, SessionContext},
};
use serde_json::Value;

/// The folder of inputs and answers, if it is there.
fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var("NEXUS_FIXTURES").ok()?).parent()?.join("arroyo");
    folder.is_dir().then_some(folder)
}

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
    let Some(folder) = folder() else {
        eprintln!("there are no answers of the real engine here");
        return;
    };
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
