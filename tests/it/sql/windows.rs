//! Queries over windows that are followed: each window is told when it is over,
//! with the answer that the same query gives of the past; what comes too late is
//! counted.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use analytics::engine::Analysts;
use pipeline::{
    ports::{Headers, Log, NewRecord},
    testing::{ManualClock, MemoryLog},
    topics::Topic,
};
use runtime::{
    config::Config,
    sql::{Cursor, Engine, Followed, Format, Question, Refused, Told},
};
use serde_json::{Value, json};

use crate::hub::PATIENCE;

/// 2026-01-01, 12:00 UTC.
const NOON_MS: u64 = 1_767_268_800_000;

/// A log, its engine, and a clock that stands.
struct Day {
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    engine: Analysts,
    _folder: tempfile::TempDir,
}

impl Day {
    fn new(after_noon_s: u64) -> Day {
        let (log, folder) = (Arc::new(MemoryLog::new(1)), tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::at(NOON_MS + after_noon_s * 1_000));
        let mut config = Config::load(None, std::iter::empty()).unwrap();
        config.lake.folder = folder.path().display().to_string();
        config.sql.late_ms = 5_000;
        let engine = Analysts::new(&config, log.clone()).unwrap().with_clock(clock.clone());
        Day { log, clock, engine, _folder: folder }
    }

    /// An event of somebody, so many seconds after noon.
    async fn event(&self, tenant: &str, provider: &str, after_noon_s: u64) {
        let at_ms = NOON_MS + after_noon_s * 1_000;
        let value = json!({
            "id": format!("{tenant}-{after_noon_s}"), "type": "MessagePosted", "tenantId": tenant,
            "receivedAt": udfs::time::to_rfc3339(at_ms as i64), "source": { "provider": provider, "event": "m" },
        });
        let record = NewRecord {
            topic: Topic::Events,
            partition: 0,
            at_ms,
            key: tenant.to_owned().into(),
            value: Some(value.to_string().into()),
            headers: Headers::default(),
        };
        self.log.append(vec![record]).await.unwrap();
    }

    /// Time goes on; somebody else's event has it looked at.
    async fn is(&self, after_noon_s: u64) {
        self.clock.set(NOON_MS + after_noon_s * 1_000);
        self.event("umbra", "slack", after_noon_s).await;
    }

    async fn follow(&self, sql: &str, after: Option<Cursor>) -> Result<Followed, Refused> {
        let question = Question { tenant: "acme".to_owned(), text: sql.to_owned(), format: Format::Json };
        self.engine.follow(question, after).await
    }

    async fn rows(&self, sql: &str) -> BTreeSet<String> {
        let question = Question { tenant: "acme".to_owned(), text: sql.to_owned(), format: Format::Json };
        let answer: Value = serde_json::from_slice(&self.engine.ask(question).await.unwrap()).unwrap();
        answer["data"].as_array().unwrap().iter().map(Value::to_string).collect()
    }
}

async fn told(followed: &mut Followed) -> Told {
    tokio::time::timeout(PATIENCE, followed.recv()).await.expect("in time").expect("more").expect("no refusal")
}

async fn row(followed: &mut Followed) -> (Cursor, Value) {
    match told(followed).await {
        Told::Row { cursor, json } => (cursor, serde_json::from_str(&json).unwrap()),
        late => panic!("{late:?}"),
    }
}

