//! All that an agent's message concerns, asked in one go: the message comes in
//! with what is remembered of the agent and of the task, one answer goes out.
//!
//! The detectors are asked in a fixed order, until one refuses; those that were
//! asked then learn what became of the message in the end. So what one refuses
//! takes no place in the others' windows.

use std::cell::OnceCell;

use serde::{Deserialize, Serialize};
use udfs::similar::{Likeness, content_hash, likeness};

use crate::governance::{
    COOL_DOWN, Detector, Finding, Level, Likes, Limits, MessageRate, Rated, Repeats, RuleDecision, Stall, Turns,
};

/// What an agent wants to say.
#[derive(Clone, Debug)]
pub struct SpokenMessage<'a> {
    /// Who says it.
    pub agent_id: &'a str,
    /// In which task, if in one.
    pub task_id: Option<&'a str>,
    /// The hash of the text.
    pub content: u128,
    text: &'a str,
    likeness: OnceCell<Likeness>,
}

impl<'a> SpokenMessage<'a> {
    /// With the hash of `text`.
    pub fn new(agent_id: &'a str, task_id: Option<&'a str>, text: &'a str) -> Self {
        SpokenMessage { agent_id, task_id, content: content_hash(text), text, likeness: OnceCell::new() }
    }

    /// What it is compared by: made when somebody asks, because it costs a
    /// thousand times what the hash does, and most that is too much is refused
    /// before.
    pub fn likeness(&self) -> Likeness {
        *self.likeness.get_or_init(|| likeness(self.text))
    }
}

/// Whose turn it is in a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskTurn<'a> {
    /// This agent spoke.
    Agent(&'a str),
    /// A person spoke.
    Person,
    /// Its state changed.
    Moved,
}

/// What is remembered of an agent: one entry of `pipeline.state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentState {
    /// For [`MessageRate`](crate::governance::MessageRate).
    pub rate: Rated,
    /// For [`Identical`](crate::governance::Identical).
    pub repeats: Repeats,
    /// For [`NearDuplicates`](crate::governance::NearDuplicates).
    pub likes: Likes,
    /// Until when it stays out, after it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_until_ms: Option<u64>,
}

/// What is remembered of a task: one entry of `pipeline.state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskConversation {
    /// For [`Handoffs`](crate::governance::Handoffs).
    pub turns: Turns,
    /// For [`NoProgress`](crate::governance::NoProgress).
    pub stall: Stall,
}

/// The answer of all detectors together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the message goes on.
    pub allow: bool,
    /// The rule that refuses it.
    pub refused_by: Option<&'static str>,
    /// What to raise.
    pub alerts: Vec<Finding>,
    /// The severest of what is to be done to the agent. With
    /// [`Level::Disconnect`] its sockets are cut.
    pub enforce: Option<Level>,
    /// In how many milliseconds it may be said, or the agent may come back.
    pub retry_after_ms: Option<u64>,
}

impl AgentState {
    /// The answer to one that was cut and is not to be back yet. Refused, not cut
    /// again: what was under way when it was cut still comes, and a clock may be
    /// a little ahead of the log's.
    fn out(&self, now_ms: u64) -> Option<Judgement> {
        let left_ms = self.out_until_ms?.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)?;
        Some(Judgement {
            allow: false,
            refused_by: Some(COOL_DOWN),
            enforce: Some(Level::Mute),
            retry_after_ms: Some(left_ms),
            ..Judgement::PASS
        })
    }
}

impl Judgement {
    /// Nothing was found.
    pub const PASS: Judgement =
        Judgement { allow: true, refused_by: None, alerts: Vec::new(), enforce: None, retry_after_ms: None };

    /// Asks one more detector, unless one has refused already.
    fn ask<D: Detector>(
        &mut self,
        detector: &D,
        state: &D::State,
        input: D::Input<'_>,
        now_ms: u64,
    ) -> Option<RuleDecision> {
        if !self.allow {
            return None;
        }
        let mut decision = detector.judge(state, input, now_ms);
        self.allow = decision.allow;
        self.refused_by = (!decision.allow).then_some(D::RULE);
        self.alerts.extend(decision.alert.take());
        self.enforce = self.enforce.max(decision.enforce);
        self.retry_after_ms = decision.retry_after_ms;
        Some(decision)
    }

