//! The kill switch of a process: what everybody asks who acts in the outside world.
//!
//! In: the hub's own rows of `control` ([`follow`]). Out: whether a tenant is
//! stopped, calls and sockets that end when it is, and the word to all others
//! that nothing is under way here any more. Guaranteed:
//!
//! * **A lease of at most [`LEASE`].** Nothing is begun but while the rows were
//!   read to their end less than that ago. A process that cannot read them any
//!   more falls silent by itself, and whoever stops the hub need not wait longer.
//! * **Counted before looked at.** What begins is counted first and then looks
//!   whether it may: so once a stop is known here and the count is zero, nothing
//!   begins and nothing is under way.
//! * What is under way when a stop comes, or when the lease runs out, is dropped
//!   in the middle; its owner learns that it may have happened.
//!
//! [`switch`] is the other end: it stops, and answers when it is silent.

mod counts;
pub mod follow;
pub mod kubernetes;
pub mod switch;

pub use counts::Gauges;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use hashbrown::{HashMap, HashSet};
use pipeline::event::{EVERYBODY, Hold, Stop, Worker};
use tokio::sync::{Notify, watch};

use crate::identity::random_hex;

/// How long a process may act on what it last knew.
pub const LEASE: Duration = Duration::from_secs(1);

/// After the last thing that was cut off: what it sent may still be on its way
/// through the system.
const LINGER: Duration = Duration::from_millis(20);

/// How long somebody waits for a lease before trying without.
const LEASE_PATIENCE: Duration = Duration::from_secs(2);

/// Why nothing may be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halted {
    /// Somebody stopped it.
    Stopped {
        /// Why.
        reason: String,
    },
    /// Nobody can tell whether somebody stopped it.
    NoLease,
}

impl std::fmt::Display for Halted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Halted::Stopped { reason } => formatter.write_str(reason),
            Halted::NoLease => formatter.write_str("nobody can tell whether somebody stopped it"),
        }
    }
}

impl Halted {
    /// One word, for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Halted::Stopped { .. } => "stopped",
            Halted::NoLease => "no_lease",
        }
    }
}

/// Why something was not done, or not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It was not begun.
    Before(Halted),
    /// It was dropped in the middle: it may have happened.
    Under(Halted),
}

#[derive(Default)]
struct State {
    stops: HashMap<Box<str>, Stop>,
    holds: HashMap<Box<str>, Hold>,
    dropped: HashSet<Box<str>>,
    workers: HashMap<Box<str>, Worker>,
    /// What is under way, by tenant.
    under_way: HashMap<Box<str>, usize>,
    /// When something of a stopped tenant last ended.
    ended: Option<Instant>,
    /// When somebody was last taken off the list who did not say goodbye.
    taken_for_dead: Option<Instant>,
    /// The next record that is read.
    position: u64,
}

/// See the module.
pub struct KillSwitch {
    instance: Box<str>,
    begun: Instant,
    /// In ms since `begun`.
    lease_until_ms: AtomicU64,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// The workers said something.
    told_of_workers: Notify,
    /// Dropped commands that have ended, to be forgotten.
    finished: Mutex<Vec<String>>,
}

impl KillSwitch {
    /// One that lets nothing begin until it is followed (see [`follow`]). There
    /// is no other.
    pub fn new() -> Arc<KillSwitch> {
        Arc::new(KillSwitch {
            instance: random_hex()[..16].into(),
            begun: Instant::now(),
            lease_until_ms: AtomicU64::new(0),
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            told_of_workers: Notify::new(),
            finished: Mutex::default(),
        })
    }

    /// The name of this process among the workers.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Counts the changes, so that a waiter hears of the next.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Why nothing of a tenant may be begun, if so.
    pub fn halted(&self, tenant: &str) -> Option<Halted> {
        match self.stopped(tenant) {
            Some(reason) => Some(Halted::Stopped { reason }),
            None => self.lease_left().is_zero().then_some(Halted::NoLease),
        }
    }

    /// Why a tenant is stopped, if it is.
    pub fn stopped(&self, tenant: &str) -> Option<String> {
        self.lock().stopped(tenant).map(str::to_owned)
    }

    /// Why an agent may have no socket, if so: its tenant is stopped, or it is
    /// held for a while.
    pub fn shut_out(&self, tenant: &str, agent: &str, now_ms: u64) -> Option<String> {
        self.stopped(tenant).or_else(|| self.hold_of(tenant, agent, now_ms).map(|hold| hold.reason))
    }

    /// What holds an agent now, if something does: a budget that is used up.
    pub fn hold_of(&self, tenant: &str, agent: &str, now_ms: u64) -> Option<Hold> {
        let state = self.lock();
        if state.holds.is_empty() {
            return None;
        }
        let key = format!("{tenant}/{agent}");
        let holds = [tenant, &key].into_iter().filter_map(|key| state.holds.get(key));
        let in_force = holds.filter(|hold| hold.until.as_ms() > now_ms);
        in_force.max_by_key(|hold| hold.until.as_ms()).cloned()
    }

    /// What a scope was last told to do.
    pub fn stop_of(&self, scope: &str) -> Option<Stop> {
        self.lock().stops.get(scope).cloned()
    }

