//! The announcer: what the store's transactions left in the outbox goes to the
//! log, in order.
//!
//! In: the outbox. Out: records of `control`, and of `commands`, `alerts` and
//! `audit` where a row says so. Guaranteed: a row goes from the outbox only when its record is durable,
//! so each is announced at least once and, a repeat being the same record, in
//! effect once; the order of a tenant's rows is that of its commits; of several
//! processes one announces at a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    event::{
        Act, Agent, Alert, Alias, Client, Connection, Control, House, Project, Row, Tenant, Time, User, UserMapping,
        Workgroup,
    },
    ports::{Headers, Log, LogError, NewRecord},
    topics::{Topic, partition_of},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{
    Paging, Store, StoreError,
    database::Line,
    from_json,
    outbox::{ACT, ALERT, COMMAND},
    rows::{PAGE_ROWS_MAX, Stored},
    sql,
    work::Work,
};
use runtime::{
    config::Config,
    kill_switch::switch::{act_record, alert_record},
    supervisor::{Failure, RoleContext},
};

/// Rows that are appended together.
const ROWS_AT_ONCE: i64 = 500;
/// How often the outbox is looked at for what another process wrote.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The transaction that holds the claim waits no longer for the log: on SQLite
/// every other writer waits for it.
const APPEND_TIMEOUT: Duration = Duration::from_secs(2);
/// The name of the claim. No tenant's: those begin otherwise.
const CLAIM: &str = "_outbox";
/// The fact that names the log which knows all rows.
const LOG: &str = "log";
/// The fact that says whom the log has for the house.
const HOUSE: &str = "house";

/// Announces what a store writes to a log.
#[derive(Clone)]
pub struct Announcer {
    /// Whose outbox.
    pub store: Arc<Store>,
    /// To which log.
    pub log: Arc<dyn Log>,
    /// Who may use the settings' tokens; nothing where that is not for this
    /// process to say.
    pub house: Option<HouseRule>,
}

/// Who may use the settings' tokens, and for which providers.
#[derive(Clone)]
pub struct HouseRule {
    tenant: Option<String>,
    /// Tenants that the settings themselves name.
    named: BTreeSet<String>,
    providers: Vec<String>,
}

/// Whom the log has for it.
#[derive(PartialEq, Serialize, Deserialize)]
struct Housed {
    tenant: String,
    house: House,
}

impl HouseRule {
    /// As the settings say, for the providers that they have tokens for.
    pub fn of(config: &Config, providers: Vec<String>) -> HouseRule {
        let tenant = Some(config.default_tenant.clone()).filter(|tenant| !tenant.is_empty());
        let named = config.connections.iter().map(|connection| connection.tenant.clone());
        HouseRule { tenant, named: named.collect(), providers }
    }

    /// The tenant that was named, else the only one there is.
    async fn apply(&self, store: &Store) -> Result<Option<Housed>, StoreError> {
        if self.providers.is_empty() {
            return Ok(None);
        }
        let tenant = match &self.tenant {
            Some(tenant) => Some(tenant.clone()),
            None => {
                let page = store.tenants().all(&Paging { limit: 2, after: None }).await?;
                let mut tenants = self.named.clone();
                tenants.extend(page.rows.into_iter().map(|tenant| tenant.id));
                tenants.pop_first().filter(|_| tenants.is_empty())
            }
        };
        Ok(tenant.map(|tenant| Housed { tenant, house: House { providers: self.providers.clone() } }))
    }
}

impl Announcer {
    /// Announces until told to stop.
    pub async fn run(self, mut context: RoleContext) -> Result<(), Failure> {
        self.introduce().await?;
        self.settle_house().await?;
        context.running();
        loop {
            if self.announce_some().await? > 0 {
                // There may be one tenant more, or less.
                self.settle_house().await?;
                continue;
            }
            tokio::select! {
                () = self.store.written.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = context.told_to_stop() => return Ok(()),
            }
        }
    }

    /// Announces all there is, for a command that ends then; tells how much.
    pub async fn catch_up(&self) -> Result<usize, Failure> {
        self.introduce().await?;
        let mut announced = self.announce_all_there_is().await?;
        self.settle_house().await?;
        announced += self.announce_all_there_is().await?;
        Ok(announced)
    }

    async fn announce_all_there_is(&self) -> Result<usize, Failure> {
        let mut announced = 0;
        loop {
            match self.announce_some().await? {
                0 => return Ok(announced),
                some => announced += some,
            }
        }
    }

    /// Gives a log that does not know the store all of its rows: a new one, or
    /// one that lost its `control`.
    async fn introduce(&self) -> Result<(), Failure> {
        let identity = format!("{:016x}", self.log.identity());
        let known = self.store.database.rows(sql!("facts_get"), &[LOG.into()]).await?;
        let known = known.first().map(|line| line.text(0)).transpose()?;
        let lags = self.log.lag("", &[Topic::Control]).await?;
        let empty = lags.iter().all(|lag| lag.end_offset == 0);
        if known.as_deref() == Some(identity.as_str()) && !empty {
            return Ok(());
        }
        self.store.announce_all().await?;
        let mut tx = self.store.database.begin().await?;
        tx.execute(sql!("facts_set"), &[LOG.into(), identity.into()]).await?;
        tx.execute(sql!("facts_set"), &[HOUSE.into(), "null".into()]).await?;
        Ok(tx.commit().await?)
    }

