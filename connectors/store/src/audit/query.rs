//! The audit trail, usage and budgets, as people and commands read them.

use pipeline::event::Act;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    chain::{Fault, Link, ROOT, Walk},
    tables::{Budget, budget, found_by, spent},
};
use crate::{Page, Paging, Store, database::Line, error::StoreError, from_json, sql};

/// Rows that a walk over the trail reads at once.
const ROWS_AT_ONCE: i64 = 500;

/// A row of the trail, for people.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its place in its tenant's chain.
    pub number: i64,
    /// What was done.
    #[serde(flatten)]
    pub act: Act,
    /// The chain's hash up to here.
    pub hash: String,
}

/// Which acts are asked for.
#[derive(Clone, Debug, Default)]
pub struct ActFilter {
    /// Of or about this agent.
    pub agent_id: Option<String>,
    /// About this task.
    pub task_id: Option<String>,
    /// Of this trace.
    pub trace_id: Option<String>,
    /// Of this name.
    pub action: Option<String>,
    /// From this time on, in ms.
    pub from_ms: Option<i64>,
    /// Before this time.
    pub to_ms: Option<i64>,
}

/// A command of the mirror that waits.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The command.
    pub id: String,
    /// Where it goes.
    pub provider: String,
    /// Through which connection.
    pub connection_id: String,
    /// Whether it was begun: then it may have been done.
    pub claimed: bool,
    /// Whether it was dropped, and only waits to be put away.
    pub dropped: bool,
    /// What it is to do; never the words.
    pub act: Act,
}

/// Which commands are asked for.
#[derive(Clone, Debug, Default)]
pub struct WaitingFilter {
    /// Of this tenant; of all without one.
    pub tenant: Option<String>,
    /// For this provider.
    pub provider: Option<String>,
    /// About this task.
    pub task_id: Option<String>,
    /// That this agent wants.
    pub agent_id: Option<String>,
    /// Through this connection.
    pub connection_id: Option<String>,
}

/// A day's sums.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageOfDay {
    /// The day, UTC.
    pub day: String,
    /// The agent.
    pub agent_id: String,
    /// The project, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// The model.
    pub model: String,
    /// How many reports these are.
    pub reports: i64,
    /// Calls.
    pub calls: i64,
    /// Tokens in.
    pub input_tokens: i64,
    /// Tokens out.
    pub output_tokens: i64,
    /// What they cost, in dollars.
    pub cost: f64,
}

/// Which sums are asked for.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Of this agent.
    pub agent_id: Option<String>,
    /// For this project.
    pub project_id: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// From this day on.
    pub from: Option<String>,
    /// Up to this day, it included.
    pub to: Option<String>,
}

/// What stands in a cursor of several columns.
const SEPARATOR: char = '\u{1f}';

impl Store {
    /// A tenant's acts, the newest first.
    pub async fn acts(
        &self,
        tenant: &str,
        filter: &ActFilter,
        paging: &Paging,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let before = paging.after.as_deref().map(|after| after.parse::<i64>().map_err(|_| bad_cursor())).transpose()?;
        let values = [
            tenant.into(),
            before.into(),
            (paging.limit() as i64 + 1).into(),
            (&filter.agent_id).into(),
            (&filter.task_id).into(),
            (&filter.trace_id).into(),
            (&filter.action).into(),
            filter.from_ms.into(),
            filter.to_ms.into(),
        ];
        let lines = self.database.rows(sql!("audit_page"), &values).await?;
        let entry = |line: &Line| {
            let entry = AuditEntry { number: line.number(0)?, act: from_json(&line.text(1)?)?, hash: line.text(2)? };
            Ok((entry.number.to_string(), entry))
        };
        let rows = lines.iter().map(entry).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(unkeyed(Page::cut(rows, paging.limit(), |(key, _)| key)))
    }

