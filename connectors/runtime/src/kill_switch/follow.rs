//! Follows the hub's own rows of `control`, renews the lease, and says when
//! nothing is under way any more. One for each process.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use pipeline::{
    event::{Control, Dropped, EVERYBODY, HUB, Hold, Row, Stop, Time, Worker},
    ports::{Clock, Headers, Log, LogError, NewRecord, Pending, Position, Record, Start, Visibility},
    topics::{Topic, partition_of},
};
use serde::de::DeserializeOwned;

use super::KillSwitch;
use crate::supervisor::{Failure, RoleContext};

/// How often the lease is renewed: three times may fail before it ends.
const RENEW: Duration = Duration::from_millis(250);
/// How often it is looked whether something has ended that was told to.
const LOOK: Duration = Duration::from_millis(2);
/// How often a process says that it lives, and after how long it is taken for
/// dead: what died without a goodbye must not be waited for at the next stop.
const SIGN_AGAIN: Duration = Duration::from_secs(10);
const DEAD_AFTER_MS: u64 = 35_000;
/// Records that are read at once.
const RECORDS_AT_ONCE: usize = 256;
/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);
/// After the process was told to stop: what is under way may end, for so long;
/// and is believed to have, when nothing was for a moment.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
const LEAVE_QUIET: Duration = Duration::from_millis(50);

/// The header of a worker's last record, if nothing of it can be under way.
const GOODBYE: &str = "goodbye";

/// Says of a worker's last record that nothing of it can be under way.
pub(super) fn goodbye(record: NewRecord) -> NewRecord {
    NewRecord { headers: Headers::new(record.headers.iter().chain([(GOODBYE, b"yes".as_slice())])), ..record }
}

/// A record of `control` under the hub's own name; without a row it goes.
pub(super) fn record<R: Row>(id: &str, row: Option<&R>, at: Time, partitions: u32) -> NewRecord {
    let value = row.map(|row| {
        // Fails for nothing that these types can hold.
        let data = serde_json::to_value(row).unwrap_or_default();
        let (kind, tenant_id, id) = (R::KIND.to_owned(), HUB.to_owned(), id.to_owned());
        serde_json::to_vec(&Control { kind, tenant_id, id, data, at }).unwrap_or_default()
    });
    NewRecord {
        topic: Topic::Control,
        partition: partition_of(HUB, partitions),
        at_ms: at.as_ms(),
        key: Bytes::from([HUB, R::KIND, id].join("/")),
        value: value.map(Bytes::from),
        headers: Headers::new([("type", R::KIND.as_bytes()), ("schema", Topic::Control.spec().schema.as_bytes())]),
    }
}

/// What a follower needs.
#[derive(Clone)]
pub struct Follower {
    /// Whom it keeps up to date.
    pub kill_switch: Arc<KillSwitch>,
    /// Where the rows are.
    pub log: Arc<dyn Log>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What this process does.
    pub roles: Vec<String>,
}

impl Follower {
    /// Follows until told to stop, or until the log fails.
    pub async fn run(self, mut context: RoleContext) -> Result<(), Failure> {
        let failed = self.follow(&mut context).await;
        // Whoever is not followed lets nothing begin.
        self.kill_switch.end_lease();
        self.kill_switch.tell();
        let goodbye = self.log.append(vec![goodbye(self.sign(None))]);
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
        Ok(failed?)
    }

    async fn follow(&self, context: &mut RoleContext) -> Result<(), LogError> {
        let (kill_switch, partition) = (&self.kill_switch, partition_of(HUB, self.log.partitions()));
        let mut reader = self.log.read(Topic::Control, partition, Start::Oldest, Visibility::Durable).await?;
        // The name is written down before anything is begun under it.
        let mut signing: Option<Pending<'static, Vec<Position>>> = Some(self.log.append(vec![self.sign(Some(()))]));
        let (mut signed_at, mut read_at) = (None::<Instant>, None::<Instant>);
        let (mut leaving, mut busy_at, mut told_at) = (None::<Instant>, Instant::now(), Instant::now());
        loop {
            if let Some(leaving) = leaving {
                if kill_switch.under_way(EVERYBODY) > 0 {
                    busy_at = Instant::now();
                }
                if busy_at.elapsed() >= LEAVE_QUIET || leaving.elapsed() >= LEAVE_TIMEOUT {
                    return Ok(());
                }
            }
            if read_at.is_none_or(|at: Instant| at.elapsed() >= RENEW) {
                let then = Instant::now();
                loop {
                    let records = reader.ready(RECORDS_AT_ONCE).await?;
                    if records.is_empty() {
                        break;
                    }
                    records.iter().for_each(|record| kill_switch.apply(record));
                }
                read_at = Some(then);
                if signed_at.is_some_and(|signed| signed <= then) && kill_switch.knows_itself() {
                    kill_switch.extend_lease(then);
                    context.running();
                }
            }
            if signing.is_none() && signed_at.is_some() && !kill_switch.knows_itself() {
                // Somebody took us for dead.
                kill_switch.end_lease();
                kill_switch.tell();
                signing = Some(self.log.append(vec![self.sign(Some(()))]));
            } else if signing.is_none() && (kill_switch.fell_silent() || told_at.elapsed() >= SIGN_AGAIN) {
                told_at = Instant::now();
                signing = Some(self.log.append(vec![self.sign(Some(()))]));
            } else if signing.is_none()
                && let Some(records) = self.leftovers()
            {
                signing = Some(self.log.append(records));
            }
            let pace = if leaving.is_some() || kill_switch.must_fall_silent() { LOOK } else { RENEW };
            tokio::select! {
                records = reader.next(RECORDS_AT_ONCE) => records?.iter().for_each(|record| kill_switch.apply(record)),
                done = async { match &mut signing {
                    Some(signing) => signing.await,
                    None => std::future::pending().await,
                } } => {
                    signing = None;
                    done?;
                    signed_at.get_or_insert_with(Instant::now);
                    read_at = None;
                }
                () = tokio::time::sleep(pace) => {}
                () = context.told_to_stop(), if leaving.is_none() => {
                    (leaving, busy_at) = (Some(Instant::now()), Instant::now());
                }
            }
        }
    }

