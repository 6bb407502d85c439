//! Governance: before `act` does what an agent asks, it is asked here whether
//! the agent may; and whoever falls silent is told of.
//!
//! In: what agents want to say and do, what people say and what moves in tasks,
//! who is connected (`presence`), ticks. Out: refusals with their reason, alerts
//! (once an episode), nudges to agents, and for an agent that is cut a record of
//! `presence` that every gateway follows. The detectors themselves are in
//! [`detect`](crate::detect); the sync rate of projects is in `mirror`.
//!
//! | what an agent does | what is asked |
//! | --- | --- |
//! | `message`, and `status_update` of a task with words of its own | all detectors; it takes a place |
//! | `status_update` of a task without words | only whether the agent is mute; it takes none |
//! | a move or another thread of a task by the API, leave for a third-party tool | the same |
//! | a `message` that cannot be said (no such task, …) | the same: nobody hears it |
//! | `status_update` of itself, `usage`, `trace` | nothing: they reach nobody outside |
//!
//! All times are the log's clock, so a replay decides the same. State: one entry
//! an agent (`spoken`), a task in which agents speak (`stalled`), an agent that
//! is silenced by hand (`muted`), an agent that was ever online (`watched`).

mod bars;
mod ledger;
mod speech;
mod watch;

use serde::Serialize;

use super::{Draft, Kept, Turn, directory::Directory, index::Index};
use crate::{
    detect::{AgentState, Limits, TaskState, TaskTurn},
    event::{ActorKind, EventType, Presence, Severity},
    topics::CLOCK,
};

pub use bars::Bars;
pub use ledger::{Ledger, key_of};
pub use speech::{Speech, Verdict};
pub use watch::Watch;

/// The stage's name.
pub const NAME: &str = "govern";
/// The kind of state entry in which agents' windows are kept.
pub const SPOKEN: &str = "spoken";
/// The kind of state entry in which tasks are kept that agents speak in.
pub const STALLED: &str = "stalled";
/// The kind of state entry that says which agents are silenced by hand.
pub const MUTED: &str = "muted";
/// The kind of state entry that says how agents' sockets are.
pub const WATCHED: &str = "watched";

/// What this operator is set to.
#[derive(Clone, Debug)]
pub struct Govern {
    /// The limits of tenants that have none of their own.
    pub limits: Limits,
    /// Agents whose windows one partition remembers: a few hundred bytes each.
    pub agents_max: usize,
    /// Tasks in which agents speak that it remembers.
    pub tasks_max: usize,
    /// Projects whose sync rate it remembers: up to a kilobyte each.
    pub projects_max: usize,
    /// How long an agent may be without a socket before it counts as gone: as
    /// long as three heartbeats.
    pub silent_ms: u64,
    /// How long a socket counts that nobody renews, because its gateway died.
    pub presence_ttl_ms: u64,
}

impl Default for Govern {
    fn default() -> Self {
        Govern {
            limits: Limits::default(),
            agents_max: 50_000,
            tasks_max: 50_000,
            projects_max: 20_000,
            silent_ms: 90_000,
            presence_ttl_ms: 300_000,
        }
    }
}

/// What is remembered of the agents of one partition.
pub struct Governed {
    pub(super) agents: Ledger<AgentState>,
    pub(super) tasks: Ledger<TaskState>,
    pub(super) bars: Bars,
    pub(super) watch: Watch,
}

/// How much that is, for tests and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// Agents with windows.
    pub agents: usize,
    /// Tasks in which they speak.
    pub tasks: usize,
    /// Agents that are silenced by hand, and those that were cut.
    pub barred: (usize, usize),
    /// Agents whose sockets are watched.
    pub watched: usize,
}

impl Governed {
    /// Nobody is known yet.
    pub fn new(settings: &Govern) -> Self {
        Governed {
            agents: Ledger::new(SPOKEN, settings.agents_max),
            tasks: Ledger::new(STALLED, settings.tasks_max),
            bars: Bars::default(),
            watch: Watch::new(settings.silent_ms, settings.presence_ttl_ms),
        }
    }

