//! The topics, from a time to a time. The pipeline's outputs carry the log's
//! clock, which never goes back in a partition: a reader ends where it is past.

use hashbrown::HashMap;
use pipeline::{
    event::{ActorKind, AgentAction, Alert, Control, EventType, InboxEntry, MirrorCommand, Row, StandardEvent, Tenant},
    governance::TaskTurn,
    ports::{Log, LogError, Record, Start, Visibility},
    topics::Topic,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    NoReport, Query, Tallies,
    judge::{Judge, Said},
};

const RECORDS_AT_ONCE: usize = 512;
/// Messages of one partition that were refused and are held until their words
/// are found: each with its words.
const REFUSED_MAX: usize = 100_000;
/// How long before its answer a message may have been written.
const ANSWERED_WITHIN_MS: u64 = 86_400_000;

/// A message that was refused.
pub struct Refused {
    at_ms: u64,
    tenant: String,
    agent: String,
    task: Option<String>,
    words: String,
}

/// All records of a partition until `each` has seen enough.
async fn scan(
    log: &dyn Log,
    topic: Topic,
    partition: u32,
    mut each: impl FnMut(&Record) -> Result<bool, NoReport>,
) -> Result<(), NoReport> {
    let mut reader = log.read(topic, partition, Start::Oldest, Visibility::Durable).await?;
    loop {
        let records = match reader.ready(RECORDS_AT_ONCE).await {
            Ok(records) => records,
            // Retention went on while we read: what is left begins later.
            Err(LogError::Gone { first, .. }) => {
                reader = log.read(topic, partition, Start::Offset(first), Visibility::Durable).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            if !each(record)? {
                return Ok(());
            }
        }
        tokio::task::yield_now().await;
    }
}

fn value<'a, T: Deserialize<'a>>(record: &'a Record) -> Option<T> {
    serde_json::from_slice(record.value.as_deref()?).ok()
}

impl Query {
    fn wants(&self, record: &Record) -> bool {
        record.at_ms >= self.from_ms && self.tenant.as_ref().is_none_or(|tenant| *record.key == *tenant.as_bytes())
    }

    fn is_past(&self, record: &Record) -> bool {
        record.at_ms > self.to_ms
    }
}

/// The tenants' own limits, as they are now.
pub async fn own_limits(log: &dyn Log) -> Result<HashMap<String, Map<String, Value>>, NoReport> {
    let mut own = HashMap::new();
    for partition in 0..log.partitions() {
        scan(log, Topic::Control, partition, |record| {
            let key = String::from_utf8_lossy(&record.key);
            let mut parts = key.splitn(3, '/');
            if let (Some(tenant), Some(Tenant::KIND)) = (parts.next(), parts.next()) {
                let row = value::<Control>(record).and_then(|control| Tenant::deserialize(control.data).ok());
                match row.and_then(|row| row.limits) {
                    Some(limits) => own.insert(tenant.to_owned(), limits),
                    None => own.remove(tenant),
                };
            }
            Ok(true)
        })
        .await?;
    }
    Ok(own)
}

/// What was refused, in the order of its refusal, with the words.
pub async fn refused(
    log: &dyn Log,
    partition: u32,
    query: &Query,
    was: &mut Tallies,
) -> Result<Vec<Refused>, NoReport> {
    let mut answers: HashMap<String, (u64, usize)> = HashMap::new();
    scan(log, Topic::AgentsInbox, partition, |record| {
        let is_answer = record.headers.get("type") == Some(b"action_result");
        let entry = (is_answer && query.wants(record)).then(|| value::<InboxEntry>(record)).flatten();
        let data = entry.and_then(|entry| entry.data).unwrap_or_default();
        let field = |name: &str| data.get(name).and_then(Value::as_str);
        if let (Some("muted"), Some(rule), Some(action)) = (field("status"), field("reason"), field("actionId")) {
            was.refused(rule);
            let place = answers.len();
            answers.insert(action.to_owned(), (record.at_ms, place));
            if answers.len() > REFUSED_MAX {
                return Err(NoReport::TooMany { max: REFUSED_MAX });
            }
        }
        Ok(!query.is_past(record))
    })
    .await?;
    let mut refused = Vec::with_capacity(answers.len());
    let since_ms = query.from_ms.saturating_sub(ANSWERED_WITHIN_MS);
    scan(log, Topic::AgentsActions, partition, |record| {
        if answers.is_empty() {
            return Ok(false);
        }
        let action = (record.at_ms >= since_ms).then(|| value::<AgentAction>(record)).flatten();
        let found = action.and_then(|action| answers.remove(&action.id).map(|found| (action, found)));
        if let Some((action, (at_ms, place))) = found {
            let field = |name: &str| action.data.get(name).and_then(Value::as_str).map(str::to_owned);
            let words = field("text").or_else(|| field("message"));
            if let Some(words) = words {
                let (tenant, agent, task) = (action.tenant_id.clone(), action.agent_id.clone(), field("taskId"));
                refused.push((place, Refused { at_ms, tenant, agent, task, words }));
            }
        }
        Ok(true)
    })
    .await?;
    refused.sort_by_key(|(place, _)| *place);
    Ok(refused.into_iter().map(|(_, refused)| refused).collect())
}

/// The alerts that there were.
pub async fn alerts(log: &dyn Log, partition: u32, query: &Query, was: &mut Tallies) -> Result<(), NoReport> {
    scan(log, Topic::Alerts, partition, |record| {
        if let Some(alert) = query.wants(record).then(|| value::<Alert>(record)).flatten() {
            was.alert(&alert.kind, &alert.tenant_id, &alert.subject);
        }
        Ok(!query.is_past(record))
    })
    .await
}

/// What was said and what moved, and in between what was refused.
pub async fn happened(
    log: &dyn Log,
    partition: u32,
    query: &Query,
    refused: Vec<Refused>,
    judge: &mut Judge<'_>,
) -> Result<(), NoReport> {
    let mut refused = refused.into_iter().peekable();
    // Agents may name tasks as their providers do.
    let mut ids: HashMap<String, String> = HashMap::new();
    scan(log, Topic::Events, partition, |record| {
        while let Some(one) = refused.next_if(|one| one.at_ms < record.at_ms) {
            say_refused(&one, &ids, judge);
        }
        if let Some(event) = query.wants(record).then(|| value::<StandardEvent>(record)).flatten() {
            happen(&event, record.at_ms, &mut ids, judge);
        }
        Ok(!query.is_past(record))
    })
    .await?;
    refused.for_each(|one| say_refused(&one, &ids, judge));
    Ok(())
}

fn say_refused(one: &Refused, ids: &HashMap<String, String>, judge: &mut Judge<'_>) {
    let task = one.task.as_ref().map(|task| ids.get(&format!("{}/{task}", one.tenant)).unwrap_or(task));
    let (tenant, agent, words, at_ms) = (&*one.tenant, &*one.agent, &*one.words, one.at_ms);
    judge.say(&Said { tenant, agent, task: task.map(|task| &**task), words, at_ms });
}

fn happen(event: &StandardEvent, at_ms: u64, ids: &mut HashMap<String, String>, judge: &mut Judge<'_>) {
    if event.echo {
        return;
    }
    let (tenant, task) = (&*event.tenant_id, event.task.as_ref());
    let task_id = task.and_then(|task| task.id.as_deref());
    if let (Some(id), Some(external)) = (task_id, task.and_then(|task| task.external_id.as_deref())) {
        ids.entry(format!("{tenant}/{external}")).or_insert_with(|| id.to_owned());
    }
    let actor = event.actor.as_ref();
    let words = event.message.as_ref().map(|message| &*message.text).filter(|text| !text.is_empty());
    let is_moved = event.kind == EventType::WorkItemStatusChanged;
    if event.source.provider == "nexus"
        && let (Some(agent), Some(words)) = (actor.and_then(|actor| actor.agent_id.as_deref()), words)
        && (is_moved || event.kind == EventType::MessagePosted)
    {
        let named = task_id.filter(|_| is_moved).map(|task| format!("{task} {}\n{words}", moved_to(event)));
        judge.say(&Said { tenant, agent, task: task_id, words: named.as_deref().unwrap_or(words), at_ms });
    }
    let Some(task) = task_id else { return };
    let is_person = actor.is_some_and(|actor| actor.kind == ActorKind::Human && actor.agent_id.is_none());
    match event.kind {
        EventType::WorkItemStatusChanged => judge.turn(tenant, task, TaskTurn::Moved, at_ms),
        EventType::MessagePosted | EventType::CommentPosted if is_person => {
            judge.turn(tenant, task, TaskTurn::Person, at_ms);
        }
        _ => {}
    }
}

fn moved_to(event: &StandardEvent) -> &str {
    let after = event.changes.iter().find(|change| change.field == "state").and_then(|change| change.after.as_ref());
    after.and_then(Value::as_str).unwrap_or_default()
}

/// What was done at the providers.
pub async fn mirrored(log: &dyn Log, partition: u32, query: &Query, judge: &mut Judge<'_>) -> Result<(), NoReport> {
    scan(log, Topic::MirrorCommands, partition, |record| {
        let command = query.wants(record).then(|| value::<MirrorCommand>(record)).flatten();
        if let Some((tenant, project)) = command.and_then(|command| Some((command.tenant_id, command.project_id?))) {
            judge.sync(&tenant, &project, record.at_ms);
        }
        Ok(!query.is_past(record))
    })
    .await
}
