//! The kill switch: writes into `control` that a scope is stopped, and answers
//! when it is silent.
//!
//! The row is durable first. Then every process that is known to act (each wrote
//! its name down before its first act, into the same partition) has said that
//! nothing is under way there any more; one that says nothing has lost its lease
//! by the time this answers. Needs the log and nothing else: no database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pipeline::{
    event::{Act, Alert, Deed, Doer, Dropped, EVERYBODY, HUB, Scaled, Stop, Time, Worker},
    ports::{Clock, Headers, Log, LogError, NewRecord},
    topics::{Topic, partition_of},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    KillSwitch, LEASE,
    follow::{goodbye, record},
};
use crate::identity::random_hex;

/// Clocks of two processes may run so differently within a lease.
const CLOCKS_DIFFER: Duration = Duration::from_millis(50);
/// How long a record that is durable may take to be read back here.
const READ_BACK: Duration = Duration::from_secs(2);

/// Who used it, and why.
pub struct Cause {
    /// The client.
    pub by: String,
    /// Its role.
    pub role: String,
    /// Its words.
    pub reason: String,
    /// The trace of the request.
    pub trace_id: String,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Thrown {
    /// A tenant, or `_all`.
    pub scope: String,
    /// Its row now.
    #[serde(flatten)]
    pub stop: Stop,
    /// How long it took until nothing was under way, in ms.
    pub silent_after_ms: u64,
    /// The processes that act, and how each fell silent.
    pub instances: Vec<Instance>,
}

/// A process that acts in the outside world.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its name.
    pub instance: String,
    /// What it does.
    pub roles: Vec<String>,
    /// `silent`: it said so. `lease_expired`: it said nothing, and may begin
    /// nothing. `running`: it works.
    pub state: &'static str,
}

/// See the module.
pub struct Switch {
    log: Arc<dyn Log>,
    kill_switch: Arc<KillSwitch>,
    clock: Arc<dyn Clock>,
    /// One at a time: epochs are counted here.
    busy: tokio::sync::Mutex<()>,
}

impl Switch {
    /// The switch of a log.
    pub fn new(log: Arc<dyn Log>, kill_switch: Arc<KillSwitch>, clock: Arc<dyn Clock>) -> Switch {
        Switch { log, kill_switch, clock, busy: tokio::sync::Mutex::default() }
    }

    /// Stops a scope; answers when it is silent.
    pub async fn stop(&self, scope: &str, cause: &Cause) -> Result<Thrown, LogError> {
        let begun = Instant::now();
        let _turn = self.busy.lock().await;
        let now = Time::from_ms(self.clock.now_ms());
        let before = self.kill_switch.stop_of(scope).unwrap_or_default();
        let stop = Stop {
            epoch: self.next_epoch(&before, now),
            stopped: true,
            reason: cause.reason.clone(),
            by: cause.by.clone(),
            // What was stopped already has been since then, and what was scaled
            // is still to be put back.
            at: if before.stopped { before.at } else { now },
            resumed_at: None,
            scaled: if before.stopped { before.scaled } else { Vec::new() },
        };
        let next = self.write(scope, &stop, cause, "hub.stopped", now).await?;
        let durable = Instant::now();
        let instances = self.silence(scope, stop.epoch, next, durable).await;
        let silent_after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.forget_dead(&instances, now);
        Ok(Thrown { scope: scope.to_owned(), stop, silent_after_ms, instances })
    }

    /// Lets a scope go on; its row as it was before.
    pub async fn resume(&self, scope: &str, cause: &Cause) -> Result<(Thrown, Vec<Scaled>), LogError> {
        let begun = Instant::now();
        let _turn = self.busy.lock().await;
        let now = Time::from_ms(self.clock.now_ms());
        let before = self.kill_switch.stop_of(scope).unwrap_or_default();
        let scaled = before.scaled.clone();
        let stop = match before.stopped {
            false => before,
            true => {
                let epoch = self.next_epoch(&before, now);
                let stop = Stop { epoch, stopped: false, resumed_at: Some(now), scaled: Vec::new(), ..before };
                let next = self.write(scope, &stop, cause, "hub.resumed", now).await?;
                self.read_back(next, Instant::now() + READ_BACK).await;
                stop
            }
        };
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let thrown = Thrown {
            scope: scope.to_owned(),
            stop,
            silent_after_ms: took_ms,
            instances: self.instances(|_| "running"),
        };
        Ok((thrown, scaled))
    }

