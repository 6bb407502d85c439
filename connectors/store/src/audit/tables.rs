//! The audit trail's tables: acts, the mirror's waiting commands, usage and
//! budgets. Here is what writes, within a transaction of the projector
//! ([`super`]); [`super::query`] reads for people.

use pipeline::{
    event::{Act, EVERYBODY, MirrorCommand, MirrorWork},
    topics::Topic,
};

use super::{chain::next_hash, spending::Period};
use crate::{
    database::{INDEXED_CHARS_MAX, Line, Tx, Value},
    error::StoreError,
    from_json, json, sql,
};

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn identity_of(log: u64) -> String {
    format!("{log:016x}")
}

/// How far a topic was read.
pub async fn position(tx: &mut Tx, topic: Topic, partition: u32, log: u64) -> Result<Option<u64>, StoreError> {
    let values = [topic.name().into(), i64::from(partition).into(), identity_of(log).into()];
    let lines = tx.rows(sql!("trail_positions_get"), &values).await?;
    let next = lines.first().map(|line| line.number(0)).transpose()?;
    Ok(next.and_then(|next| u64::try_from(next).ok()))
}

/// It was read so far.
pub async fn set_position(tx: &mut Tx, topic: Topic, partition: u32, log: u64, next: u64) -> Result<(), StoreError> {
    let values = [topic.name().into(), i64::from(partition).into(), identity_of(log).into(), signed(next).into()];
    tx.execute(sql!("trail_positions_set"), &values).await?;
    Ok(())
}

/// What a row of the trail is found by: its agent, task and trace.
pub(crate) fn found_by(act: &Act) -> [Option<String>; 3] {
    let short = |text: &Option<String>| text.as_ref().map(|text| text.chars().take(INDEXED_CHARS_MAX).collect());
    [short(&act.agent_id), short(&act.task_id), short(&act.trace_id)]
}

/// Appends an act to its tenant's chain, once.
pub async fn append(tx: &mut Tx, act: &Act) -> Result<(), StoreError> {
    let tenant = act.tenant_id.as_str();
    tx.lock(&format!("_trail/chain/{tenant}")).await?;
    if !tx.rows(sql!("audit_has"), &[tenant.into(), act.id.as_str().into()]).await?.is_empty() {
        return Ok(());
    }
    let lines = tx.rows(sql!("audit_heads_get"), &[tenant.into()]).await?;
    let head = lines.first().map(|line| Ok::<_, StoreError>((line.number(0)?, line.text(1)?))).transpose()?;
    // As the database will give it back.
    let data = json(act).replace('\0', "\u{fffd}");
    let (number, hash) = next_hash(head.as_ref(), tenant, &data);
    let mut values: Vec<Value> = vec![tenant.into(), number.into()];
    values.extend([act.id.as_str().into(), act.at.0.into(), act.action.as_str().into()]);
    values.extend(found_by(act).map(Value::from));
    values.extend([data.into(), hash.as_str().into()]);
    tx.execute(sql!("audit_append"), &values).await?;
    tx.execute(sql!("audit_heads_set"), &[tenant.into(), number.into(), hash.into()]).await?;
    Ok(())
}

/// A command of the mirror waits.
pub async fn wanted(
    tx: &mut Tx,
    command: &MirrorCommand,
    act: &Act,
    partition: u32,
    offset: u64,
) -> Result<(), StoreError> {
    let provider = match &command.work {
        MirrorWork::Post { place, .. }
        | MirrorWork::Edit { place, .. }
        | MirrorWork::Retract { place, .. }
        | MirrorWork::SetStatus { place, .. } => place.provider(),
        MirrorWork::Whisper { .. } | MirrorWork::CreateChannel { .. } => "slack",
    };
    let values = [
        command.tenant_id.as_str().into(),
        command.id.as_str().into(),
        i64::from(partition).into(),
        signed(offset).into(),
        false.into(),
        command.connection_id.as_str().into(),
        provider.into(),
        (&command.task_id).into(),
        (&act.agent_id).into(),
        command.at.0.into(),
        json(act).into(),
    ];
    tx.execute(sql!("mirror_waiting_put"), &values).await?;
    Ok(())
}

