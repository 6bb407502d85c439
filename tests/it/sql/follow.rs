//! Queries that are followed: rows as they are written, and after an absence.

use std::io::{BufRead, BufReader};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Asked;
use crate::process::nexus;

/// Somebody who listens.
struct Listener {
    answer: reqwest::Response,
    text: String,
}

impl Listener {
    async fn begin(asked: &Asked, token: &str, sql: &str, after: Option<&str>) -> reqwest::Response {
        let mut request = asked.api.request(Method::POST, "/api/sql").bearer_auth(token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        request.json(&json!({ "sql": sql, "follow": true })).send().await.unwrap()
    }

    async fn new(asked: &Asked, token: &str, sql: &str, after: Option<&str>) -> Listener {
        let answer = Listener::begin(asked, token, sql, after).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Listener { answer, text: String::new() }
    }

    /// The next event: its id and its row.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let event = line("data: ").map(|data| (line("id: ").unwrap_or_default(), data));
                self.text = rest.to_owned();
                match event {
                    Some((id, data)) => return (id, serde_json::from_str(&data).unwrap_or(Value::String(data))),
                    None => continue,
                }
            }
            let piece = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.text += std::str::from_utf8(&piece).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_as_they_are_written() {
    let asked = Asked::start().await;
    let sql = "SELECT id, provider, upper(type) AS type FROM events WHERE provider <> 'clickup'";
    let mut live = Listener::new(&asked, &asked.acme, sql, None).await;
    let mut theirs = Listener::new(&asked, &asked.umbra, "SELECT id, tenant_id FROM events", None).await;
    asked.api.hub.webhook("clickup", "taskCreated").await;
    let id = asked.api.hub.webhook("slack", "message").await.id();
    let (cursor, row) = live.next().await;
    assert_eq!((&row["provider"], &row["id"]), (&json!("slack"), &json!(id)), "{row}");
    assert_eq!(row["type"], "MESSAGEPOSTED");
    let own = asked.api.hub.post(asked.api.hub.sample("umbra", "slack", "message")).await.id();
    let (_, row) = theirs.next().await;
    assert_eq!((&row["tenant_id"], &row["id"]), (&json!("umbra"), &json!(own)), "acme's events were not told");
    // Away for a while.
    drop(live);
    let missed = asked.api.hub.webhook("github", "issues.opened").await.id();
    let mut back = Listener::new(&asked, &asked.acme, sql, Some(&cursor)).await;
    let (next, row) = back.next().await;
    assert_eq!(row["id"], missed);
    assert!(next.parse::<u64>().unwrap() > cursor.parse::<u64>().unwrap());
    // An end is an end.
    let mut one = Listener::new(&asked, &asked.acme, "SELECT id FROM events LIMIT 1", Some("0")).await;
    one.next().await;
    assert!(one.answer.chunk().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_is_told() {
    let asked = Asked::start_with(|config| config.sql.following_max = 1).await;
    for sql in [
        "SELECT count(*) FROM events",
        "SELECT * FROM events ORDER BY id",
        "SELECT * FROM events AS a JOIN events AS b ON a.id = b.id",
        "SELECT * FROM events UNION ALL SELECT * FROM events",
        "SELECT * FROM nothing",
        "DROP TABLE events",
    ] {
        let answer = Listener::begin(&asked, &asked.acme, sql, None).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{sql}");
    }
    let bad = Listener::begin(&asked, &asked.acme, "SELECT id FROM events", Some("x")).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    let first = Listener::new(&asked, &asked.acme, "SELECT id FROM events", None).await;
    let second = Listener::begin(&asked, &asked.acme, "SELECT id FROM events", None).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    let begun = std::time::Instant::now();
    // The place is free when the server has seen that nobody listens.
    loop {
        asked.api.hub.webhook("slack", "message").await;
        let again = Listener::begin(&asked, &asked.acme, "SELECT id FROM events", None).await;
        if again.status() == StatusCode::OK {
            break;
        }
        assert!(begun.elapsed() < crate::hub::PATIENCE, "the place is never free");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_follows_too() {
    let asked = Asked::start().await;
    let mut command = nexus();
    command.args(["sql", "--follow", "-c", "SELECT id FROM events;"]);
    command.env("NEXUS_URL", asked.api.hub.url()).env("NEXUS_TOKEN", &asked.acme);
    command.env("NEXUS_DATA_DIR", std::env::temp_dir().join("nexus-no-hub-here")).current_dir(std::env::temp_dir());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::task::spawn_blocking(move || lines.map_while(Result::ok).next());
    tokio::pin!(first);
    // It may not listen yet when the first is written.
    let line = loop {
        asked.api.hub.webhook("slack", "message").await;
        let patience = std::time::Duration::from_millis(200);
        if let Ok(line) = tokio::time::timeout(patience, &mut first).await {
            break line.unwrap().unwrap();
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("{\"id\":\"evt_"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_told_when_they_are_over() {
    let asked = Asked::start_with(|config| config.sql.late_ms = 200).await;
    let sql = "SELECT start, count(*) AS n FROM \
               (SELECT tumble(INTERVAL '1 second', received_at) AS start FROM events WHERE provider = 'slack') \
               GROUP BY start";
    let mut live = Listener::new(&asked, &asked.acme, sql, None).await;
    let id = asked.api.hub.webhook("slack", "message").await.id();
    let (cursor, row) = live.next().await;
    assert!(row["n"].as_u64() >= Some(1), "{row}");
    // It is told what the same query answers of the past, with this event in it.
    let of_window = async |id: &str| {
        let sql = format!("SELECT tumble(INTERVAL '1 second', received_at) AS s FROM events WHERE id = '{id}'");
        asked.rows(&asked.acme, &sql).await
    };
    let mut rows = vec![row];
    let wanted = of_window(&id).await[0]["s"].clone();
    while rows.last().unwrap()["start"] != wanted {
        rows.push(live.next().await.1);
    }
    let past = asked.rows(&asked.acme, sql).await;
    for row in &rows {
        assert!(past.contains(row), "{row} is not in {past:?}");
    }
    // Whoever comes back is told what came since.
    drop(live);
    let id = asked.api.hub.webhook("slack", "message").await.id();
    let mut back = Listener::new(&asked, &asked.acme, sql, Some(&cursor)).await;
    let wanted = loop {
        // The event is there when the pipeline has made it.
        match of_window(&id).await.first() {
            Some(row) => break row["s"].clone(),
            None => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    while back.next().await.1["start"] != wanted {}
    let bad = Listener::begin(&asked, &asked.acme, sql, Some("17")).await;
    assert_eq!(bad.status(), StatusCode::UNPROCESSABLE_ENTITY, "a cursor of another query");
}
