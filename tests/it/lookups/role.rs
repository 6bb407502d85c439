//! The role: every request has a result by its deadline, whatever its provider
//! does and whenever the hub stops.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use lookups::{self, Desk, Lookups};
use pipeline::{
    event::{Connection, Control, House, LookupRequest, LookupResult, Row, Time},
    ports::{Clock, Headers, Log, NewRecord, Position, Record},
    testing::MemoryLog,
    topics::{Topic, partition_of},
};
use providers::{client::Ledger, credentials::Links};
use runtime::{
    clock::SystemClock,
    directory::Directory,
    sealing::{Seal, new_key},
    supervisor::RoleContext,
    telemetry::metrics::Metrics,
};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    super::hub::{self, Hub, PATIENCE},
    Provider, TOKEN,
};

const PARTITIONS: u32 = 2;

/// The role at work on a log in memory.
struct Office {
    log: MemoryLog,
    provider: Provider,
    seal: Arc<Seal>,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    requests: u64,
}

fn seal() -> Arc<Seal> {
    Arc::new(Seal::new(&new_key()).unwrap())
}

/// The settings' ClickUp token is acme's.
fn house_of_acme() -> Record {
    let control = Control {
        kind: House::KIND.to_owned(),
        tenant_id: "acme".to_owned(),
        id: House::ID.to_owned(),
        data: json!({ "providers": ["clickup"] }),
        at: Time::from_ms(0),
    };
    Record {
        position: Position { topic: Topic::Control, partition: 0, offset: 0 },
        at_ms: 0,
        key: format!("acme/{}/{}", House::KIND, House::ID).into(),
        value: Some(serde_json::to_vec(&control).unwrap().into()),
        headers: Headers::default(),
    }
}

/// A desk that asks the provider, with the house's token for acme's configured
/// connection.
fn desk(provider: &Provider, directory: Arc<Directory>, seal: Arc<Seal>, token: &str) -> Desk {
    let mut config = hub::config(std::path::Path::new("unused"));
    config.providers.set("clickup_api_token", token);
    config.providers.set("clickup_api_url", format!("{}/clickup/api/v2", provider.url));
    config.providers.allow_private_targets = true;
    directory.apply(&house_of_acme());
    let links = Links::new(&config, directory, seal);
    let guards = (Ledger::default(), hub::kill_switch());
    Desk::new(&config, links, Arc::new(SystemClock), Metrics::new().unwrap(), guards).unwrap()
}

impl Office {
    /// With a ClickUp connection each for acme, umbra (both with a token) and
    /// bare (without).
    async fn open() -> Office {
        let provider = Provider::start().await;
        let log = MemoryLog::new(PARTITIONS);
        let mut office = Office { log, provider, seal: seal(), running: None, requests: 0 };
        for tenant in ["acme", "umbra"] {
            office.connect(tenant, "clickup", Some(&format!("{TOKEN}-{tenant}"))).await;
        }
        office.connect("bare", "clickup", None).await;
        office.connect("acme", "slack", Some("xoxb-hush")).await;
        office.start();
        office
    }

    async fn connect(&self, tenant: &str, provider: &str, token: Option<&str>) {
        let sealed_token = token.map(|token| self.seal.seal(tenant, &format!("con-{provider}"), token));
        let row = Connection { provider: provider.to_owned(), sealed_token, enabled: true, ..Connection::default() };
        let (kind, id) = (Connection::KIND, format!("con-{provider}"));
        let control = Control {
            kind: kind.to_owned(),
            tenant_id: tenant.to_owned(),
            id: id.clone(),
            data: serde_json::to_value(row).unwrap(),
            at: Time::from_ms(0),
        };
        let value = serde_json::to_vec(&control).unwrap();
        self.append(Topic::Control, tenant, &format!("{tenant}/{kind}/{id}"), value).await;
    }

    async fn append(&self, topic: Topic, tenant: &str, key: &str, value: Vec<u8>) {
        let trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".as_slice();
        let record = NewRecord {
            topic,
            partition: partition_of(tenant, PARTITIONS),
            at_ms: SystemClock.now_ms(),
            key: key.to_owned().into(),
            value: Some(value.into()),
            headers: Headers::new([("traceparent", trace)]),
        };
        self.log.append(vec![record]).await.unwrap();
    }

