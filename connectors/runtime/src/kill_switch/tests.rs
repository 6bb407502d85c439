//! The switch and the kill switches of several processes over one log, without a hub.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pipeline::{
    event::{Scaled, Time},
    ports::{Clock, Log},
    testing::{ManualClock, MemoryLog},
};
use tokio::sync::watch as channel;

use super::{
    follow::Follower,
    switch::{Cause, Switch},
    *,
};
use crate::supervisor::{Board, RoleContext};

fn cause(reason: &str) -> Cause {
    let text = str::to_owned;
    Cause { by: text("cli-admin"), role: text("admin"), reason: text(reason), trace_id: "a".repeat(32) }
}

struct Process {
    kill_switch: Arc<KillSwitch>,
    switch: Switch,
    stop: channel::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

async fn process(log: &MemoryLog) -> Process {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000));
    let log: Arc<dyn Log> = Arc::new(log.clone());
    let kill_switch = KillSwitch::new();
    let switch = Switch::new(Arc::clone(&log), Arc::clone(&kill_switch), Arc::clone(&clock));
    let (stop, stopped) = channel::channel(false);
    let context = RoleContext { role: "kill_switch", board: Arc::new(Board::default()), stop: stopped };
    let follower = Follower { kill_switch: Arc::clone(&kill_switch), log, clock, roles: vec!["mirror".to_owned()] };
    let running = tokio::spawn(async move { follower.run(context).await.expect("follows") });
    while kill_switch.halted("acme").is_some_and(|halted| halted == Halted::NoLease) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Process { kill_switch, switch, stop, running }
}

impl Process {
    /// Something that lasts until it is cut; says so then.
    fn act(&self, tenant: &'static str) -> tokio::task::JoinHandle<Result<(), Cut>> {
        let kill_switch = Arc::clone(&self.kill_switch);
        tokio::spawn(async move { kill_switch.run(tenant, std::future::pending()).await })
    }
}

#[tokio::test]
async fn a_stop_is_answered_when_nothing_is_under_way_anywhere() {
    let log = MemoryLog::new(2);
    let (one, other) = (process(&log).await, process(&log).await);
    let acts = [one.act("acme"), other.act("acme"), other.act("umbra")];
    while one.kill_switch.under_way("acme") + other.kill_switch.under_way(EVERYBODY) < 3 {
        tokio::task::yield_now().await;
    }
    let thrown = one.switch.stop("acme", &cause("runaway")).await.expect("stopped");
    assert!(thrown.silent_after_ms < 1_000, "{thrown:?}");
    assert!(thrown.instances.len() == 2 && thrown.instances.iter().all(|one| one.state == "silent"), "{thrown:?}");
    assert_eq!((one.kill_switch.under_way("acme"), other.kill_switch.under_way("acme")), (0, 0));
    assert_eq!(other.kill_switch.under_way("umbra"), 1, "another tenant's goes on");
    let [first, second, third] = acts;
    for act in [first, second] {
        assert!(matches!(act.await.expect("ends"), Err(Cut::Under(Halted::Stopped { reason })) if reason == "runaway"));
    }
    assert!(matches!(other.kill_switch.run("acme", async {}).await, Err(Cut::Before(_))));
    assert_eq!(other.kill_switch.run("umbra", async { 7 }).await, Ok(7));
    // Everybody, then only the tenant again.
    one.switch.stop(EVERYBODY, &cause("all")).await.expect("stopped");
    assert!(matches!(third.await.expect("ends"), Err(Cut::Under(_))));
    one.switch.resume(EVERYBODY, &cause("well")).await.expect("resumed");
    while other.kill_switch.halted("umbra").is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(one.kill_switch.halted("acme").is_some());
    one.switch.resume("acme", &cause("well")).await.expect("resumed");
    assert_eq!(one.kill_switch.run("acme", async { 8 }).await, Ok(8));
    one.stop.send_replace(true);
    one.running.await.expect("ends");
    let known = || other.kill_switch.workers().iter().any(|(name, _)| name == one.kill_switch.instance());
    while known() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    other.running.abort();
}

