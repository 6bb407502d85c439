//! Alerts, to people: to the tenant's Slack channel for administrators, and to
//! webhooks.
//!
//! In: `alerts`, as the consumer group [`GROUP`]. Out: one command of the mirror
//! for each that is to be said in Slack, committed with the position, so that it
//! is said once and within Slack's limits; one signed POST for each webhook, at
//! least once, with an id that stays the same. Guaranteed: the same alert about
//! the same thing is told once in a while only ([`Quiet`]); a webhook that does
//! not answer holds nothing up for long. What is on the topic stays there
//! whatever becomes of it here.

mod quiet;
mod webhook;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use pipeline::{
    event::{Alert, Connection, HUB, MirrorCommand, MirrorText, MirrorWork, Tenant, Time},
    ports::{Batch, Clock, Headers, Log, LogError, NewRecord, Record, Session},
    topics::{Topic, partition_of},
};
use prometheus::{IntCounterVec, Opts, core::Collector};
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet};
use udfs::hash::{Parts, hex};

use self::{quiet::Quiet, webhook::Webhooks};
use providers::credentials::Links;
use runtime::{
    config::{AlertSettings, Config},
    directory::Directory,
    sealing::Seal,
    supervisor::{Failure, RoleContext},
};

/// The consumer group of all who tell people.
pub const GROUP: &str = "nexus-alerts";
/// The provider of a tenant's own webhook for alerts: a connection whose
/// `baseUrl` is the address and whose secret signs.
pub const PROVIDER: &str = "alerts";

/// Alerts that are read at once.
const RECORDS_AT_ONCE: usize = 100;
/// How long a poll waits: how late a stop is heard.
const PATIENCE: Duration = Duration::from_millis(250);
/// An alert that could not be said in Slack for so long is not news any more.
const NEWS_MS: u64 = 24 * 3_600_000;

/// What is counted.
pub struct Counts {
    told: IntCounterVec,
}

impl Counts {
    /// All at zero.
    pub fn new() -> Result<Counts, prometheus::Error> {
        let told = Opts::new("nexus_alerts_total", "Alerts, by where they went and what became of them.");
        let told = IntCounterVec::new(told, &["to", "outcome"])?;
        for (to, outcome) in [("slack", "asked"), ("webhook", "taken"), ("webhook", "failed"), ("nobody", "repeated")] {
            told.with_label_values(&[to, outcome]);
        }
        Ok(Counts { told })
    }

    /// For a registry.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.told.clone())]
    }

    fn count(&self, to: &str, outcome: &str) {
        self.told.with_label_values(&[to, outcome]).inc();
    }
}

/// What telling needs.
pub struct AlertNotifier {
    /// What is counted.
    pub counts: Counts,
    directory: Arc<Directory>,
    links: Links,
    seal: Arc<Seal>,
    clock: Arc<dyn Clock>,
    settings: AlertSettings,
    webhooks: Webhooks,
}

/// The part that tells people.
#[derive(Clone)]
pub struct Alerts {
    /// Where alerts are.
    pub log: Arc<dyn Log>,
    /// Who tells them.
    pub notifier: Arc<AlertNotifier>,
}

impl AlertNotifier {
    /// One that tells whom the directory and the settings name.
    pub fn new(
        config: &Config,
        directory: Arc<Directory>,
        seal: Arc<Seal>,
        clock: Arc<dyn Clock>,
    ) -> Result<AlertNotifier, Failure> {
        let links = Links::new(config, Arc::clone(&directory), Arc::clone(&seal));
        let webhooks = Webhooks::new(config.providers.allow_private_targets, Arc::clone(&clock))?;
        let (counts, settings) = (Counts::new()?, config.alerts.clone());
        Ok(AlertNotifier { counts, directory, links, seal, clock, settings, webhooks })
    }

