//! The detectors over what happened, without anybody who does what they say.

use pipeline::{
    governance::window::{Sliding, Times},
    governance::{AgentState, Detector, Rated, SpokenMessage, Subjects, SyncRate, TaskConversation, TaskTurn},
    state::ledger::key_of,
};

use super::{Supposed, Tallies};

/// Subjects of one kind that are remembered at the same time.
const SUBJECTS_MAX: usize = 100_000;
/// Subjects that are let go at once, when their time is over.
const EXPIRED_MAX: usize = 1_000;

/// What an agent said, or wanted to.
pub struct Said<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// The task that it is about.
    pub task: Option<&'a str>,
    /// The words.
    pub words: &'a str,
    /// When, by the log's clock.
    pub at_ms: u64,
}

/// See the module.
pub struct Judge<'a> {
    supposed: &'a Supposed,
    /// What the rules would have done.
    pub tallies: Tallies,
    /// Messages seen.
    pub messages: u64,
    /// Commands seen.
    pub syncs: u64,
    agents: Subjects<AgentState>,
    tasks: Subjects<TaskConversation>,
    projects: Subjects<Paced>,
}

/// A project whose commands would have waited.
#[derive(Default)]
struct Paced {
    /// For the alerts.
    rated: Rated,
    /// When commands would have gone.
    gone: Times,
    waiting: u64,
    clock_ms: u64,
}

impl<'a> Judge<'a> {
    /// Nothing was seen yet.
    pub fn new(supposed: &'a Supposed) -> Self {
        Judge {
            supposed,
            tallies: Tallies::default(),
            messages: 0,
            syncs: 0,
            agents: Subjects::new(SUBJECTS_MAX),
            tasks: Subjects::new(SUBJECTS_MAX),
            projects: Subjects::new(SUBJECTS_MAX),
        }
    }

    /// Another partition has other tenants, and a clock that begins anew.
    pub fn next_partition(&mut self) {
        self.agents = Subjects::new(SUBJECTS_MAX);
        self.tasks = Subjects::new(SUBJECTS_MAX);
        self.projects = Subjects::new(SUBJECTS_MAX);
    }

    /// An agent says something.
    pub fn say(&mut self, said: &Said<'_>) {
        self.messages += 1;
        self.agents.expire(said.at_ms, EXPIRED_MAX);
        self.tasks.expire(said.at_ms, EXPIRED_MAX);
        let limits = self.supposed.of(said.tenant);
        let message = SpokenMessage::new(said.agent, said.task, said.words);
        let agent_key = key_of(said.tenant, said.agent);
        let task_key = said.task.map(|task| key_of(said.tenant, task));
        let mut agent = self.agents.take(&agent_key);
        let mut task = task_key.as_ref().map(|key| self.tasks.take(key));
        let judged = limits.on_message(&mut agent, task.as_mut(), &message, said.at_ms);
        let until_ms = limits.agent_expiry(&agent);
        self.agents.put(&agent_key, agent, until_ms);
        if let (Some(key), Some(task)) = (task_key, task) {
            let until_ms = limits.task_expiry(&task);
            self.tasks.put(&key, task, until_ms);
        }
        if let Some(rule) = judged.refused_by {
            self.tallies.refused(rule);
        }
        for finding in &judged.alerts {
            self.tallies.alert(finding.kind, said.tenant, &finding.subject);
        }
    }

    /// A person speaks in a task, or it moves.
    pub fn turn(&mut self, tenant: &str, task: &str, turn: TaskTurn<'_>, at_ms: u64) {
        let key = key_of(tenant, task);
        if self.tasks.get(&key).is_some() {
            let limits = self.supposed.of(tenant);
            let mut state = self.tasks.take(&key);
            limits.on_task(&mut state, task, turn, at_ms);
            let until_ms = limits.task_expiry(&state);
            self.tasks.put(&key, state, until_ms);
        }
    }

    /// A command for a project.
    pub fn sync(&mut self, tenant: &str, project: &str, at_ms: u64) {
        self.syncs += 1;
        self.projects.expire(at_ms, EXPIRED_MAX);
        let syncs = &self.supposed.of(tenant).syncs;
        let key = key_of(tenant, project);
        let mut paced = self.projects.take(&key);
        paced.drain(syncs, at_ms);
        let decision = syncs.on(&mut paced.rated, project, at_ms);
        if let Some(finding) = &decision.alert {
            self.tallies.alert(finding.kind, tenant, &finding.subject);
        }
        let rule = rule_of(syncs);
        if syncs.waits() && (paced.waiting > 0 || rule.try_take(&mut paced.gone, at_ms).is_err()) {
            paced.waiting += 1;
            self.tallies.refused(SyncRate::RULE);
        }
        let until_ms = at_ms + 2 * syncs.window_ms * (1 + paced.waiting / u64::from(syncs.limit.max(1)));
        self.projects.put(&key, paced, Some(until_ms));
    }
}

impl Paced {
    /// What waited and would have gone by now.
    fn drain(&mut self, syncs: &SyncRate, at_ms: u64) {
        let rule = rule_of(syncs);
        while self.waiting > 0 {
            match rule.try_take(&mut self.gone, self.clock_ms.min(at_ms)) {
                Ok(()) => {
                    self.waiting -= 1;
                    // It takes its place in the window of the alerts, too.
                    let decision = syncs.judge(&self.rated, "", self.clock_ms);
                    syncs.note(&mut self.rated, "", self.clock_ms, &decision, true);
                }
                Err(wait_ms) if self.clock_ms + wait_ms <= at_ms => self.clock_ms += wait_ms,
                Err(_) => return,
            }
        }
        self.clock_ms = at_ms;
    }
}

fn rule_of(syncs: &SyncRate) -> Sliding {
    Sliding { limit: syncs.limit, window_ms: syncs.window_ms }
}
