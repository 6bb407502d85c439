//! `normalise.sql` run over the samples, and what it makes of them beside what the
//! pipeline's own first stage does. The engine here is SQLite, which has all that
//! this stream needs once the functions over JSON are put in its words.

use std::{collections::BTreeMap, path::Path};

use pipeline::{
    flow::{Flow, Settings},
    ports::{Headers, NewRecord, Position, Record},
    topics::Topic,
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, Row, SqliteConnection};

use super::{repository, streams_of_the_repository};

const RECEIVED: &str = "2026-11-21T08:00:00.000Z";

fn webhook(provider: &str, body: &str) -> Value {
    json!({ "tenantId": "acme", "provider": provider, "connectionId": "con_1", "receivedAt": RECEIVED,
        "headers": {}, "body": body })
}

/// The samples of the repository as they would be written down.
fn samples() -> BTreeMap<String, Value> {
    let mut samples = BTreeMap::new();
    for provider in ["clickup", "generic", "github", "jira", "slack", "stripe"] {
        for entry in std::fs::read_dir(repository("tests/fixtures").join(provider)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut request = webhook(provider, &std::fs::read_to_string(&path).unwrap());
            if provider == "github" {
                request["headers"] = json!({ "x-github-event": name.split('.').next() });
            } else if name == "block_actions" {
                let body = request["body"].as_str().unwrap();
                let encoded: String = body.bytes().map(|byte| format!("%{byte:02X}")).collect();
                request["body"] = json!(format!("payload={encoded}"));
                request["contentType"] = json!("application/x-www-form-urlencoded");
            }
            assert!(path.extension().is_some_and(|ending| ending == Path::new("json")), "{}", path.display());
            samples.insert(format!("{provider}/{name}"), request);
        }
    }
    assert!(samples.len() > 80, "only {} samples", samples.len());
    samples
}

/// What the pipeline publishes of one request, alone: name and type of each event,
/// and how many dead letters.
fn published(request: &Value) -> (Vec<(String, String)>, usize) {
    let mut flow = Flow::new(7, 1, &Settings::default());
    let mut outputs: Vec<NewRecord> = Vec::new();
    let record = Record {
        position: Position { topic: Topic::WebhooksRaw, partition: 0, offset: 0 },
        at_ms: 1_795_248_000_000,
        key: "acme".to_owned().into(),
        value: Some(serde_json::to_vec(request).unwrap().into()),
        headers: Headers::default(),
    };
    flow.on(&record, &mut outputs).expect("no defect");
    let of = |topic: Topic| outputs.iter().filter(move |output| output.topic == topic);
    let events = of(Topic::Events).map(|output| {
        let event: Value = serde_json::from_slice(output.value.as_deref().unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["source"]["event"]), text(&event["type"]))
    });
    (events.collect(), of(Topic::DeadLetters).count())
}

/// The functions over JSON in SQLite's words; what is ours gives its argument back.
fn in_sqlites_words(sql: &str) -> String {
    let mut out = String::new();
    let mut rest = sql;
    while let Some(at) = ["json_get_str(", "json_length(", "normalise(", "content_hash("]
        .iter()
        .filter_map(|name| rest.find(name).map(|at| (at, *name)))
        .min()
    {
        let (at, name) = at;
        let end = at + rest[at..].find(')').unwrap();
        let arguments: Vec<_> = rest[at + name.len()..end].split(',').map(str::trim).collect();
        let [of, path @ ..] = &arguments[..] else { panic!("{name}") };
        out.push_str(&rest[..at]);
        out.push_str(&match name {
            "json_get_str(" => {
                let steps = path.iter().map(|step| match step.strip_prefix('\'') {
                    Some(field) => format!(".\"{}\"", field.trim_end_matches('\'')),
                    None => format!("[{step}]"),
                });
                let path = format!("'${}'", steps.collect::<String>());
                // In cases, since the rest is not looked at where a case does not hold.
                format!(
                    "(CASE WHEN json_valid({of}) THEN \
                     CASE WHEN json_type({of}, {path}) = 'text' THEN json_extract({of}, {path}) END END)"
                )
            }
            "json_length(" => format!(
                "(CASE WHEN json_valid({of}) THEN CASE json_type({of}) WHEN 'object' THEN 1 WHEN 'array' THEN 1 END END)"
            ),
            _ => format!("({of})"),
        });
        rest = &rest[end + 1..];
    }
    out + rest
}