    /// Whom an alert is for: the tenant's people; of what is everybody's, all.
    fn tenants(&self, alert: &Alert) -> Vec<String> {
        if alert.tenant_id != HUB {
            return vec![alert.tenant_id.clone()];
        }
        self.directory.everywhere::<Tenant>().into_iter().map(|(tenant, ..)| tenant.to_string()).collect()
    }

    /// The command that says an alert in a tenant's channel, if it has one.
    fn in_slack(&self, tenant: &str, alert: &Alert, id: &str, partitions: u32) -> Option<NewRecord> {
        let row = self.directory.get::<Tenant>(tenant, tenant)?;
        let channel_id = row.admin_slack_channel_id.clone().filter(|channel| !channel.is_empty())?;
        let connections = self.directory.all::<Connection>(tenant);
        let chat_of = |provider: &str| providers::of(provider).write()?.chat();
        let mut chats = connections.iter().filter_map(|(id, row)| Some((id, chat_of(&row.provider)?, row.enabled)));
        let can_write = |id: &str| self.links.find(tenant, id).is_some_and(|link| link.token.is_some());
        let (connection, chat, _) = chats.find(|(id, _, enabled)| *enabled && can_write(id))?;
        let now = Time::from_ms(self.clock.now_ms());
        let sign = match alert.severity {
            pipeline::event::Severity::Critical => "🔴",
            pipeline::event::Severity::Warning => "🟠",
            pipeline::event::Severity::Info => "🔵",
        };
        let markdown = format!("{sign} {}: {}", alert.kind, alert.message);
        let name = Parts::new().add("alert").add(tenant).add(id).finish();
        let command = MirrorCommand {
            id: format!("mir_{}", hex(name)),
            tenant_id: tenant.to_owned(),
            connection_id: connection.to_string(),
            lane: format!("alerts/{channel_id}"),
            work: MirrorWork::Post {
                place: chat.place(&channel_id, None),
                text: MirrorText { markdown, plain: true, from: "nexus".to_owned(), footer: None },
                author: None,
            },
            attempt: 1,
            project_id: None,
            task_id: None,
            action_id: None,
            at: now,
            deadline: Time::from_ms(now.as_ms().saturating_add(NEWS_MS)),
            trace_id: alert.trace_id.clone(),
        };
        let headers = [
            ("event_id", command.id.as_bytes()),
            ("type", b"post".as_slice()),
            ("schema", Topic::MirrorCommands.spec().schema.as_bytes()),
        ];
        Some(NewRecord {
            topic: Topic::MirrorCommands,
            partition: partition_of(tenant, partitions),
            at_ms: now.as_ms(),
            key: tenant.to_owned().into(),
            value: serde_json::to_vec(&command).ok().map(Into::into),
            headers: Headers::new(headers),
        })
    }

    /// The webhooks of an alert: address and secret.
    fn to(&self, tenants: &[String]) -> Vec<(String, String)> {
        let mut to = Vec::new();
        if !self.settings.webhook_url.is_empty() {
            to.push((self.settings.webhook_url.clone(), self.settings.webhook_secret.clone()));
        }
        for tenant in tenants {
            for (id, row) in self.directory.all::<Connection>(tenant) {
                let secret = row.sealed_secrets.first().and_then(|sealed| self.seal.open(tenant, &id, sealed));
                if let (true, true, Some(url), Some(secret)) =
                    (row.enabled, row.provider == PROVIDER, &row.base_url, secret)
                {
                    to.push((url.clone(), secret));
                }
            }
        }
        to
    }
}

