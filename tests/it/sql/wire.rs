//! The PostgreSQL wire protocol, with a driver, and with psql where
//! `NEXUS_TEST_PSQL=1` says that it is there.

use std::process::Output;

use serde_json::json;
use sqlx::{Connection, PgConnection, Row, postgres::PgConnectOptions};

use super::Asked;
use crate::api::text;

/// A client of a role: its id and its secret.
async fn client(asked: &Asked, tenant: &str, role: &str) -> (String, String) {
    let made = asked.api.made(&format!("/admin/clients?tenantId={tenant}"), json!({ "role": role, "name": "p" })).await;
    (text(&made["clientId"]), text(&made["clientSecret"]))
}

fn options(asked: &Asked, user: &str, password: &str) -> PgConnectOptions {
    let address = asked.api.hub.sql_address();
    PgConnectOptions::new_without_pgpass()
        .host(&address.ip().to_string())
        .port(address.port())
        .username(user)
        .password(password)
        .database("nexus")
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_asks_with_parameters() {
    let asked = Asked::start().await;
    let (id, secret) = client(&asked, "acme", "analyst").await;
    let mut connection = PgConnection::connect_with(&options(&asked, &id, &secret)).await.unwrap();
    let rows = sqlx::query("SELECT provider, count(*) AS n FROM events WHERE provider = $1 GROUP BY provider")
        .bind("slack")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].get::<String, _>("provider"), rows[0].get::<i64, _>("n")), ("slack".to_owned(), 2));
    // The same answer as by HTTP.
    let by_http = asked.rows(&asked.acme, "SELECT id FROM events ORDER BY log_offset").await;
    let by_wire = sqlx::query("SELECT id FROM events ORDER BY log_offset").fetch_all(&mut connection).await.unwrap();
    let ids: Vec<String> = by_wire.iter().map(|row| row.get("id")).collect();
    assert_eq!(ids, by_http.iter().map(|row| text(&row["id"])).collect::<Vec<_>>());
    // A transaction is a matter of form.
    let mut transaction = connection.begin().await.unwrap();
    let one: i64 = sqlx::query_scalar("SELECT count(*) FROM webhooks_raw").fetch_one(&mut *transaction).await.unwrap();
    assert!(one > 3);
    transaction.commit().await.unwrap();
    for refused in [
        "DROP TABLE events",
        "COPY events TO '/tmp/x.csv'",
        "CREATE TABLE mine AS SELECT 1",
        "INSERT INTO events (id) VALUES ('x')",
        "SET datafusion.execution.batch_size = 1",
        "SELECT repeat('x', 2000000000)",
        "DECLARE c CURSOR FOR SELECT 1",
    ] {
        assert!(sqlx::query(refused).execute(&mut connection).await.is_err(), "{refused}");
        assert!(sqlx::raw_sql(refused).execute(&mut connection).await.is_err(), "{refused} as text");
    }
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left as usize, by_http.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_is_let_in_and_sees_their_own() {
    let asked = Asked::start().await;
    let (id, secret) = client(&asked, "umbra", "admin").await;
    let mut connection = PgConnection::connect_with(&options(&asked, &id, &secret)).await.unwrap();
    let tenants: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT tenant_id FROM events").fetch_all(&mut connection).await.unwrap();
    assert_eq!(tenants, ["umbra"]);
    // A token in the password's place.
    let mut by_token = PgConnection::connect_with(&options(&asked, "anybody", &asked.acme)).await.unwrap();
    let tenants: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT tenant_id FROM events").fetch_all(&mut by_token).await.unwrap();
    assert_eq!(tenants, ["acme"]);
    let (member, member_secret) = client(&asked, "acme", "member").await;
    for (user, password) in [
        (id.as_str(), "wrong"),
        ("nobody", "wrong"),
        ("anybody", "a.b.c"),
        (member.as_str(), member_secret.as_str()),
        (id.as_str(), ""),
    ] {
        assert!(PgConnection::connect_with(&options(&asked, user, password)).await.is_err(), "{user} {password}");
    }
    let elsewhere = options(&asked, &id, &secret).database("postgres");
    assert!(PgConnection::connect_with(&elsewhere).await.is_err(), "there is one database");
    // Who is revoked sees nothing more.
    let revoke = format!("/admin/clients/{id}/revoke?tenantId=umbra");
    let answer = asked.api.ask("POST", &revoke, &asked.api.local(), None).await;
    assert!(answer.status.is_success(), "{}", answer.text);
    let begun = std::time::Instant::now();
    while sqlx::query("SELECT 1").fetch_all(&mut connection).await.is_ok() {
        assert!(begun.elapsed() < crate::hub::PATIENCE, "a revoked client goes on");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_over_the_wire() {
    let asked = Asked::start_with(|config| {
        config.sql.rows_max = 1_000;
        config.sql.timeout_ms = 2_000;
        config.sql.running_max = 1;
        config.sql.pg_connections_max = 2;
    })
    .await;
    let mut connection = PgConnection::connect_with(&options(&asked, "token", &asked.acme)).await.unwrap();
    let code = |error: sqlx::Error| error.into_database_error().and_then(|error| error.code().map(|c| c.into_owned()));
    let many = sqlx::query("SELECT value FROM generate_series(1, 1001)").fetch_all(&mut connection).await.unwrap_err();
    assert_eq!(code(many).as_deref(), Some("54000"));
    let slow = sqlx::query(super::ENDLESS).fetch_all(&mut connection).await.unwrap_err();
    assert_eq!(code(slow).as_deref(), Some("57014"));
    let rows = sqlx::query("SELECT value FROM generate_series(1, 1000)").fetch_all(&mut connection).await.unwrap();
    assert_eq!(rows.len(), 1_000, "the connection goes on");
    let _second = PgConnection::connect_with(&options(&asked, "token", &asked.acme)).await.unwrap();
    assert!(PgConnection::connect_with(&options(&asked, "token", &asked.acme)).await.is_err(), "there are only two");
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_sees_what_http_answers() {
    if std::env::var("NEXUS_TEST_PSQL").is_err() {
        eprintln!("NEXUS_TEST_PSQL is not set: psql is not asked");
        return;
    }
    let asked = Asked::start().await;
    let (id, secret) = client(&asked, "acme", "analyst").await;
    let address = asked.api.hub.sql_address();
    let psql = move |arguments: &[&str]| -> Output {
        std::process::Command::new("psql")
            .args(["-X", "-h", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", &id, "-d", "nexus"])
            .args(arguments)
            .env("PGPASSWORD", &secret)
            .env("PGCONNECT_TIMEOUT", "20")
            .output()
            .unwrap()
    };
    let question = "SELECT provider, count(*) AS n FROM events GROUP BY provider ORDER BY provider";
    let by_http = asked.ask(&asked.acme, question, "csv").await.text;
    tokio::task::spawn_blocking(move || {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let answer = psql(&["--csv", "-c", question]);
        assert_eq!(text(&answer.stdout), by_http, "{}", text(&answer.stderr));
        let tables = psql(&["-c", "\\d"]);
        assert!(text(&tables.stdout).contains("events"), "{} {}", text(&tables.stdout), text(&tables.stderr));
        let columns = psql(&["-c", "\\d events"]);
        assert!(text(&columns.stdout).contains("message_text"), "{} {}", text(&columns.stdout), text(&columns.stderr));
        let refused = psql(&["-v", "ON_ERROR_STOP=1", "-c", "DROP TABLE events"]);
        assert!(!refused.status.success() && text(&refused.stderr).contains("DROP is not taken"), "{refused:?}");
        let prepared = psql(&["-c", "SET application_name = 'x'; SHOW application_name; BEGIN; SELECT 1; COMMIT"]);
        assert!(prepared.status.success(), "{}", text(&prepared.stderr));
    })
    .await
    .unwrap();
}