/// What the stream writes: rows of `streams.events` and of `streams.dead.letters`.
async fn streamed(requests: &[Value]) -> (BTreeMap<String, (String, String)>, Vec<String>) {
    let sql = &streams_of_the_repository()["normalise"];
    let sql: String = sql.lines().filter(|line| !line.trim_start().starts_with("--")).flat_map(|l| [l, "\n"]).collect();
    let statement = |begin: &str| {
        let begun = &sql[sql.find(begin).unwrap()..];
        in_sqlites_words(&begun[..begun.find(';').unwrap()])
    };
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let columns = "\"tenantId\", provider, \"connectionId\", \"deliveryId\", \"receivedAt\", \"contentType\", headers, \
                   body, kafka_offset, kafka_partition";
    db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE TABLE webhooks ({columns})")))).await.unwrap();
    for (offset, request) in requests.iter().enumerate() {
        let text = |name: &str| request[name].as_str().map(str::to_owned);
        let insert = format!("INSERT INTO webhooks ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 3)");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert));
        for name in ["tenantId", "provider", "connectionId", "deliveryId", "receivedAt", "contentType"] {
            query = query.bind(text(name));
        }
        query = query.bind(request["headers"].to_string()).bind(text("body")).bind(offset as i64);
        query.execute(&mut db).await.unwrap();
    }
    db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement("CREATE VIEW requests")))).await.unwrap();
    let select = |begin: &str| statement(begin).trim_start_matches(begin).to_owned();
    let rows = db.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(select("INSERT INTO events")))).await.unwrap();
    let events = rows.iter().map(|row| (row.get("key"), (row.get("event"), row.get("type")))).collect();
    let rows = db.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(select("INSERT INTO dead_letters")))).await.unwrap();
    (events, rows.iter().map(|row| row.get("key")).collect())
}

/// Where one request alone cannot tell what the pipeline tells.
const OTHERWISE: &[(&str, &str)] = &[
    ("clickup/automation", "a body without the name of an event"),
    ("clickup/comment.c", "the same, in the newer form"),
    ("clickup/taskStatusUpdated.first", "the first status of a task is told by its creation, and twice here"),
    ("clickup/taskUpdated.comment", "told by taskCommentPosted, and twice here"),
    ("slack/block_actions", "a form, which is not read"),
];

#[tokio::test]
async fn each_sample_is_named_as_the_pipeline_names_it() {
    let samples = samples();
    let requests: Vec<_> = samples.values().cloned().collect();
    let (events, dead) = streamed(&requests).await;
    assert!(dead.is_empty(), "{dead:?}");
    let mut differ = BTreeMap::new();
    for (offset, (name, request)) in samples.iter().enumerate() {
        let streamed = events[&format!("acme/3/{offset}")].clone();
        let (published, _) = published(request);
        if published != [streamed.clone()] {
            differ.insert(name.as_str(), (streamed, published));
        }
    }
    let told: Vec<_> = OTHERWISE.iter().map(|(name, _)| *name).collect();
    let found: Vec<_> = differ.keys().copied().collect();
    assert_eq!(found, told, "{differ:#?}");
}

#[tokio::test]
async fn what_is_no_json_is_a_dead_letter_here_and_there() {
    let bodies = ["not json", "", "{\"event\": \"taskCreated\"", "\"text\"", "7", "{\"event\":}"];
    let requests: Vec<_> = bodies
        .iter()
        .flat_map(|body| ["clickup", "slack", "github", "jira", "shop"].map(|provider| webhook(provider, body)))
        .collect();
    let (events, dead) = streamed(&requests).await;
    assert_eq!((events.len(), dead.len()), (0, requests.len()), "{events:?}");
    for request in &requests {
        assert_eq!(published(request), (Vec::new(), 1), "{request}");
    }
}

/// What the real engine was given, whose function of this name was another one.
#[tokio::test]
async fn the_same_request_is_dead_as_in_the_real_engine() {
    let Some(folder) = super::parity::folder() else { return };
    let lines = std::fs::read_to_string(folder.join("in/raw_webhooks.json")).unwrap();
    let raw: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let requests: Vec<_> = raw
        .iter()
        .map(|raw| {
            let mut request = webhook(raw["provider"].as_str().unwrap(), raw["body"].as_str().unwrap());
            request["headers"] = raw["headers"].clone();
            request
        })
        .collect();
    let answered = std::fs::read_to_string(folder.join("out/e_normalise.dead_letters.json")).unwrap();
    let theirs: Vec<Value> = answered.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (events, dead) = streamed(&requests).await;
    let of = |key: &String| key.rsplit('/').next().unwrap().parse::<usize>().unwrap();
    let ours: Vec<_> = dead.iter().map(|key| &raw[of(key)]["delivery_id"]).collect();
    assert_eq!(ours, theirs.iter().map(|letter| &letter["delivery_id"]).collect::<Vec<_>>());
    assert_eq!(events.len(), raw.len() - theirs.len());
    for (request, raw) in requests.iter().zip(&raw) {
        let is_dead = theirs.iter().any(|letter| letter["delivery_id"] == raw["delivery_id"]);
        assert_eq!(published(request).1, usize::from(is_dead), "{raw}");
    }
}
