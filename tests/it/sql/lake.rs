//! The lake: files and log are one table, nothing is missing or twice; in a folder,
//! and in a bucket.

use std::{path::Path, sync::Arc};

use analytics::lake::{Files, Manifest, Sink};
use pipeline::{
    ports::{Clock, Headers, Log, NewRecord},
    testing::{ManualClock, MemoryLog},
    topics::Topic,
};
use runtime::{
    clock::SystemClock,
    config::{Config, LakeSettings as Settings},
    sql::{Engine, Format, Question},
};
use serde_json::{Value, json};

use super::{
    Asked,
    bucket::{self, Bucket},
};

const DAY_MS: u64 = 86_400_000;
/// 2026-01-01, 12:00 UTC.
const NEW_YEAR_MS: u64 = 1_767_268_800_000;

struct Shore {
    log: Arc<MemoryLog>,
    files: Files,
    bucket: Option<Arc<Bucket>>,
    _folder: tempfile::TempDir,
    settings: Settings,
    engine: Arc<dyn Engine>,
}

impl Shore {
    /// One of each kind.
    async fn of_each(change: impl Fn(&mut Settings)) -> [Shore; 2] {
        let (bucket, endpoint) = Bucket::start().await;
        let in_bucket = |settings: &mut Settings| {
            settings.folder = "s3://nexus/the/lake".to_owned();
            settings.endpoint = endpoint;
            settings.region = "test".to_owned();
            settings.access_key_id = bucket::ACCESS_KEY.to_owned();
            settings.secret_access_key = bucket::SECRET.to_owned();
        };
        [Shore::new(|settings| change(settings), None), {
            Shore::new(
                |settings| {
                    change(settings);
                    in_bucket(settings);
                },
                Some(bucket),
            )
        }]
    }

    fn new(change: impl FnOnce(&mut Settings), bucket: Option<Arc<Bucket>>) -> Shore {
        let (log, folder) = (Arc::new(MemoryLog::new(1)), tempfile::tempdir().unwrap());
        let mut config = Config::load(None, std::iter::empty()).unwrap();
        config.lake.folder = folder.path().display().to_string();
        change(&mut config.lake);
        let engine = analytics::engine(&config, log.clone()).unwrap();
        let files = Files::open(&config.lake, Path::new("nowhere")).unwrap();
        Shore { log, files, bucket, _folder: folder, settings: config.lake, engine }
    }

    fn sink(&self, now_ms: u64) -> Sink {
        let clock = Arc::new(ManualClock::at(now_ms));
        Sink::new(self.log.clone(), clock, self.files.clone(), self.settings.clone())
    }

    /// Events of a tenant, an hour apart.
    async fn events(&self, tenant: &str, first: u64, count: u64) {
        for number in first..first + count {
            self.event_at(tenant, number, NEW_YEAR_MS + number * 3_600_000).await;
        }
    }

    async fn event_at(&self, tenant: &str, number: u64, at_ms: u64) {
        let event = {
            let value = json!({
                "id": format!("{tenant}-{number}"), "type": "MessagePosted", "tenantId": tenant,
                "receivedAt": udfs::time::to_rfc3339(at_ms as i64), "source": { "provider": "slack", "event": "m" },
                "mentions": [{ "alias": "@Bob" }], "unrouted": number.is_multiple_of(2),
            });
            NewRecord {
                topic: Topic::Events,
                partition: 0,
                at_ms,
                key: tenant.to_owned().into(),
                value: Some(value.to_string().into()),
                headers: Headers::default(),
            }
        };
        self.log.append(vec![event]).await.unwrap();
    }

    async fn rows(&self, tenant: &str, sql: &str) -> Vec<Value> {
        let question = Question { tenant: tenant.to_owned(), text: sql.to_owned(), format: Format::Json };
        let answer = self.engine.ask(question).await.unwrap_or_else(|refused| panic!("{sql}: {refused}"));
        serde_json::from_slice::<Value>(&answer).unwrap()["data"].as_array().cloned().unwrap()
    }