    /// A person speaks in a task, or it moves: what agents did there before
    /// counts no more.
    pub fn on_draft(&mut self, limits: &Limits, draft: &Draft, now_ms: u64) {
        // Most tasks are never spoken in by agents.
        if self.tasks.is_empty() || draft.event.echo || draft.facts.is_own {
            return;
        }
        let Some(task) = draft.facts.task.map(super::tasks::id_of) else { return };
        let is_person = draft.event.actor.as_ref().is_some_and(|actor| actor.kind == ActorKind::Human);
        let turn = match draft.event.kind {
            EventType::WorkItemStatusChanged if !draft.facts.is_old_news => TaskTurn::Moved,
            EventType::MessagePosted | EventType::CommentPosted if is_person && draft.facts.by.is_none() => {
                TaskTurn::Person
            }
            _ => return,
        };
        let key = key_of(&draft.event.tenant_id, &task);
        if self.tasks.get(&key).is_some() {
            let mut state = self.tasks.take(&key);
            limits.on_task(&mut state, &task, turn, now_ms);
            let until_ms = limits.task_expiry(&state);
            self.tasks.put(&key, state, until_ms);
        }
    }

    /// A person silences an agent, or lets it speak again; a cool-down ends with
    /// that, too.
    pub fn mute(&mut self, tenant: &str, agent: &str, muted: bool, turn: &mut Turn<'_>) {
        if muted {
            if self.bars.mute(tenant, agent, turn) {
                let message = "silenced by an administrator, until one lets it speak again".to_owned();
                turn.alert("agent.muted", Severity::Info, tenant, agent, message);
            }
            return;
        }
        self.bars.unmute(tenant, agent, turn);
        let key = key_of(tenant, agent);
        if let Some(out_until_ms) = self.agents.get(&key).and_then(|state| state.out_until_ms) {
            self.let_in(&key, out_until_ms, turn);
        }
    }

    /// An agent is taken out of the directory.
    pub fn forget_agent(&mut self, tenant: &str, agent: &str, turn: &mut Turn<'_>) {
        self.bars.unmute(tenant, agent, turn);
        self.watch.forget(tenant, agent);
    }

    /// How a socket of an agent is; nothing when it is closed.
    pub fn on_presence(
        &mut self,
        index: Option<&Index>,
        tenant: &str,
        agent: &str,
        socket: &str,
        presence: Option<&Presence>,
        turn: &mut Turn<'_>,
    ) {
        // Nobody but the directory bounds how many agents there are.
        if index.is_some_and(|index| index.agent(agent).is_some()) {
            self.watch.on(tenant, agent, socket, presence.map(|presence| presence.status), turn);
        }
    }

    /// Cool-downs that are over, agents that are gone.
    pub(crate) fn on_tick(&mut self, directory: &mut Directory, turn: &mut Turn<'_>) {
        while let Some((until_ms, key)) = self.bars.over(turn.now_ms) {
            self.let_in(&key, until_ms, turn);
        }
        self.agents.on_tick(turn);
        self.tasks.on_tick(turn);
        self.watch.wake(turn.now_ms);
        let takes_part = |tenant: &str, agent: &str| {
            let known = directory.of(tenant).and_then(|index| index.agent(agent));
            known.is_some_and(|(_, enabled)| enabled)
        };
        self.watch.tell(takes_part, turn);
    }

    /// An agent that was cut may come back.
    fn let_in(&mut self, key: &str, out_until_ms: u64, turn: &mut Turn<'_>) {
        let Some((tenant, agent)) = key.split_once('/') else { return };
        self.bars.let_in(tenant, agent, out_until_ms, turn);
        if let Some(until_ms) = self.agents.until(key) {
            let mut state = self.agents.take(key);
            state.out_until_ms = None;
            self.agents.put(key, state, Some(until_ms));
        }
    }

    /// Keeps what changed since the last commit.
    pub(crate) fn keep(&mut self, turn: &mut Turn<'_>) {
        self.agents.keep(turn);
        self.tasks.keep(turn);
        self.watch.keep(turn);
    }

    /// Takes up what an earlier run kept.
    pub(crate) fn restore(&mut self, kept: Kept<'_>) {
        match kept.kind {
            SPOKEN => {
                let out_until_ms = self.agents.restore(kept).and_then(|state| state.out_until_ms);
                if let Some(until_ms) = out_until_ms {
                    self.bars.expect(&key_of(kept.tenant, kept.id), until_ms);
                }
            }
            STALLED => {
                self.tasks.restore(kept);
            }
            MUTED => self.bars.restore(kept),
            WATCHED if kept.tenant == CLOCK => self.watch.restore_clock(kept),
            WATCHED => self.watch.restore(kept),
            _ => {}
        }
    }

    /// How much is remembered.
    pub fn remembered(&self) -> Remembered {
        Remembered {
            agents: self.agents.len(),
            tasks: self.tasks.len(),
            barred: self.bars.len(),
            watched: self.watch.count(),
        }
    }
}