    /// This process among the workers, as it is now; or its goodbye.
    fn sign(&self, lives: Option<()>) -> NewRecord {
        let at = Time::from_ms(self.clock.now_ms());
        let worker = lives.map(|()| Worker { roles: self.roles.clone(), silent: self.kill_switch.silences(), at });
        record(&self.kill_switch.instance, worker.as_ref(), at, self.log.partitions())
    }

    /// What makes the log forget dropped commands that have ended, and processes
    /// that have died.
    fn leftovers(&self) -> Option<Vec<NewRecord>> {
        let finished = std::mem::take(&mut *self.kill_switch.finished.lock().unwrap_or_else(PoisonError::into_inner));
        let (at, partitions) = (Time::from_ms(self.clock.now_ms()), self.log.partitions());
        let ended = finished.iter().map(|command| record::<Dropped>(command, None, at, partitions));
        let dead = self.kill_switch.dead(at.as_ms());
        let dead = dead.iter().map(|worker| record::<Worker>(worker, None, at, partitions));
        let records: Vec<_> = ended.chain(dead).collect();
        (!records.is_empty()).then_some(records)
    }
}

impl KillSwitch {
    /// Takes up one record of the hub's own partition of `control`.
    pub(super) fn apply(&self, record: &Record) {
        let mut state = self.lock();
        state.position = state.position.max(record.position.offset + 1);
        let Ok(key) = std::str::from_utf8(&record.key) else { return };
        let mut parts = key.splitn(3, '/');
        let (Some(HUB), Some(kind), Some(id)) = (parts.next(), parts.next(), parts.next()) else { return };
        let row = record.value.as_deref().map(serde_json::from_slice::<Control>);
        let data = match row {
            None => None,
            Some(Ok(control)) => Some(control.data),
            Some(Err(error)) => {
                tracing::warn!(key, %error, "a record of control is not understood");
                return;
            }
        };
        match kind {
            Stop::KIND => put(&mut state.stops, id, data, key),
            Hold::KIND => put(&mut state.holds, id, data, key),
            Worker::KIND => {
                if data.is_none() && record.headers.get(GOODBYE).is_none() {
                    // It may live, and have its lease until it reads this.
                    state.taken_for_dead = Some(Instant::now());
                }
                put(&mut state.workers, id, data, key);
            }
            Dropped::KIND if data.is_some() => {
                state.dropped.insert(id.into());
            }
            Dropped::KIND => {
                state.dropped.remove(id);
            }
            _ => return,
        }
        drop(state);
        if kind != Worker::KIND {
            // Each waits for the first change after it looked: those who are
            // told of too much look once more.
            self.tell();
        } else {
            self.told_of_workers.notify_waiters();
        }
    }

    /// Processes that have said nothing for long.
    fn dead(&self, now_ms: u64) -> Vec<String> {
        let state = self.lock();
        let others = state.workers.iter().filter(|(name, _)| **name != self.instance);
        let dead = others.filter(|(_, worker)| worker.at.as_ms().saturating_add(DEAD_AFTER_MS) < now_ms);
        dead.map(|(name, _)| name.to_string()).collect()
    }

    fn knows_itself(&self) -> bool {
        self.lock().workers.contains_key(&*self.instance)
    }

    /// The stops under which nothing is under way here.
    fn silences(&self) -> std::collections::BTreeMap<String, u64> {
        let state = self.lock();
        let silent = state.stops.iter().filter(|(scope, stop)| stop.stopped && state.is_silent(scope));
        silent.map(|(scope, stop)| (scope.to_string(), stop.epoch)).collect()
    }

    /// Whether there is a stop that the others do not know us to have heard.
    fn must_fall_silent(&self) -> bool {
        let state = self.lock();
        state.stops.iter().any(|(scope, stop)| stop.stopped && !state.has_told(&self.instance, scope, stop.epoch))
    }

    /// Whether nothing is under way any more under such a stop.
    fn fell_silent(&self) -> bool {
        let state = self.lock();
        state.stops.iter().any(|(scope, stop)| {
            stop.stopped && !state.has_told(&self.instance, scope, stop.epoch) && state.is_silent(scope)
        })
    }
}

impl super::State {
    pub(super) fn has_told(&self, instance: &str, scope: &str, epoch: u64) -> bool {
        let worker = self.workers.get(instance);
        worker.and_then(|worker| worker.silent.get(scope)).is_some_and(|told| *told >= epoch)
    }
}

fn put<T: DeserializeOwned>(
    rows: &mut hashbrown::HashMap<Box<str>, T>,
    id: &str,
    data: Option<serde_json::Value>,
    key: &str,
) {
    match data.map(serde_json::from_value::<T>) {
        None => _ = rows.remove(id),
        Some(Ok(row)) => _ = rows.insert(id.into(), row),
        Some(Err(error)) => tracing::warn!(key, %error, "a row of the hub's own is not understood"),
    }
}
