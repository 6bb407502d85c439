//! One attempt at a job: claim, call, and what follows from how it went.

use std::sync::Arc;

use pipeline::{
    event::{
        MirrorAuthor, MirrorCommand, MirrorPlace, MirrorRemoval, MirrorResult, MirrorStage, MirrorText, MirrorWork,
    },
    retry::{self, Decision, Failure},
};
use udfs::{
    hash::hex,
    markup::{self, Part, notices},
};

use super::{
    claims::written,
    job::{Job, Progress, Standing},
    lanes::Pause,
    reconcile::{clear, keep, take_up, within},
    render::{Paper, Words},
    scheduler::Bench,
    target::Target,
};
use providers::{
    capability::{Write, status::Move, write::Face},
    client::{Cause, Deadline, Manner, NotSent, ProviderClient, ProviderError, Rejection, WhileDown},
};
use runtime::{acts, kill_switch::switch::act_record};

/// What became of an attempt.
pub(super) enum Step {
    /// It has ended; with a reason it goes to the dead letters, too.
    End(Box<MirrorResult>, Option<String>),
    /// It is to be tried again.
    Later {
        until_ms: u64,
        pause: Option<Pause>,
        /// The provider refused it for a limit.
        is_limited: bool,
    },
    /// Its session is gone: somebody else does it.
    Left,
}

/// How long a stopped connection's commands wait before they look again.
const STOPPED_MS: u64 = 250;

/// Half of a limit, as long as a footer and a mark fit into it.
fn halved(limit: Option<u32>, write: &dyn Write) -> Option<u32> {
    let usual = u32::try_from(markup::limit(write.dialect())).unwrap_or(u32::MAX);
    let least = write.part_limit_min();
    let limit = limit.unwrap_or(usual);
    (limit > least).then(|| (limit / 2).max(least))
}

impl Bench {
    /// Makes one attempt.
    pub(super) async fn perform(&self, job: &mut Job) -> Step {
        let command = Arc::clone(&job.command);
        let now_ms = self.clock.now_ms();
        if self.kill_switch.is_dropped(&command.id) {
            return self.dropped(job);
        }
        if let Some(halted) = self.kill_switch.halted(&command.tenant_id) {
            return self.failed_call(job, None, ProviderError::KillSwitchBefore(halted));
        }
        let deadline_ms =
            self.kill_switch.deadline_ms(&command.tenant_id, command.at.as_ms(), command.deadline.as_ms());
        if now_ms >= deadline_ms {
            let detail = "its deadline passed before it could be done".to_owned();
            return match job.state.unsure_ms {
                Some(_) => self.uncertain(job, detail),
                None => self.failed(job, "expired", detail),
            };
        }
        let target = match self.target(&command) {
            Ok(target) => target,
            Err(error) => return self.failed_call(job, None, error),
        };
        let scope = job.gate.scope.clone();
        if let Some(error) = target.client.held(scope.as_deref()) {
            return self.failed_call(job, Some(&target), error);
        }
        if !self.claim(job, &target).await {
            return Step::Left;
        }
        if let Some(since_ms) = job.state.unsure_ms {
            let until_ms = since_ms.saturating_add(self.settings.settle_ms);
            if now_ms < until_ms {
                return Step::Later { until_ms, pause: None, is_limited: false };
            }
        }
        match self.work(job, &target).await {
            Ok(result) => Step::End(Box::new(result), None),
            Err(error) => self.failed_call(job, Some(&target), error),
        }
    }

    fn target(&self, command: &MirrorCommand) -> Result<Target, ProviderError> {
        let (tenant, connection) = (&*command.tenant_id, &*command.connection_id);
        let off = || ProviderError::not_sent(NotSent::NoConnection, "the connection is not there, or switched off");
        let link = self.links.find(tenant, connection).ok_or_else(off)?;
        let calls = Arc::clone(&self.calls);
        let manner = Manner { while_down: WhileDown::Tell, deadline: Deadline::None, is_paced: false };
        Target::new(ProviderClient::new(calls, (tenant, connection), &link, &self.providers, manner)?)
    }

