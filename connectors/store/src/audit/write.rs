//! What was read, written in one transaction with how far that was.

use std::collections::BTreeMap;

use pipeline::{
    event::{Act, Alert, Deed, Doer, EVERYBODY, HUB, Hold, MirrorResult, Row, Time},
    topics::Topic,
};

use super::{
    AuditProjector, Batch, Entry, Used, spending,
    tables::{self, Budget},
};
use crate::{StoreError, batch_writer::Writes, database::Tx, outbox};
use runtime::acts;
use runtime::identity::random_hex;

/// Sums of one report of the same kind.
#[derive(Default)]
struct Sum {
    reports: i64,
    calls: i64,
    input: i64,
    output: i64,
    cost_micros: i64,
    last_ms: u64,
    trace_id: Option<String>,
}

impl Writes for AuditProjector {
    type Batch = Batch;

    /// Writes what was read, whole or not at all.
    async fn write(&self, batches: BTreeMap<u32, Batch>) -> Result<(), StoreError> {
        if batches.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut told = false;
        for (partition, batch) in batches {
            // Another process may write the same: who comes later finds it done.
            tx.lock(&format!("_trail/{partition}")).await?;
            self.advance(&mut tx, partition, &batch).await?;
            told |= self.write_one(&mut tx, partition, batch.entries).await?;
        }
        tx.commit().await?;
        if told {
            self.store.announce_soon();
        }
        Ok(())
    }
}

impl AuditProjector {
    /// A batch must be the next one. One that was written already, in part or
    /// whole, is not written again: its reader is behind, and begins anew.
    async fn advance(&self, tx: &mut Tx, partition: u32, batch: &Batch) -> Result<(), StoreError> {
        for (topic, stretch) in &batch.stretches {
            let known = tables::position(tx, *topic, partition, self.log.identity()).await?.unwrap_or(0);
            if known != stretch.from {
                let detail = format!("{} of partition {partition} is written by another process", topic.name());
                return Err(StoreError::Unavailable { detail });
            }
            tables::set_position(tx, *topic, partition, self.log.identity(), stretch.next).await?;
        }
        Ok(())
    }

    async fn write_one(&self, tx: &mut Tx, partition: u32, entries: Vec<Entry>) -> Result<bool, StoreError> {
        let mut sums: BTreeMap<[String; 5], Sum> = BTreeMap::new();
        for entry in entries {
            match entry {
                Entry::Wanted(command, act, offset) => {
                    tables::wanted(tx, &command, &act, partition, offset).await?;
                }
                Entry::Claimed(tenant, command) => tables::claimed(tx, &tenant, &command).await?,
                Entry::Ended(result, id) => self.ended(tx, &result, id).await?,
                Entry::Done(act) => tables::append(tx, &act).await?,
                Entry::Used(used) => self.add(&mut sums, *used),
            }
        }
        let mut told = false;
        let mut agents: BTreeMap<(String, String), (String, u64, Option<String>)> = BTreeMap::new();
        for ([tenant, day, agent, project, model], sum) in sums {
            let counts = [sum.reports, sum.calls, sum.input, sum.output, sum.cost_micros];
            tables::add_usage(tx, [&tenant, &day, &agent, &project, &model], counts).await?;
            let latest = agents.entry((tenant, agent)).or_default();
            if sum.last_ms >= latest.1 {
                *latest = (day, sum.last_ms, sum.trace_id);
            }
        }
        for ((tenant, agent), (day, at_ms, trace_id)) in agents {
            let at = Time::from_ms(at_ms);
            for budget in tables::budgets_of(tx, &tenant, &agent).await? {
                told |= self.tell_of_budget(tx, &tenant, &budget, &day, at, trace_id.as_deref()).await?;
            }
        }
        Ok(told)
    }

    async fn ended(&self, tx: &mut Tx, result: &MirrorResult, id: String) -> Result<(), StoreError> {
        let begun = tables::end(tx, &result.tenant_id, &result.command_id).await?;
        tables::append(tx, &acts::of_result(begun, result, id)).await
    }

    fn add(&self, sums: &mut BTreeMap<[String; 5], Sum>, used: Used) {
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let cost_micros = spending::cost_micros(&used.usage, &self.prices);
        let usage = used.usage;
        let sum = sums.entry([used.tenant, used.day, used.agent, used.project, usage.model]).or_default();
        sum.reports += 1;
        sum.calls = sum.calls.saturating_add(count(usage.calls.unwrap_or(1)));
        sum.input = sum.input.saturating_add(count(usage.input_tokens));
        sum.output = sum.output.saturating_add(count(usage.output_tokens));
        sum.cost_micros = sum.cost_micros.saturating_add(cost_micros);
        (sum.last_ms, sum.trace_id) = (sum.last_ms.max(used.at_ms), used.trace_id);
    }

