//! Looks for what is due and does it, a few things at a time; and sees what the
//! directory asks for: connections that nobody looks after yet, projects whose
//! history nobody has asked for.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use hashbrown::{HashMap, HashSet};
use pipeline::event::{Connection, Project, Row, Time};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use udfs::hash::Parts;

use super::{
    Connections, LEASE_MS,
    backfill::BACKFILL,
    health::{HEALTH, Health, Status},
    hooks::HOOK,
    install::{GRANT, STATE, TICKET},
};
use providers::client::{NotSent, ProviderError};
use runtime::supervisor::{Failure, RoleContext};
use store::Note;

/// The kind of note that a project's mapping was seen with.
const MAPPING: &str = "mapping";
/// The kind of note of what is reconciled on its own.
const RECONCILE: &str = "reconcile";

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often at least it is looked for projects whose end has passed.
const ENDS_EVERY: Duration = Duration::from_secs(60);
/// Changes of the directory that come this close are looked at together.
const PAUSE: Duration = Duration::from_millis(100);
/// What is due of a stopped tenant is looked at again so much later.
const STOPPED_MS: u64 = 2_000;
/// How long what is in hand may go on after a stop.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// Things that are done at the same time, backfills apart.
const CHECKS_MAX: usize = 8;
/// Notes that are looked at at once.
const NOTES_AT_ONCE: usize = 200;
/// Connections that come at once are looked at for the first time within this.
const FIRST_LOOK_MS: u64 = 15_000;

/// What this process has seen of the directory.
#[derive(Default)]
struct Known {
    connections: HashMap<(Arc<str>, Arc<str>), u128>,
    mappings: HashSet<u128>,
}

/// A number below another.
fn below(bound: u64) -> u64 {
    // Without randomness all come at once, which is no harm but to the provider.
    getrandom::u64().unwrap_or_default() % bound.max(1)
}

