//! Alerts, to people: to the tenant's Slack channel for administrators, and to
//! webhooks.
//!
//! In: `alerts`, as the consumer group [`GROUP`] ([`runtime::consumer`]). Out: one command of the mirror
//! for each that is to be said in Slack, committed with the position, so that it
//! is said once and within Slack's limits; one signed POST for each webhook, at
//! least once, with an id that stays the same. Guaranteed: the same alert about
//! the same thing is told once in a while only ([`Quiet`]); a webhook that does
//! not answer holds nothing up for long. What is on the topic stays there
//! whatever becomes of it here.

mod quiet;
mod webhook;

use std::{sync::Arc, time::Duration};

use pipeline::{
    event::{Alert, Connection, HUB, MirrorCommand, MirrorText, MirrorWork, Tenant, Time},
    ports::{Clock, Headers, Log, LogError, NewRecord, Record},
    topics::{Topic, partition_of},
};
use prometheus::{IntCounterVec, Opts, core::Collector};
use tokio::task::JoinSet;
use udfs::hash::{Parts, hex};

use self::{quiet::Quiet, webhook::Webhooks};
use providers::credentials::Links;
use runtime::{
    config::{AlertSettings, Config},
    consumer::{self, Commits, Consumer, ConsumerSettings, InHand, Parsed, Processed, Processing},
    directory::Directory,
    sealing::Seal,
    supervisor::{Failure, RoleContext},
};

/// The consumer group of all who tell people.
pub const GROUP: &str = "nexus-alerts";
/// The provider of a tenant's own webhook for alerts: a connection whose
/// `baseUrl` is the address and whose secret signs.
pub const PROVIDER: &str = "alerts";

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
        tokio::select! {
            () = self.notifier.directory.until_known() => {}
            () = context.told_to_stop() => return Ok(()),
        }
        consumer::run(Arc::clone(&self.log), self, context).await
    }

    /// Tells one alert; what is said in Slack goes through the log.
    async fn tell(&self, id: &str, alert: &Alert) -> Vec<NewRecord> {
        let notifier = &self.notifier;
        let tenants = notifier.tenants(alert);
        let mut posting = JoinSet::new();
        for (url, secret) in notifier.to(&tenants) {
            let (notifier, alert, id) = (Arc::clone(notifier), alert.clone(), id.to_owned());
            posting.spawn(async move {
                let taken = notifier.webhooks.post(&url, &secret, &id, &alert).await;
                notifier.counts.count("webhook", if taken { "taken" } else { "failed" });
            });
        }
        let in_slack = |tenant: &String| notifier.in_slack(tenant, alert, id, self.log.partitions());
        let outputs: Vec<_> = tenants.iter().filter_map(in_slack).collect();
        outputs.iter().for_each(|_| notifier.counts.count("slack", "asked"));
        // What a crash interrupts is posted again, under the same id.
        while posting.join_next().await.is_some() {}
        outputs
    }
}

impl Consumer for Alerts {
    /// Its id, and the alert.
    type Request = (String, Alert);
    type Partition = Quiet;

    fn settings(&self) -> ConsumerSettings {
        ConsumerSettings {
            group: GROUP,
            topic: Topic::Alerts,
            name: "alerts",
            open_max: 4_096,
            in_hand_max: 1_024,
            in_hand_of_tenant_max: 128,
            batch_max: 1,
            // Said in Slack once, and not again after a crash.
            commits: Commits::WithPosition,
            stop_grace: Duration::from_secs(2),
        }
    }

    fn now_ms(&self) -> u64 {
        self.notifier.clock.now_ms()
    }

    async fn open(&self, _partition: u32) -> Result<Quiet, LogError> {
        Ok(Quiet::new(self.notifier.settings.repeat_after_s.saturating_mul(1_000)))
    }

    fn parse(&self, record: &Record) -> Parsed<(String, Alert)> {
        let alert = record.value.as_deref().and_then(|value| serde_json::from_slice::<Alert>(value).ok());
        let Some(alert) = alert else { return Parsed::Ignored };
        let (log, at) = (self.log.identity(), record.position);
        let name = Parts::new().add("alert").number(log).number(u64::from(at.partition)).number(at.offset).finish();
        Parsed::Request((format!("alt_{}", hex(name)), alert))
    }

    fn process(&self, quiet: &mut Quiet, batch: Vec<InHand<(String, Alert)>>) -> Processing<(String, Alert)> {
        let told = batch.into_iter().map(|in_hand| in_hand.request).filter(|(_, alert)| {
            let is_told = quiet.lets(alert);
            if !is_told {
                self.notifier.counts.count("nobody", "repeated");
            }
            is_told
        });
        let (alerts, told) = (self.clone(), told.collect::<Vec<_>>());
        Box::pin(async move {
            let mut outputs = Vec::new();
            for (id, alert) in &told {
                outputs.extend(alerts.tell(id, alert).await);
            }
            Processed::Answered(outputs)
        })
    }
}