    /// Has it written down that this is about to be done; whether it was.
    async fn claim(&self, job: &mut Job, target: &Target) -> bool {
        if job.state.claimed_ms.is_some() {
            return true;
        }
        let command = &job.command;
        let at = self.now();
        let parts = match &command.work {
            MirrorWork::Post { place, text, author } => {
                self.words(command).parts(text, author.as_ref(), &paper(command, place, target, &Progress::default()))
            }
            MirrorWork::Edit { place, parts, limit, text, author } => {
                let state = begun(parts, *limit);
                self.words(command).parts(text, author.as_ref(), &paper(command, place, target, &state))
            }
            MirrorWork::Retract { place, how: MirrorRemoval::Tombstone, by, .. } => {
                let notice = notices::deleted(by.as_deref());
                self.words(command).notice(&notice, &paper(command, place, target, &Progress::default()))
            }
            _ => Vec::new(),
        };
        let hashes = parts.iter().map(|part| hex(part.content_hash)).collect();
        let result = MirrorResult { hashes, ..MirrorResult::of(command, MirrorStage::Claimed, at) };
        let at_record = job.record.position;
        let claim = written(&result, at_record.offset, at_record.partition, None);
        if !job.early.write_durable(vec![claim]).await {
            return false;
        }
        job.state.claimed_ms = Some(at.as_ms());
        true
    }

    async fn work(&self, job: &mut Job, target: &Target) -> Result<MirrorResult, ProviderError> {
        let command = Arc::clone(&job.command);
        let state = &mut job.state;
        // Nothing is known of what was done after the claim.
        let unsure_since_ms = state.unsure_ms.and(state.claimed_ms);
        let mut result = MirrorResult::of(&command, MirrorStage::Done, self.now());
        match &command.work {
            MirrorWork::Post { place, text, author } => {
                self.say(&command, target, place, (text, author.as_ref()), state).await?;
                result.thread_ts = target.write.thread(&within(target, place, state));
            }
            MirrorWork::Edit { place, parts, limit, text, author } => {
                if !state.is_begun {
                    let (standing, limit) = (begun(parts, *limit).standing, *limit);
                    (state.standing, state.limit, state.is_begun) = (standing, limit, true);
                }
                self.say(&command, target, place, (text, author.as_ref()), state).await?;
            }
            MirrorWork::Retract { place, parts, how, by } => {
                if !state.is_begun {
                    (state.standing, state.is_begun) = (begun(parts, None).standing, true);
                }
                match how {
                    MirrorRemoval::Delete => clear(target, place, 0, state).await?,
                    MirrorRemoval::Tombstone if state.standing.is_empty() => {}
                    MirrorRemoval::Tombstone => {
                        let notice = notices::deleted(by.as_deref());
                        let parts = self.words(&command).notice(&notice, &paper(&command, place, target, state));
                        keep(target, place, &parts, &Face::default(), state).await?;
                    }
                }
            }
            MirrorWork::SetStatus { place, status, state, .. } => {
                let wanted = Move { status: status.as_deref(), state: *state, unsure_since_ms };
                result.status = Some(target.set_status(place, wanted).await?);
            }
            MirrorWork::Whisper { channel_id, thread_ts, user_id, text } => {
                let chat = target.chat()?;
                if unsure_since_ms.is_some() {
                    return Err(ProviderError::cannot_tell("what one person alone sees cannot be looked for"));
                }
                let place = chat.place(channel_id, thread_ts.as_deref());
                let parts = self.words(&command).parts(text, None, &paper(&command, &place, target, state));
                for part in parts.iter().skip(state.standing.len()) {
                    let id = chat.whisper(&target.client, &place, user_id, part).await?;
                    state.standing.push(Standing { id, hash: Some(hex(part.content_hash)), is_right: true });
                }
            }
            MirrorWork::CreateChannel { name, .. } => {
                let id = target.chat()?.create_channel(&target.client, name, unsure_since_ms).await?;
                result.channel_id = Some(id);
            }
        }
        (result.at, result.parts, result.limit) = (self.now(), job.state.parts(), job.state.limit);
        Ok(result)
    }

