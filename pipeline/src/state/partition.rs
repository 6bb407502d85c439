//! Everything that one partition remembers, in one list.

use std::collections::VecDeque;

use super::{
    Resumed, Stateful, StoredEntry, answers, candidates, directory, governed, lookups, mirror, notices, seen, seqs,
    tasks, unrouted,
};
use crate::settings::Settings;

/// See the module.
pub struct PartitionState {
    /// By what a repeat is known.
    pub seen: seen::Seen,
    /// The tenants' rows.
    pub directory: directory::Directory,
    /// The tasks.
    pub tasks: tasks::Tasks,
    /// The numbers of agents' letters.
    pub seqs: seqs::Seqs,
    /// What nobody mapped.
    pub unrouted: unrouted::UnroutedEvents,
    /// The answers that commands got.
    pub answers: answers::Answers,
    /// What waits for details.
    pub lookups: lookups::Lookups,
    /// What could be mapped.
    pub candidates: candidates::Candidates,
    /// What was noted of connections and projects.
    pub notices: notices::Notices,
    /// What is mirrored.
    pub mirror: mirror::MirrorState,
    /// What agents did lately.
    pub governed: governed::Governed,
    /// Events that a stage lets go on. Empty between two records.
    pub(crate) resumed: VecDeque<Resumed>,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateCounts {
    /// Events whose marks are known.
    pub seen: usize,
    /// Tenants with a directory.
    pub tenants: usize,
    /// Tasks.
    pub tasks: usize,
    /// Events that nobody mapped.
    pub unrouted: usize,
    /// Events that are held.
    pub held: usize,
    /// What the mirror knows, still has to do, and holds.
    pub mirrored: (usize, usize, usize),
    /// What governance knows of agents and tasks.
    pub governed: governed::GovernedCounts,
    /// Projects whose sync rate is known, and commands that wait for theirs.
    pub paced: (usize, usize),
}

impl PartitionState {
    /// Nothing is known yet.
    pub fn new(settings: &Settings) -> Self {
        PartitionState {
            seen: seen::Seen::new(&settings.deduplicate),
            directory: directory::Directory::new(settings.govern.limits.clone()),
            tasks: tasks::Tasks::new(&settings.track),
            seqs: seqs::Seqs::default(),
            unrouted: unrouted::UnroutedEvents::new(&settings.unrouted),
            answers: answers::Answers::default(),
            lookups: lookups::Lookups::new(&settings.lookup),
            candidates: candidates::Candidates::default(),
            notices: notices::Notices::default(),
            mirror: mirror::MirrorState::new(&settings.mirror, settings.govern.projects_max),
            governed: governed::Governed::new(&settings.govern),
            resumed: VecDeque::new(),
        }
    }

    /// THE list of what keeps entries. Also the order of ticks and of flushes.
    pub fn all(&mut self) -> [&mut dyn Stateful; 11] {
        [
            &mut self.seen,
            &mut self.directory,
            &mut self.tasks,
            &mut self.mirror,
            &mut self.governed,
            &mut self.seqs,
            &mut self.unrouted,
            &mut self.answers,
            &mut self.lookups,
            &mut self.candidates,
            &mut self.notices,
        ]
    }

    /// Takes up an entry that an earlier run kept. One of an unknown kind is for
    /// another version, and stays where it is.
    pub fn restore(&mut self, entry: StoredEntry<'_>) {
        if let Some(stateful) = self.all().into_iter().find(|known| known.kinds().contains(&entry.key.kind)) {
            stateful.restore(entry);
        }
    }

    /// How much is remembered.
    pub fn counts(&self) -> StateCounts {
        StateCounts {
            seen: self.seen.len(),
            tenants: self.directory.len(),
            tasks: self.tasks.len(),
            unrouted: self.unrouted.len(),
            held: self.lookups.len(),
            mirrored: (self.mirror.len(), self.mirror.waiting(), self.mirror.held()),
            governed: self.governed.remembered(),
            paced: self.mirror.pacing(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_belongs_to_one() {
        let mut state = PartitionState::new(&Settings::default());
        let kinds: Vec<_> = state.all().into_iter().flat_map(|known| known.kinds()).collect();
        assert!(state.all().into_iter().all(|known| !known.kinds().is_empty()));
        assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len(), "{kinds:?}");
    }
}
