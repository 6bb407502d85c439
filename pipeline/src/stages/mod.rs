//! One stage a file. A draft passes them in the order of
//! [`flow::STAGES`](crate::flow::STAGES), all with one signature: synchronous and
//! deterministic in (state, draft, turn).
//!
//! What a stage remembers is in [`state`](crate::state), not here: a stage is a
//! name and functions.

pub mod ask_list;
pub mod deduplicate;
pub mod detect_echo;
pub mod enrich;
pub mod govern;
pub mod lookup;
pub mod mirror;
pub mod note;
pub mod propose;
pub mod publish;
pub mod remember;
pub mod route;
pub mod shelve;
pub mod track;

use crate::{draft::Draft, state::PartitionState, turn::Turn};

/// One step of the chain.
#[derive(Clone, Copy)]
pub struct Stage {
    /// Its name in `flow.rs`, in metrics, in logs and in dead letters.
    pub name: &'static str,
    /// Looks at a draft, may change it, and lets it pass or not.
    pub on: fn(&mut PartitionState, &mut Draft, &mut Turn<'_>) -> Verdict,
    /// Lets go on what waited long enough. What is only forgotten for its age is
    /// the business of the state itself.
    pub on_tick: Option<fn(&mut PartitionState, &mut Turn<'_>)>,
}

/// What becomes of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// On to the next stage.
    Pass,
    /// It was published before: no further.
    Repeat,
    /// The state keeps its event, and gives it back later.
    Held,
}
