//! Detectors of runaway agents: what somebody did comes in with its time,
//! whether it may happen and who is to be told goes out.
//!
//! | detector | subject | default | alert |
//! |---|---|---|---|
//! | [`MessageRate`] | agent | `mute`: 10 a minute | `agent.muted` |
//! | [`SyncRate`] | project | `mute`: 100 an hour, the rest wait | `project.throttled` |
//! | [`Identical`] | agent | `disconnect`: the second of a text within 10 s | `agent.stuck` |
//! | [`NearDuplicates`] | agent | `alert`: the fourth like it in 10 min | `agent.repeating` |
//! | [`Handoffs`] | task | `alert`: three full cycles without a person | `task.handoffs` |
//! | [`NoProgress`] | task | `alert`: 25 messages and nothing has moved | `task.no_progress` |
//!
//! Each is a rule, a part of a tenant's [`Limits`], and beside it the state of
//! one subject: bounded, serialisable, equal after a restart, and worth nothing
//! from [`Detector::next_expiry`] on. [`Limits::on_message`] asks all that an
//! agent's message concerns in one go; [`Subjects`] keeps the states.
//!
//! Everything is on the log's clock, and deterministic: another set of limits
//! over the same log shows what it would have done.

mod decision;
mod handoffs;
mod identical;
mod judge;
mod limits;
mod mark;
mod message_rate;
mod near_duplicates;
mod no_progress;
mod rated;
mod subjects;
mod sync_rate;
#[cfg(test)]
mod tests;
pub mod window;

pub use decision::{Episode, Finding, Level, RuleDecision};
pub use handoffs::{Handoffs, Turns};
pub use identical::{Identical, Repeats};
pub use judge::{AgentState, Judgement, SpokenMessage, TaskConversation, TaskTurn};
pub use limits::{BadLimits, Limits};
pub use mark::Mark;
pub use message_rate::MessageRate;
pub use near_duplicates::{Likes, NearDuplicates};
pub use no_progress::{NoProgress, Stall};
pub use rated::Rated;
pub use subjects::Subjects;
pub use sync_rate::SyncRate;

/// THE list of the rules, as limits and refusals name them, each with the kind
/// of its alert.
pub const RULES: &[(&str, &str)] = &[
    (MessageRate::RULE, MessageRate::KIND),
    (SyncRate::RULE, SyncRate::KIND),
    (Identical::RULE, Identical::KIND),
    (NearDuplicates::RULE, NearDuplicates::KIND),
    (Handoffs::RULE, Handoffs::KIND),
    (NoProgress::RULE, NoProgress::KIND),
];

/// Why an agent is refused that was cut and is not to be back yet.
pub const COOL_DOWN: &str = "coolDown";

/// One rule over one kind of subject. Asking changes nothing, so that what
/// another detector refuses is not counted here as if it had happened.
pub trait Detector {
    /// What it looks at.
    type Input<'a>: Copy;
    /// What it remembers of a subject.
    type State: Default;
    /// What it is called in limits and in refusals.
    const RULE: &'static str;
    /// The alert that it raises.
    const KIND: &'static str;

    /// What it says to `input`.
    fn judge(&self, state: &Self::State, input: Self::Input<'_>, now_ms: u64) -> RuleDecision;

    /// Takes notice: it was judged so, and has happened in the end (`passed`)
    /// or was refused, here or elsewhere.
    fn note(&self, state: &mut Self::State, input: Self::Input<'_>, now_ms: u64, decision: &RuleDecision, passed: bool);

    /// From when on the state says no more than an empty one; nothing if it
    /// says nothing now.
    fn next_expiry(&self, state: &Self::State) -> Option<u64>;

    /// Both in one, for a detector that decides alone.
    fn on(&self, state: &mut Self::State, input: Self::Input<'_>, now_ms: u64) -> RuleDecision {
        let decision = self.judge(state, input, now_ms);
        self.note(state, input, now_ms, &decision, decision.allow);
        decision
    }
}
