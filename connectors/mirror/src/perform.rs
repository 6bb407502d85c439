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
    job::{Job, Progress, Standing, provider_of},
    lanes::Pause,
    line::{Halt, Line},
    providers,
    reconcile::{clear, keep, take_up, within},
    render::{Face, Paper, Words, dialect},
    scheduler::Bench,
    slack,
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
fn halved(limit: Option<u32>, provider: &str) -> Option<u32> {
    let usual = u32::try_from(markup::limit(dialect(provider))).unwrap_or(u32::MAX);
    let least = if matches!(provider, "clickup" | "jira") { 8_000 } else { 2_000 };
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
            return self.halted(job, None, Halt::Stopped { why: halted.word() });
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
        let line = match self.line(&command) {
            Ok(line) => line,
            Err(halt) => return self.halted(job, None, halt),
        };
        let scope = job.gate.scope.clone();
        if let Some(halt) = line.held(scope.as_deref()) {
            return self.halted(job, Some(&line), halt);
        }
        if !self.claim(job, &line).await {
            return Step::Left;
        }
        if let Some(since_ms) = job.state.unsure_ms {
            let until_ms = since_ms.saturating_add(self.settings.settle_ms);
            if now_ms < until_ms {
                return Step::Later { until_ms, pause: None, is_limited: false };
            }
        }
        match self.work(job, &line).await {
            Ok(result) => Step::End(Box::new(result), None),
            Err(halt) => self.halted(job, Some(&line), halt),
        }
    }

    fn line(&self, command: &MirrorCommand) -> Result<Line<'_>, Halt> {
        let (tenant, connection) = (&*command.tenant_id, &*command.connection_id);
        let link = self.links.find(tenant, connection).ok_or_else(|| Halt::Refused {
            code: "no_connection",
            detail: "the connection is not there, or switched off".to_owned(),
        })?;
        Line::open(tenant, connection, &link, &self.providers, (&self.caller, &self.counts, &self.kill_switch))
    }

    /// Has it written down that this is about to be done; whether it was.
    async fn claim(&self, job: &mut Job, line: &Line<'_>) -> bool {
        if job.state.claimed_ms.is_some() {
            return true;
        }
        let command = &job.command;
        let at = self.now();
        let parts = match &command.work {
            MirrorWork::Post { place, text, author } => {
                self.words(command).parts(text, author.as_ref(), &paper(command, place, line, &Progress::default()))
            }
            MirrorWork::Edit { place, parts, limit, text, author } => {
                let state = begun(parts, *limit);
                self.words(command).parts(text, author.as_ref(), &paper(command, place, line, &state))
            }
            MirrorWork::Retract { place, how: MirrorRemoval::Tombstone, by, .. } => {
                let notice = notices::deleted(by.as_deref());
                self.words(command).notice(&notice, &paper(command, place, line, &Progress::default()))
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

    async fn work(&self, job: &mut Job, line: &Line<'_>) -> Result<MirrorResult, Halt> {
        let command = Arc::clone(&job.command);
        let state = &mut job.state;
        // Nothing is known of what was done after the claim.
        let unsure_since_ms = state.unsure_ms.and(state.claimed_ms);
        let mut result = MirrorResult::of(&command, MirrorStage::Done, self.now());
        match &command.work {
            MirrorWork::Post { place, text, author } => {
                self.say(&command, line, place, (text, author.as_ref()), state).await?;
                if let MirrorPlace::Slack { thread_ts, .. } = within(place, state) {
                    result.thread_ts = thread_ts;
                }
            }
            MirrorWork::Edit { place, parts, limit, text, author } => {
                if !state.is_begun {
                    let (standing, limit) = (begun(parts, *limit).standing, *limit);
                    (state.standing, state.limit, state.is_begun) = (standing, limit, true);
                }
                self.say(&command, line, place, (text, author.as_ref()), state).await?;
            }
            MirrorWork::Retract { place, parts, how, by } => {
                if !state.is_begun {
                    (state.standing, state.is_begun) = (begun(parts, None).standing, true);
                }
                match how {
                    MirrorRemoval::Delete => clear(line, place, 0, state).await?,
                    MirrorRemoval::Tombstone if state.standing.is_empty() => {}
                    MirrorRemoval::Tombstone => {
                        let notice = notices::deleted(by.as_deref());
                        let parts = self.words(&command).notice(&notice, &paper(&command, place, line, state));
                        keep(line, place, &parts, &Face::default(), state).await?;
                    }
                }
            }
            MirrorWork::SetStatus { place, status, state, .. } => {
                let status = status.as_deref();
                result.status = Some(providers::set_status(line, place, status, *state, unsure_since_ms).await?);
            }
            MirrorWork::Whisper { channel_id, thread_ts, user_id, text } => {
                providers::is_slack(line)?;
                if unsure_since_ms.is_some() {
                    return Err(Halt::Unknown { detail: "what one person alone sees cannot be looked for".to_owned() });
                }
                let place = MirrorPlace::Slack { channel_id: channel_id.clone(), thread_ts: thread_ts.clone() };
                let parts = self.words(&command).parts(text, None, &paper(&command, &place, line, state));
                for part in parts.iter().skip(state.standing.len()) {
                    let thread = thread_ts.as_deref();
                    let id = slack::write::whisper(line, channel_id, thread, user_id, part).await?;
                    state.standing.push(Standing { id, hash: Some(hex(part.content_hash)), is_right: true });
                }
            }
            MirrorWork::CreateChannel { name, .. } => {
                providers::is_slack(line)?;
                result.channel_id = Some(slack::channel::create(line, name, unsure_since_ms).await?);
            }
        }
        (result.at, result.parts, result.limit) = (self.now(), job.state.parts(), job.state.limit);
        Ok(result)
    }

    /// Says a text, after a look at what of it may stand there already.
    async fn say(
        &self,
        command: &MirrorCommand,
        line: &Line<'_>,
        place: &MirrorPlace,
        (text, author): (&MirrorText, Option<&MirrorAuthor>),
        state: &mut Progress,
    ) -> Result<(), Halt> {
        let words = self.words(command);
        let face = words.face(author);
        let parts = |state: &Progress| words.parts(text, author, &paper(command, place, line, state));
        if let (Some(_), Some(claimed_ms)) = (state.unsure_ms, state.claimed_ms) {
            let found = providers::find(line, &within(place, state), &command.id, claimed_ms).await;
            let found = found.map_err(|halt| match halt {
                // Whoever may not look cannot tell.
                Halt::Refused { detail, .. } => Halt::Unknown { detail },
                halt => halt,
            })?;
            let word = if found.is_empty() { "nothing" } else { "it" };
            self.counts.searches.with_label_values(&[line.provider.name(), word]).inc();
            take_up(found, &parts(state), state);
            state.unsure_ms = None;
        }
        let is_all_there = |state: &Progress, parts: &[Part]| state.standing.len() >= parts.len();
        if state.attempts >= self.attempts_max(line.provider.name()) && !is_all_there(state, &parts(state)) {
            let detail = format!("it did not arrive in {} attempts", state.attempts);
            return Err(Halt::Refused { code: "unavailable", detail });
        }
        loop {
            match keep(line, place, &parts(state), &face, state).await {
                Err(Halt::TooLong { detail }) => {
                    let Some(limit) = halved(state.limit, place.provider()) else {
                        return Err(Halt::Refused { code: "refused", detail });
                    };
                    state.limit = Some(limit);
                    state.standing.iter_mut().for_each(|part| part.is_right = false);
                }
                kept => return kept,
            }
        }
    }

    /// What follows from something that was not done.
    fn halted(&self, job: &mut Job, line: Option<&Line<'_>>, halt: Halt) -> Step {
        let now_ms = self.clock.now_ms();
        match halt {
            Halt::Held { until_ms, is_connections, why } => {
                self.counts.waits.with_label_values(&[provider_of(&job.command.work), why]).inc();
                let pause = Some(if is_connections { Pause::Connection } else { Pause::Gate });
                Step::Later { until_ms, pause, is_limited: why == "limited" }
            }
            Halt::Stopped { why } => {
                self.counts.waits.with_label_values(&[provider_of(&job.command.work), why]).inc();
                self.later_when_resumed(now_ms)
            }
            // As after a crash: before anything is sent again, it is looked for.
            Halt::CutOff => {
                job.state.unsure_ms = Some(now_ms);
                let act = acts::cut_off(&job.command, self.now());
                job.early.write(vec![act_record(&act, job.partitions)]);
                self.later_when_resumed(now_ms)
            }
            Halt::Unsure { detail } => {
                tracing::debug!(command = %job.command.id, detail, "it may have landed");
                job.state.attempts += 1;
                job.state.unsure_ms = Some(now_ms);
                let until_ms = now_ms.saturating_add(self.settings.settle_ms);
                Step::Later { until_ms, pause: None, is_limited: false }
            }
            Halt::Again { at_ms, detail } => {
                // While the provider is down no attempt is lost.
                if let Some(held @ Halt::Held { why: "down", .. }) = line.and_then(|line| line.held(None)) {
                    return self.halted(job, line, held);
                }
                job.state.attempts += 1;
                let retry_after_ms = at_ms.map(|at_ms| at_ms.saturating_sub(now_ms));
                let attempts_max = self.attempts_max(provider_of(&job.command.work));
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
            Halt::Gone { detail } => self.failed(job, "not_found", detail),
            Halt::TooLong { detail } => self.failed(job, "refused", detail),
            Halt::Refused { code, detail } => self.failed(job, code, detail),
            Halt::Unknown { detail } => self.uncertain(job, detail),
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

fn paper<'a>(command: &'a MirrorCommand, place: &'a MirrorPlace, line: &'a Line<'_>, state: &Progress) -> Paper<'a> {
    Paper { place, command_id: &command.id, base: &line.base, limit: state.limit, parts_min: state.standing.len() }
}