#[tokio::test]
async fn who_is_dead_is_waited_for_as_long_as_its_lease_and_only_once() {
    let log = MemoryLog::new(2);
    let (one, dead) = (process(&log).await, process(&log).await);
    dead.running.abort();
    let thrown = one.switch.stop("acme", &cause("runaway")).await.expect("stopped");
    assert!((1_000..3_000).contains(&thrown.silent_after_ms), "{thrown:?}");
    assert!(dead.kill_switch.halted("umbra").is_some(), "its lease is over");
    while one.kill_switch.workers().len() > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let again = one.switch.stop(EVERYBODY, &cause("runaway")).await.expect("stopped");
    assert!(again.silent_after_ms < 1_000, "{again:?}");
    one.running.abort();
}

#[tokio::test]
async fn who_cannot_read_falls_silent_by_itself() {
    let log = MemoryLog::new(2);
    let process = process(&log).await;
    let act = process.act("acme");
    process.running.abort();
    assert!(matches!(act.await.expect("ends"), Err(Cut::Under(Halted::NoLease))));
}

#[tokio::test]
async fn who_was_taken_for_dead_writes_its_name_again_before_it_acts() {
    let log = MemoryLog::new(2);
    let process = process(&log).await;
    let gone = follow::record::<Worker>(process.kill_switch.instance(), None, Time(0), 2);
    log.append(vec![gone]).await.expect("appended");
    let names = || log.records(pipeline::topics::Topic::Control).iter().filter(|record| record.value.is_some()).count();
    while names() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while process.kill_switch.halted("acme").is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    process.running.abort();
}

#[tokio::test]
async fn a_stop_survives_everybody_and_keeps_what_was_scaled() {
    let log = MemoryLog::new(2);
    let before = process(&log).await;
    before.switch.stop("acme", &cause("runaway")).await.expect("stopped");
    let scaled = vec![Scaled { name: "fixer".to_owned(), replicas: 3 }];
    before.switch.remember_scaled("acme", scaled.clone()).await.expect("written");
    before.switch.stop("acme", &cause("again")).await.expect("stopped");
    before.running.abort();
    let after = process(&log).await;
    assert_eq!(after.kill_switch.stopped("acme").as_deref(), Some("again"));
    let (thrown, to_restore) = after.switch.resume("acme", &cause("well")).await.expect("resumed");
    assert_eq!((to_restore, thrown.stop.scaled), (scaled, Vec::new()));
    assert!(after.kill_switch.halted("acme").is_none());
    after.running.abort();
}

#[tokio::test]
async fn many_who_may_not_begin_keep_nobody_from_being_silent() {
    let log = MemoryLog::new(2);
    let process = process(&log).await;
    let (asked, going) = (Arc::new(AtomicUsize::new(0)), channel::channel(true));
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (kill_switch, asked, mut going) =
                (Arc::clone(&process.kill_switch), Arc::clone(&asked), going.1.clone());
            tokio::spawn(async move {
                while *going.borrow_and_update() {
                    let _ = kill_switch.run("acme", async {}).await;
                    asked.fetch_add(1, Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let thrown = process.switch.stop("acme", &cause("runaway")).await.expect("stopped");
    assert!(thrown.instances.iter().all(|one| one.state == "silent"), "{thrown:?}");
    going.0.send_replace(false);
    for task in asking {
        task.await.expect("ends");
    }
    assert!(asked.load(Relaxed) > 0);
    process.running.abort();
}

#[test]
fn what_waited_for_people_is_not_late() {
    let kill_switch = KillSwitch::new();
    let stop = Stop { stopped: false, at: Time(2_000), resumed_at: Some(Time(5_000)), ..Stop::default() };
    kill_switch.lock().stops.insert("acme".into(), stop);
    assert_eq!(kill_switch.deadline_ms("acme", 1_000, 10_000), 13_000);
    assert_eq!(kill_switch.deadline_ms("acme", 3_000, 10_000), 12_000, "it was set in the middle");
    assert_eq!(kill_switch.deadline_ms("acme", 6_000, 10_000), 10_000);
    assert_eq!(kill_switch.deadline_ms("umbra", 1_000, 10_000), 10_000);
}

#[test]
fn a_held_agent_is_shut_out_until_its_time() {
    let kill_switch = KillSwitch::new();
    let hold = Hold { reason: "budget".to_owned(), until: Time(2_000) };
    kill_switch.lock().holds.insert("acme/agt_1".into(), hold);
    assert_eq!(kill_switch.shut_out("acme", "agt_1", 1_999).as_deref(), Some("budget"));
    assert_eq!(
        (kill_switch.shut_out("acme", "agt_1", 2_000), kill_switch.shut_out("acme", "agt_2", 1_000)),
        (None, None)
    );
}