    /// Writes down which deployments of a stopped scope were scaled to nothing,
    /// before they are.
    pub async fn remember_scaled(&self, scope: &str, scaled: Vec<Scaled>) -> Result<(), LogError> {
        let _turn = self.busy.lock().await;
        let Some(mut stop) = self.kill_switch.stop_of(scope).filter(|stop| stop.stopped) else { return Ok(()) };
        for one in scaled {
            if !stop.scaled.iter().any(|known| known.name == one.name) {
                stop.scaled.push(one);
            }
        }
        let now = Time::from_ms(self.clock.now_ms());
        self.append(vec![record(scope, Some(&stop), now, self.log.partitions())]).await
    }

    /// Has commands of the mirror dropped.
    pub async fn drop_commands(&self, commands: &[(String, String)], cause: &Cause) -> Result<(), LogError> {
        let (now, partitions) = (Time::from_ms(self.clock.now_ms()), self.log.partitions());
        let mut records = Vec::with_capacity(commands.len() * 2);
        for (tenant, command) in commands {
            let dropped = Dropped { tenant_id: tenant.clone(), by: cause.by.clone() };
            records.push(record(command, Some(&dropped), now, partitions));
            let subject = Deed { kind: "command".to_owned(), id: Some(command.clone()) };
            records.push(act("command.dropped", tenant, subject, cause, now, partitions));
        }
        let positions = self.log.append(records).await?;
        let next = positions.iter().filter(|position| position.topic == Topic::Control).map(|at| at.offset + 1).max();
        self.read_back(next.unwrap_or(0), Instant::now() + READ_BACK).await;
        Ok(())
    }

    /// The processes that act, and how they are.
    pub fn instances(&self, state: impl Fn(&(String, Worker)) -> &'static str) -> Vec<Instance> {
        let workers = self.kill_switch.workers().into_iter();
        let shown = workers.map(|worker| {
            let state = state(&worker);
            Instance { instance: worker.0, roles: worker.1.roles, state }
        });
        shown.collect()
    }

