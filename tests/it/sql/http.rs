//! `POST /api/sql`, and `nexus sql` which asks there.

use reqwest::StatusCode;
use serde_json::json;

use super::Asked;
use crate::process::nexus;

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_in_three_formats() {
    let asked = Asked::start().await;
    let question = "SELECT provider, count(*) AS events FROM events WHERE provider = 'slack' GROUP BY provider";
    let rows = asked.rows(&asked.acme, question).await;
    assert_eq!(rows, [json!({ "provider": "slack", "events": 2 })]);
    let csv = asked.ask(&asked.acme, question, "csv").await;
    assert_eq!(csv.text, "provider,events\nslack,2\n");
    assert!(csv.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let arrow = asked.ask(&asked.acme, question, "arrow").await;
    assert_eq!(arrow.headers["content-type"], "application/vnd.apache.arrow.stream");
    // A stream begins with its continuation mark.
    assert!(arrow.status == StatusCode::OK && arrow.text.len() > 100);
    let empty = asked.rows(&asked.acme, "SELECT id FROM events WHERE provider = 'nobody'").await;
    assert!(empty.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_view_can_be_read() {
    let asked = Asked::start().await;
    let tables = asked
        .rows(&asked.acme, "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public'")
        .await;
    let names: Vec<String> = tables.iter().map(|row| crate::api::text(&row["table_name"])).collect();
    for expected in ["events", "webhooks_raw", "agents_inbox", "dead_letters", "work_items", "threads", "usage"] {
        assert!(names.iter().any(|name| name == expected), "{expected} in {names:?}");
    }
    assert!(!names.iter().any(|name| name == "control"), "what administrators write is not for analysts");
    for name in &names {
        asked.rows(&asked.acme, &format!("SELECT * FROM {name}")).await;
        asked.rows(&asked.acme, &format!("SELECT count(*) AS n FROM {name}")).await;
        let columns = asked.rows(&asked.acme, &format!("DESCRIBE {name}")).await;
        assert!(!columns.is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_say_what_the_raw_value_says() {
    let asked = Asked::start().await;
    let sql = "SELECT id, type, provider, received_at, message_text, unrouted, tenant_id, log_offset, raw FROM events";
    for row in asked.rows(&asked.acme, sql).await {
        let raw: serde_json::Value = serde_json::from_str(row["raw"].as_str().unwrap()).unwrap();
        assert_eq!(row["id"], raw["id"]);
        assert_eq!(row["type"], raw["type"]);
        assert_eq!(row["provider"], raw["source"]["provider"]);
        assert_eq!(row["message_text"], raw["message"]["text"]);
        assert_eq!(row["unrouted"], raw["unrouted"].as_bool().unwrap_or(false));
        assert_eq!(row["tenant_id"], "acme");
        let (shown, said) = (row["received_at"].as_str().unwrap(), raw["receivedAt"].as_str().unwrap());
        assert_eq!(udfs::time::from_rfc3339(shown), udfs::time::from_rfc3339(said), "{shown} {said}");
    }
    let last = asked.rows(&asked.acme, "SELECT max(log_offset) AS last FROM events").await[0]["last"].clone();
    let from = asked.rows(&asked.acme, &format!("SELECT log_offset FROM events WHERE log_offset >= {last}")).await;
    assert_eq!(from, [json!({ "log_offset": last })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_answer_clearly_and_whole() {
    let asked = Asked::start_with(|config| {
        config.sql.rows_max = 1_000;
        config.sql.answer_mb_max = 1;
        config.sql.memory_mb_max = 8;
        config.sql.timeout_ms = 3_000;
    })
    .await;
    let series = "FROM generate_series(1, 1000000000)";
    assert_eq!(asked.code(&format!("SELECT value {series}")).await, "sql_rows");
    assert_eq!(asked.code("SELECT value FROM generate_series(1, 1001)").await, "sql_rows");
    assert_eq!(asked.rows(&asked.acme, "SELECT value FROM generate_series(1, 1000)").await.len(), 1_000);
    assert_eq!(asked.code(&format!("SELECT value {series} ORDER BY value DESC LIMIT 2000000")).await, "sql_memory");
    assert_eq!(asked.code(super::ENDLESS).await, "sql_slow");
    let wide = "SELECT concat(sha256(value::text), sha256(value::text), sha256(value::text), sha256(value::text), \
                sha256(value::text), sha256(value::text), sha256(value::text), sha256(value::text), \
                sha256(value::text), sha256(value::text), sha256(value::text), sha256(value::text), \
                sha256(value::text), sha256(value::text), sha256(value::text), sha256(value::text)) AS x, raw, body \
                FROM generate_series(1, 900), webhooks_raw";
    assert!(["sql_bytes", "sql_rows"].contains(&asked.code(wide).await.as_str()));
    // Whoever asks next is none the worse for it.
    assert_eq!(asked.rows(&asked.acme, "SELECT 1 AS one").await, [json!({ "one": 1 })]);
    asked.api.hub.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_hub_are_functions_of_sql() {
    let asked = Asked::start().await;
    let rows = asked
        .rows(
            &asked.acme,
            "SELECT normalise('  Hello   World ') AS normal, content_hash('Hello') = content_hash('hello ') AS same, \
             mentions('ask @Bob and @AI_Squad') AS names, slack_to_markdown('*bold*') AS markdown, \
             json_get_str('{\"a\": \"b\"}', 'a') AS json",
        )
        .await;
    assert_eq!(rows[0]["normal"], udfs::normal::normalise("  Hello   World "));
    assert_eq!(rows[0]["same"], udfs::similar::content_hash("Hello") == udfs::similar::content_hash("hello "));
    assert_eq!(rows[0]["names"], json!(udfs::mentions::mentions("ask @Bob and @AI_Squad")));
    assert_eq!((&rows[0]["markdown"], &rows[0]["json"]), (&json!("**bold**"), &json!("b")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_asks_the_hub() {
    let asked = Asked::start().await;
    let (url, token) = (asked.api.hub.url(), asked.acme.clone());
    let run = move |arguments: &[&str]| {
        let mut command = nexus();
        let nowhere = std::env::temp_dir().join("nexus-no-hub-here");
        command.arg("sql").args(arguments).env("NEXUS_URL", &url).env("NEXUS_TOKEN", &token);
        command.env("NEXUS_DATA_DIR", nowhere).current_dir(std::env::temp_dir()).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    tokio::task::spawn_blocking(move || {
        let question = "SELECT provider, count(*) AS n FROM events WHERE provider = 'slack' GROUP BY provider";
        let (code, out, err) = run(&["-c", question]);
        assert_eq!((code, out.as_str()), (Some(0), " provider | n\n----------+---\n slack    | 2\n(1 row)\n"), "{err}");
        let (_, out, _) = run(&["--csv", "-c", question]);
        assert_eq!(out, "provider,n\nslack,2\n");
        let (_, out, _) = run(&["--json", "-c", "SELECT 1 AS a; SELECT 2 AS a;"]);
        assert_eq!(out, "{\"data\":[{\"a\":1}]}\n{\"data\":[{\"a\":2}]}\n");
        let (_, out, _) = run(&["--chart", "-c", question]);
        assert!(out.contains('█'), "{out}");
        let (_, out, _) = run(&["-c", "\\d"]);
        assert!(out.contains("work_items") && out.contains("view"), "{out}");
        let (code, _, err) = run(&["-c", "SELECT nothing FROM events"]);
        assert!(code == Some(1) && err.contains("nothing"), "{err}");
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), "-- two\nSELECT 1 AS a;\nSELECT 'x;y' AS b;\n").unwrap();
        let (code, out, _) = run(&["--csv", "-f", &script.path().display().to_string()]);
        assert_eq!((code, out.as_str()), (Some(0), "a\n1\nb\nx;y\n"));
    })
    .await
    .unwrap();
}
