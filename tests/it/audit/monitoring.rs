//! What watches the hub from outside: rules and a dashboard that name metrics
//! which are there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{super::agents::Kind, House};

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/deploy/monitoring/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The metrics that a text of Prometheus' language names.
fn named(text: &str) -> BTreeSet<String> {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text
        .split(|letter: char| !word(letter))
        .filter(|word| word.starts_with("nexus_") || word.starts_with("process_"));
    words
        .map(|word| {
            ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_dashboard_name_metrics_that_are_there() {
    let house = House::open().await;
    let issue = house.issue();
    let mut socket = house.socket(Kind::Plain).await;
    house.webhook("github", "issues.opened", &[]).await;
    house.api.hub.webhook("clickup", "taskCreated").await;
    socket.skip_to("task_assigned").await;
    socket.say("usage", serde_json::json!({ "model": "m", "inputTokens": 1, "outputTokens": 1 })).await;
    house.wants(issue, 1).await;
    super::until("it is said", || house.said().len() == 1).await;
    house.stop("to be seen").await;
    let metrics = house.api.hub.get("/metrics").await.text;
    let there: BTreeSet<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboard: Value = serde_json::from_str(&file("grafana-dashboard.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(panel["title"].is_string() && panel["gridPos"].is_object(), "{panel}");
        queries.extend(
            panel["targets"].as_array().into_iter().flatten().map(|target| target["expr"].as_str().unwrap().to_owned()),
        );
    }
    assert!(queries.len() >= 10, "{}", queries.len());
    let rules = file("prometheus-rules.yml");
    let expressions: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert!(expressions.len() >= 8 && rules.matches("- alert: ").count() == expressions.len());
    let wanted = named(&[queries.join("\n"), expressions.join("\n")].concat());
    let missing: Vec<_> = wanted.iter().filter(|name| !there.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {there:?}");
}