    /// How a process is, as far as it has told.
    pub fn state_of(&self, worker: &Worker, scopes: &[String]) -> &'static str {
        let told = |scope: &String| {
            let epoch = self.kill_switch.stop_of(scope).filter(|stop| stop.stopped).map(|stop| stop.epoch);
            epoch.is_some_and(|epoch| worker.silent.get(scope).is_some_and(|told| *told >= epoch))
        };
        if scopes.iter().any(told) { "silent" } else { "running" }
    }

    /// Greater than before, also where the row of before is not known.
    fn next_epoch(&self, before: &Stop, now: Time) -> u64 {
        (before.epoch + 1).max(now.as_ms())
    }

    /// The row, the alert and the line of the trail, all or none; where in the
    /// row's partition to read on.
    async fn write(
        &self,
        scope: &str,
        stop: &Stop,
        cause: &Cause,
        kind: &'static str,
        now: Time,
    ) -> Result<u64, LogError> {
        let partitions = self.log.partitions();
        let tenant = if scope == EVERYBODY { HUB } else { scope };
        let what = if scope == EVERYBODY { "all agents of all tenants" } else { "all agents" };
        let how = if stop.stopped { "stopped" } else { "resumed" };
        let message = format!("{} {how} {what}: {}", cause.by, cause.reason);
        let mut alert = Alert::new(kind, tenant, scope, message, now);
        alert.trace_id = Some(cause.trace_id.clone());
        let subject = Deed { kind: "agents".to_owned(), id: Some(scope.to_owned()) };
        let records = vec![
            record(scope, Some(stop), now, partitions),
            alert_record(&alert, partitions),
            act(kind, tenant, subject, cause, now, partitions),
        ];
        let positions = self.log.append(records).await?;
        Ok(positions.first().map_or(0, |position| position.offset + 1))
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<(), LogError> {
        let positions = self.log.append(records).await?;
        let next = positions.first().map_or(0, |position| position.offset + 1);
        self.read_back(next, Instant::now() + READ_BACK).await;
        Ok(())
    }

    /// Waits until this process knows all before an offset.
    async fn read_back(&self, next: u64, until: Instant) {
        let mut changes = self.kill_switch.changes();
        while self.kill_switch.position() < next && Instant::now() < until {
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    }

    /// Waits until everybody has said that it is silent, or cannot act any more.
    async fn silence(&self, scope: &str, epoch: u64, next: u64, durable: Instant) -> Vec<Instance> {
        let until = durable + LEASE + CLOCKS_DIFFER;
        // Once this is read, so is the name of everybody who may still act.
        self.read_back(next, until).await;
        loop {
            let heard = self.kill_switch.told_of_workers.notified();
            let is_read = self.kill_switch.position() >= next && !self.kill_switch.somebody_may_live();
            let is_silent = |worker: &Worker| worker.silent.get(scope).is_some_and(|told| *told >= epoch);
            if is_read && self.kill_switch.workers().iter().all(|(_, worker)| is_silent(worker)) {
                return self.instances(|_| "silent");
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.instances(|(_, worker)| if is_silent(worker) { "silent" } else { "lease_expired" });
            }
            tokio::select! {
                () = heard => {}
                // Something may have been said between the look and now.
                () = tokio::time::sleep(left.min(Duration::from_millis(10))) => {}
            }
        }
    }

    /// Who said nothing is taken for dead, so that the next one need not wait
    /// for it. If it lives after all, it reads that and writes its name again
    /// before it acts.
    fn forget_dead(&self, instances: &[Instance], now: Time) {
        let dead = instances.iter().filter(|instance| instance.state == "lease_expired");
        // Its lease was waited for.
        let gone = |dead: &Instance| goodbye(record::<Worker>(&dead.instance, None, now, self.log.partitions()));
        let records: Vec<_> = dead.map(gone).collect();
        if !records.is_empty() {
            let appending = self.log.append(records);
            tokio::spawn(async move {
                if let Err(error) = appending.await {
                    tracing::warn!(%error, "processes that are gone could not be taken off the list");
                }
            });
        }
    }
}

/// A record of `alerts`.
pub fn alert_record(alert: &Alert, partitions: u32) -> NewRecord {
    NewRecord {
        topic: Topic::Alerts,
        partition: partition_of(&alert.tenant_id, partitions),
        at_ms: alert.at.as_ms(),
        key: alert.tenant_id.clone().into(),
        value: serde_json::to_vec(alert).ok().map(Into::into),
        headers: Headers::new([("type", alert.kind.as_bytes()), ("schema", Topic::Alerts.spec().schema.as_bytes())]),
    }
}

/// A record of `audit`.
pub fn act_record(act: &Act, partitions: u32) -> NewRecord {
    let trace = act.trace_id.as_deref().unwrap_or_default();
    let parent = format!("00-{trace}-{}-01", &act.id[act.id.len().saturating_sub(16)..]);
    let headers = [
        ("event_id", act.id.as_bytes()),
        ("type", act.action.as_bytes()),
        ("schema", Topic::Audit.spec().schema.as_bytes()),
    ];
    let parent = (!trace.is_empty()).then_some(("traceparent", parent.as_bytes()));
    NewRecord {
        topic: Topic::Audit,
        partition: partition_of(&act.tenant_id, partitions),
        at_ms: act.at.as_ms(),
        key: act.tenant_id.clone().into(),
        value: serde_json::to_vec(act).ok().map(Into::into),
        headers: Headers::new(headers.into_iter().chain(parent)),
    }
}

fn act(action: &str, tenant: &str, subject: Deed, cause: &Cause, at: Time, partitions: u32) -> NewRecord {
    let actor = Doer { kind: "client".to_owned(), id: Some(cause.by.clone()), role: Some(cause.role.clone()) };
    let act = Act {
        id: format!("aud_{}", random_hex()),
        tenant_id: tenant.to_owned(),
        action: action.to_owned(),
        outcome: "done".to_owned(),
        actor,
        subject,
        at,
        reason: Some(cause.reason.clone()),
        trace_id: Some(cause.trace_id.clone()),
        ..Act::default()
    };
    act_record(&act, partitions)
}

impl KillSwitch {
    /// Whether somebody was just taken off the list who may still have a lease.
    fn somebody_may_live(&self) -> bool {
        self.lock().taken_for_dead.is_some_and(|at| at.elapsed() < LEASE + CLOCKS_DIFFER)
    }

    /// How far this process has read the hub's own rows.
    fn position(&self) -> u64 {
        self.lock().position
    }
}