    /// Lets the log know who may use the settings' tokens.
    async fn settle_house(&self) -> Result<(), Failure> {
        let Some(rule) = &self.house else { return Ok(()) };
        let wanted = rule.apply(&self.store).await?;
        let noted = self.store.database.rows(sql!("facts_get"), &[HOUSE.into()]).await?;
        let noted = noted.first().map(|line| line.text(0)).transpose()?;
        let noted: Option<Housed> = noted.and_then(|noted| serde_json::from_str(&noted).ok()).flatten();
        if noted == wanted {
            return Ok(());
        }
        if let Some(before) = noted.filter(|before| wanted.as_ref().is_none_or(|now| now.tenant != before.tenant)) {
            let mut work = self.store.work(&before.tenant).await?;
            work.outbox(House::KIND, House::ID, None).await?;
            work.commit().await?;
        }
        if let Some(now) = &wanted {
            let mut work = self.store.work(&now.tenant).await?;
            work.outbox(House::KIND, House::ID, Some(serde_json::to_string(&now.house)?)).await?;
            work.commit().await?;
        }
        let mut tx = self.store.database.begin().await?;
        tx.execute(sql!("facts_set"), &[HOUSE.into(), serde_json::to_string(&wanted)?.into()]).await?;
        Ok(tx.commit().await?)
    }

    /// Announces the oldest rows; tells how many.
    async fn announce_some(&self) -> Result<usize, Failure> {
        // A look that claims nothing and keeps no writer waiting.
        if self.store.database.rows(sql!("outbox_page"), &[1.into()]).await?.is_empty() {
            return Ok(0);
        }
        self.log.ready()?;
        let mut tx = self.store.database.begin().await?;
        tx.lock(CLAIM).await?;
        let lines = tx.rows(sql!("outbox_page"), &[ROWS_AT_ONCE.into()]).await?;
        let partitions = self.log.partitions();
        let records = lines.iter().map(|line| record(line, partitions)).collect::<Result<Vec<_>, _>>()?;
        if records.is_empty() {
            return Ok(0);
        }
        let appended = tokio::time::timeout(APPEND_TIMEOUT, self.log.append(records)).await;
        appended.map_err(|_| LogError::Unavailable { detail: "an announcement takes too long".to_owned() })??;
        for line in &lines {
            tx.execute(sql!("outbox_done"), &[line.number(0)?.into()]).await?;
        }
        tx.commit().await?;
        Ok(lines.len())
    }
}

/// The record that a row of the outbox asks for.
fn record(line: &Line, partitions: u32) -> Result<NewRecord, StoreError> {
    let (tenant, kind, id) = (line.text(1)?, line.text(2)?, line.text(3)?);
    let (data, at) = (line.some_text(4)?, Time(line.number(5)?));
    let partition = partition_of(&tenant, partitions);
    let header = |kind: &str, schema: &str| Headers::new([("type", kind.as_bytes()), ("schema", schema.as_bytes())]);
    if kind == COMMAND {
        let data = data.unwrap_or_default();
        let command: Json = from_json(&data)?;
        return Ok(NewRecord {
            topic: Topic::Commands,
            partition,
            at_ms: at.as_ms(),
            headers: header(command["kind"].as_str().unwrap_or_default(), Topic::Commands.spec().schema),
            key: Bytes::from(tenant),
            value: Some(Bytes::from(data)),
        });
    }
    match (&*kind, &data) {
        (ALERT, Some(data)) => return Ok(alert_record(&from_json::<Alert>(data)?, partitions)),
        (ACT, Some(data)) => return Ok(act_record(&from_json::<Act>(data)?, partitions)),
        _ => {}
    }
    let key = Bytes::from(format!("{tenant}/{kind}/{id}"));
    let headers = header(&kind, Topic::Control.spec().schema);
    let control = |data: String| {
        let control = Control { kind, tenant_id: tenant, id, data: from_json(&data)?, at };
        serde_json::to_vec(&control).map(Bytes::from).map_err(StoreError::unreadable)
    };
    let value = data.map(control).transpose()?;
    Ok(NewRecord { topic: Topic::Control, partition, at_ms: at.as_ms(), key, value, headers })
}

impl Store {
    /// How many rows wait to be announced.
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        let lines = self.database.rows(sql!("outbox_waiting"), &[]).await?;
        let waiting = lines.first().map(|line| line.number(0)).transpose()?;
        Ok(waiting.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// Puts every row of every tenant into the outbox, as it is.
    async fn announce_all(&self) -> Result<(), StoreError> {
        let mut paging = Paging { limit: PAGE_ROWS_MAX, after: None };
        loop {
            let page = self.tenants().all(&paging).await?;
            for tenant in &page.rows {
                let mut work = self.work(&tenant.id).await?;
                all_of::<Tenant>(&mut work, &tenant.id).await?;
                all_of::<Agent>(&mut work, &tenant.id).await?;
                all_of::<Client>(&mut work, &tenant.id).await?;
                all_of::<Workgroup>(&mut work, &tenant.id).await?;
                all_of::<Alias>(&mut work, &tenant.id).await?;
                all_of::<Project>(&mut work, &tenant.id).await?;
                all_of::<User>(&mut work, &tenant.id).await?;
                all_of::<UserMapping>(&mut work, &tenant.id).await?;
                all_of::<Connection>(&mut work, &tenant.id).await?;
                work.commit().await?;
            }
            match page.next {
                Some(next) => paging.after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

async fn all_of<R: Stored>(work: &mut Work<'_>, tenant: &str) -> Result<(), StoreError> {
    if R::KIND == Tenant::KIND {
        return work.announce_again(R::KIND, tenant).await;
    }
    let mut after = String::new();
    loop {
        let values = [tenant.into(), after.as_str().into(), ROWS_AT_ONCE.into()];
        let lines = work.tx().rows(R::STATEMENTS.page, &values).await?;
        let Some(last) = lines.last() else { return Ok(()) };
        after = last.text(0)?;
        for line in &lines {
            work.announce_again(R::KIND, &line.text(0)?).await?;
        }
    }
}
