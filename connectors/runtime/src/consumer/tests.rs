//! The promises of the loop, over the log in memory.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use pipeline::{event::DeadLetter, ports::Headers, testing::MemoryLog};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::*;
use crate::supervisor::Board;

const PATIENCE: Duration = Duration::from_secs(30);
const SETTINGS: ConsumerSettings = ConsumerSettings {
    group: "test",
    topic: Topic::MemoryRequests,
    name: "test",
    open_max: 100,
    in_hand_max: 50,
    in_hand_of_tenant_max: 20,
    batch_max: 10,
    commits: Commits::WhenAnswered,
    stop_grace: Duration::from_millis(100),
};

/// Does what a record's first word says: `panic` (`early` or `late`), `wait` (until
/// told to go on), `twice` (not yet, the first time), `dead`, `ignore`, `claim`
/// (something early) or anything else; the last word is its lane.
#[derive(Clone)]
struct Scripted {
    log: MemoryLog,
    settings: ConsumerSettings,
    begun: Arc<Mutex<Vec<String>>>,
    go_on: watch::Receiver<BTreeSet<String>>,
}

struct Scene {
    log: MemoryLog,
    board: Arc<Board>,
    begun: Arc<Mutex<Vec<String>>>,
    go_on: watch::Sender<BTreeSet<String>>,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), Failure>>,
}

fn output(text: &str) -> NewRecord {
    NewRecord {
        topic: Topic::MemoryResults,
        partition: 0,
        at_ms: 1,
        key: Bytes::from_static(b"acme"),
        value: Some(text.to_owned().into()),
        headers: Headers::default(),
    }
}

impl Consumer for Scripted {
    type Request = String;
    type Partition = ();

    fn settings(&self) -> ConsumerSettings {
        self.settings
    }

    fn now_ms(&self) -> u64 {
        2
    }

    async fn open(&self, _partition: u32) -> Result<(), LogError> {
        Ok(())
    }

    fn parse(&self, record: &Record) -> Parsed<String> {
        let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        match text.split(' ').next() {
            Some("panic") if text.starts_with("panic early") => panic!("{text}"),
            Some("dead") => Parsed::Dead(text),
            Some("ignore") => Parsed::Ignored,
            _ => Parsed::Request(text),
        }
    }

    fn lane(&self, request: &String) -> Option<Arc<str>> {
        request.rsplit(' ').next().filter(|word| word.starts_with('/')).map(Into::into)
    }

    fn joins(&self, before: &String, next: &String) -> bool {
        before.starts_with("text") && next.starts_with("text")
    }

    fn process(&self, _partition: &mut (), batch: Vec<InHand<String>>) -> Processing<String> {
        let texts: Vec<&str> = batch.iter().map(|in_hand| in_hand.request.as_str()).collect();
        let text = texts.join("+");
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !begun.contains(&text);
        begun.push(text.clone());
        drop(begun);
        let mut go_on = self.go_on.clone();
        Box::pin(async move {
            match text.split(' ').next() {
                Some("panic") => panic!("{text}"),
                Some("wait") => _ = go_on.wait_for(|names| names.contains(&text)).await,
                Some("twice") if is_first => return Processed::NotYet(batch, Duration::from_millis(20)),
                Some("claim") if !batch[0].early.write_durable(vec![output("claimed")]).await => {
                    return Processed::Abandoned;
                }
                _ => {}
            }
            Processed::Answered(vec![output(&text)])
        })
    }
}

impl Scene {
    fn start(log: MemoryLog, settings: ConsumerSettings) -> Scene {
        let (go_on, told) = watch::channel(BTreeSet::new());
        let ((stop, stopped), board, begun) = (watch::channel(false), Arc::<Board>::default(), Arc::default());
        let consumer = Scripted { log: log.clone(), settings, begun: Arc::clone(&begun), go_on: told };
        let context = RoleContext { role: "test", board: Arc::clone(&board), stop: stopped };
        let running = tokio::spawn(run(Arc::new(consumer.log.clone()), consumer, context));
        Scene { log, board, begun, go_on, stop, running }
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Scene) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?} of {:?}", self.outputs(), self.begun());
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn answered(&self, count: usize) -> Vec<String> {
        self.until(&format!("{count} outputs"), |scene| scene.outputs().len() >= count).await;
        self.outputs()
    }

    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn outputs(&self) -> Vec<String> {
        texts(&self.log)
    }

    fn go_on(&self, text: &str) {
        self.go_on.send_modify(|names| _ = names.insert(text.to_owned()));
    }

    async fn position(&self) -> Option<u64> {
        self.log.lag("test", &[Topic::MemoryRequests]).await.expect("asked")[0].group_offset
    }

    async fn stop(self) -> MemoryLog {
        self.stop.send_replace(true);
        self.running.await.expect("no panic").expect("no failure");
        self.log
    }
}

fn texts(log: &MemoryLog) -> Vec<String> {
    let text = |record: Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    log.records(Topic::MemoryResults).into_iter().map(text).collect()
}