    /// The commands that wait, in the order of the log. The cursor is
    /// `partition.offset`.
    pub async fn waiting_commands(&self, filter: &WaitingFilter, paging: &Paging) -> Result<Page<Waiting>, StoreError> {
        let after = paging.after.as_deref().unwrap_or("-1.-1");
        let number = |text: &str| text.parse::<i64>().map_err(|_| bad_cursor());
        let (partition, offset) = after.split_once('.').ok_or_else(bad_cursor)?;
        let values = [
            (&filter.tenant).into(),
            number(partition)?.into(),
            number(offset)?.into(),
            (paging.limit() as i64 + 1).into(),
            (&filter.provider).into(),
            (&filter.task_id).into(),
            (&filter.agent_id).into(),
            (&filter.connection_id).into(),
        ];
        let lines = self.database.rows(sql!("mirror_waiting_page"), &values).await?;
        let waiting = |line: &Line| {
            let waiting = Waiting {
                id: line.text(1)?,
                provider: line.text(6)?,
                connection_id: line.text(5)?,
                claimed: line.truth(4)?,
                dropped: false,
                act: from_json(&line.text(7)?)?,
            };
            Ok((format!("{}.{}", line.number(2)?, line.number(3)?), waiting))
        };
        let rows = lines.iter().map(waiting).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(unkeyed(Page::cut(rows, paging.limit(), |(key, _)| key)))
    }

    /// A tenant's usage by day, agent, project and model.
    pub async fn usage(
        &self,
        tenant: &str,
        filter: &UsageFilter,
        paging: &Paging,
    ) -> Result<Page<UsageOfDay>, StoreError> {
        let after = paging.after.clone().unwrap_or_else(|| [""; 4].join(&SEPARATOR.to_string()));
        let after: Vec<&str> = after.split(SEPARATOR).collect();
        let [day, agent, project, model] = after[..] else { return Err(bad_cursor()) };
        let values = [
            tenant.into(),
            day.into(),
            agent.into(),
            project.into(),
            model.into(),
            (paging.limit() as i64 + 1).into(),
            (&filter.agent_id).into(),
            (&filter.project_id).into(),
            (&filter.model).into(),
            (&filter.from).into(),
            (&filter.to).into(),
        ];
        let lines = self.database.rows(sql!("usage_days_page"), &values).await?;
        let row = |line: &Line| {
            let [day, agent_id, project_id, model] = [line.text(0)?, line.text(1)?, line.text(2)?, line.text(3)?];
            let key = [&*day, &agent_id, &project_id, &model].join(&SEPARATOR.to_string());
            let row = UsageOfDay {
                day,
                agent_id,
                project_id: Some(project_id).filter(|id| !id.is_empty()),
                model,
                reports: line.number(4)?,
                calls: line.number(5)?,
                input_tokens: line.number(6)?,
                output_tokens: line.number(7)?,
                cost: line.number(8)? as f64 / 1e6,
            };
            Ok((key, row))
        };
        let rows = lines.iter().map(row).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(unkeyed(Page::cut(rows, paging.limit(), |(key, _)| key)))
    }

    /// A tenant's budgets, and what was spent of each in the period of a day.
    pub async fn budgets(&self, tenant: &str, day: &str, paging: &Paging) -> Result<Page<(Budget, i64)>, StoreError> {
        let lines = self.database.rows(sql!("budgets_page"), &paging.values(tenant)).await?;
        let (mut rows, mut tx) = (Vec::new(), self.database.begin().await?);
        for line in &lines {
            let budget = budget(line)?;
            let spent = spent(&mut tx, tenant, &budget, day).await?;
            rows.push((budget, spent));
        }
        Ok(Page::cut(rows, paging.limit(), |(budget, _)| &budget.scope))
    }

    /// Sets a budget. Whoever was held for the one before is let go; steps that
    /// are behind already are told of at the next report.
    pub async fn set_budget(&self, tenant: &str, budget: &Budget) -> Result<(), StoreError> {
        let mut work = self.work(tenant).await?;
        let now = work.now();
        let values = [
            tenant.into(),
            budget.scope.as_str().into(),
            budget.period.name().into(),
            budget.limit_micros.into(),
            budget.hard_stop.into(),
            now.0.into(),
        ];
        work.tx().execute(sql!("budgets_put"), &values).await?;
        work.release(&budget.scope).await?;
        work.touched("budget", &budget.scope);
        work.commit().await
    }

