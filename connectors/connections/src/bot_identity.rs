//! Who we are at the providers: what the owner of a connection's token is
//! called there, so that the pipeline knows our own voice.
//!
//! In: the directory's connections. Out: their `ownIds`, asked for at the
//! provider where a connection has a token and nobody has said, written into
//! the row and announced as any change is. The settings' tokens may become
//! others without a row that changes, so what goes through them is asked again
//! at every start; what we were called before stays ours. What cannot be told
//! now is asked again later, the longer the less likely it is to be told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use pipeline::{
    event::{Connection, House},
    ports::Clock,
};

use providers::{
    client::{
        Caller, Deadline, GuardedCaller, Http, Ledger, Limits, Manner, NotCounted, NotSent, Policies, ProviderClient,
        ProviderError, Rejection, WhileDown,
    },
    credentials::{Link, Links},
};
use runtime::{
    config::{Config, ProviderSettings},
    directory::Directory,
    kill_switch::KillSwitch,
    supervisor::{Failure, RoleContext},
};
use store::{Store, StoreError};

/// Connections that are asked about at the same time.
const CALLS_MAX: usize = 8;
/// Many rows change at once: they are looked at together.
const GATHER: Duration = Duration::from_millis(20);
/// A provider that gave no answer is asked again after so long, and one that
/// refused the token: until then somebody may have done something about it.
const AGAIN_MS: u64 = 30_000;
const AGAIN_REFUSED_MS: u64 = 600_000;
/// What was written is known everywhere by then.
const SETTLED_MS: u64 = 5_000;
/// How late a wait may end that nothing else ends.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// A connection: its tenant and its id.
type Key = (Arc<str>, Arc<str>);

/// Finds out, and writes it down.
pub struct BotIdentity {
    store: Arc<Store>,
    directory: Arc<Directory>,
    links: Links,
    providers: ProviderSettings,
    calls: Arc<GuardedCaller>,
    clock: Arc<dyn Clock>,
    kill_switch: Arc<KillSwitch>,
}

