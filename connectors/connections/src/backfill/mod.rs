//! Backfills: what webhooks did not tell is asked for, and fed in as it would
//! have come.
//!
//! In: a job, kept as a note: which steps are still to be done. Out: records of
//! `webhooks.raw`, marked `reconciled`, in the webhooks' own shape. Guaranteed:
//! a job goes on where it was left, whoever goes on with it; what the log has
//! already published is not fed in, and what comes meanwhile by itself shares a
//! mark with what is fed in, so that nothing is told twice. A provider's pause
//! is waited for between two steps, and nothing is held meanwhile.

mod feed;
mod known;
mod reconcile;
mod work;

use std::collections::VecDeque;

use pipeline::event::{Connection, Project, Reconciled, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use self::reconcile::Read;
use self::work::Work;
use super::{
    Connections,
    calls::{UNHURRIED, again_at_ms, is_pause},
};
use providers::client::ProviderError;
use runtime::identity::random_hex;
use store::Note;

/// The kind of note that keeps a job.
pub const BACKFILL: &str = "backfill";

/// Steps of one job that wait at the same time: threads and tasks to look at.
/// Beyond it the job says that it left some out.
const STEPS_MAX: usize = 5_000;
/// A job that is over is kept so long.
const KEEP_MS: u64 = 7 * 86_400_000;
/// How often in a row a step that fails may be tried again.
const TRIES_MAX: u32 = 5;

/// How a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Status {
    #[default]
    Queued,
    Running,
    Done,
    Failed,
}

/// A job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// Which connection's.
    pub connection_id: String,
    /// Whether it is for what was missed (or else for what was before).
    #[serde(default)]
    pub is_history: bool,
    /// From when on.
    pub from: Time,
    /// Only this project's channel, list or repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// How it is.
    pub status: Status,
    /// Steps that are done.
    pub done: u64,
    /// What was looked at.
    pub found: u64,
    /// What was fed in.
    pub fed: u64,
    /// Why it failed, or what it left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    #[serde(default)]
    pub(super) tries: u32,
    /// Whether there was more to look at than a job holds.
    #[serde(default)]
    pub(super) left_out: bool,
    /// What is still to be done, in the provider's own steps; nothing yet, before
    /// it began.
    #[serde(default)]
    pub(super) steps: Option<VecDeque<Value>>,
}

impl Job {
    /// Steps that are still to be done, as far as it is known.
    pub fn waiting(&self) -> usize {
        self.steps.as_ref().map_or(0, VecDeque::len)
    }

    /// A job from its note.
    pub fn of(note: &Note) -> Option<Job> {
        Job::deserialize(&note.data).ok()
    }

    fn is_over(&self) -> bool {
        matches!(self.status, Status::Done | Status::Failed)
    }

    fn then(&mut self, step: Value) {
        let steps = self.steps.get_or_insert_default();
        if steps.contains(&step) {
            return;
        }
        if steps.len() >= STEPS_MAX {
            self.left_out = true;
            return;
        }
        steps.push_back(step);
    }

    fn end(&mut self, status: Status, detail: Option<String>, now: Time) {
        (self.status, self.finished_at) = (status, Some(now));
        let left_out = || format!("more than {STEPS_MAX} threads and tasks: some were left out");
        self.detail = detail.or_else(|| self.left_out.then(left_out));
        self.steps = None;
    }
}

/// Where a job looks: the channels, lists and repositories of projects.
fn places<'p>(
    project: Option<&str>,
    projects: &'p [(std::sync::Arc<str>, std::sync::Arc<Project>)],
) -> Vec<&'p Project> {
    let wanted = projects.iter().filter(|(id, row)| match project {
        Some(project) => &**id == project,
        None => !row.archived,
    });
    wanted.map(|(_, row)| &**row).collect()
}

impl Connections {
    /// Asks for a job; its id.
    pub async fn backfill(
        &self,
        tenant: &str,
        connection: &str,
        from: Option<Time>,
        project: Option<String>,
        is_history: bool,
    ) -> Result<(String, Job), ProviderError> {
        if self.client(tenant, connection, UNHURRIED)?.provider.backfill().is_none() {
            return Err(no_backfill());
        }
        let now = Time::from_ms(self.clock.now_ms());
        let days = if is_history { self.settings.history_days } else { 1 };
        let from = from.unwrap_or_else(|| Time::from_ms(now.as_ms().saturating_sub(days * 86_400_000)));
        let job = Job {
            connection_id: connection.to_owned(),
            is_history,
            from,
            project_id: project,
            created_at: now,
            ..Job::default()
        };
        let id = format!("bkf_{:012x}{}", now.as_ms(), &random_hex()[..12]);
        let data = serde_json::to_value(&job).unwrap_or_default();
        self.store.upkeep().add(tenant, BACKFILL, &id, Some(now.0), &data).await?;
        self.wake.notify_one();
        Ok((id, job))
    }