    /// All that is stopped: scope and row.
    pub fn stops(&self) -> Vec<(String, Stop)> {
        let state = self.lock();
        let mut stops: Vec<_> = state.stops.iter().filter(|(_, stop)| stop.stopped).collect();
        stops.sort_by_key(|(scope, _)| *scope);
        stops.into_iter().map(|(scope, stop)| (scope.to_string(), stop.clone())).collect()
    }

    /// The processes that act, by name.
    pub fn workers(&self) -> Vec<(String, Worker)> {
        let state = self.lock();
        let mut workers: Vec<_> =
            state.workers.iter().map(|(name, worker)| (name.to_string(), worker.clone())).collect();
        workers.sort_by(|(one, _), (other, _)| one.cmp(other));
        workers
    }

    /// Whether a command of the mirror is not to be done any more.
    pub fn is_dropped(&self, command: &str) -> bool {
        let state = self.lock();
        !state.dropped.is_empty() && state.dropped.contains(command)
    }

    /// A dropped command has ended.
    pub fn has_ended(&self, command: &str) {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(command.to_owned());
    }

    /// A deadline that was set at a time, without the last stop in between: what
    /// had to wait for people is not late.
    pub fn deadline_ms(&self, tenant: &str, set_ms: u64, deadline_ms: u64) -> u64 {
        let state = self.lock();
        let lost_ms = |stop: &Stop| {
            let resumed_ms = stop.resumed_at.map_or(0, |at| at.as_ms());
            resumed_ms.saturating_sub(stop.at.as_ms().max(set_ms))
        };
        let lost = [EVERYBODY, tenant].into_iter().filter_map(|scope| state.stops.get(scope)).map(lost_ms).max();
        deadline_ms.saturating_add(lost.unwrap_or(0))
    }

    /// How much is under way: calls and sockets.
    pub fn under_way(&self, scope: &str) -> usize {
        self.lock().under_way(scope)
    }

    /// Counts something of a tenant that is under way, until it is dropped.
    pub fn enter(self: &Arc<Self>, tenant: &str) -> Flight {
        *self.lock().under_way.entry(tenant.into()).or_default() += 1;
        Flight { kill_switch: Arc::clone(self), tenant: tenant.into(), has_begun: true }
    }

    /// Does something in the outside world, if that may be begun, and no longer
    /// than it may go on.
    pub async fn run<T>(self: &Arc<Self>, tenant: &str, act: impl Future<Output = T>) -> Result<T, Cut> {
        let mut flight = self.enter(tenant);
        let mut changes = self.changes();
        if let Some(halted) = self.halted(tenant) {
            flight.has_begun = false;
            return Err(Cut::Before(halted));
        }
        let mut act = std::pin::pin!(act);
        loop {
            let lease = self.lease_left();
            tokio::select! {
                biased;
                _ = changes.changed() => {}
                () = tokio::time::sleep(lease) => {}
                done = &mut act => return Ok(done),
            }
            if let Some(halted) = self.halted(tenant) {
                return Err(Cut::Under(halted));
            }
        }
    }

    /// Waits for the lease, for a while: nobody has it when a process begins.
    pub async fn leased(&self) {
        let wait = async {
            let mut changes = self.changes();
            while self.lease_left().is_zero() && changes.changed().await.is_ok() {}
        };
        let _ = tokio::time::timeout(LEASE_PATIENCE, wait).await;
    }

    /// How long something may still be begun.
    fn lease_left(&self) -> Duration {
        Duration::from_millis(self.lease_until_ms.load(SeqCst)).saturating_sub(self.begun.elapsed())
    }

    /// All that was there at `then` is known.
    fn extend_lease(&self, then: Instant) {
        let until = then.saturating_duration_since(self.begun) + LEASE;
        let had_none = self.lease_left().is_zero();
        self.lease_until_ms.fetch_max(u64::try_from(until.as_millis()).unwrap_or(0), SeqCst);
        if had_none {
            self.tell();
        }
    }

    fn end_lease(&self) {
        self.lease_until_ms.store(0, SeqCst);
    }

    fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stopped(&self, tenant: &str) -> Option<&str> {
        let stops = [EVERYBODY, tenant].into_iter().filter_map(|scope| self.stops.get(scope));
        stops.filter(|stop| stop.stopped).map(|stop| &*stop.reason).next()
    }

    fn under_way(&self, scope: &str) -> usize {
        match scope {
            EVERYBODY => self.under_way.values().sum(),
            tenant => self.under_way.get(tenant).copied().unwrap_or(0),
        }
    }

    /// Whether nothing of a stopped scope is under way, nor was a moment ago.
    fn is_silent(&self, scope: &str) -> bool {
        self.under_way(scope) == 0 && self.ended.is_none_or(|ended| ended.elapsed() >= LINGER)
    }
}

/// Something that is under way.
pub struct Flight {
    kill_switch: Arc<KillSwitch>,
    tenant: Box<str>,
    /// What only asked whether it may leaves nothing behind.
    has_begun: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.kill_switch.lock();
        if self.has_begun && state.stopped(&self.tenant).is_some() {
            state.ended = Some(Instant::now());
        }
        if let Some(count) = state.under_way.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                state.under_way.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests;