impl BotIdentity {
    /// One that asks the providers of the settings.
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        directory: Arc<Directory>,
        links: Links,
        clock: Arc<dyn Clock>,
        (ledger, kill_switch): (Ledger, Arc<KillSwitch>),
    ) -> Result<BotIdentity, Failure> {
        let providers = config.providers.clone();
        let limits = Limits { allow_private_targets: providers.allow_private_targets, ..Limits::default() };
        let caller = Caller::new(Http::new(limits)?, Arc::clone(&clock), Policies::default(), ledger);
        let calls = Arc::new(GuardedCaller::new(caller, Arc::clone(&kill_switch), Box::new(NotCounted)));
        Ok(BotIdentity { store, directory, links, providers, calls, clock, kill_switch })
    }

    /// Keeps all connections' ids known until told to stop.
    pub async fn run(self: Arc<Self>, mut context: RoleContext) -> Result<(), Failure> {
        tokio::select! {
            () = self.directory.until_known() => {}
            () = context.told_to_stop() => return Ok(()),
        }
        context.running();
        self.kill_switch.leased().await;
        let mut changes = self.directory.changes();
        // The settings may name another token than they did: once in a run they
        // are asked, whatever is written down.
        let (mut asked, mut asked_of_house) = (Vec::new(), BTreeSet::new());
        let mut later = BTreeMap::new();
        loop {
            changes.mark_unchanged();
            asked.extend(self.house_connections().into_iter().filter(|key| asked_of_house.insert(key.clone())));
            asked.extend(self.nameless(&later));
            asked.sort();
            asked.dedup();
            for some in asked.chunks(CALLS_MAX) {
                let told = tokio::select! {
                    told = join_all(some.iter().map(|key| self.look(key))) => told,
                    () = context.told_to_stop() => return Ok(()),
                };
                let now_ms = self.clock.now_ms();
                let again = some.iter().zip(told).filter_map(|(key, again_ms)| Some((key.clone(), now_ms + again_ms?)));
                later.extend(again);
            }
            asked.clear();
            let now_ms = self.clock.now_ms();
            later.retain(|_, at_ms| *at_ms > now_ms);
            tokio::select! {
                changed = changes.changed() => changed?,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = context.told_to_stop() => return Ok(()),
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// What the settings' tokens are used for.
    fn house_connections(&self) -> Vec<Key> {
        let of_house = |(tenant, _, house): (Arc<str>, Arc<str>, Arc<House>)| {
            let rows = self.directory.all::<Connection>(&tenant).into_iter();
            let uses_ours =
                move |row: &Connection| row.enabled && row.sealed_token.is_none() && house.has(&row.provider);
            rows.filter(move |(_, row)| uses_ours(row)).map(move |(id, _)| (Arc::clone(&tenant), id))
        };
        self.directory.everywhere::<House>().into_iter().flat_map(of_house).collect()
    }

    /// Connections with a token of which nobody has said whose it is.
    fn nameless(&self, later: &BTreeMap<Key, u64>) -> Vec<Key> {
        let now_ms = self.clock.now_ms();
        let rows = self.directory.everywhere::<Connection>().into_iter();
        let may_ask = |row: &Connection| row.enabled && row.own_ids.is_empty() && has_question(row);
        let keys = rows.filter(|(.., row)| may_ask(row)).map(|(tenant, id, _)| (tenant, id));
        let is_due = |key: &Key| later.get(key).is_none_or(|at_ms| *at_ms <= now_ms);
        let has_token = |(tenant, id): &Key| self.links.find(tenant, id).is_some_and(|link| link.token.is_some());
        keys.filter(is_due).filter(has_token).collect()
    }

    /// Asks about one; after how long again, if that is of any use.
    async fn look(&self, key: &Key) -> Option<u64> {
        let (tenant, id) = (&*key.0, &*key.1);
        let row = self.directory.get::<Connection>(tenant, id)?;
        let link = self.links.find(tenant, id)?;
        let told = match self.ask(tenant, id, &link).await {
            Ok(ids) => self.write(tenant, id, &row, ids).await.map_err(|error| ProviderError::hub(error.to_string())),
            Err(error) => Err(error),
        };
        match told {
            // Until the row has come round.
            Ok(()) => Some(SETTLED_MS),
            Err(error) => {
                tracing::warn!(tenant, connection = id, %error, "nobody tells who we are there");
                Some(if is_refused(&error) { AGAIN_REFUSED_MS } else { AGAIN_MS })
            }
        }
    }

    async fn ask(&self, tenant: &str, id: &str, link: &Link) -> Result<Vec<String>, ProviderError> {
        let manner = Manner { while_down: WhileDown::Tell, deadline: Deadline::None, is_paced: false };
        let client = ProviderClient::new(Arc::clone(&self.calls), (tenant, id), link, &self.providers, manner)?;
        let nobody = || ProviderError::unsupported("there is nobody to ask");
        let ids = client.provider.identity().ok_or_else(nobody)?.ask(&client).await?;
        if ids.is_empty() { Err(ProviderError::rejected("the answer names nobody")) } else { Ok(ids) }
    }

    /// Writes it into the row, unless that has another token by now, or somebody
    /// has said it meanwhile. What goes through the settings' tokens keeps what
    /// it had: an older bot's posts are ours, too.
    async fn write(&self, tenant: &str, id: &str, asked: &Connection, ids: Vec<String>) -> Result<(), StoreError> {
        let change = |row: &mut Connection| {
            let before = row.own_ids.clone();
            if row.sealed_token == asked.sealed_token && row.own_ids == asked.own_ids {
                row.own_ids.extend(ids);
                row.own_ids.sort();
                row.own_ids.dedup();
            }
            if row.own_ids == before { Err(Written::Already) } else { Ok(()) }
        };
        match self.store.connections().change(tenant, id, change).await {
            Ok(_) | Err(Written::Already | Written::Failed(StoreError::NotFound { .. })) => Ok(()),
            Err(Written::Failed(error)) => Err(error),
        }
    }
}

/// Why a row was not written.
enum Written {
    Already,
    Failed(StoreError),
}

impl From<StoreError> for Written {
    fn from(error: StoreError) -> Self {
        Written::Failed(error)
    }
}

/// Whether the provider tells whose a token is.
fn has_question(row: &Connection) -> bool {
    providers::of(&row.provider).identity().is_some()
}

/// Whether somebody has to do something before it is of use to ask again.
fn is_refused(error: &ProviderError) -> bool {
    match error {
        ProviderError::Unauthorised { .. } | ProviderError::Gone { .. } => true,
        ProviderError::Rejected { code, .. } => *code != Rejection::BadAnswer,
        ProviderError::NotSent { why, retry_at_ms, .. } => retry_at_ms.is_none() && *why != NotSent::Hub,
        _ => false,
    }
}
