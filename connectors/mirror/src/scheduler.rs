//! The one scheduler of a process: of all jobs of all partitions it says which
//! goes next, and puts back what has to wait.

use std::{sync::Arc, time::Duration};

use hashbrown::HashMap;
use pipeline::{
    event::{MirrorCommand, MirrorResult, MirrorStage, Time},
    ports::{Clock, Record},
    retry::Policy,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
};

use super::{
    counts::{CallCounter, Counts},
    job::{Ended, Job},
    lanes::{Gate, Lanes, Next, Pause},
    perform::Step,
};
use providers::{
    client::{Caller, GuardedCaller, Http, Ledger, Limits, Policies},
    credentials::Links,
};
use runtime::{
    config::{Config, MirrorSettings, ProviderSettings, RetrySettings},
    consumer::GroupLoad,
    directory::Directory,
    kill_switch::KillSwitch,
    supervisor::Failure,
};

/// How often what is counted of the queue is brought up to date.
const LOOK: Duration = Duration::from_secs(1);

/// What jobs are done with.
pub struct Bench {
    /// What is counted.
    pub counts: Counts,
    pub(super) settings: MirrorSettings,
    pub(super) providers: ProviderSettings,
    pub(super) retries: RetrySettings,
    pub(super) links: Links,
    pub(super) directory: Arc<Directory>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) calls: Arc<GuardedCaller>,
    pub(super) kill_switch: Arc<KillSwitch>,
}

impl Bench {
    /// A bench that calls the providers of the settings, under a kill switch, and
    /// counts calls where all others of the process count theirs.
    pub fn new(
        config: &Config,
        links: Links,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        (ledger, kill_switch): (Ledger, Arc<KillSwitch>),
    ) -> Result<Bench, Failure> {
        let (settings, providers, retries) = (config.mirror.clone(), config.providers.clone(), config.retries.clone());
        let limits = Limits {
            allow_private_targets: providers.allow_private_targets,
            timeout_ms: settings.timeout_ms,
            ..Limits::default()
        };
        // One attempt a call: what is tried again waits its turn again.
        let retry = Policy { attempts_max: 1, ..Policy::default() };
        let policies = Policies { retry, scope_window_ms: settings.slack_channel_ms, ..Policies::default() };
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), policies, ledger);
        let counts = Counts::new()?;
        let observer = Box::new(CallCounter(counts.calls.clone()));
        let calls = Arc::new(GuardedCaller::new(caller, Arc::clone(&kill_switch), observer));
        Ok(Bench { counts, settings, providers, retries, links, directory, clock, calls, kill_switch })
    }

    pub(super) fn attempts_max(&self, provider: &str) -> u32 {
        self.retries.attempts(&self.retries.mirror, provider)
    }

    pub(super) fn now(&self) -> Time {
        Time::from_ms(self.clock.now_ms())
    }
}

/// What the scheduler is told.
pub(super) enum Order {
    /// To do this.
    Do(Box<Job>),
    /// To begin nothing more.
    Stop,
}

/// A job under way, as far as it must be known if it does not come back.
struct Docket {
    command: Arc<MirrorCommand>,
    record: Record,
    tenant: Arc<str>,
    lane: Arc<str>,
    gate: Gate,
    ended: Option<oneshot::Sender<Box<Ended>>>,
}

/// See the module.
pub(super) struct Scheduler {
    bench: Arc<Bench>,
    load: Arc<GroupLoad>,
    lanes: Lanes<Box<Job>>,
    running: JoinSet<(Box<Job>, Step)>,
    dockets: HashMap<Id, Docket>,
    /// Connections one of whose channels was refused for a limit, which, and
    /// until when.
    limited: HashMap<(Arc<str>, Arc<str>), (Gate, u64)>,
}

impl Scheduler {
    pub fn new(bench: Arc<Bench>, load: Arc<GroupLoad>) -> Scheduler {
        let lanes = Lanes::new(bench.settings.running_max.max(1), bench.settings.running_of_tenant_max.max(1));
        let (running, dockets, limited) = (JoinSet::new(), HashMap::new(), HashMap::new());
        Scheduler { bench, load, lanes, running, dockets, limited }
    }