async fn with(records: &[(&str, &str)]) -> MemoryLog {
    let log = MemoryLog::new(1);
    let record = |(at_ms, (tenant, text)): (u64, &(&str, &str))| NewRecord {
        topic: Topic::MemoryRequests,
        at_ms,
        key: (*tenant).to_owned().into(),
        ..output(text)
    };
    log.append((100..).zip(records).map(record).collect()).await.expect("appended");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_waits_for_the_slowest_and_outputs_do_not() {
    let log = with(&[("acme", "one"), ("acme", "wait a"), ("acme", "ignore"), ("acme", "two")]).await;
    let scene = Scene::start(log, SETTINGS);
    let mut first = scene.answered(2).await;
    first.sort();
    assert_eq!((first, scene.position().await), (vec!["one".to_owned(), "two".to_owned()], Some(1)));
    let load = scene.board.load_of("test", Topic::MemoryRequests);
    scene.until("one is in hand", |_| (load.in_hand(), load.oldest_ms()) == (1, Some(101))).await;
    scene.go_on("wait a");
    scene.answered(3).await;
    assert_eq!(scene.position().await, Some(4));
    scene.until("nothing is in hand", |_| (load.in_hand(), load.oldest_ms()) == (0, None)).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_position_nothing_is_committed_before_what_was_before_it() {
    let log = with(&[("acme", "wait a"), ("acme", "one"), ("acme", "wait b"), ("acme", "two")]).await;
    let scene = Scene::start(log, ConsumerSettings { commits: Commits::WithPosition, ..SETTINGS });
    scene.until("all begun", |scene| scene.begun().len() == 4).await;
    scene.go_on("wait b");
    sleep(Duration::from_millis(50)).await;
    assert_eq!((scene.outputs(), scene.position().await), (vec![], Some(0)));
    scene.go_on("wait a");
    assert_eq!(scene.answered(4).await, ["wait a", "one", "wait b", "two"]);
    assert_eq!(scene.position().await, Some(4));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_goes_in_order_and_what_joins_goes_together() {
    let records = ["wait /a", "text 1 /a", "text 2 /a", "one /b", "twice /a", "text 3 /a"].map(|text| ("acme", text));
    let scene = Scene::start(with(&records).await, SETTINGS);
    assert_eq!(scene.answered(1).await, ["one /b"]);
    scene.go_on("wait /a");
    let rest = scene.answered(5).await.split_off(1);
    assert_eq!(rest, ["wait /a", "text 1 /a+text 2 /a", "twice /a", "text 3 /a"]);
    let twice = scene.begun().iter().filter(|text| *text == "twice /a").count();
    assert_eq!((twice, scene.position().await), (2, Some(6)));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_costs_one_record() {
    let records = ["one", "panic early", "panic late", "panic late /a", "dead", "two /a"].map(|text| ("acme", text));
    let scene = Scene::start(with(&records).await, SETTINGS);
    let letters = |scene: &Scene| scene.log.records(Topic::DeadLetters);
    scene.until("four letters", |scene| letters(scene).len() == 4 && scene.outputs().len() == 2).await;
    let letter = |record: &Record| serde_json::from_slice::<DeadLetter>(record.value.as_deref().expect("a value"));
    let letters: Vec<DeadLetter> = letters(&scene).iter().map(|record| letter(record).expect("a letter")).collect();
    let mut offsets: Vec<u64> = letters.iter().map(|letter| letter.original.offset).collect();
    offsets.sort_unstable();
    assert_eq!((offsets, scene.position().await), (vec![1, 2, 3, 4], Some(6)));
    assert!(letters.iter().all(|letter| letter.stage == "test"));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_waits_in_the_log_and_others_are_served() {
    let mut records = vec![("acme", "wait a"); 60];
    records.push(("umbra", "one"));
    let settings = ConsumerSettings { in_hand_max: 4, in_hand_of_tenant_max: 4, ..SETTINGS };
    let scene = Scene::start(with(&records).await, settings);
    assert_eq!(scene.answered(1).await, ["one"]);
    let load = scene.board.load_of("test", Topic::MemoryRequests);
    scene.until("the rest is parked", |_| (load.in_hand(), load.parked()) == (4, 56)).await;
    scene.go_on("wait a");
    assert_eq!(scene.answered(61).await.len(), 61);
    scene.until("nothing is left", |_| (load.in_hand(), load.parked()) == (0, 0)).await;
    assert_eq!(scene.position().await, Some(61));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_early_is_durable_before_it_goes_on() {
    let log = with(&[("acme", "claim"), ("acme", "one")]).await;
    log.hold();
    let scene = Scene::start(log, SETTINGS);
    scene.until("both begun", |scene| scene.begun().len() == 2).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(scene.outputs(), Vec::<String>::new());
    scene.log.release();
    let outputs = scene.answered(3).await;
    let place = |text: &str| outputs.iter().position(|output| output == text);
    assert!(place("claimed") < place("claim"), "{outputs:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_cuts_off_is_done_at_the_next_start() {
    let log = with(&[("acme", "wait a"), ("acme", "one"), ("acme", "twice")]).await;
    let scene = Scene::start(log, SETTINGS);
    scene.answered(1).await;
    let log = scene.stop().await;
    let before = texts(&log);
    assert!(!before.contains(&"wait a".to_owned()), "{before:?}");
    let scene = Scene::start(log, SETTINGS);
    scene.go_on("wait a");
    scene.until("all is done", |scene| scene.outputs().contains(&"wait a".to_owned())).await;
    let begun = Instant::now();
    while scene.position().await != Some(3) {
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(2)).await;
    }
    scene.stop().await;
}