    /// Says which steps of a budget were reached that nobody was told of in this
    /// period, and holds who has used it up, if that is wanted.
    async fn tell_of_budget(
        &self,
        tx: &mut Tx,
        tenant: &str,
        budget: &Budget,
        day: &str,
        at: Time,
        trace_id: Option<&str>,
    ) -> Result<bool, StoreError> {
        let period = budget.period.first_day(day);
        let spent = tables::spent(tx, tenant, budget, day).await?;
        let known = tables::told(tx, tenant, &budget.scope).await?;
        let known = known.filter(|(of, _)| *of == period).map_or(0, |(_, percent)| percent);
        let mut told = known;
        for (percent, kind) in spending::steps(spent, budget.limit_micros, known) {
            let who = if budget.scope == EVERYBODY { "all agents" } else { budget.scope.as_str() };
            let (spent, limit) = (dollars(spent), dollars(budget.limit_micros));
            let word = budget.period.name();
            let message = format!("{who} used {spent} of {limit} dollars this {word} ({percent} %)");
            let mut alert = Alert::new(kind, tenant, &budget.scope, message, at);
            alert.trace_id = trace_id.map(str::to_owned);
            outbox::post_alert(tx, &alert).await?;
            if percent == 100 && budget.hard_stop {
                self.hold(tx, tenant, budget, day, at).await?;
            }
            told = percent;
        }
        if told > known {
            tables::set_told(tx, tenant, &budget.scope, &period, told).await?;
        }
        Ok(told > known)
    }

    async fn hold(&self, tx: &mut Tx, tenant: &str, budget: &Budget, day: &str, at: Time) -> Result<(), StoreError> {
        let reason = format!("the budget of this {} is used up", budget.period.name());
        let hold = Hold { reason: reason.clone(), until: Time(budget.period.end_ms(day)) };
        let id = if budget.scope == EVERYBODY { tenant.to_owned() } else { format!("{tenant}/{}", budget.scope) };
        outbox::post_row(tx, HUB, Hold::KIND, &id, Some(&hold), at).await?;
        let agent = (budget.scope != EVERYBODY).then(|| budget.scope.clone());
        let act = Act {
            id: format!("aud_{}", random_hex()),
            tenant_id: tenant.to_owned(),
            action: "agent.held".to_owned(),
            outcome: "done".to_owned(),
            actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
            subject: Deed { kind: "budget".to_owned(), id: Some(budget.scope.clone()) },
            at,
            agent_id: agent,
            reason: Some(reason),
            ..Act::default()
        };
        tables::append(tx, &act).await
    }

    pub(super) async fn position(&self, topic: Topic, partition: u32) -> Result<Option<u64>, StoreError> {
        let mut tx = self.store.begin().await?;
        tables::position(&mut tx, topic, partition, self.log.identity()).await
    }

    /// A log, or a topic of it, that was never read.
    pub(super) async fn begin(&self, topic: Topic, partition: u32, next: u64) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        tx.lock(&format!("_trail/{partition}")).await?;
        if topic == Topic::MirrorCommands {
            // Those of another log, if there are any: nobody will end them.
            tables::forget_waiting(&mut tx, partition).await?;
        }
        tables::set_position(&mut tx, topic, partition, self.log.identity(), next).await?;
        tx.commit().await
    }

    /// Retention was faster: the trail says what it cannot say.
    pub(super) async fn skip(&self, topic: Topic, partition: u32, from: u64, first: u64) -> Result<(), StoreError> {
        tracing::error!(topic = topic.name(), partition, from, first, "records are gone before they were in the trail");
        let mut tx = self.store.begin().await?;
        tx.lock(&format!("_trail/{partition}")).await?;
        let act = Act {
            id: format!("aud_{}", random_hex()),
            tenant_id: HUB.to_owned(),
            action: "trail.gap".to_owned(),
            outcome: "uncertain".to_owned(),
            actor: Doer { kind: "hub".to_owned(), ..Doer::default() },
            subject: Deed { kind: "topic".to_owned(), id: Some(format!("{}/{partition}", topic.name())) },
            at: self.store.now(),
            reason: Some(format!("records {from} to {first} were gone before they were read")),
            ..Act::default()
        };
        tables::append(&mut tx, &act).await?;
        tables::set_position(&mut tx, topic, partition, self.log.identity(), first).await?;
        tx.commit().await
    }
}

fn dollars(micros: i64) -> String {
    format!("{:.2}", micros as f64 / 1e6)
}