    async fn ids(&self, tenant: &str) -> Vec<String> {
        let rows = self.rows(tenant, "SELECT id FROM events ORDER BY log_offset").await;
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// How many there are, also such as count no more.
    async fn count(&self) -> usize {
        self.files.list("topic=").await.unwrap().len()
    }
}

fn ids(tenant: &str, count: u64) -> Vec<String> {
    (0..count).map(|number| format!("{tenant}-{number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_log_are_one_table() {
    for shore in Shore::of_each(|_| {}).await {
        shore.events("acme", 0, 30).await;
        shore.events("umbra", 0, 3).await;
        assert_eq!(shore.ids("acme").await, ids("acme", 30), "before there is a lake");
        let sink = shore.sink(NEW_YEAR_MS);
        let mut manifest = sink.open().await.unwrap();
        sink.turn(&mut manifest).await.unwrap();
        // Thirty hours are two days.
        assert_eq!((manifest.files.len(), shore.count().await), (2, 2));
        assert_eq!(manifest.next("events", 0), 33);
        assert_eq!(shore.ids("acme").await, ids("acme", 30), "all in files");
        shore.events("acme", 30, 5).await;
        assert_eq!(shore.ids("acme").await, ids("acme", 35), "in files and log");
        assert_eq!(shore.ids("umbra").await, ids("umbra", 3));
        assert_eq!(shore.ids("acm").await, ids("acm", 0), "who lies between them has nothing");
        // What the log keeps no more is still there.
        shore.log.clean(NEW_YEAR_MS + 60 * DAY_MS);
        let past = shore.ids("acme").await;
        assert_eq!(past[..30], ids("acme", 30)[..]);
        // The columns are those of the log.
        let columns =
            "id, type, provider, received_at, mentioned, unrouted, tenant_id, log_at, log_partition, log_offset";
        let row = &shore.rows("acme", &format!("SELECT {columns} FROM events WHERE log_offset = 1")).await[0];
        assert_eq!((&row["id"], &row["unrouted"], &row["log_partition"]), (&json!("acme-1"), &json!(false), &json!(0)));
        assert_eq!(row["mentioned"], json!(["{\"alias\":\"@Bob\"}"]));
        let between = "SELECT count(*) AS n FROM events WHERE log_at >= '2026-01-01T20:00:00Z' \
                       AND log_at < '2026-01-02T02:00:00Z'";
        assert_eq!(shore.rows("acme", between).await, [json!({ "n": 6 })]);
        let theirs = "SELECT count(*) AS n FROM events WHERE tenant_id = 'umbra'";
        assert_eq!(shore.rows("acme", theirs).await, [json!({ "n": 0 })]);
        if let Some(bucket) = &shore.bucket {
            assert!(bucket.ranges.load(std::sync::atomic::Ordering::Relaxed) > 0, "files are read in pieces");
            assert!(bucket.names().iter().all(|name| name.starts_with("the/lake/")), "{:?}", bucket.names());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_nothing_missing_or_twice() {
    for shore in Shore::of_each(|_| {}).await {
        shore.events("acme", 0, 10).await;
        let sink = shore.sink(NEW_YEAR_MS);
        let mut manifest = sink.open().await.unwrap();
        sink.turn(&mut manifest).await.unwrap();
        // It died after the file and before the manifest: the manifest is that of before.
        let before = shore.files.read("manifest.json").await.unwrap().unwrap();
        shore.events("acme", 10, 10).await;
        match &shore.bucket {
            Some(bucket) => {
                *bucket.refused.lock().unwrap() = Some("manifest.json");
                sink.turn(&mut manifest).await.unwrap_err();
                *bucket.refused.lock().unwrap() = None;
            }
            None => {
                sink.turn(&mut manifest).await.unwrap();
                shore.files.put("manifest.json", before.to_vec()).await.unwrap();
            }
        }
        // Midnight is between the first of those and the last.
        assert_eq!(shore.count().await, 3);
        assert_eq!(shore.ids("acme").await, ids("acme", 20), "the file that does not count is not read");
        let sink = shore.sink(NEW_YEAR_MS);
        let mut manifest = sink.open().await.unwrap();
        assert_eq!((manifest.next("events", 0), shore.count().await), (10, 1), "what no manifest names goes");
        assert_eq!(shore.ids("acme").await, ids("acme", 20));
        sink.turn(&mut manifest).await.unwrap();
        assert_eq!(shore.ids("acme").await, ids("acme", 20));
        assert_eq!(shore.rows("acme", "SELECT count(*) AS n FROM events").await, [json!({ "n": 20 })]);
        // The place of another log is not touched.
        let other = Sink::new(
            Arc::new(MemoryLog::new(1).with_identity(77)),
            Arc::new(SystemClock),
            shore.files.clone(),
            shore.settings.clone(),
        );
        assert!(other.open().await.unwrap_err().to_string().contains("another log"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_one_and_old_ones_go() {
    let few = |settings: &mut Settings| {
        settings.files_max = 3;
        settings.keep_days = 10;
    };
    for shore in Shore::of_each(few).await {
        let sink = shore.sink(NEW_YEAR_MS);
        let mut manifest = sink.open().await.unwrap();
        for number in 0..8 {
            shore.events("acme", number, 1).await;
            sink.turn(&mut manifest).await.unwrap();
            assert!(manifest.files.len() <= 4, "{number}: {}", manifest.files.len());
            assert_eq!(shore.count().await, manifest.files.len(), "{number}");
            assert_eq!(shore.ids("acme").await, ids("acme", number + 1));
        }
        let written = Manifest::read(&shore.files, shore.log.identity()).await.unwrap().unwrap();
        assert_eq!(written, manifest);
        let later = shore.sink(NEW_YEAR_MS + 30 * DAY_MS);
        later.turn(&mut manifest).await.unwrap();
        assert_eq!((manifest.files.len(), shore.count().await), (0, 0), "ten days are kept");
        assert!(shore.ids("acme").await.is_empty(), "what has gone from the files is not read from the log again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_goes_leaves_nothing() {
    for shore in Shore::of_each(|_| {}).await {
        shore.events("acme", 0, 20).await;
        shore.events("umbra", 0, 5).await;
        let sink = shore.sink(NEW_YEAR_MS);
        let mut manifest = sink.open().await.unwrap();
        sink.turn(&mut manifest).await.unwrap();
        // Some of it is in the log and not in a file yet.
        shore.events("umbra", 5, 3).await;
        // Whoever has the role is not there: the wish waits.
        assert!(!shore.engine.forget("umbra".to_owned()).await.unwrap());
        assert_eq!(shore.ids("umbra").await.len(), 8, "nobody has done anything yet");
        // A sink that died in the middle begins anew.
        if let Some(bucket) = &shore.bucket {
            *bucket.refused.lock().unwrap() = Some("manifest.json");
            sink.turn(&mut manifest).await.unwrap_err();
            *bucket.refused.lock().unwrap() = None;
            assert_eq!(shore.ids("acme").await, ids("acme", 20));
        }
        let mut manifest = sink.open().await.unwrap();
        sink.turn(&mut manifest).await.unwrap();
        assert!(shore.ids("umbra").await.is_empty());
        assert_eq!(shore.ids("acme").await, ids("acme", 20), "and nobody else's");
        for file in shore.files.list("").await.unwrap() {
            let bytes = shore.files.read(&file).await.unwrap().unwrap();
            // Names stand in the statistics of a file as they are; in the manifest
            // one says that it is to stay forgotten.
            let names_it = bytes.windows(5).any(|window| window == b"umbra");
            assert!(!names_it || file == "manifest.json", "{file}");
        }
        assert!(shore.files.list("forget/").await.unwrap().is_empty(), "the note is done with");
        // A tenant of the same name that begins anew has what is its own.
        let now_ms = SystemClock.now_ms();
        shore.event_at("umbra", 77, now_ms + DAY_MS).await;
        assert_eq!(shore.ids("umbra").await, ["umbra-77"]);
        sink.turn(&mut manifest).await.unwrap();
        assert_eq!(shore.ids("umbra").await, ["umbra-77"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_deletes_a_tenant_hears_that_the_lake_is_rid_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let asked = Asked::start_with(|config| {
        config.lake.folder = folder.path().display().to_string();
        config.lake.flush_ms = 100;
    })
    .await;
    let settings = Settings { folder: folder.path().display().to_string(), ..defaults() };
    let (files, identity) = (Files::open(&settings, folder.path()).unwrap(), asked.api.hub.log().identity());
    let begun = std::time::Instant::now();
    loop {
        let manifest = Manifest::read(&files, identity).await.unwrap().unwrap_or_default();
        if manifest.files.iter().any(|file| file.topic == "events" && file.may_hold("umbra")) {
            break;
        }
        assert!(begun.elapsed() < crate::hub::PATIENCE, "the lake does not fill");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let before = asked.rows(&asked.acme, "SELECT id FROM events ORDER BY log_offset").await;
    let gone = asked.api.ask("DELETE", "/admin/tenants/umbra", &asked.api.local(), None).await;
    assert_eq!(gone.json()["data"], json!({ "id": "umbra", "deleted": true, "lakeDeleted": true }), "{}", gone.text);
    let manifest = Manifest::read(&files, identity).await.unwrap().unwrap();
    assert!(!manifest.files.iter().any(|file| file.first_tenant == "umbra" || file.last_tenant == "umbra"));
    assert_eq!(asked.rows(&asked.acme, "SELECT id FROM events ORDER BY log_offset").await, before);
}

fn defaults() -> Settings {
    Config::load(None, std::iter::empty()).unwrap().lake
}