    /// Works on a claimed job until it is over, has to wait, or the hub stops.
    pub(super) async fn work_on(&self, note: &mut Note) -> Result<(), ProviderError> {
        let Some(mut job) = Job::of(note) else {
            self.store.upkeep().take(note).await?;
            return Ok(());
        };
        if job.is_over() {
            self.store.upkeep().take(note).await?;
            return Ok(());
        }
        let (tenant, connection) = (note.tenant.clone(), job.connection_id.clone());
        job.status = Status::Running;
        let worked = self.steps_of(note, &mut job, &tenant, &connection).await;
        let now_ms = self.clock.now_ms();
        let now = Time::from_ms(now_ms);
        let due_ms = match worked {
            Ok(true) => {
                job.end(Status::Done, None, now);
                now_ms + KEEP_MS
            }
            // The hub stops: whoever comes next goes on at once.
            Ok(false) => now_ms,
            Err(error) => match again_at_ms(&error, now_ms).filter(|_| job.tries < TRIES_MAX) {
                Some(at_ms) => {
                    // A pause for a limit is no failure.
                    job.tries += u32::from(!is_pause(&error));
                    job.detail = Some(error.to_string());
                    at_ms.max(now_ms + 1_000)
                }
                None => {
                    tracing::warn!(tenant, connection, job = note.id, reason = %error, "a backfill failed");
                    job.end(Status::Failed, Some(error.to_string()), now);
                    now_ms + KEEP_MS
                }
            },
        };
        self.save(note, &job, due_ms).await
    }

    /// Does the steps; whether all of them are done.
    async fn steps_of(
        &self,
        note: &mut Note,
        job: &mut Job,
        tenant: &str,
        connection: &str,
    ) -> Result<bool, ProviderError> {
        let client = self.client(tenant, connection, UNHURRIED)?;
        let backfill = client.provider.backfill().ok_or_else(no_backfill)?;
        let mode = if job.is_history { Reconciled::History } else { Reconciled::Missed };
        let known = self.known_since(tenant, connection, job.from, job.is_history).await?;
        let mut work = Work::new(self, &client, known, (job.from, mode));
        if job.steps.is_none() {
            let projects = self.directory.all::<Project>(tenant);
            let places = places(job.project_id.as_deref(), &projects);
            let steps = backfill.plan(&work, &places).await?;
            job.steps = Some(VecDeque::new());
            steps.into_iter().for_each(|step| job.then(step));
        }
        while let Some(step) = job.steps.as_ref().and_then(|steps| steps.front().cloned()) {
            if self.is_stopping() {
                return Ok(false);
            }
            let found_before = work.known.looked_at;
            let more = backfill.step(&client, &mut work, &step).await?;
            let fed = work.feed.flush().await?;
            if let Some(steps) = &mut job.steps {
                steps.pop_front();
            }
            more.into_iter().for_each(|step| job.then(step));
            (job.done, job.fed, job.tries) = (job.done + 1, job.fed + fed, 0);
            job.found += work.known.looked_at - found_before;
            job.detail = None;
            self.save(note, job, self.clock.now_ms() + super::LEASE_MS).await?;
        }
        Ok(true)
    }

    async fn save(&self, note: &mut Note, job: &Job, due_ms: u64) -> Result<(), ProviderError> {
        let data = serde_json::to_value(job).unwrap_or_default();
        match self.store.upkeep().change(note, i64::try_from(due_ms).ok(), data).await? {
            true => Ok(()),
            false => Err(ProviderError::hub("somebody else works on it")),
        }
    }

    /// What is mapped now gets its history.
    pub(super) async fn backfill_mapping(
        &self,
        tenant: &str,
        project: &str,
        provider: &str,
        place: &str,
    ) -> Result<(), ProviderError> {
        let Some(connection) = self.caller_of(tenant, provider, place) else { return Ok(()) };
        self.backfill(tenant, &connection, None, Some(project.to_owned()), true).await?;
        Ok(())
    }

    /// Whether there is a connection that a provider can be asked through.
    pub(super) fn can_call(&self, tenant: &str, provider: &str, place: &str) -> bool {
        self.caller_of(tenant, provider, place).is_some()
    }

    fn caller_of(&self, tenant: &str, provider: &str, place: &str) -> Option<String> {
        let rows = self.directory.all::<Connection>(tenant);
        let can_call = |id: &str| self.links.find(tenant, id).is_some_and(|link| link.token.is_some());
        let leads_there = |row: &Connection| providers::of(provider).leads_to(row, place);
        let mut own = rows.iter().filter(|(_, row)| row.provider == provider && row.enabled && leads_there(row));
        own.find(|(id, _)| can_call(id)).map(|(id, _)| id.to_string())
    }
}

fn no_backfill() -> ProviderError {
    ProviderError::unsupported("there are backfills for Slack, ClickUp and GitHub")
}