    /// Works until it is stopped, or nobody is there to tell it anything.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let now_ms = self.bench.clock.now_ms();
            let wait = match self.begin(now_ms) {
                Some(at_ms) => Duration::from_millis(at_ms.saturating_sub(now_ms).max(1)),
                None => LOOK,
            };
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Do(job)) => self.lanes.push(job),
                    Some(Order::Stop) | None => break,
                },
                Some(ended) = self.running.join_next_with_id() => self.take(ended),
                () = tokio::time::sleep(wait) => {}
                _ = look.tick() => self.look(),
            }
        }
        // What waits is done at the next start; what is under way may end.
        self.lanes = Lanes::new(1, 1);
        while let Some(ended) = self.running.join_next_with_id().await {
            let (Ok((id, _)) | Err(id)) = ended.as_ref().map(|(id, _)| (*id, ())).map_err(JoinError::id);
            let docket = self.dockets.remove(&id);
            if let (Some(docket), Ok((_, (job, Step::End(result, grave))))) = (docket, ended) {
                tell_end(docket, *result, grave, job.state.attempts);
            }
        }
    }

    /// Begins all that can be; when there is more to begin, if that is known.
    fn begin(&mut self, now_ms: u64) -> Option<u64> {
        loop {
            match self.lanes.next(now_ms) {
                Next::Idle => return None,
                Next::At(at_ms) => return Some(at_ms),
                Next::Go(job) if job.is_orphaned() => {
                    self.lanes.end(&job.tenant, &job.lane, &job.gate, now_ms);
                }
                Next::Go(mut job) => {
                    let docket = Docket {
                        command: Arc::clone(&job.command),
                        record: job.record.clone(),
                        tenant: Arc::clone(&job.tenant),
                        lane: Arc::clone(&job.lane),
                        gate: job.gate.clone(),
                        ended: job.ended.take(),
                    };
                    let bench = Arc::clone(&self.bench);
                    let task = self.running.spawn(async move {
                        let step = bench.perform(&mut job).await;
                        (job, step)
                    });
                    self.dockets.insert(task.id(), docket);
                }
            }
        }
    }

    fn take(&mut self, ended: Result<(Id, (Box<Job>, Step)), JoinError>) {
        let now_ms = self.bench.clock.now_ms();
        let (id, done) = match ended {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        let Some(docket) = self.dockets.remove(&id) else { return };
        let (tenant, gate) = (Arc::clone(&docket.tenant), docket.gate.clone());
        let (lane, command) = (Arc::clone(&docket.lane), Arc::clone(&docket.command));
        match done {
            Some((mut job, Step::Later { until_ms, pause, is_limited })) => {
                match pause {
                    Some(pause) => {
                        let pause =
                            if is_limited { self.widen(pause, &tenant, &gate, until_ms, now_ms) } else { pause };
                        self.lanes.pause(&tenant, &gate, pause, until_ms.max(now_ms + 1));
                    }
                    None => job.not_before_ms = until_ms,
                }
                job.ended = docket.ended;
                return self.lanes.back(job, now_ms);
            }
            Some((job, Step::End(result, grave))) => tell_end(docket, *result, grave, job.state.attempts),
            Some((_, Step::Left)) => {}
            None => {
                let detail = "defect: it panicked; see the log".to_owned();
                let result = MirrorResult {
                    code: Some("defect".to_owned()),
                    error: Some(detail.clone()),
                    ..MirrorResult::of(&command, MirrorStage::Failed, self.bench.now())
                };
                tell_end(docket, result, Some(detail), 1);
            }
        }
        self.lanes.end(&tenant, &lane, &gate, now_ms);
    }

    /// Two channels that are refused at once: it is the workspace's limit.
    fn widen(&mut self, pause: Pause, tenant: &Arc<str>, gate: &Gate, until_ms: u64, now_ms: u64) -> Pause {
        self.limited.retain(|_, (_, until_ms)| *until_ms > now_ms);
        let key = (Arc::clone(tenant), Arc::clone(&gate.connection));
        match self.limited.insert(key, (gate.clone(), until_ms)) {
            Some((other, _)) if other != *gate => Pause::Connection,
            _ => pause,
        }
    }

    fn look(&mut self) {
        let (counts, running) = (&self.bench.counts, self.lanes.running());
        let (mut waiting, mut oldest_ms) = (0, None::<u64>);
        let ages = self.dockets.values().map(|docket| docket.command.at.as_ms());
        for job in self.lanes.waiting() {
            waiting += 1;
            let at_ms = job.command.at.as_ms();
            oldest_ms = Some(oldest_ms.map_or(at_ms, |oldest_ms| oldest_ms.min(at_ms)));
        }
        let oldest_ms = ages.chain(oldest_ms).min();
        let age_ms = oldest_ms.map_or(0, |at_ms| self.bench.clock.now_ms().saturating_sub(at_ms));
        for (place, count) in [("waiting", waiting), ("running", running), ("parked", self.load.parked())] {
            counts.queue.with_label_values(&[place]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        counts.oldest_age_ms.set(i64::try_from(age_ms).unwrap_or(i64::MAX));
    }
}

fn tell_end(docket: Docket, result: MirrorResult, grave: Option<String>, attempts: u32) {
    let Docket { command, record, ended, .. } = docket;
    let end = Box::new(Ended { command, record, result, grave, attempts });
    // A session that is gone has a successor, which looks for what was done.
    let _ = ended.map(|ended| ended.send(end));
}
