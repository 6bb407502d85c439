//! How fast a project may be mirrored: so many commands in any window of the
//! log's clock, by the tenant's limits; what is too much waits, in the order in
//! which it was wanted, and goes when there is room.
//!
//! Every command that is issued for a project counts, also one that is tried
//! again: what is bounded is what a runaway project does to the providers. A
//! whisper and a new channel belong to no project and do not wait.

use std::sync::Arc;

use super::context::MirrorContext;
use crate::{
    governance::Detector,
    state::{
        ledger::key_of,
        mirror::{lanes::lane_key, pace::PacedProject},
    },
    turn::Turn,
};

impl MirrorContext<'_> {
    /// Whether a command may be issued for an item now. If not, it waits, and is
    /// issued from there.
    pub fn may_go(&mut self, key: u128, has_waited: bool, turn: &mut Turn<'_>) -> bool {
        let Some(project) = self.state.items.get(key).and_then(|item| item.project.clone()) else { return true };
        let name: PacedProject = (Arc::from(self.tenant), Arc::from(&*project));
        let is_first = has_waited || !self.state.pace.has_queue(&name);
        if is_first && self.has_room(&project, turn) {
            return true;
        }
        self.wait(key);
        if !has_waited {
            // Nobody overtakes who waits, and who waits may have room by now.
            self.release_project(&project, turn);
        }
        false
    }

    /// Takes a place in the project's window, or tells that it is full.
    fn has_room(&mut self, project: &str, turn: &mut Turn<'_>) -> bool {
        let window = key_of(self.tenant, project);
        let mut state = self.state.pace.windows.take(&window);
        let decision = self.syncs.on(&mut state, project, turn.now_ms);
        let until_ms = self.syncs.next_expiry(&state);
        self.state.pace.windows.put(&window, state, until_ms);
        if let Some(finding) = decision.alert {
            turn.alert(finding.kind, finding.severity, self.tenant, &finding.subject, finding.message);
        }
        decision.allow
    }

    /// Whether what is first in a lane waits for its project.
    pub fn is_paced(&self, lane: &str) -> bool {
        let first = self.state.lanes.first(lane_key(self.tenant, lane));
        first.and_then(|key| self.state.items.get(key)).is_some_and(|item| item.paced)
    }

    fn wait(&mut self, key: u128) {
        self.state.items.update(key, |item| item.paced = true);
        if let Some(item) = self.state.items.get(key) {
            self.state.pace.join(self.tenant, item, key);
        }
    }

    /// Issues what waits for a project, as far as there is room.
    pub fn release_project(&mut self, project: &str, turn: &mut Turn<'_>) {
        let name: PacedProject = (Arc::from(self.tenant), Arc::from(project));
        let window = key_of(self.tenant, project);
        loop {
            let free = self.state.pace.windows.get(&window).map_or(1, |state| self.syncs.free(state, turn.now_ms));
            if free == 0 {
                return;
            }
            let Some(key) = self.state.pace.take_first(&name) else { return };
            // What it waited with may be done otherwise, or wanted no more.
            let Some(item) = self.state.items.get(key).filter(|item| item.paced) else { continue };
            let lane = lane_key(self.tenant, &item.lane);
            self.state.items.update(key, |item| item.paced = false);
            self.pump_as(lane, true, turn);
        }
    }
}