    fn start(&mut self) {
        let directory = Arc::new(Directory::default());
        let desk = Arc::new(desk(&self.provider, Arc::clone(&directory), Arc::clone(&self.seal), ""));
        let following = Arc::clone(&directory).follow(Arc::new(self.log.clone()), || {});
        let role = Lookups { log: Arc::new(self.log.clone()), directory, desk };
        let (stop, stopped) = watch::channel(false);
        let context = RoleContext { role: "lookups", board: Arc::default(), stop: stopped };
        let running = tokio::spawn(async move {
            // A log that crashes under it is what some tests are about.
            tokio::select! {
                _ = role.run(context) => {}
                _ = following => {}
            }
        });
        self.running = Some((stop, running));
    }

    async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send_replace(true);
        running.await.unwrap();
    }

    async fn ask(&mut self, tenant: &str, connection: &str, kind: &str, id: &str, within_ms: u64) -> String {
        self.requests += 1;
        let request = LookupRequest {
            id: format!("lkp_{}", self.requests),
            tenant_id: tenant.to_owned(),
            connection_id: format!("con-{connection}"),
            kind: kind.to_owned(),
            external_id: id.to_owned(),
            deadline: Time::from_ms(SystemClock.now_ms() + within_ms),
        };
        self.append(Topic::LookupsRequests, tenant, tenant, serde_json::to_vec(&request).unwrap()).await;
        request.id
    }

    fn results(&self) -> BTreeMap<String, Vec<LookupResult>> {
        let mut results: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in self.log.records(Topic::LookupsResults) {
            let result: LookupResult = serde_json::from_slice(&record.value.unwrap()).unwrap();
            assert_eq!(record.key, result.tenant_id);
            assert!(record.headers.get("traceparent").is_some());
            results.entry(result.request_id.clone()).or_default().push(result);
        }
        results
    }

    async fn result(&self, id: &str) -> LookupResult {
        let begun = Instant::now();
        loop {
            if let Some(found) = self.results().remove(id) {
                return found[0].clone();
            }
            assert!(begun.elapsed() < PATIENCE, "no result for {id}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn asked(&mut self, tenant: &str, connection: &str, kind: &str, id: &str) -> LookupResult {
        let id = self.ask(tenant, connection, kind, id, 5_000).await;
        self.result(&id).await
    }

    async fn error(&mut self, tenant: &str, connection: &str, kind: &str, id: &str) -> String {
        self.asked(tenant, connection, kind, id).await.error.expect("an error")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_found_and_what_is_not_is_said() {
    let mut office = Office::open().await;
    office.provider.task("t1");
    let found = office.asked("acme", "clickup", "task", "t1").await;
    let task = found.task.expect("a task");
    assert_eq!((found.error, task.external_id.as_deref()), (None, Some("t1")));
    assert_eq!((task.title.as_deref(), task.description.as_deref()), (Some("Task t1"), Some("@AI_Squad please")));
    assert_eq!((task.status.as_deref(), found.status_type.as_deref()), (Some("to do"), Some("open")));
    assert_eq!(found.project_external_id.as_deref(), Some("901200345678"));
    assert_eq!(found.name.as_deref(), Some("Orchard shop"));
    assert_eq!(found.url.as_deref(), Some("https://app.clickup.com/t/t1"));
    let list = office.asked("acme", "clickup", "list", "901200345678").await;
    assert_eq!((list.archived, list.space_external_id.as_deref()), (Some(false), Some("90120001")));

    for (tenant, connection, kind, id, error) in [
        ("acme", "clickup", "task", "gone", "not_found"),
        ("acme", "clickup", "user", "1", "unsupported"),
        ("acme", "clickup", "task", "../team", "unsupported"),
        ("acme", "slack", "channel", "C1", "unsupported"),
        ("acme", "nothing", "task", "t1", "no_connection"),
        ("nobody", "clickup", "task", "t1", "no_connection"),
        ("bare", "clickup", "task", "t1", "no_token"),
    ] {
        assert_eq!(office.error(tenant, connection, kind, id).await, error, "{tenant} {connection} {kind} {id}");
    }
    office.provider.fakes.world().tokens.insert("clickup".to_owned(), vec![format!("{TOKEN}-acme")]);
    assert_eq!(office.error("umbra", "clickup", "task", "t1").await, "unauthorised");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_is_waited_for_only_within_the_deadline() {
    let mut office = Office::open().await;
    office.provider.task("t1");
    office.provider.fault(json!({"status": 503, "times": 2}));
    assert!(office.asked("acme", "clickup", "task", "t1").await.task.is_some(), "the third attempt finds it");
    office.provider.fault(json!({"path": "/task/t2", "status": 429, "headers": [["retry-after", "30"]]}));
    let begun = Instant::now();
    assert_eq!(office.error("acme", "clickup", "task", "t2").await, "rate_limited");
    assert_eq!(office.error("acme", "clickup", "task", "t3").await, "rate_limited", "the token has a pause");
    assert!(begun.elapsed() < Duration::from_secs(15), "it was waited for: {:?}", begun.elapsed());
    assert_eq!(office.provider.asked("t3"), 0);
    let late = office.ask("umbra", "clickup", "task", "t1", 0).await;
    assert_eq!(office.result(&late).await.error.as_deref(), Some("deadline"));
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_provider_holds_its_own_tenant_and_no_other() {
    let mut office = Office::open().await;
    office.provider.task("t1");
    office.provider.fault(json!({"path": "/task/slow", "hang": true}));
    let mut slow = Vec::new();
    let begun = Instant::now();
    for number in 0..100 {
        // A call that was given two seconds would count against the provider.
        slow.push(office.ask("acme", "clickup", "task", &format!("slow{number}"), 1_900).await);
    }
    assert!(office.asked("umbra", "clickup", "task", "t1").await.task.is_some());
    let results = office.results();
    let ended = slow.iter().filter(|id| results.contains_key(*id)).count();
    assert_eq!(ended, 0, "umbra waited for what acme was kept waiting for");
    for id in slow {
        assert_eq!(office.result(&id).await.error.as_deref(), Some("deadline"));
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "one after the other: {:?}", begun.elapsed());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_asked_at_once_is_one_call() {
    let mut office = Office::open().await;
    office.provider.task("t1");
    office.provider.fault(json!({"latencyMs": 100}));
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(office.ask("acme", "clickup", "task", "t1", 5_000).await);
    }
    for id in &ids {
        assert_eq!(office.result(id).await.task.unwrap().title.as_deref(), Some("Task t1"));
    }
    assert_eq!(office.provider.asked("t1"), 1);
    // Another tenant asks with its own token.
    assert!(office.asked("umbra", "clickup", "task", "t1").await.task.is_some());
    assert_eq!(office.provider.asked("t1"), 2);
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_more_time_is_not_told_of_anothers_deadline() {
    let mut office = Office::open().await;
    office.provider.task("t1");
    office.provider.fault(json!({"latencyMs": 400, "times": 1}));
    let hasty = office.ask("acme", "clickup", "task", "t1", 150).await;
    let patient = office.ask("acme", "clickup", "task", "t1", 5_000).await;
    assert_eq!(office.result(&hasty).await.error.as_deref(), Some("deadline"));
    assert!(office.result(&patient).await.task.is_some());
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_put_away() {
    let mut office = Office::open().await;
    office.provider.task("t1");
    office.append(Topic::LookupsRequests, "acme", "acme", b"{\"id\": 1".to_vec()).await;
    let stolen = json!({"id": "x", "tenantId": "umbra", "connectionId": "con-clickup", "kind": "task", "externalId": "t1", "deadline": "2030-01-01T00:00:00Z"});
    office.append(Topic::LookupsRequests, "acme", "acme", stolen.to_string().into_bytes()).await;
    assert!(office.asked("acme", "clickup", "task", "t1").await.task.is_some());
    office.stop().await;
    let letters = office.log.records(Topic::DeadLetters);
    let texts: Vec<_> = letters.iter().map(|letter| String::from_utf8_lossy(letter.value.as_ref().unwrap())).collect();
    assert_eq!(letters.len(), 2, "{texts:?}");
    assert!(texts[0].contains("\"stage\":\"lookups\"") && texts[1].contains("another tenant"), "{texts:?}");
    assert_eq!(office.results().len(), 1);
}

/// Stopped and crashed while calls are under way: all is answered in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_loses_nothing() {
    let mut office = Office::open().await;
    for number in 0..60 {
        office.provider.task(&format!("t{number}"));
    }
    office.provider.fault(json!({"latencyMs": 60}));
    let mut ids = Vec::new();
    for number in 0..60 {
        let tenant = ["acme", "umbra"][number % 2];
        ids.push(office.ask(tenant, "clickup", "task", &format!("t{number}"), 20_000).await);
    }
    for is_crash in [true, false, true] {
        let before = office.results().len();
        let begun = Instant::now();
        while office.results().len() < (before + 3).min(ids.len()) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if is_crash {
            // What is not durable is gone, and so is the role's session.
            office.log.hold();
            tokio::time::sleep(Duration::from_millis(30)).await;
            office.log.crash();
            office.log.release();
        }
        office.stop().await;
        office.start();
    }
    for id in &ids {
        assert!(office.result(id).await.task.is_some(), "{id}");
    }
    office.stop().await;
    let results = office.results();
    assert_eq!(results.keys().collect::<std::collections::BTreeSet<_>>(), ids.iter().collect());
    let lag = office.log.lag(lookups::GROUP, &[Topic::LookupsRequests]).await.unwrap();
    assert!(lag.iter().all(|lag| lag.end_offset == 0 || lag.group_offset == Some(lag.end_offset)), "{lag:?}");
}

#[tokio::test]
async fn while_a_provider_is_down_nobody_waits_for_it() {
    let provider = Provider::start().await;
    provider.fault(json!({"status": 500}));
    let desk = with_token(&provider);
    for number in 0..4 {
        let request = request(&format!("t{number}"), 4_000);
        assert_eq!(desk.answer(&request).await.error.as_deref(), Some("unavailable"));
    }
    let asked = provider.fakes.world().calls.len();
    assert_eq!(asked, 5, "then the circuit is open");
}

fn request(id: &str, within_ms: u64) -> LookupRequest {
    LookupRequest {
        id: "lkp_1".to_owned(),
        tenant_id: "acme".to_owned(),
        connection_id: "acme-clickup".to_owned(),
        kind: "task".to_owned(),
        external_id: id.to_owned(),
        deadline: Time::from_ms(SystemClock.now_ms() + within_ms),
    }
}

fn with_token(provider: &Provider) -> Desk {
    desk(provider, Arc::default(), seal(), TOKEN)
}

/// What is logged in this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let provider = Provider::start().await;
    let desk = with_token(&provider);
    for status in [400, 401, 403, 500] {
        provider.fakes.world().faults.clear();
        provider.fault(json!({"status": status, "tellsToken": true}));
        let result = desk.answer(&request(&format!("t{status}"), 1_000)).await;
        assert!(!serde_json::to_string(&result).unwrap().contains("hush"), "{result:?}");
    }
    let lines = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(lines.contains("ClickUp cannot be asked") && lines.contains("********"), "{lines}");
    assert!(!lines.contains("hush"), "{lines}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_hub_answers_with_the_houses_token() {
    let provider = Provider::start().await;
    provider.task("t1");
    provider.fakes.world().tokens.insert("clickup".to_owned(), vec![TOKEN.to_owned()]);
    let hub = Hub::start_with(|config| {
        config.providers.set("clickup_api_token", TOKEN);
        config.providers.set("clickup_api_url", format!("{}/clickup/api/v2", provider.url));
        config.providers.allow_private_targets = true;
    })
    .await;
    let log = hub.log();
    let record = NewRecord {
        topic: Topic::LookupsRequests,
        partition: partition_of("acme", log.partitions()),
        at_ms: SystemClock.now_ms(),
        key: "acme".into(),
        value: Some(serde_json::to_vec(&request("t1", 5_000)).unwrap().into()),
        headers: Headers::default(),
    };
    log.append(vec![record]).await.unwrap();
    let result = &hub.values(Topic::LookupsResults, 1).await[0];
    assert_eq!(result["task"]["title"], "Task t1", "{result}");
    assert!(hub.get("/metrics").await.text.contains("nexus_lookups_total{outcome=\"found\"} 1"));
    hub.is_unharmed().await;
    drop(log);
    hub.stop().await;
}