    /// Says a text, after a look at what of it may stand there already.
    async fn say(
        &self,
        command: &MirrorCommand,
        target: &Target,
        place: &MirrorPlace,
        (text, author): (&MirrorText, Option<&MirrorAuthor>),
        state: &mut Progress,
    ) -> Result<(), ProviderError> {
        let words = self.words(command);
        let face = words.face(author);
        let parts = |state: &Progress| words.parts(text, author, &paper(command, place, target, state));
        if let (Some(_), Some(claimed_ms)) = (state.unsure_ms, state.claimed_ms) {
            let found = target.find(&within(target, place, state), &command.id, claimed_ms).await;
            let found = found.map_err(|error| match error {
                // Whoever may not look cannot tell.
                ProviderError::Unauthorised { detail, .. }
                | ProviderError::Rejected { detail, .. }
                | ProviderError::NotSent { detail, retry_at_ms: None, .. } => ProviderError::cannot_tell(detail),
                error => error,
            })?;
            let word = if found.is_empty() { "nothing" } else { "it" };
            self.counts.searches.with_label_values(&[target.client.provider.name(), word]).inc();
            take_up(found, &parts(state), state);
            state.unsure_ms = None;
        }
        let is_all_there = |state: &Progress, parts: &[Part]| state.standing.len() >= parts.len();
        if state.attempts >= self.attempts_max(target.client.provider.name()) && !is_all_there(state, &parts(state)) {
            let detail = format!("it did not arrive in {} attempts", state.attempts);
            return Err(ProviderError::Rejected { code: Rejection::GivenUp, status: None, detail });
        }
        loop {
            match keep(target, place, &parts(state), &face, state).await {
                Err(error @ ProviderError::Rejected { code: Rejection::TooLong, .. }) => {
                    let Some(limit) = halved(state.limit, target.write) else { return Err(error) };
                    state.limit = Some(limit);
                    state.standing.iter_mut().for_each(|part| part.is_right = false);
                }
                kept => return kept,
            }
        }
    }

    /// What follows from something that was not done.
    fn failed_call(&self, job: &mut Job, target: Option<&Target>, error: ProviderError) -> Step {
        let now_ms = self.clock.now_ms();
        let is_limited = matches!(error, ProviderError::RetryAt { cause: Cause::Limit { .. }, .. });
        match error {
            ProviderError::NotSent { why, retry_at_ms: Some(until_ms), .. } => {
                let is_scoped = matches!(why, NotSent::BudgetSpent { is_scoped: true });
                self.wait(job, until_ms, is_scoped, word(&error))
            }
            ProviderError::RetryAt { cause: Cause::Limit { is_scoped }, at_ms: Some(until_ms), .. } => {
                let step = self.wait(job, until_ms, is_scoped, word(&error));
                match step {
                    Step::Later { until_ms, pause, .. } => Step::Later { until_ms, pause, is_limited },
                    step => step,
                }
            }
            ProviderError::KillSwitchBefore(halted) => {
                self.counts.waits.with_label_values(&[job.command.work.provider(), halted.word()]).inc();
                self.later_when_resumed(now_ms)
            }
            // As after a crash: before anything is sent again, it is looked for.
            ProviderError::KillSwitchUnderWay(_) => {
                job.state.unsure_ms = Some(now_ms);
                let act = acts::cut_off(&job.command, self.now());
                job.early.write(vec![act_record(&act, job.partitions)]);
                self.later_when_resumed(now_ms)
            }
            ProviderError::MayHaveLanded { cause: Cause::CannotTell, detail, .. } => self.uncertain(job, detail),
            ProviderError::MayHaveLanded { detail, .. } => {
                tracing::debug!(command = %job.command.id, detail, "it may have landed");
                job.state.attempts += 1;
                job.state.unsure_ms = Some(now_ms);
                let until_ms = now_ms.saturating_add(self.settings.settle_ms);
                Step::Later { until_ms, pause: None, is_limited: false }
            }
            ProviderError::RetryAt { at_ms, detail, .. } => self.again(job, target, (at_ms, detail)),
            ProviderError::NotSent { why: NotSent::Late, detail, .. } => self.again(job, target, (None, detail)),
            error => {
                let code = code_of(&error);
                self.failed(job, code, error.to_string())
            }
        }
    }

    /// Waits for an allowance, or for a provider that is down.
    fn wait(&self, job: &Job, until_ms: u64, is_scoped: bool, why: &str) -> Step {
        self.counts.waits.with_label_values(&[job.command.work.provider(), why]).inc();
        let pause = Some(if is_scoped { Pause::Gate } else { Pause::Connection });
        Step::Later { until_ms, pause, is_limited: false }
    }

    /// Tries again, as long as there are attempts.
    fn again(&self, job: &mut Job, target: Option<&Target>, (at_ms, detail): (Option<u64>, String)) -> Step {
        // While the provider is down no attempt is lost.
        let held = target.and_then(|target| target.client.held(None));
        if let Some(held @ ProviderError::NotSent { why: NotSent::Down, .. }) = held {
            return self.failed_call(job, target, held);
        }
        let now_ms = self.clock.now_ms();
        job.state.attempts += 1;
        let retry_after_ms = at_ms.map(|at_ms| at_ms.saturating_sub(now_ms));
        let attempts_max = self.attempts_max(job.command.work.provider());
        let policy = retry::Policy { attempts_max, ..retry::Policy::default() };
        let random = getrandom::u64().unwrap_or_default();
        match retry::decide(&policy, job.state.attempts, &Failure::Retryable { retry_after_ms }, random) {
            Decision::RetryAfter { delay_ms } => {
                let until_ms = now_ms.saturating_add(delay_ms);
                Step::Later { until_ms, pause: None, is_limited: false }
            }
            _ if job.state.unsure_ms.is_some() => self.uncertain(job, detail),
            _ => self.failed(job, "unavailable", detail),
        }
    }