    /// Tells a detector that was asked.
    fn tell<D: Detector>(
        &self,
        detector: &D,
        state: &mut D::State,
        input: D::Input<'_>,
        now_ms: u64,
        said: Option<RuleDecision>,
    ) {
        if let Some(decision) = said {
            detector.note(state, input, now_ms, &decision, self.allow);
        }
    }

    /// The detectors of the message's task. They are the last, so that what
    /// they say is what becomes of it.
    fn ask_task(
        &mut self,
        limits: &Limits,
        task: Option<&mut TaskConversation>,
        message: &SpokenMessage<'_>,
        now_ms: u64,
    ) {
        let (Some(task), Some(task_id)) = (task, message.task_id) else { return };
        let input = (task_id, TaskTurn::Agent(message.agent_id));
        let handoffs = self.ask(&limits.handoffs, &task.turns, input, now_ms);
        let no_progress = self.ask(&limits.no_progress, &task.stall, input, now_ms);
        self.tell(&limits.handoffs, &mut task.turns, input, now_ms, handoffs);
        self.tell(&limits.no_progress, &mut task.stall, input, now_ms, no_progress);
    }
}

impl Limits {
    /// Judges a message of an agent, and takes notice of it. `task` is what is
    /// remembered of the message's task, if it has one.
    pub fn on_message(
        &self,
        agent: &mut AgentState,
        task: Option<&mut TaskConversation>,
        message: &SpokenMessage<'_>,
        now_ms: u64,
    ) -> Judgement {
        if let Some(out) = agent.out(now_ms) {
            return out;
        }
        agent.out_until_ms = None;
        let mut judged = Judgement::PASS;
        let identical = judged.ask(&self.identical, &agent.repeats, message, now_ms);
        let rate = judged.ask(&self.messages, &agent.rate, message, now_ms);
        let near = judged.ask(&self.near_duplicates, &agent.likes, message, now_ms);
        judged.ask_task(self, task, message, now_ms);
        judged.tell(&self.identical, &mut agent.repeats, message, now_ms, identical);
        judged.tell(&self.messages, &mut agent.rate, message, now_ms, rate);
        judged.tell(&self.near_duplicates, &mut agent.likes, message, now_ms, near);

        if judged.enforce == Some(Level::Disconnect) {
            agent.out_until_ms = Some(now_ms.saturating_add(self.cool_down_ms));
            judged.retry_after_ms = Some(self.cool_down_ms);
        }
        judged
    }

    /// Judges something else that a mute agent may not do: it takes no place.
    pub fn on_act(&self, agent: &AgentState, now_ms: u64) -> Judgement {
        if let Some(out) = agent.out(now_ms) {
            return out;
        }
        let Some(retry_after_ms) = self.messages.mute_for(&agent.rate, now_ms) else { return Judgement::PASS };
        Judgement {
            allow: false,
            refused_by: Some(MessageRate::RULE),
            enforce: Some(Level::Mute),
            retry_after_ms: Some(retry_after_ms),
            ..Judgement::PASS
        }
    }

    /// A person spoke in a task, or its state changed.
    pub fn on_task(&self, task: &mut TaskConversation, task_id: &str, turn: TaskTurn<'_>, now_ms: u64) {
        self.handoffs.on(&mut task.turns, (task_id, turn), now_ms);
        self.no_progress.on(&mut task.stall, (task_id, turn), now_ms);
    }

    /// From when on nothing of an agent need be remembered.
    pub fn agent_expiry(&self, agent: &AgentState) -> Option<u64> {
        self.messages
            .next_expiry(&agent.rate)
            .max(self.identical.next_expiry(&agent.repeats))
            .max(self.near_duplicates.next_expiry(&agent.likes))
            .max(agent.out_until_ms)
    }

    /// From when on nothing of a task need be remembered.
    pub fn task_expiry(&self, task: &TaskConversation) -> Option<u64> {
        self.handoffs.next_expiry(&task.turns).max(self.no_progress.next_expiry(&task.stall))
    }
}
