//! One question, asked with everything that analysts have: HTTP, the command,
//! its prompt on a terminal, psql, a driver of Python, DuckDB over the lake. Switched on
//! by `NEXUS_TEST_CLIENTS=1`, the client of PostgreSQL by `NEXUS_TEST_PSQL=1`.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::json;
use tokio::process::Command;

use super::Asked;
use crate::{api::text, hub::PATIENCE, memory::suite::install};

/// `%s` is what the driver is given as a parameter.
const QUESTION: &str = "SELECT provider, type, count(*) AS n, bool_and(unrouted) AS unrouted, \
                        CAST(max(received_at) >= min(occurred_at) AS INT) AS later \
                        FROM events WHERE provider <> %s GROUP BY provider, type ORDER BY provider, type";

async fn output(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{command:?}: {out} {}", String::from_utf8_lossy(&done.stderr));
    out
}

/// Waits until the files of the lake have all events that the log has.
async fn until_in_the_lake(asked: &Asked, folder: &std::path::Path) {
    let sql = "SELECT max(log_offset) + 1 AS next FROM events";
    let wanted = asked.rows(&asked.acme, sql).await[0]["next"].as_u64().unwrap();
    let partition = asked.rows(&asked.acme, "SELECT log_partition AS p FROM events LIMIT 1").await[0]["p"].to_string();
    let begun = std::time::Instant::now();
    loop {
        let manifest = std::fs::read(folder.join("manifest.json")).unwrap_or_default();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
        if manifest["next"]["events"][&partition].as_u64() >= Some(wanted) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the lake does not fill: {manifest}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_the_same_answer() {
    let is_set = |name| std::env::var_os(name).is_some();
    let (clients, psql) = (is_set("NEXUS_TEST_CLIENTS"), is_set("NEXUS_TEST_PSQL"));
    if !clients && !psql {
        eprintln!("neither NEXUS_TEST_CLIENTS nor NEXUS_TEST_PSQL is set: nobody else is asked");
        return;
    }
    let lake = tempfile::tempdir().unwrap();
    let folder = lake.path().to_owned();
    let asked = Asked::start_with(|config| {
        config.lake.folder = folder.display().to_string();
        config.lake.flush_ms = 100;
    })
    .await;
    until_in_the_lake(&asked, lake.path()).await;
    let question = QUESTION.replace("%s", "'github'");
    let expected = asked.ask(&asked.acme, &question, "csv").await.text;
    assert_eq!(expected.lines().next(), Some("provider,type,n,unrouted,later"));
    assert!(expected.lines().count() >= 3, "{expected}");
    let of_acme = |command: &mut Command| {
        command.env("NEXUS_URL", asked.api.hub.url()).env("NEXUS_TOKEN", &asked.acme);
        command.env("NEXUS_DATA_DIR", lake.path().join("none")).current_dir(lake.path());
    };
    let nexus = env!("CARGO_BIN_EXE_nexus");
    let mut command = Command::from(crate::process::nexus());
    of_acme(command.args(["sql", "--csv", "-c", &question]));
    assert_eq!(output(&mut command).await, expected, "the command");

    let made = asked.api.made("/admin/clients?tenantId=acme", json!({ "role": "analyst", "name": "p" })).await;
    let (user, password) = (text(&made["clientId"]), text(&made["clientSecret"]));
    let address = asked.api.hub.sql_address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    if psql {
        let mut command = Command::new("psql");
        command.args(["-X", "--csv", "-h", &host, "-p", &port, "-U", &user, "-d", "nexus", "-c", &question]);
        // It says yes and no as `t` and `f`.
        let answer = output(command.env("PGPASSWORD", &password)).await;
        assert_eq!(answer.replace(",t,", ",true,").replace(",f,", ",false,"), expected, "psql");
    }
    if !clients {
        return;
    }
    let python = install("sql", "sql.lock").await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/sql.py");
    let asked_by = |arguments: &[&str]| {
        let mut command = crate::process::unset(std::process::Command::new(&python));
        command.arg(&script).args(arguments);
        Command::from(command)
    };
    let mut command = asked_by(&["psycopg", &host, &port, &user, "github", QUESTION]);
    let answer = output(command.env("PGPASSWORD", &password)).await;
    assert_eq!(answer.to_lowercase(), expected.to_lowercase(), "psycopg");
    let files = lake.path().display().to_string();
    let answer = output(&mut asked_by(&["duckdb", &files, "acme", &question])).await;
    assert_eq!(answer.to_lowercase(), expected.to_lowercase(), "DuckDB over the lake");
    let mut command = asked_by(&["prompt", nexus, &question]);
    of_acme(&mut command);
    assert_eq!(output(&mut command).await, expected, "the prompt");
}
