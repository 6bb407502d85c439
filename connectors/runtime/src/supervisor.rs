//! Keeps tasks running: one that fails, or panics, begins again after a while
//! and takes no other with it. How each is, stands on the [`Board`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use pipeline::topics::Topic;
use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};

use crate::consumer::GroupLoad;

/// The first wait before a role begins again; each further one is twice as
/// long, up to the second.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A role that ran so long was well: the next wait is the first again.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// What a role fails with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How a role is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum Status {
    /// Not yet at work.
    Starting,
    /// At work.
    Running,
    /// Failed; begins again.
    #[serde(rename_all = "camelCase")]
    Restarting {
        /// Why it failed.
        error: String,
        /// How often it did in a row.
        failures: u32,
    },
    /// Asked to stop.
    Stopping,
}

/// How every role of this process is, and what its consumer groups have in hand.
#[derive(Default)]
pub struct Board {
    roles: Mutex<BTreeMap<&'static str, Status>>,
    groups: Mutex<BTreeMap<&'static str, (Topic, Arc<GroupLoad>)>>,
}

impl Board {
    /// Notes how a role is.
    pub fn set(&self, role: &'static str, status: Status) {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).insert(role, status);
    }

    /// How all of them are.
    pub fn all(&self) -> BTreeMap<&'static str, Status> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a group that reads this topic has in hand.
    pub fn load_of(&self, group: &'static str, topic: Topic) -> Arc<GroupLoad> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&groups.entry(group).or_insert_with(|| (topic, Arc::default())).1)
    }

    /// All groups that were joined here: what they read, and have in hand.
    pub fn groups(&self) -> Vec<(&'static str, Topic, Arc<GroupLoad>)> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.iter().map(|(group, (topic, load))| (*group, *topic, Arc::clone(load))).collect()
    }
}

/// What a supervised role is given.
#[derive(Clone)]
pub struct RoleContext {
    /// Its name.
    pub role: &'static str,
    /// Where to say how it is.
    pub board: Arc<Board>,
    /// Turns true when it shall stop.
    pub stop: watch::Receiver<bool>,
}

impl RoleContext {
    /// Says that it is at work.
    pub fn running(&self) {
        self.board.set(self.role, Status::Running);
    }

    /// Waits until it shall stop, or nobody is there who could tell.
    pub async fn told_to_stop(&mut self) {
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Runs the tasks of a process.
pub struct Supervisor {
    tasks: JoinSet<()>,
    board: Arc<Board>,
    stop: watch::Receiver<bool>,
    restarted: Arc<dyn Fn(&'static str) + Send + Sync>,
}

impl Supervisor {
    /// No task yet. `restarted` is told each time that one begins again.
    pub fn new(
        board: Arc<Board>,
        stop: watch::Receiver<bool>,
        restarted: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Supervisor {
        Supervisor { tasks: JoinSet::new(), board, stop, restarted: Arc::new(restarted) }
    }

    /// Runs one more, under this name.
    pub fn spawn<F>(&mut self, role: &'static str, run: impl Fn(RoleContext) -> F + Send + 'static)
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        // At once, so that nobody takes a task that has not begun for ready.
        self.board.set(role, Status::Starting);
        let context = RoleContext { role, board: Arc::clone(&self.board), stop: self.stop.clone() };
        let restarted = Arc::clone(&self.restarted);
        self.tasks.spawn(supervise(context, move |role| restarted(role), run));
    }

    /// All of them, to wait for.
    pub fn into_tasks(self) -> JoinSet<()> {
        self.tasks
    }
}

/// Runs a task until it is told to stop and has. `restarted` is told each time
/// that it begins again.
async fn supervise<F>(mut context: RoleContext, restarted: impl Fn(&'static str), run: impl Fn(RoleContext) -> F)
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let mut failures = 0;
    loop {
        context.board.set(context.role, Status::Starting);
        let begun = Instant::now();
        // A task of its own, so that a panic ends the task and not the process.
        let ended = tokio::spawn(run(context.clone())).await;
        if *context.stop.borrow() {
            context.board.set(context.role, Status::Stopping);
            return;
        }
        let error = match ended {
            Ok(Ok(())) => "ended by itself".to_owned(),
            Ok(Err(failure)) => failure.to_string(),
            Err(panicked) => format!("defect: {panicked}"),
        };
        failures = if begun.elapsed() >= WELL_AFTER { 1 } else { failures + 1 };
        let wait = BACKOFF_FIRST.saturating_mul(1 << (failures - 1).min(10)).min(BACKOFF_MAX);
        tracing::error!(role = context.role, %error, failures, ?wait, "a role failed and begins again");
        restarted(context.role);
        context.board.set(context.role, Status::Restarting { error, failures });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = context.told_to_stop() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    fn post() -> (RoleContext, watch::Sender<bool>) {
        let (stop, stopped) = watch::channel(false);
        (RoleContext { role: "test", board: Arc::default(), stop: stopped }, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_role_that_fails_or_panics_begins_again_and_says_so() {
        let (context, stop) = post();
        let board = Arc::clone(&context.board);
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let run = move |mut context: RoleContext| {
            let (run, notes) = (counted.fetch_add(1, Relaxed), Arc::clone(&notes));
            async move {
                notes.lock().expect("unpoisoned").push(context.board.all()["test"].clone());
                match run {
                    0 => Err("first failure".into()),
                    1 => panic!("second failure"),
                    _ => {
                        context.running();
                        context.told_to_stop().await;
                        Ok(())
                    }
                }
            }
        };
        let supervised = tokio::spawn(supervise(context, |_| (), run));
        while board.all().get("test") != Some(&Status::Running) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.send_replace(true);
        supervised.await.expect("ends");
        assert_eq!(runs.load(Relaxed), 3);
        assert_eq!(board.all()["test"], Status::Stopping);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_heard_between_two_runs() {
        let (context, stop) = post();
        let supervised = tokio::spawn(supervise(context, |_| (), |_| async { Err("no".into()) }));
        tokio::time::sleep(Duration::from_secs(120)).await;
        stop.send_replace(true);
        supervised.await.expect("ends");
    }
}
