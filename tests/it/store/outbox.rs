//! What is written is announced: all of it, in order, whatever fails between.

use std::{sync::Arc, time::Duration};

use pipeline::{
    event::{Agent, Alias, Client, Command, Control, Time, Workgroup},
    ports::{LogError, Record},
    testing::MemoryLog,
    topics::{Topic, partition_of},
};
use runtime::directory::Directory;
use store::{Store, StoreError, announce::Announcer};

use super::{Bench, on_each};

/// A store that can be shared, and a log.
struct Scene {
    store: Arc<Store>,
    log: MemoryLog,
    bench: Bench,
}

impl Scene {
    async fn new(bench: Bench) -> Scene {
        let store = Arc::new(bench.another().await);
        Scene { store, log: MemoryLog::new(4), bench }
    }

    fn announcer(&self) -> Announcer {
        Announcer { store: Arc::clone(&self.store), log: Arc::new(self.log.clone()), house: None }
    }

    fn told(&self) -> Vec<(String, Option<Control>)> {
        self.log.records(Topic::Control).iter().map(read).collect()
    }
}

fn read(record: &Record) -> (String, Option<Control>) {
    let control = record.value.as_deref().map(|value| serde_json::from_slice(value).expect("a control record"));
    (String::from_utf8(record.key.to_vec()).expect("a key in text"), control)
}

/// The directory of who reads these records.
fn directory(log: &MemoryLog) -> Directory {
    let directory = Directory::default();
    log.records(Topic::Control).iter().for_each(|record| directory.apply(record));
    directory
}

fn agent(name: &str) -> Agent {
    Agent { name: name.to_owned(), enabled: true, ..Agent::default() }
}

fn renamed(name: &str) -> impl FnOnce(&mut Agent) -> Result<(), StoreError> {
    let name = name.to_owned();
    move |agent| {
        agent.name = name;
        Ok(())
    }
}