    /// Takes a budget away.
    pub async fn delete_budget(&self, tenant: &str, scope: &str) -> Result<(), StoreError> {
        let mut work = self.work(tenant).await?;
        if work.tx().execute(sql!("budgets_delete"), &[tenant.into(), scope.into()]).await? == 0 {
            return Err(StoreError::NotFound { kind: "budget" });
        }
        work.release(scope).await?;
        work.touched("budget", scope);
        work.commit().await
    }

    /// Walks every tenant's chain, or one's; what is wrong with it, and the
    /// heads: tenant, rows, hash.
    pub async fn verify(&self, only: Option<&str>) -> Result<(Vec<Fault>, Vec<(String, i64, String)>), StoreError> {
        let (mut faults, mut heads) = (Vec::new(), Vec::new());
        for line in self.database.rows(sql!("audit_heads_all"), &[]).await? {
            let (tenant, number, hash) = (line.text(0)?, line.number(1)?, line.text(2)?);
            if only.is_some_and(|only| only != tenant) {
                continue;
            }
            let (mut walk, mut after, mut head) = (Walk::begin(&tenant), i64::MIN, (number, hash));
            loop {
                let links = self.links(&tenant, after).await?;
                if let Some(last) = links.last() {
                    after = last.number;
                    links.iter().for_each(|link| walk.step(link));
                    continue;
                }
                // Rows come while this runs: the head that counts is the one
                // after which there is nothing more.
                let lines = self.database.rows(sql!("audit_heads_get"), &[tenant.as_str().into()]).await?;
                let now =
                    lines.first().map(|line| Ok::<_, StoreError>((line.number(0)?, line.text(1)?))).transpose()?;
                let now = now.unwrap_or_else(|| (0, ROOT.to_owned()));
                if now == head || walk.last.0 > now.0 {
                    break head = now;
                }
                head = now;
            }
            walk.end((head.0, &head.1));
            faults.append(&mut walk.faults);
            heads.push((tenant, walk.last.0, walk.last.1));
        }
        Ok((faults, heads))
    }

    /// The tenants that have a trail.
    pub async fn trails(&self) -> Result<Vec<String>, StoreError> {
        let lines = self.database.rows(sql!("audit_heads_all"), &[]).await?;
        lines.iter().map(|line| line.text(0)).collect()
    }

    /// A tenant's next rows, in order.
    pub async fn links(&self, tenant: &str, after: i64) -> Result<Vec<Link>, StoreError> {
        let values = [tenant.into(), after.into(), ROWS_AT_ONCE.into()];
        let lines = self.database.rows(sql!("audit_walk"), &values).await?;
        let link = |line: &Line| {
            let data = line.text(7)?;
            let columns_agree = columns_agree(tenant, &data, line);
            Ok(Link { number: line.number(0)?, data, hash: line.text(8)?, columns_agree })
        };
        lines.iter().map(link).collect()
    }
}

/// Whether a row is found by what it says.
fn columns_agree(tenant: &str, data: &str, line: &Line) -> bool {
    let Ok(act) = from_json::<Act>(data) else { return false };
    let found = [line.text(1).ok(), line.text(3).ok()]
        .into_iter()
        .chain([4, 5, 6].map(|column| line.some_text(column).unwrap_or_default()));
    let said = [Some(act.id.clone()), Some(act.action.clone())].into_iter().chain(found_by(&act));
    let at = line.number(2).is_ok_and(|at| at == act.at.0);
    at && act.tenant_id == tenant && found.eq(said)
}

fn bad_cursor() -> StoreError {
    StoreError::Bad("the cursor is not one of a page before")
}

fn unkeyed<T>(page: Page<(String, T)>) -> Page<T> {
    Page { rows: page.rows.into_iter().map(|(_, row)| row).collect(), next: page.next }
}
