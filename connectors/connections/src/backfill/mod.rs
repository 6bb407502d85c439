//! Backfills: what webhooks did not tell is asked for, and fed in as it would
//! have come.
//!
//! In: a job, kept as a note: which steps are still to be done. Out: records of
//! `webhooks.raw`, marked `reconciled`, in the webhooks' own shape. Guaranteed:
//! a job goes on where it was left, whoever goes on with it; what the log has
//! already published is not fed in, and what comes meanwhile by itself shares a
//! mark with what is fed in, so that nothing is told twice. A provider's pause
//! is waited for between two steps, and nothing is held meanwhile.

mod clickup;
mod feed;
mod github;
mod known;
mod reconcile;
mod slack;

use std::collections::VecDeque;

use pipeline::event::{Connection, Project, Reconciled, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::reconcile::Read;
use self::{feed::Feed, known::Known};
use super::{
    Connections,
    way::{Halt, UNHURRIED, Way},
};
use providers::client::Provider;
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

/// A step of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Step {
    /// A page of a Slack channel's history.
    Channel { channel: String, cursor: Option<String> },
    /// A page of a Slack thread's replies.
    Thread { channel: String, ts: String, cursor: Option<String> },
    /// A page of a ClickUp list's tasks.
    List { list: String, page: u32 },
    /// A ClickUp task's comments.
    Comments { task: String },
    /// A page of a GitHub hook's deliveries.
    Deliveries { cursor: Option<String> },
    /// A page of a GitHub repository's issues.
    Issues { page: u32 },
    /// A page of the comments on them.
    IssueComments { page: u32 },
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
    /// What is still to be done; nothing yet, before it began.
    #[serde(default)]
    pub(super) steps: Option<VecDeque<Step>>,
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

    fn then(&mut self, step: Step) {
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

/// What a step is done with.
pub(super) struct Work<'a> {
    pub office: &'a Connections,
    pub way: &'a Way<'a>,
    pub feed: Feed<'a>,
    pub known: Known,
    pub from: Time,
    pub is_history: bool,
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
    ) -> Result<(String, Job), Halt> {
        let way = Way::open(self, tenant, connection, UNHURRIED)?;
        if matches!(way.provider, Provider::Jira | Provider::Other) {
            return Err(Halt::Unsupported("there are backfills for Slack, ClickUp and GitHub"));
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
    pub(super) async fn work_on(&self, note: &mut Note) -> Result<(), Halt> {
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
            Err(halt) => match halt.again_at_ms(now_ms).filter(|_| job.tries < TRIES_MAX) {
                Some(at_ms) => {
                    // A pause for a limit is no failure.
                    job.tries += u32::from(!matches!(halt, Halt::Later { .. }));
                    job.detail = Some(halt.to_string());
                    at_ms.max(now_ms + 1_000)
                }
                None => {
                    tracing::warn!(tenant, connection, job = note.id, reason = %halt, "a backfill failed");
                    job.end(Status::Failed, Some(halt.to_string()), now);
                    now_ms + KEEP_MS
                }
            },
        };
        self.save(note, &job, due_ms).await
    }

    /// Does the steps; whether all of them are done.
    async fn steps_of(&self, note: &mut Note, job: &mut Job, tenant: &str, connection: &str) -> Result<bool, Halt> {
        let way = Way::open(self, tenant, connection, UNHURRIED)?;
        let mode = if job.is_history { Reconciled::History } else { Reconciled::Missed };
        let known = self.known_since(tenant, connection, job.from, job.is_history).await?;
        let feed = Feed::new(self, &way, mode);
        let mut work = Work { office: self, way: &way, feed, known, from: job.from, is_history: job.is_history };
        if job.steps.is_none() {
            job.steps = Some(VecDeque::new());
            self.plan(&work, job).await?;
        }
        while let Some(step) = job.steps.as_ref().and_then(|steps| steps.front().cloned()) {
            if self.is_stopping() {
                return Ok(false);
            }
            let found_before = work.known.looked_at;
            let more = match &step {
                Step::Channel { channel, cursor } => slack::channel(&mut work, channel, cursor.as_deref()).await,
                Step::Thread { channel, ts, cursor } => slack::thread(&mut work, channel, ts, cursor.as_deref()).await,
                Step::List { list, page } => clickup::list(&mut work, list, *page).await,
                Step::Comments { task } => clickup::comments(&mut work, task).await.map(|()| Vec::new()),
                Step::Deliveries { cursor } => github::deliveries(&mut work, cursor.as_deref()).await,
                Step::Issues { page } => github::issues(&mut work, *page).await,
                Step::IssueComments { page } => github::comments(&mut work, *page).await,
            }?;
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

    async fn plan(&self, work: &Work<'_>, job: &mut Job) -> Result<(), Halt> {
        let tenant = work.way.tenant;
        let projects = self.directory.all::<Project>(tenant);
        let places = places(job.project_id.as_deref(), &projects);
        match work.way.provider {
            Provider::Slack => {
                for channel in places.iter().filter_map(|row| row.slack_channel_id.clone()) {
                    job.then(Step::Channel { channel: channel.clone(), cursor: None });
                    // Replies to what is older than `from` stand in no page of it.
                    for ts in self.threads_of(tenant, &channel).await? {
                        job.then(Step::Thread { channel: channel.clone(), ts, cursor: None });
                    }
                }
            }
            Provider::ClickUp => {
                for list in places.iter().filter_map(|row| row.clickup_list_id.clone()) {
                    job.then(Step::List { list, page: 0 });
                }
                for task in work.known.tasks() {
                    job.then(Step::Comments { task });
                }
            }
            _ => {
                job.then(Step::Deliveries { cursor: None });
                job.then(Step::Issues { page: 1 });
                job.then(Step::IssueComments { page: 1 });
            }
        }
        Ok(())
    }

    async fn save(&self, note: &mut Note, job: &Job, due_ms: u64) -> Result<(), Halt> {
        let data = serde_json::to_value(job).unwrap_or_default();
        match self.store.upkeep().change(note, i64::try_from(due_ms).ok(), data).await? {
            true => Ok(()),
            false => Err(Halt::Own("somebody else works on it".to_owned())),
        }
    }

    /// What is mapped now gets its history.
    pub(super) async fn backfill_mapping(
        &self,
        tenant: &str,
        project: &str,
        provider: &str,
        place: &str,
    ) -> Result<(), Halt> {
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
        // A connection to GitHub leads to one repository.
        let leads_there = |row: &Connection| provider != "github" || row.external_id.eq_ignore_ascii_case(place);
        let mut own = rows.iter().filter(|(_, row)| row.provider == provider && row.enabled && leads_there(row));
        own.find(|(id, _)| can_call(id)).map(|(id, _)| id.to_string())
    }
}
