//! What would do more than look is refused, and what would never end is bounded.

use super::Asked;

/// What writes, reads files, or changes settings.
const REFUSED: &[&str] = &[
    "COPY events TO '/tmp/events.parquet'",
    "COPY (SELECT 1) TO '/tmp/one.csv' STORED AS CSV",
    "CREATE EXTERNAL TABLE secrets STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE EXTERNAL TABLE secrets (line TEXT) STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE TABLE mine AS SELECT * FROM events",
    "CREATE VIEW mine AS SELECT * FROM events",
    "CREATE OR REPLACE VIEW events AS SELECT 1",
    "CREATE SCHEMA mine",
    "CREATE DATABASE mine",
    "CREATE FUNCTION one() RETURNS INT RETURN 1",
    "DROP TABLE events",
    "DROP VIEW work_items",
    "DROP SCHEMA public",
    "INSERT INTO events (id) VALUES ('x')",
    "UPDATE events SET id = 'x'",
    "DELETE FROM events",
    "TRUNCATE events",
    "SET datafusion.runtime.memory_limit = '100G'",
    "SET datafusion.execution.batch_size = 1",
    "RESET datafusion.execution.batch_size",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "BEGIN",
    "EXPLAIN ANALYZE INSERT INTO events (id) VALUES ('x')",
    "EXPLAIN COPY events TO '/tmp/x.csv'",
    "GRANT ALL ON events TO everybody",
    "VACUUM",
    "CALL anything()",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_does_more_than_look_is_refused() {
    let asked = Asked::start().await;
    for sql in REFUSED {
        let code = asked.code(sql).await;
        assert!(["sql_refused", "sql_invalid"].contains(&code.as_str()), "{sql}: {code}");
    }
    for sql in ["COPY events TO '/tmp/x.csv'", "DROP TABLE events", "SET datafusion.execution.batch_size = 1"] {
        assert_eq!(asked.code(sql).await, "sql_refused", "{sql}");
    }
    for nothing in ["/tmp/events.parquet", "/tmp/one.csv", "/tmp/x.csv"] {
        assert!(!std::path::Path::new(nothing).exists(), "{nothing}");
    }
    assert_eq!(asked.rows(&asked.acme, "SELECT count(*) > 3 AS well FROM events").await[0]["well"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_elsewhere_finds_nothing() {
    let asked = Asked::start().await;
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM control",
        "SELECT * FROM nexus.private.events",
        "SELECT * FROM datafusion.public.events",
        "SELECT 1; SELECT 2",
        "SELEC 1",
    ] {
        assert_eq!(asked.code(sql).await, "sql_invalid", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_ended() {
    let asked = Asked::start_with(|config| {
        config.sql.timeout_ms = 2_000;
        config.sql.memory_mb_max = 32;
    })
    .await;
    let forever = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    assert_eq!(asked.code(forever).await, "sql_invalid");
    assert_eq!(asked.code(super::ENDLESS).await, "sql_slow");
    assert_eq!(asked.code("SELECT repeat('x', 2000000000)").await, "sql_invalid");
    let hoard = "SELECT count(DISTINCT value) FROM generate_series(1, 1000000000)";
    assert!(["sql_memory", "sql_slow"].contains(&asked.code(hoard).await.as_str()));
    let gathered = "SELECT array_agg(value) FROM generate_series(1, 1000000000)";
    assert!(["sql_memory", "sql_slow"].contains(&asked.code(gathered).await.as_str()));
    // Depth and length.
    let parentheses = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(asked.code(&parentheses).await, "sql_invalid");
    let mut nested = "SELECT 'x' AS x".to_owned();
    for _ in 0..40 {
        nested = format!("SELECT x || x AS x FROM ({nested})");
    }
    let code = asked.code(&nested).await;
    assert!(["sql_refused", "sql_invalid"].contains(&code.as_str()), "{code}");
    let sum = format!("SELECT 1{} AS one", "+1".repeat(10_000));
    let answer = asked.ask(&asked.acme, &sum, "json").await;
    assert!(answer.status.is_success() || answer.status.is_client_error(), "{}", answer.text);
    let long = format!("SELECT '{}'", "x".repeat(70_000));
    assert_eq!(asked.code(&long).await, "invalid");
    asked.api.hub.is_unharmed().await;
}