/// It is being done.
pub async fn claimed(tx: &mut Tx, tenant: &str, command: &str) -> Result<(), StoreError> {
    tx.execute(sql!("mirror_waiting_claim"), &[tenant.into(), command.into()]).await?;
    Ok(())
}

/// It has ended; what it was about, if that is known.
pub async fn end(tx: &mut Tx, tenant: &str, command: &str) -> Result<Option<Act>, StoreError> {
    let key = [tenant.into(), command.into()];
    let lines = tx.rows(sql!("mirror_waiting_get"), &key).await?;
    let act = lines.first().map(|line| from_json(&line.text(0)?)).transpose()?;
    tx.execute(sql!("mirror_waiting_delete"), &key).await?;
    Ok(act)
}

/// Those of a partition are another log's.
pub async fn forget_waiting(tx: &mut Tx, partition: u32) -> Result<(), StoreError> {
    tx.execute(sql!("mirror_waiting_clear"), &[i64::from(partition).into()]).await?;
    Ok(())
}

/// Adds to a day's sums. `of`: tenant, day, agent, project, model. `counts`:
/// reports, calls, tokens in and out, millionths of a dollar.
pub async fn add_usage(tx: &mut Tx, of: [&str; 5], counts: [i64; 5]) -> Result<(), StoreError> {
    let values: Vec<Value> = of.into_iter().map(Value::from).chain(counts.into_iter().map(Value::from)).collect();
    tx.execute(sql!("usage_days_add"), &values).await?;
    Ok(())
}

/// What may be spent.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// An agent, or `_all`.
    pub scope: String,
    /// In which time.
    pub period: Period,
    /// In millionths of a dollar.
    pub limit_micros: i64,
    /// Whether agents that have spent it are held until the period ends.
    pub hard_stop: bool,
}

pub(crate) fn budget(line: &Line) -> Result<Budget, StoreError> {
    Ok(Budget {
        scope: line.text(0)?,
        period: Period::from_name(&line.text(1)?),
        limit_micros: line.number(2)?,
        hard_stop: line.truth(3)?,
    })
}

/// The budgets that an agent uses.
pub async fn budgets_of(tx: &mut Tx, tenant: &str, agent: &str) -> Result<Vec<Budget>, StoreError> {
    let lines = tx.rows(sql!("budgets_of"), &[tenant.into(), agent.into()]).await?;
    lines.iter().map(budget).collect()
}

/// What was spent of a budget in the period that a day is in.
pub async fn spent(tx: &mut Tx, tenant: &str, budget: &Budget, day: &str) -> Result<i64, StoreError> {
    let agent = (budget.scope != EVERYBODY).then(|| budget.scope.clone());
    let values = [tenant.into(), budget.period.first_day(day).into(), budget.period.last_day(day).into(), agent.into()];
    let lines = tx.rows(sql!("usage_days_spent"), &values).await?;
    lines.first().map_or(Ok(0), |line| line.number(0))
}

/// Of how much of a budget somebody was told, in which period.
pub async fn told(tx: &mut Tx, tenant: &str, scope: &str) -> Result<Option<(String, i64)>, StoreError> {
    let lines = tx.rows(sql!("budget_told_get"), &[tenant.into(), scope.into()]).await?;
    lines.first().map(|line| Ok((line.text(0)?, line.number(1)?))).transpose()
}

/// Somebody was told.
pub async fn set_told(tx: &mut Tx, tenant: &str, scope: &str, period: &str, percent: i64) -> Result<(), StoreError> {
    let values = [tenant.into(), scope.into(), period.into(), percent.into()];
    tx.execute(sql!("budget_told_set"), &values).await?;
    Ok(())
}
