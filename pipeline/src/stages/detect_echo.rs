//! Tells the hub's own voice from everybody else's, before anybody is told of it.
//!
//! In: drafts with their place. Out: those that are ours with the mark `echo`;
//! what cannot be told yet is held until the result of what is under way, or for
//! [`MirrorSettings::held_ms`](crate::settings::MirrorSettings::held_ms). The
//! rules are the mirror's (see [`mirror`](super::mirror)).

use super::{Stage, Verdict, mirror::MirrorContext};
use crate::{
    draft::Draft,
    state::{PartitionState, Resumed},
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: "detect_echo", on, on_tick: Some(on_tick) };

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    let tenant = draft.event.tenant_id.clone();
    let Some(cause) = MirrorContext::of(state, &tenant).detect_echo(draft, turn) else { return Verdict::Pass };
    let since_ms = draft.facts.held_since_ms.unwrap_or(turn.now_ms);
    state.mirror.hold(draft.event.clone(), cause, since_ms, turn);
    Verdict::Held
}

/// Commands that took too long are given up first, since what is held waits for
/// them; then what was held too long goes on.
fn on_tick(state: &mut PartitionState, turn: &mut Turn<'_>) {
    while let Some((tenant, key)) = state.mirror.due(turn.now_ms) {
        MirrorContext::of(state, &tenant).on_due(key, turn);
    }
    let overdue = state.mirror.overdue(turn);
    state.resumed.extend(overdue.into_iter().map(Resumed::since));
}