#[tokio::test]
async fn every_write_is_told_once_and_in_order() {
    on_each("told", |bench| async move {
        let scene = Scene::new(bench.with_tenants(&["a", "b"]).await).await;
        let store = &scene.bench.store;
        store.agents().create("a", "x", &agent("one")).await.expect("made");
        store.agents().change("a", "x", renamed("two")).await.expect("changed");
        let refused = store.agents().change("a", "x", |_| Err(StoreError::Bad("no"))).await;
        assert!(refused.is_err());
        let told = scene.announcer().catch_up().await.expect("announced");
        // A log that knew nothing got all rows once more, as they are.
        assert_eq!(told, 4 + 3);
        let records: Vec<_> = scene.told().into_iter().filter(|(key, _)| key == "a/agent/x").collect();
        let names: Vec<_> = records
            .iter()
            .map(|(_, control)| control.as_ref().map(|control| control.data["name"].clone()).expect("a row"))
            .collect();
        assert_eq!(names, ["one", "two", "two"]);
        let (_, Some(control)) = &records[0] else { panic!("a row") };
        assert_eq!((control.kind.as_str(), control.tenant_id.as_str(), control.id.as_str()), ("agent", "a", "x"));
        for record in scene.log.records(Topic::Control) {
            let tenant = String::from_utf8_lossy(&record.key).split('/').next().map(str::to_owned).expect("a tenant");
            assert_eq!(record.position.partition, partition_of(&tenant, 4));
            assert_eq!(record.headers.get("schema"), Some(&b"nexus.control.v1"[..]));
        }
        let before = scene.log.records(Topic::Control).len();
        store.agents().delete("a", "x").await.expect("gone");
        assert_eq!(scene.announcer().catch_up().await.expect("announced"), 1);
        assert_eq!(scene.announcer().catch_up().await.expect("announced"), 0, "nothing twice");
        let records = scene.told();
        assert_eq!(records.len(), before + 1);
        assert!(records.contains(&("a/agent/x".to_owned(), None)), "a row that went leaves no value");
        assert_eq!(scene.store.waiting().await.expect("counted"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_failure_between_costs_nothing_but_a_repeat() {
    on_each("repeat", |bench| async move {
        let scene = Scene::new(bench.with_tenants(&["a"]).await).await;
        scene.announcer().catch_up().await.expect("introduced");
        let store = &scene.bench.store;
        store.agents().create("a", "x", &agent("one")).await.expect("made");
        scene.log.fail_next_append(LogError::Unavailable { detail: "for a test".to_owned() });
        assert!(scene.announcer().catch_up().await.is_err());
        assert_eq!(scene.store.waiting().await.expect("counted"), 1, "kept until it is durable");
        // Appended, but the announcer dies before it hears of that.
        scene.log.hold();
        let announcer = scene.announcer();
        assert!(tokio::time::timeout(Duration::from_millis(200), announcer.catch_up()).await.is_err());
        scene.log.release();
        store.agents().change("a", "x", renamed("two")).await.expect("changed");
        scene.announcer().catch_up().await.expect("announced");
        let names: Vec<_> = scene
            .told()
            .into_iter()
            .filter(|(key, _)| key == "a/agent/x")
            .map(|(_, control)| control.expect("a row").data["name"].clone())
            .collect();
        assert_eq!(names, ["one", "one", "two"], "once more, and in order");
        let known = directory(&scene.log).get::<Agent>("a", "x").expect("known");
        assert_eq!(*known, store.agents().get("a", "x").await.expect("there").row);
    })
    .await;
}

#[tokio::test]
async fn a_log_that_knows_nothing_is_told_everything() {
    on_each("anew", |bench| async move {
        let mut scene = Scene::new(bench.with_tenants(&["a", "b"]).await).await;
        let store = &scene.bench.store;
        store.agents().create("a", "x", &agent("x")).await.expect("made");
        let group = Workgroup { name: "w".to_owned(), agent_ids: vec!["x".to_owned()], ..Workgroup::default() };
        store.workgroups().create("a", "w", &group).await.expect("made");
        store.agents().create("b", "gone", &agent("gone")).await.expect("made");
        store.agents().delete("b", "gone").await.expect("gone");
        scene.announcer().catch_up().await.expect("announced");
        for log in [MemoryLog::new(2).with_identity(7), MemoryLog::new(2).with_identity(7)] {
            scene.log = log; // The second is of the same name, but lost its records.
            assert_eq!(scene.announcer().catch_up().await.expect("announced"), 4);
            let known = directory(&scene.log);
            assert_eq!(known.everywhere::<pipeline::event::Tenant>().len(), 2);
            assert_eq!(*known.get::<Workgroup>("a", "w").expect("known"), group);
            assert!(known.get::<Agent>("b", "gone").is_none());
            assert_eq!(scene.announcer().catch_up().await.expect("announced"), 0, "it knows now");
        }
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_goes_is_told_row_by_row() {
    on_each("forgotten", |bench| async move {
        let scene = Scene::new(bench.with_tenants(&["a", "b"]).await).await;
        let store = &scene.bench.store;
        for tenant in ["a", "b"] {
            let mut work = store.work(tenant).await.expect("work");
            work.create("x", &agent("x")).await.expect("made");
            let client = Client { agent_id: Some("x".to_owned()), enabled: true, ..Client::default() };
            work.create(&format!("{tenant}-client"), &client).await.expect("made");
            let alias = Alias { alias: "@x".to_owned(), agent_ids: vec!["x".to_owned()] };
            work.create("alias", &alias).await.expect("made");
            work.commit().await.expect("done");
        }
        scene.announcer().catch_up().await.expect("announced");
        assert!(directory(&scene.log).client("a-client").is_some());
        store.tenants().delete_all("a").await.expect("gone");
        scene.announcer().catch_up().await.expect("announced");
        let known = directory(&scene.log);
        assert!(known.client("a-client").is_none() && known.client("b-client").is_some());
        let left: Vec<_> = known.everywhere::<Agent>().into_iter().map(|(tenant, ..)| tenant.to_string()).collect();
        assert_eq!(left, ["b"]);
        assert_eq!(known.everywhere::<Alias>().len(), 1);
        assert!(known.get::<pipeline::event::Tenant>("a", "a").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_command_goes_where_commands_go() {
    on_each("command", |bench| async move {
        let scene = Scene::new(bench.with_tenants(&["a"]).await).await;
        let mut work = scene.bench.store.work("a").await.expect("work");
        let wake = Command::Wake {
            correlation_id: "c1".to_owned(),
            tenant_id: "a".to_owned(),
            agent_id: "x".to_owned(),
            message: None,
            at: Time(1_700_000_000_000),
        };
        work.command("c1", &wake).await.expect("kept");
        work.commit().await.expect("done");
        scene.announcer().catch_up().await.expect("announced");
        let commands = scene.log.records(Topic::Commands);
        let [command] = &commands[..] else { panic!("one command, not {}", commands.len()) };
        assert_eq!((&command.key[..], command.headers.get("type")), (&b"a"[..], Some(&b"wake"[..])));
        assert_eq!(serde_json::from_slice::<Command>(command.value.as_deref().expect("a value")).expect("read"), wake);
    })
    .await;
}

/// Two processes on one store, both announcing, while rows change: what was
/// written last is told last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_announcers_keep_the_order_of_one() {
    on_each("both", |bench| async move {
        let scene = Scene::new(bench.with_tenants(&["a", "b"]).await).await;
        let second =
            Announcer { store: Arc::new(scene.bench.another().await), log: Arc::new(scene.log.clone()), house: None };
        scene.announcer().catch_up().await.expect("introduced");
        for tenant in ["a", "b"] {
            scene.bench.store.agents().create(tenant, "x", &agent("000")).await.expect("made");
        }
        let write = |tenant: &'static str, store: Arc<Store>| async move {
            for number in 1..=40 {
                store.agents().change(tenant, "x", renamed(&format!("{number:03}"))).await.expect("changed");
            }
        };
        let other = Arc::new(scene.bench.another().await);
        let mut writers = tokio::task::JoinSet::new();
        writers.spawn(write("a", Arc::clone(&scene.store)));
        writers.spawn(write("b", other));
        let announce = |announcer: Announcer| async move {
            for _ in 0..30 {
                announcer.catch_up().await.expect("announced");
                tokio::task::yield_now().await;
            }
        };
        let mut announcing = tokio::task::JoinSet::new();
        announcing.spawn(announce(scene.announcer()));
        announcing.spawn(announce(second));
        writers.join_all().await;
        announcing.join_all().await;
        scene.announcer().catch_up().await.expect("announced");
        for tenant in ["a", "b"] {
            let key = format!("{tenant}/agent/x");
            let names: Vec<_> = scene
                .told()
                .into_iter()
                .filter(|(known, _)| *known == key)
                .map(|(_, control)| control.expect("a row").data["name"].as_str().map(str::to_owned))
                .collect();
            assert!(names.is_sorted(), "{names:?}");
            assert_eq!(names.len(), 41, "each is told once when nothing fails");
        }
    })
    .await;
}