impl Connections {
    /// Looks after connections until told to stop.
    pub async fn run(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        let mut changes = self.directory.changes();
        while !self.directory.is_known() {
            tokio::select! {
                changed = changes.changed() => changed?,
                () = context.told_to_stop() => return Ok(()),
            }
        }
        context.running();
        self.kill_switch.leased().await;
        let (mut known, mut checks, mut backfills) = (Known::default(), JoinSet::new(), JoinSet::new());
        let (mut has_changed, mut is_noticed) = (true, true);
        let mut next_end = Instant::now();
        loop {
            let worked = async {
                if std::mem::take(&mut is_noticed) {
                    self.follow_notices().await?;
                }
                if std::mem::take(&mut has_changed) {
                    tokio::time::sleep(PAUSE).await;
                    changes.mark_unchanged();
                    next_end = Instant::now();
                    self.survey(&mut known).await?;
                }
                // After the changes are marked as seen: what comes while this
                // looks is looked at again.
                if next_end <= Instant::now() {
                    let left = self.archive_ended().await?.map_or(ENDS_EVERY, Duration::from_millis);
                    next_end = Instant::now() + left.min(ENDS_EVERY);
                }
                self.start_due(&mut checks, &mut backfills).await
            };
            if let Err(error) = worked.await {
                tracing::warn!(reason = %error, "connections are looked after later");
                (has_changed, is_noticed) = (true, true);
            }
            tokio::select! {
                () = context.told_to_stop() => break,
                changed = changes.changed() => {
                    changed?;
                    has_changed = true;
                }
                () = self.store.noticed() => is_noticed = true,
                () = self.wake.notified() => {}
                Some(_) = checks.join_next() => {}
                Some(_) = backfills.join_next() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        // A job is put down between two steps.
        self.stopping.store(true, Relaxed);
        let _ = tokio::time::timeout(STOP_GRACE, async { while backfills.join_next().await.is_some() {} }).await;
        Ok(())
    }

    /// Claims what is due, as far as there is room for it, and begins.
    async fn start_due(
        self: &Arc<Self>,
        checks: &mut JoinSet<()>,
        backfills: &mut JoinSet<()>,
    ) -> Result<(), ProviderError> {
        let now_ms = self.clock.now_ms();
        let upkeep = self.store.upkeep();
        for mut note in upkeep.due(now_ms as i64, NOTES_AT_ONCE).await? {
            if self.kill_switch.halted(&note.tenant).is_some() {
                let (later_ms, data) = (now_ms + STOPPED_MS, note.data.clone());
                upkeep.change(&mut note, Some(later_ms as i64), data).await?;
                continue;
            }
            let (crew, room) = match note.kind.as_str() {
                BACKFILL => (&mut *backfills, self.settings.backfills_max.max(1)),
                _ => (&mut *checks, CHECKS_MAX),
            };
            if crew.len() >= room {
                continue;
            }
            let data = note.data.clone();
            if !upkeep.change(&mut note, Some((now_ms + LEASE_MS) as i64), data).await? {
                continue;
            }
            let office = Arc::clone(self);
            crew.spawn(async move {
                let (tenant, kind, id) = (note.tenant.clone(), note.kind.clone(), note.id.clone());
                if let Err(error) = office.attend(note).await {
                    tracing::warn!(tenant, kind, id, reason = %error, "something of a connection is done later");
                }
            });
        }
        Ok(())
    }

    /// Does what a claimed note is about.
    async fn attend(&self, mut note: Note) -> Result<(), ProviderError> {
        match note.kind.as_str() {
            HEALTH => self.check(&mut note).await,
            BACKFILL => self.work_on(&mut note).await,
            RECONCILE => self.reconcile_due(&mut note).await,
            GRANT => self.renew_grant(&mut note).await,
            // What was not redeemed in time.
            STATE | TICKET => Ok(self.store.upkeep().take(&note).await.map(drop)?),
            _ => Ok(self.store.upkeep().change(&mut note, None, Value::Null).await.map(drop)?),
        }
    }

    /// Looks at a connection, and says how it is.
    async fn check(&self, note: &mut Note) -> Result<(), ProviderError> {
        let (tenant, id) = (note.tenant.clone(), note.id.clone());
        let row = self.directory.get::<Connection>(&tenant, &id);
        let Some(row) = row.filter(|row| row.enabled) else { return self.let_go(note).await };
        let seen = self.look(&tenant, &id).await?;
        let heard = self.store.notices().heard(&tenant, &id).await?;
        let before: Health = serde_json::from_value(note.data.clone()).unwrap_or_default();
        let now_ms = self.clock.now_ms();
        let was_stopped = seen.status == Status::Suspended;
        let (health, message) = before.next(seen, heard, Time::from_ms(now_ms), self.settings.silent_after_ms);
        self.count(&tenant, &id, Some((&row.provider, health.status)));
        let interval_ms = self.settings.health_interval_ms.max(1);
        let due_ms = now_ms + interval_ms - interval_ms / 10 + below(interval_ms / 5);
        // Before it is noted that it was told: twice is better than never.
        if let Some(message) = message {
            self.alert(&tenant, &id, message).await?;
        }
        let data = serde_json::to_value(&health).unwrap_or_default();
        self.store.upkeep().change(note, i64::try_from(due_ms).ok(), data).await?;
        if was_stopped {
            // What was not told meanwhile is looked for.
            let from = heard.or(before.checked_at);
            self.backfill(&tenant, &id, from, None, false).await?;
        }
        Ok(())
    }

    /// A connection that is gone or off is looked after no more; its grant and
    /// its webhook are remembered for as long as it is there.
    async fn let_go(&self, note: &mut Note) -> Result<(), ProviderError> {
        let upkeep = self.store.upkeep();
        let (tenant, id) = (note.tenant.clone(), note.id.clone());
        if self.directory.get::<Connection>(&tenant, &id).is_none() {
            for kind in [GRANT, HOOK, RECONCILE] {
                if let Some(other) = upkeep.get(&tenant, kind, &id).await? {
                    upkeep.take(&other).await?;
                }
            }
            self.forget_read(&tenant, &id);
        }
        self.count(&tenant, &id, None);
        upkeep.take(note).await?;
        Ok(())
    }

    /// Counts a connection as this process has found it last.
    fn count(&self, tenant: &str, id: &str, found: Option<(&str, Status)>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let gauge = |(provider, status): &(String, Status)| {
            self.counts.health.with_label_values(&[provider.as_str(), status.name()])
        };
        let key = (tenant.to_owned(), id.to_owned());
        if let Some(before) = counted.remove(&key) {
            gauge(&before).dec();
        }
        if let Some((provider, status)) = found {
            let now = (provider.to_owned(), status);
            gauge(&now).inc();
            counted.insert(key, now);
        }
    }

    async fn reconcile_due(&self, note: &mut Note) -> Result<(), ProviderError> {
        let (tenant, id) = (note.tenant.clone(), note.id.clone());
        let is_there = self.directory.get::<Connection>(&tenant, &id).is_some_and(|row| row.enabled);
        if !is_there || self.settings.reconcile_interval_ms == 0 {
            self.store.upkeep().take(note).await?;
            return Ok(());
        }
        if let Err(error) = self.reconcile(&tenant, &id).await {
            tracing::debug!(tenant, connection = id, reason = %error, "comments are reconciled later");
        }
        let interval_ms = self.settings.reconcile_interval_ms;
        let due_ms = self.clock.now_ms() + interval_ms - interval_ms / 10 + below(interval_ms / 5);
        self.store.upkeep().change(note, i64::try_from(due_ms).ok(), Value::Null).await?;
        Ok(())
    }

    /// Sees what the directory asks for.
    async fn survey(&self, known: &mut Known) -> Result<(), ProviderError> {
        let all = self.directory.everywhere::<Connection>();
        let mut there = HashMap::with_capacity(all.len());
        for (tenant, id, row) in all.iter().filter(|(.., row)| row.enabled) {
            let print = fingerprint(&**row);
            let key = (Arc::clone(tenant), Arc::clone(id));
            let before = known.connections.get(&key).copied();
            there.insert(key, print);
            if before == Some(print) {
                continue;
            }
            self.look_after(tenant, id, row, before.is_some()).await?;
        }
        known.connections = there;
        if self.settings.history_days > 0 {
            for (tenant, id, row) in self.directory.everywhere::<Project>().iter().filter(|(.., row)| !row.archived) {
                self.see_mapping(known, tenant, id, row).await?;
            }
        }
        Ok(())
    }

    /// A connection that is new, or was changed.
    async fn look_after(
        &self,
        tenant: &str,
        id: &str,
        row: &Connection,
        has_changed: bool,
    ) -> Result<(), ProviderError> {
        let (upkeep, now_ms) = (self.store.upkeep(), self.clock.now_ms());
        let is_urgent = has_changed || self.wants_hook(row);
        let wait_ms = if is_urgent { 0 } else { below((self.settings.health_interval_ms / 20).min(FIRST_LOOK_MS)) };
        let due_ms = Some((now_ms + wait_ms) as i64);
        let data = serde_json::to_value(Health::default()).unwrap_or_default();
        let is_new = upkeep.add(tenant, HEALTH, id, due_ms, &data).await?;
        if has_changed
            && !is_new
            && let Some(mut note) = upkeep.get(tenant, HEALTH, id).await?
        {
            let data = note.data.clone();
            upkeep.change(&mut note, due_ms, data).await?;
        }
        let reconciles = providers::of(&row.provider).backfill().is_some_and(|backfill| backfill.comments().is_some());
        if reconciles && self.settings.reconcile_interval_ms > 0 {
            let due_ms = now_ms + below(self.settings.reconcile_interval_ms);
            upkeep.add(tenant, RECONCILE, id, Some(due_ms as i64), &Value::Null).await?;
        }
        Ok(())
    }

    /// A project's channel, list or repository that was not mapped before.
    async fn see_mapping(&self, known: &mut Known, tenant: &str, id: &str, row: &Project) -> Result<(), ProviderError> {
        for provider in providers::PROVIDERS.iter().filter(|provider| provider.backfill().is_some()) {
            let (Some(place), provider) = (provider.place_of(row), provider.name()) else { continue };
            let print = Parts::new().add(tenant).add(id).add(provider).add(place).finish();
            if known.mappings.contains(&print) {
                continue;
            }
            let (upkeep, name, data) = (self.store.upkeep(), format!("{id}.{provider}"), json!(place));
            let is_seen = match upkeep.get(tenant, MAPPING, &name).await? {
                Some(note) if note.data == data => true,
                Some(mut note) => !upkeep.change(&mut note, None, data).await?,
                None => {
                    !self.can_call(tenant, provider, place) || !upkeep.add(tenant, MAPPING, &name, None, &data).await?
                }
            };
            if is_seen {
                if self.can_call(tenant, provider, place) {
                    known.mappings.insert(print);
                }
                continue;
            }
            known.mappings.insert(print);
            match self.backfill_mapping(tenant, id, provider, place).await {
                Ok(()) => {}
                // A person has to do something first.
                Err(ProviderError::NotSent { why, retry_at_ms: None, .. }) if why != NotSent::Hub => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn fingerprint<R: Row>(row: &R) -> u128 {
    udfs::hash::content(serde_json::to_vec(row).unwrap_or_default())
}
