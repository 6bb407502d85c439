//! The mirror's decisions: what is to be said and done where, in which order,
//! and what of that which comes in is only our own voice.
//!
//! ```text
//! enrich ─▸ detect_echo ─▸ track ─▸ route ─▸ mirror ─▸ publish
//!            │ ours: on with the mark `echo`, told to nobody, copied nowhere
//!            └ cannot be told yet: held until the result of what is under way
//! mirror.results ─▸ what stands there now, and the next command of the lane
//! ```
//!
//! In: drafts, [`MirrorResult`](crate::event::MirrorResult)s, ticks. Out: at
//! most one [`MirrorCommand`](crate::event::MirrorCommand) a lane until its
//! result is there, and the state (kinds `mirror` and `held`). A message and
//! each copy of it are one [`item`], known by what it is the copy of: edits and
//! deletions change what is wanted there, and what is done is the newest that
//! is wanted. So it does not matter how often a provider repeats itself, in
//! which order, or how many edits come while one is under way.
//!
//! | what happens | what is wanted |
//! | --- | --- |
//! | a task is created, or first spoken of | a root message in its project's channel; what else goes there waits for it |
//! | somebody writes, edits, deletes on one side | the same on the other; of a deletion a line that says so |
//! | an agent speaks | its words on both sides; what it says while that waits is put to it |
//! | a status changes | a notice in the thread |
//! | an agent or the API moves a task | its status at the provider, and the notice |
//! | somebody edits our copy at a tracker | the words of the original again |
//! | somebody deletes our copy | nothing: that is that side's own affair |
//! | a list is created where the workgroup wants a channel | the channel |
//! | a command fails for good | the person who wrote it in Slack is told, and nobody else |
//! | a project is mirrored too fast | the same, later and in order (see `pace`) |
//! | nobody can tell what became of a command | an edit again; a post once more, if no echo comes meanwhile; a status never |

mod context;
mod echo;
mod filter;
mod issue;
mod lists;
mod pace;
mod render;
mod results;
mod say;
mod work;

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    state::{PartitionState, Resumed},
    turn::Turn,
};

pub use context::MirrorContext;

/// See the module.
pub const STAGE: Stage = Stage { name: context::NAME, on, on_tick: Some(on_tick) };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    MirrorContext::of(state, &draft.event.tenant_id).on(draft, turn);
    Verdict::Pass
}

/// Projects that may be mirrored again go on.
fn on_tick(state: &mut PartitionState, turn: &mut Turn<'_>) {
    for (tenant, project) in state.mirror.paced() {
        MirrorContext::of(state, &tenant).release_project(&project, turn);
    }
}

/// Issues the next command of every lane in which something has changed. The
/// answer is what was held and goes on now, oldest first.
pub fn issue_next(state: &mut PartitionState, turn: &mut Turn<'_>) -> Vec<Resumed> {
    while let Some((tenant, lane)) = state.mirror.take_stirred() {
        MirrorContext::of(state, &tenant).pump(lane, turn);
    }
    state.mirror.released(turn).into_iter().map(Resumed::since).collect()
}