impl Alerts {
    /// Tells until told to stop, or until the log fails.
    pub async fn run(self, mut context: RoleContext) -> Result<(), Failure> {
        // Before the tenants are known, nobody could be told.
        let mut changes = self.notifier.directory.changes();
        while !self.notifier.directory.is_known() {
            tokio::select! {
                changed = changes.changed() => changed?,
                () = context.told_to_stop() => return Ok(()),
            }
        }
        let mut membership = self.log.join(GROUP, &[Topic::Alerts]).await?;
        let stopping = Arc::new(AtomicBool::new(false));
        let mut sessions = JoinSet::new();
        context.running();
        let failed = loop {
            tokio::select! {
                session = membership.next() => match session {
                    Ok(session) => {
                        sessions.spawn(self.start(session, Arc::clone(&stopping)));
                    }
                    Err(error) => break Some(error),
                },
                Some(ended) = sessions.join_next() => match ended {
                    Ok(Ok(Ok(()) | Err(LogError::Fenced { .. }))) => {}
                    Ok(Ok(Err(error))) => break Some(error),
                    _ => break Some(LogError::Unavailable { detail: "a session of the alerts died".to_owned() }),
                },
                () = context.told_to_stop() => break None,
            }
        };
        stopping.store(true, Relaxed);
        while sessions.join_next().await.is_some() {}
        drop(membership);
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A thread of its own for a session, which may block it.
    fn start(
        &self,
        mut session: Box<dyn Session>,
        stopping: Arc<AtomicBool>,
    ) -> oneshot::Receiver<Result<(), LogError>> {
        let (tell, ended) = oneshot::channel();
        let (notifier, log, calls) = (Arc::clone(&self.notifier), Arc::clone(&self.log), Handle::current());
        let name = format!("alerts-{}", session.partition());
        let work = move || {
            let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(drive(&mut *session, &*log, &notifier, &calls, &stopping)),
                Err(error) => Err(LogError::Unavailable { detail: format!("no timers for the alerts: {error}") }),
            };
            drop(session);
            let _ = tell.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            tracing::error!(%error, "no thread for the alerts");
        }
        ended
    }
}

async fn drive(
    session: &mut dyn Session,
    log: &dyn Log,
    notifier: &Arc<AlertNotifier>,
    calls: &Handle,
    stopping: &AtomicBool,
) -> Result<(), LogError> {
    let mut quiet = Quiet::new(notifier.settings.repeat_after_s.saturating_mul(1_000));
    while !stopping.load(Relaxed) {
        let records = session.poll(RECORDS_AT_ONCE, PATIENCE).await?;
        let Some(last) = records.last() else { continue };
        let next_offsets = vec![(Topic::Alerts, last.position.offset + 1)];
        let (mut outputs, mut posting) = (Vec::new(), JoinSet::new());
        for record in &records {
            let Some((id, alert)) = read(record, log.identity()) else { continue };
            if !quiet.lets(&alert) {
                notifier.counts.count("nobody", "repeated");
                continue;
            }
            let tenants = notifier.tenants(&alert);
            let said = tenants.iter().filter_map(|tenant| notifier.in_slack(tenant, &alert, &id, log.partitions()));
            let before = outputs.len();
            outputs.extend(said);
            (before..outputs.len()).for_each(|_| notifier.counts.count("slack", "asked"));
            for (url, secret) in notifier.to(&tenants) {
                let (notifier, alert, id) = (Arc::clone(notifier), alert.clone(), id.clone());
                let post = async move {
                    let taken = notifier.webhooks.post(&url, &secret, &id, &alert).await;
                    notifier.counts.count("webhook", if taken { "taken" } else { "failed" });
                };
                posting.spawn_on(post, calls);
            }
        }
        // What a crash interrupts is posted again, under the same id.
        while posting.join_next().await.is_some() {}
        session.commit(Batch { outputs, next_offsets }).await?;
    }
    session.settle().await
}

fn read(record: &Record, log: u64) -> Option<(String, Alert)> {
    let alert: Alert = serde_json::from_slice(record.value.as_deref()?).ok()?;
    let at = record.position;
    let name = Parts::new().add("alert").number(log).number(u64::from(at.partition)).number(at.offset).finish();
    Some((format!("alt_{}", hex(name)), alert))
}
