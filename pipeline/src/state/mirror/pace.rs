//! What waits until its project may be mirrored again, and what each project was
//! allowed lately.
//!
//! Who waits follows from the items (their mark `paced`), so a restart makes the
//! queues again; the windows are entries of state (kind `synced`).

use std::{collections::BTreeMap, sync::Arc};

use super::item::Item;
use crate::{governance::Rated, state::ledger::Ledger};

/// The kind of state entry in which projects' windows are kept.
pub const KIND: &str = "synced";

/// A tenant and one of its projects.
pub type PacedProject = (Arc<str>, Arc<str>);

/// See the module.
pub struct Pace {
    /// What each project was allowed lately.
    pub windows: Ledger<Rated>,
    /// What waits for its project, by its place in its lane.
    queues: BTreeMap<PacedProject, BTreeMap<u64, u128>>,
}

impl Pace {
    /// Nothing waits.
    pub fn new(projects_max: usize) -> Self {
        Pace { windows: Ledger::new(KIND, projects_max), queues: BTreeMap::new() }
    }

    /// The projects for which something waits.
    pub fn projects(&self) -> Vec<PacedProject> {
        self.queues.keys().cloned().collect()
    }

    /// How much waits, over all projects.
    pub fn waiting(&self) -> usize {
        self.queues.values().map(BTreeMap::len).sum()
    }

    /// An item waits for its project.
    pub fn join(&mut self, tenant: &str, item: &Item, key: u128) {
        if let Some(project) = &item.project {
            let project = (Arc::from(tenant), Arc::from(&**project));
            self.queues.entry(project).or_default().insert(item.turn, key);
        }
    }

    /// Who has waited longest.
    pub fn take_first(&mut self, project: &PacedProject) -> Option<u128> {
        let queue = self.queues.get_mut(project)?;
        let first = queue.pop_first();
        if queue.is_empty() {
            self.queues.remove(project);
        }
        first.map(|(_, key)| key)
    }

    /// Whether something waits for a project.
    pub fn has_queue(&self, project: &PacedProject) -> bool {
        self.queues.contains_key(project)
    }
}