async fn is_silent(followed: &mut Followed) {
    let more = tokio::time::timeout(Duration::from_millis(200), followed.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

const BY_MINUTE: &str = "SELECT start, provider, count(*) AS n FROM \
    (SELECT tumble(INTERVAL '1 minute', received_at) AS start, provider FROM events WHERE provider <> 'jira') \
    GROUP BY start, provider ORDER BY provider";

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_told_when_it_is_over() {
    let day = Day::new(62);
    // Before the window that is open now, and in it.
    for second in [10, 59, 60, 61] {
        day.event("acme", "slack", second).await;
    }
    let mut followed = day.follow(BY_MINUTE, None).await.unwrap();
    day.event("acme", "github", 80).await;
    day.event("acme", "slack", 119).await;
    day.event("acme", "jira", 90).await;
    day.event("acme", "slack", 125).await;
    day.is(124).await;
    is_silent(&mut followed).await;
    // A minute and what may be late.
    day.is(125).await;
    let minute = |start: &str, provider: &str, n: u64| json!({ "start": start, "provider": provider, "n": n });
    let (_, first) = row(&mut followed).await;
    assert_eq!(first, minute("2026-01-01T12:01:00Z", "github", 1));
    let (cursor, second) = row(&mut followed).await;
    assert_eq!(second, minute("2026-01-01T12:01:00Z", "slack", 3));
    // Too late for that one, and out of turn in the next.
    day.event("acme", "slack", 100).await;
    assert_eq!(told(&mut followed).await, Told::Late { rows: 1 });
    day.event("acme", "slack", 121).await;
    day.event("acme", "slack", 70).await;
    assert_eq!(told(&mut followed).await, Told::Late { rows: 2 });
    is_silent(&mut followed).await;
    day.is(185).await;
    let (_, third) = row(&mut followed).await;
    assert_eq!(third, minute("2026-01-01T12:02:00Z", "slack", 2));
    // Whoever was away in between gets the rest, once.
    let mut back = day.follow(BY_MINUTE, Some(cursor)).await.unwrap();
    assert_eq!(row(&mut back).await.1, third);
    // A minute of silence is none to tell.
    day.event("acme", "slack", 301).await;
    day.is(400).await;
    for followed in [&mut followed, &mut back] {
        assert_eq!(row(followed).await.1, minute("2026-01-01T12:05:00Z", "slack", 1));
        is_silent(followed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_windows_is_what_is_answered_of_the_past() {
    for sql in [
        BY_MINUTE,
        "SELECT start, count(*) AS n, min(received_at) AS first FROM \
         (SELECT unnest(hop(INTERVAL '10 seconds', INTERVAL '35 seconds', received_at)) AS start, received_at \
          FROM events) GROUP BY start HAVING count(*) > 1",
        // The two that say the most, of each window.
        "SELECT start, provider, n FROM (SELECT start, provider, n, \
         row_number() OVER (PARTITION BY start ORDER BY n DESC, provider) AS place FROM \
         (SELECT start, provider, count(*) AS n FROM \
          (SELECT unnest(hop(INTERVAL '20 seconds', INTERVAL '1 minute', received_at)) AS start, provider FROM events) \
          GROUP BY start, provider)) WHERE place <= 2",
    ] {
        let day = Day::new(0);
        let mut followed = day.follow(sql, None).await.unwrap();
        for number in 0..150u64 {
            // Up to four seconds out of turn.
            let second = 120 + number * 2 + (number * 7) % 5;
            day.event("acme", ["slack", "github", "jira", "clickup"][(number * number % 7 % 4) as usize], second).await;
            day.clock.set(NOON_MS + (120 + number * 2) * 1_000);
        }
        day.is(1_000).await;
        let expected = day.rows(sql).await;
        assert!(expected.len() > 5, "{sql}: {expected:?}");
        let mut found = BTreeSet::new();
        while found.len() < expected.len() {
            let (_, row) = row(&mut followed).await;
            assert!(found.insert(row.to_string()), "{row} twice");
        }
        assert_eq!(found, expected, "{sql}");
        is_silent(&mut followed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_cannot_be_followed_are_told() {
    let day = Day::new(0);
    for (sql, why) in [
        ("SELECT tumble(INTERVAL '1 month', received_at) AS s FROM events", "days or less"),
        ("SELECT tumble(INTERVAL '1 minute', received_at + INTERVAL '1 hour') AS s FROM events", "a column"),
        (
            "SELECT tumble(INTERVAL '1 minute', received_at) AS s, tumble(INTERVAL '1 hour', received_at) AS h FROM events",
            "one kind",
        ),
        (
            "SELECT tumble(INTERVAL '1 minute', e.received_at) AS s FROM events e JOIN alerts a ON a.at = e.received_at",
            "one table",
        ),
        ("SELECT tumble(INTERVAL '1 minute', received_at) AS s, nothing FROM events", "nothing"),
        ("SELECT unnest(hop(INTERVAL '1 second', INTERVAL '1 day', received_at)) AS s FROM events", "windows"),
    ] {
        let refused = day.follow(sql, None).await.err().unwrap_or_else(|| panic!("{sql}")).to_string();
        assert!(refused.contains(why), "{sql}: {refused}");
    }
    for cursor in [Cursor::After(3), Cursor::Windows { first: 0, next: 0, start_ms: 7 }] {
        assert!(day.follow(BY_MINUTE, Some(cursor)).await.is_err(), "{cursor}");
    }
    let plain = day.follow("SELECT id FROM events", Some(Cursor::Windows { first: 0, next: 0, start_ms: 0 })).await;
    assert!(plain.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_wait_are_bounded_in_memory() {
    let (log, folder) = (Arc::new(MemoryLog::new(1)), tempfile::tempdir().unwrap());
    let clock = Arc::new(ManualClock::at(NOON_MS));
    let mut config = Config::load(None, std::iter::empty()).unwrap();
    config.lake.folder = folder.path().display().to_string();
    config.sql.memory_mb_max = 1;
    let engine = Analysts::new(&config, log.clone()).unwrap().with_clock(clock.clone());
    let day = Day { log, clock, engine, _folder: folder };
    let sql = "SELECT tumble(INTERVAL '1 day', received_at) AS s, raw FROM events";
    let mut followed = day.follow(sql, None).await.unwrap();
    for second in 0..20_000 {
        day.event("acme", "slack", second).await;
    }
    let ended = tokio::time::timeout(PATIENCE, followed.recv()).await.unwrap().unwrap();
    assert_eq!(ended, Err(Refused::Memory { mb_max: 1 }));
}
