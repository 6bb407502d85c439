//! Connections to providers, beyond their rows: what there is to choose from
//! ([`pickers`]), how they are installed ([`install`]), their webhooks ([`hooks`]),
//! how they are ([`health`]), and what their webhooks did not tell
//! ([`backfill`]).
//!
//! All of it belongs to the role `api`, which has the store. What is to be done
//! later is a note of `store::upkeep` that is due at some time; every process
//! with the role looks for what is due and claims it for [`LEASE_MS`], so that
//! each thing is done by one, and goes on elsewhere if that one dies.

pub mod backfill;
pub mod bot_identity;
mod calls;
mod counts;
pub mod health;
pub mod hooks;
pub mod install;
mod maintenance;
pub mod mapping;
pub mod pickers;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use hashbrown::{HashMap, HashSet};
use pipeline::{
    event::{Alert, Severity, Time},
    ports::{Clock, Headers, Log, NewRecord},
    retry::Policy,
    topics::{Topic, partition_of},
};
use serde_json::Value;
use tokio::sync::Notify;

use providers::{
    client::{Caller, GuardedCaller, Http, Ledger, Limits, Policies, ProviderError},
    credentials::Links,
};
use runtime::{
    config::{Config, OAuthSettings, ProviderSettings, UpkeepSettings},
    directory::Directory,
    kill_switch::KillSwitch,
    sealing::Seal,
    supervisor::Failure,
};
use store::Store;

pub use calls::problem;
pub use counts::Counts;

/// How long who claimed a note has it for itself, between two signs of life.
const LEASE_MS: u64 = 120_000;

/// Registrations at the same time; those of one connection are one after another.
const REGISTERING_MAX: usize = 64;

/// What connections are looked after with.
pub struct Connections {
    /// What is counted.
    pub counts: Counts,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    store: Arc<Store>,
    directory: Arc<Directory>,
    seal: Arc<Seal>,
    links: Links,
    providers: ProviderSettings,
    oauth: OAuthSettings,
    settings: UpkeepSettings,
    public_url: Option<String>,
    calls: Arc<GuardedCaller>,
    kill_switch: Arc<KillSwitch>,
    /// Providers whose requests are believed by a secret of the settings.
    shared_secrets: HashSet<String>,
    /// Something may be due now.
    wake: Notify,
    /// Registrations of one connection take turns.
    registering: Vec<tokio::sync::Mutex<()>>,
    stopping: AtomicBool,
    /// What reconciliations have read of `events`, by tenant and connection.
    read: Mutex<HashMap<(String, String), backfill::Read>>,
    /// How connections are, as far as this process has looked, for metrics.
    counted: Mutex<HashMap<(String, String), (String, health::Status)>>,
}

/// What it is made of.
pub struct Parts {
    /// Where what is found is fed in.
    pub log: Arc<dyn Log>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The rows and notes as they are written.
    pub store: Arc<Store>,
    /// The rows as they hold.
    pub directory: Arc<Directory>,
    /// Seals what is secret.
    pub seal: Arc<Seal>,
    /// What the tokens have spent.
    pub ledger: Ledger,
    /// Whether anybody may be asked.
    pub kill_switch: Arc<KillSwitch>,
}

impl Connections {
    /// With the providers and limits of a configuration.
    pub fn new(config: &Config, parts: Parts) -> Result<Connections, Failure> {
        let Parts { log, clock, store, directory, seal, ledger, kill_switch } = parts;
        let limits = Limits { allow_private_targets: config.providers.allow_private_targets, ..Limits::default() };
        let policies = Policies { retry: Policy { backoff_first_ms: 200, ..Policy::default() }, ..Policies::default() };
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), policies, ledger);
        let counts = Counts::new()?;
        let observer =
            calls::CallTrail { calls: counts.calls.clone(), log: Arc::clone(&log), clock: Arc::clone(&clock) };
        let secrets = config.webhooks.secrets.iter().filter(|(_, secret)| !secret.is_empty());
        let public = config.server.public_url.trim_end_matches('/');
        Ok(Connections {
            counts,
            links: Links::new(config, Arc::clone(&directory), Arc::clone(&seal)),
            calls: Arc::new(GuardedCaller::new(caller, Arc::clone(&kill_switch), Box::new(observer))),
            kill_switch,
            providers: config.providers.clone(),
            oauth: config.oauth.clone(),
            settings: config.upkeep.clone(),
            public_url: (!public.is_empty()).then(|| public.to_owned()),
            shared_secrets: secrets.map(|(provider, _)| provider.clone()).collect(),
            registering: (0..REGISTERING_MAX).map(|_| tokio::sync::Mutex::default()).collect(),
            wake: Notify::new(),
            stopping: AtomicBool::new(false),
            read: Mutex::default(),
            counted: Mutex::default(),
            log,
            clock,
            store,
            directory,
            seal,
        })
    }

    /// How the hub is reached from outside, without a slash at its end.
    pub fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }

    /// The time, as problems tell when to come again.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Writes a note, whatever was there.
    async fn note(
        &self,
        tenant: &str,
        kind: &str,
        id: &str,
        due_at_ms: Option<i64>,
        data: Value,
    ) -> Result<(), ProviderError> {
        let upkeep = self.store.upkeep();
        // Whoever was faster has written what was true then.
        for _ in 0..3 {
            let written = match upkeep.get(tenant, kind, id).await? {
                Some(mut note) => upkeep.change(&mut note, due_at_ms, data.clone()).await?,
                None => upkeep.add(tenant, kind, id, due_at_ms, &data).await?,
            };
            if written {
                return Ok(());
            }
        }
        Err(ProviderError::hub("others write the same note"))
    }

    async fn append_alert(
        &self,
        kind: &str,
        severity: Severity,
        tenant: &str,
        subject: &str,
        message: String,
    ) -> Result<(), ProviderError> {
        let now_ms = self.clock.now_ms();
        let alert = Alert {
            kind: kind.to_owned(),
            severity,
            tenant_id: tenant.to_owned(),
            subject: subject.to_owned(),
            message,
            at: Time::from_ms(now_ms),
            trace_id: None,
        };
        let record = NewRecord {
            topic: Topic::Alerts,
            partition: partition_of(tenant, self.log.partitions()),
            at_ms: now_ms,
            key: tenant.to_owned().into(),
            value: serde_json::to_vec(&alert).ok().map(Into::into),
            headers: Headers::new([("type", kind.as_bytes()), ("schema", b"nexus.alert.v1".as_slice())]),
        };
        self.log.append(vec![record]).await?;
        Ok(())
    }
}
