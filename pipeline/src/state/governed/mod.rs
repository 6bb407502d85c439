//! Governance: before `act` does what an agent asks, it is asked here whether
//! the agent may; and whoever falls silent is told of.
//!
//! In: what agents want to say and do, what people say and what moves in tasks,
//! who is connected (`presence`), ticks. Out: refusals with their reason, alerts
//! (once an episode), nudges to agents, and for an agent that is cut a record of
//! `presence` that every gateway follows. The detectors themselves are in
//! [`detect`](crate::governance); the sync rate of projects is in `mirror`.
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
mod speech;
mod watch;

use serde::Serialize;

use crate::{
    event::{Severity, SocketStatus},
    governance::{AgentState, Limits, TaskConversation, TaskTurn},
    settings::GovernSettings,
    state::{
        Stateful, StoredEntry,
        ledger::{Ledger, key_of, parts_of},
    },
    topics::CLOCK,
    turn::Turn,
};

pub use bars::Bars;
pub use speech::{Speech, SpeechVerdict};
pub use watch::Watch;

/// The stage's name.
pub const NAME: &str = "govern";
/// The kind of state entry in which agents' windows are kept.
const SPOKEN: &str = "spoken";
/// The kind of state entry in which tasks are kept that agents speak in.
const STALLED: &str = "stalled";
/// The kind of state entry that says which agents are silenced by hand.
pub(super) const MUTED: &str = "muted";
/// The kind of state entry that says how agents' sockets are.
pub(super) const WATCHED: &str = "watched";

/// What is remembered of the agents of one partition.
pub struct Governed {
    agents: Ledger<AgentState>,
    tasks: Ledger<TaskConversation>,
    bars: Bars,
    watch: Watch,
}

/// How much that is, for tests and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GovernedCounts {
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
    pub fn new(settings: &GovernSettings) -> Self {
        Governed {
            agents: Ledger::new(SPOKEN, settings.agents_max),
            tasks: Ledger::new(STALLED, settings.tasks_max),
            bars: Bars::default(),
            watch: Watch::new(settings.silent_ms, settings.presence_ttl_ms),
        }
    }

    /// A person speaks in a task, or it moves: what agents did there before
    /// counts no more.
    pub fn on_task(&mut self, limits: &Limits, tenant: &str, task: &str, turn: TaskTurn, now_ms: u64) {
        let key = key_of(tenant, task);
        if self.tasks.get(&key).is_some() {
            let mut state = self.tasks.take(&key);
            limits.on_task(&mut state, task, turn, now_ms);
            let until_ms = limits.task_expiry(&state);
            self.tasks.put(&key, state, until_ms);
        }
    }

    /// Whether no task is known in which agents speak: most never are.
    pub fn has_no_tasks(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How a socket of an agent is; nothing when it is closed.
    pub fn on_presence(
        &mut self,
        tenant: &str,
        agent: &str,
        socket: &str,
        status: Option<SocketStatus>,
        turn: &mut Turn<'_>,
    ) {
        self.watch.on(tenant, agent, socket, status, turn);
    }

    /// Tells of agents that are gone; those that `counts` does not take (it is
    /// given tenant and agent) are forgotten.
    pub fn tell_gone(&mut self, counts: impl FnMut(&str, &str) -> bool, turn: &mut Turn<'_>) {
        self.watch.wake(turn.now_ms);
        self.watch.tell(counts, turn);
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

    /// An agent that was cut may come back.
    fn let_in(&mut self, key: &str, out_until_ms: u64, turn: &mut Turn<'_>) {
        let Some((tenant, agent)) = parts_of(key) else { return };
        self.bars.let_in(tenant, agent, out_until_ms, turn);
        if let Some(until_ms) = self.agents.until(key) {
            let mut state = self.agents.take(key);
            state.out_until_ms = None;
            self.agents.put(key, state, Some(until_ms));
        }
    }

    /// How much is remembered.
    pub fn remembered(&self) -> GovernedCounts {
        GovernedCounts {
            agents: self.agents.len(),
            tasks: self.tasks.len(),
            barred: self.bars.len(),
            watched: self.watch.count(),
        }
    }
}

impl Stateful for Governed {
    fn kinds(&self) -> &'static [&'static str] {
        &[SPOKEN, STALLED, MUTED, WATCHED]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        match kept.key.kind {
            SPOKEN => {
                let out_until_ms = self.agents.restore(kept).and_then(|state| state.out_until_ms);
                if let Some(until_ms) = out_until_ms {
                    self.bars.expect(&key_of(kept.key.tenant, kept.key.id), until_ms);
                }
            }
            STALLED => {
                self.tasks.restore(kept);
            }
            MUTED => self.bars.restore(kept),
            WATCHED if kept.key.tenant == CLOCK => self.watch.restore_clock(kept),
            WATCHED => self.watch.restore(kept),
            _ => {}
        }
    }

    fn on_tick(&mut self, turn: &mut Turn<'_>) {
        while let Some((until_ms, key)) = self.bars.over(turn.now_ms) {
            self.let_in(&key, until_ms, turn);
        }
        self.agents.on_tick(turn);
        self.tasks.on_tick(turn);
    }

    fn flush(&mut self, turn: &mut Turn<'_>) {
        self.agents.flush(turn);
        self.tasks.flush(turn);
        self.watch.flush(turn);
    }
}