    /// Nothing of the connection, for a moment: a resume is noticed so late.
    fn later_when_resumed(&self, now_ms: u64) -> Step {
        Step::Later { until_ms: now_ms.saturating_add(STOPPED_MS), pause: Some(Pause::Connection), is_limited: false }
    }

    /// Somebody does not want it any more. That is no failure; but what may
    /// have been done is not known for it.
    fn dropped(&self, job: &Job) -> Step {
        let detail = "it was dropped by an administrator".to_owned();
        self.kill_switch.has_ended(&job.command.id);
        if job.state.unsure_ms.is_some() {
            return self.uncertain(job, detail);
        }
        match self.failed(job, "dropped", detail) {
            Step::End(result, _) => Step::End(result, None),
            step => step,
        }
    }

    fn failed(&self, job: &Job, code: &str, detail: String) -> Step {
        let is_lost = code == "not_found" && !matches!(job.command.work, MirrorWork::Post { .. });
        // That somebody deleted it is news, not a failure of ours.
        let grave = (!is_lost).then(|| format!("{code}: {detail}"));
        let result = MirrorResult {
            parts: job.state.parts(),
            limit: job.state.limit,
            code: Some(code.to_owned()),
            error: Some(detail),
            ..MirrorResult::of(&job.command, MirrorStage::Failed, self.now())
        };
        Step::End(Box::new(result), grave)
    }

    fn uncertain(&self, job: &Job, detail: String) -> Step {
        let result = MirrorResult {
            parts: job.state.parts(),
            limit: job.state.limit,
            error: Some(detail),
            ..MirrorResult::of(&job.command, MirrorStage::Uncertain, self.now())
        };
        Step::End(Box::new(result), None)
    }

    fn words<'a>(&'a self, command: &'a MirrorCommand) -> Words<'a> {
        Words { directory: &self.directory, tenant: &command.tenant_id }
    }
}

/// How far a job is at which something stands already.
fn begun(parts: &[pipeline::event::MirrorPart], limit: Option<u32>) -> Progress {
    let stands = |part: &pipeline::event::MirrorPart| {
        let (id, hash) = (part.id.clone(), part.hash.clone());
        Standing { id, hash, is_right: false }
    };
    Progress { standing: parts.iter().map(stands).collect(), limit, is_begun: true, ..Progress::default() }
}

fn paper<'a>(command: &'a MirrorCommand, place: &'a MirrorPlace, target: &'a Target, state: &Progress) -> Paper<'a> {
    let (limit, parts_min) = (state.limit, state.standing.len());
    Paper { place, write: target.write, command_id: &command.id, base: &target.client.base, limit, parts_min }
}

/// The code of a result, for what will not be done.
fn code_of(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Gone { .. } => "not_found",
        ProviderError::Unauthorised { .. } => "unauthorised",
        ProviderError::Rejected { code: Rejection::GivenUp, .. } => "unavailable",
        ProviderError::NotSent { why: NotSent::NoConnection, .. } => "no_connection",
        ProviderError::NotSent { why: NotSent::NoToken, .. } => "no_token",
        ProviderError::NotSent { why: NotSent::Unsupported, .. } => "unsupported",
        _ => "refused",
    }
}

/// One word for the outcome of a call, for metrics.
pub(super) fn word(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::NotSent { why: NotSent::Down, .. } => "down",
        ProviderError::NotSent { why: NotSent::BudgetSpent { .. }, .. } => "spent",
        ProviderError::RetryAt { cause: Cause::Limit { .. }, .. } => "limited",
        ProviderError::RetryAt { .. } | ProviderError::NotSent { why: NotSent::Late, .. } => "failed",
        ProviderError::MayHaveLanded { cause: Cause::CannotTell, .. } => "unknown",
        ProviderError::MayHaveLanded { .. } => "unsure",
        ProviderError::Rejected { code: Rejection::TooLong, .. } => "too_long",
        ProviderError::KillSwitchBefore(halted) => halted.word(),
        ProviderError::KillSwitchUnderWay(_) => "cut_off",
        error => code_of(error),
    }
}
