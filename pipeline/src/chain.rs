//! The second half of the chain, which every event takes, wherever it began:
//!
//! ```text
//! admit ─▸ lookup ─▸ onward: enrich ─▸ sift ─▸ track ─▸ route ─▸ mirror ─▸ remember ─▸ publish
//!            │                      └─ held until it is clear whether it is ours
//!            └─ held until the details are there, or long enough
//! ```
//!
//! In: drafts that are new. Out: events, letters to agents, and the state that
//! the stages keep (see the `KIND` of each).

use serde_json::Value;

use crate::{
    event::{Agent, LookupResult, MemoryResult, MirrorResult, Presence, Row},
    flow::Settings,
    stages::{
        enrich,
        lookup::{self, Lookup, Lookups},
        mirror::Desk,
        publish, remember,
        route::{self, Seqs},
        track::Track,
    },
    state::{
        answers::{self, Answers},
        candidates::{self, Candidates},
        directory::{self, Directory},
        governed::{self, Govern, Governed},
        mirror::{self, Mirror, Mirrored},
        notices::{self, Notices},
        tasks::{self, Tasks},
        unrouted::{self, Shelf, Unrouted},
    },
    topics::UNROUTED,
    turn::{Draft, Kept, Turn},
};

/// The stages of one partition, and what they remember.
pub struct Chain {
    /// Events published so far.
    pub published: u64,
    pub(crate) lookup: Lookup,
    pub(crate) track: Track,
    shelving: Unrouted,
    pub(crate) directory: Directory,
    pub(crate) tasks: Tasks,
    pub(crate) seqs: Seqs,
    pub(crate) unrouted: Shelf,
    pub(crate) answers: Answers,
    lookups: Lookups,
    candidates: Candidates,
    pub(crate) notices: Notices,
    mirror: Mirror,
    mirrored: Mirrored,
    govern: Govern,
    pub(crate) governed: Governed,
    is_settling: bool,
}

/// How much the chain remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
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
    pub governed: governed::Remembered,
    /// Projects whose sync rate is known, and commands that wait for theirs.
    pub paced: (usize, usize),
}

impl Chain {
    /// A chain that remembers nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Chain {
            published: 0,
            lookup: settings.lookup.clone(),
            track: settings.track.clone(),
            shelving: settings.unrouted.clone(),
            directory: Directory::new(settings.govern.limits.clone()),
            tasks: Tasks::default(),
            seqs: Seqs::default(),
            unrouted: Shelf::default(),
            answers: Answers::default(),
            lookups: Lookups::default(),
            candidates: Candidates::default(),
            notices: Notices::default(),
            mirror: settings.mirror.clone(),
            mirrored: Mirrored::new(settings.govern.projects_max),
            govern: settings.govern.clone(),
            governed: Governed::new(&settings.govern),
            is_settling: false,
        }
    }

    /// Lets a new draft in: on at once, or held until its details are there.
    pub fn admit(&mut self, mut draft: Draft, turn: &mut Turn<'_>) {
        let index = self.directory.of(&draft.event.tenant_id);
        let key = self.tasks.recall(index, &draft.event);
        let wants = key.filter(|key| self.lookup.wants(&self.lookups, index, &self.tasks, *key, &draft));
        match wants {
            None => {
                draft.facts.task = key;
                self.enrich(&mut draft);
                self.finish(draft, turn);
            }
            Some(key) => {
                for draft in self.lookup.hold(&mut self.lookups, key, draft, turn) {
                    self.onward(draft, turn);
                }
            }
        }
    }

    /// The rest of the way.
    pub fn onward(&mut self, mut draft: Draft, turn: &mut Turn<'_>) {
        self.find_place(&mut draft);
        self.finish(draft, turn);
    }

    fn finish(&mut self, mut draft: Draft, turn: &mut Turn<'_>) {
        let tenant = draft.event.tenant_id.clone();
        if let Some(cause) = self.at_desk(&tenant, |desk| desk.sift(&mut draft, turn)) {
            let since_ms = draft.facts.held_since_ms.unwrap_or(turn.now_ms);
            return self.mirrored.hold(draft.event, cause, since_ms, turn);
        }
        self.track.on(&mut self.tasks, &mut draft, turn);
        self.governed.on_draft(self.directory.limits(&tenant), &draft, turn.now_ms);
        let index = self.directory.of(&draft.event.tenant_id);
        route::on(index, &mut self.tasks, &mut draft);
        if let Some(index) = index.filter(|_| !draft.event.unrouted) {
            self.lookup.ask_for_list(&mut self.lookups, index, &draft.event, turn);
        }
        self.candidates.on(&draft, turn);
        self.notices.on(&draft, turn);
        self.at_desk(&tenant, |desk| desk.on(&draft, turn));
        remember::on(self.directory.of(&tenant), &self.tasks, &draft, turn);
        let json = publish::on(&mut self.seqs, &draft, turn);
        self.published += 1;
        if let Some(json) = json.filter(|_| draft.event.unrouted && draft.event.tenant_id != UNROUTED) {
            self.shelving.add(&mut self.unrouted, &draft.event, &json, turn);
        }
        self.settle(turn);
    }

    fn at_desk<T>(&mut self, tenant: &str, ask: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        let index = self.directory.of(tenant);
        let (bounds, state, tasks) = (&self.mirror, &mut self.mirrored, &mut self.tasks);
        let syncs = &index.map_or(&self.govern.limits, |index| &index.limits).syncs;
        ask(&mut Desk { bounds, state, tenant, index, tasks, syncs })
    }

    /// Issues what the mirror has to do next, and lets go on what it held.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        // What goes on comes round here again.
        if std::mem::replace(&mut self.is_settling, true) {
            return;
        }
        loop {
            while let Some((tenant, lane)) = self.mirrored.take_stirred() {
                self.at_desk(&tenant, |desk| desk.pump(lane, turn));
            }
            let released = self.mirrored.released(turn);
            if released.is_empty() {
                break;
            }
            for (event, since_ms) in released {
                let mut draft = Draft::of(event);
                draft.facts.held_since_ms = Some(since_ms);
                self.onward(draft, turn);
            }
        }
        self.is_settling = false;
    }

    /// A turn has ended before its end.
    pub(crate) fn recover(&mut self) {
        self.is_settling = false;
    }

    /// A command of the mirror's is a step further.
    pub(crate) fn on_mirrored(&mut self, result: &MirrorResult, turn: &mut Turn<'_>) {
        let mut candidates = std::mem::take(&mut self.candidates);
        self.at_desk(&result.tenant_id, |desk| {
            desk.on_channel(result, &mut candidates, turn);
            desk.on_result(result, turn);
        });
        self.candidates = candidates;
        self.settle(turn);
    }

    /// The memory has done something.
    pub(crate) fn on_remembered(&mut self, result: &MemoryResult, turn: &mut Turn<'_>) {
        if let Some(draft) = remember::on_result(&self.tasks, result, turn) {
            self.onward(draft, turn);
        }
    }

    /// Says of a draft which task it is about and where it belongs.
    pub(crate) fn find_place(&mut self, draft: &mut Draft) {
        if draft.facts.task.is_none() {
            let index = self.directory.of(&draft.event.tenant_id);
            draft.facts.task = self.tasks.recall(index, &draft.event);
        }
        self.enrich(draft);
    }

    fn enrich(&mut self, draft: &mut Draft) {
        let index = self.directory.of(&draft.event.tenant_id);
        let home = draft.facts.task.and_then(|key| self.tasks.get(key)?.project_id.as_deref());
        enrich::on(index, home, draft);
    }

    /// A row of the directory has changed.
    pub(crate) fn on_control(
        &mut self,
        tenant: &str,
        kind: &str,
        id: &str,
        row: Option<&Value>,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        self.directory.on(tenant, kind, id, row, turn)?;
        if kind == Agent::KIND && row.is_none() {
            self.governed.forget_agent(tenant, id, turn);
        }
        self.candidates.on_row(tenant, kind, row, turn);
        self.notices.on_row(tenant, kind, id, row, turn);
        Ok(())
    }

    /// A gateway says how a socket of an agent is.
    pub(crate) fn on_presence(
        &mut self,
        tenant: &str,
        agent: &str,
        socket: &str,
        presence: Option<&Presence>,
        turn: &mut Turn<'_>,
    ) {
        let index = self.directory.of(tenant);
        self.governed.on_presence(index, tenant, agent, socket, presence, turn);
    }

    /// Whether an agent may do what it asks for.
    pub(crate) fn judge(&mut self, speech: &governed::Speech<'_>, turn: &mut Turn<'_>) -> governed::Verdict {
        let limits = self.directory.limits(speech.tenant);
        self.governed.judge(limits, speech, turn)
    }

    /// Details have come.
    pub(crate) fn on_found(&mut self, result: &LookupResult, turn: &mut Turn<'_>) {
        for draft in self.lookup.on_result(&mut self.lookups, result, turn) {
            self.onward(draft, turn);
        }
        if let Some(list) = self.lookup.on_list(&mut self.lookups, result, turn) {
            self.candidates.rename(&result.tenant_id, "clickup", &list.list_id, list.name, turn);
            let mut candidates = std::mem::take(&mut self.candidates);
            self.at_desk(&result.tenant_id, |desk| desk.on_list(&list.list_id, result, &mut candidates, turn));
            self.candidates = candidates;
            self.settle(turn);
            if let Some(draft) = list.archived {
                self.onward(draft, turn);
            }
        }
    }

    /// Time has passed.
    pub(crate) fn on_tick(&mut self, turn: &mut Turn<'_>) {
        for draft in self.lookup.on_tick(&mut self.lookups, turn) {
            self.onward(draft, turn);
        }
        while let Some((tenant, key)) = self.mirrored.due(turn.now_ms) {
            self.at_desk(&tenant, |desk| desk.on_due(key, turn));
        }
        for (event, since_ms) in self.mirrored.on_tick(&self.mirror, turn) {
            let mut draft = Draft::of(event);
            draft.facts.held_since_ms = Some(since_ms);
            self.onward(draft, turn);
        }
        for (tenant, project) in self.mirrored.paced() {
            self.at_desk(&tenant, |desk| desk.release_project(&project, turn));
        }
        self.settle(turn);
        self.governed.on_tick(&mut self.directory, turn);
        self.shelving.on_tick(&mut self.unrouted, turn);
        self.answers.on_tick(turn);
    }

    /// Keeps what changes too often to be kept each time.
    pub(crate) fn keep(&mut self, turn: &mut Turn<'_>) {
        self.tasks.keep(turn);
        self.mirrored.keep(turn);
        self.governed.keep(turn);
        self.seqs.keep(turn);
    }

    /// Takes up what an earlier run kept.
    pub(crate) fn restore(&mut self, kept: Kept<'_>) {
        match kept.kind {
            directory::KIND => self.directory.restore(kept),
            tasks::KIND => self.tasks.restore(kept, &self.track),
            route::KIND => self.seqs.restore(kept),
            unrouted::KIND => self.shelving.restore(&mut self.unrouted, kept),
            candidates::KIND => self.candidates.restore(kept),
            notices::KIND => self.notices.restore(kept),
            answers::KIND => self.answers.restore(kept),
            mirror::KIND | mirror::HELD | mirror::SYNCED => self.mirrored.restore(kept, &self.mirror),
            governed::SPOKEN | governed::STALLED | governed::MUTED | governed::WATCHED => self.governed.restore(kept),
            lookup::PARKED | lookup::ASKED => self.lookup.restore(&mut self.lookups, kept),
            _ => {}
        }
    }

    /// How much is remembered.
    pub fn remembered(&self) -> Remembered {
        Remembered {
            tenants: self.directory.len(),
            tasks: self.tasks.len(),
            unrouted: self.unrouted.len(),
            held: self.lookups.len(),
            mirrored: (self.mirrored.len(), self.mirrored.waiting(), self.mirrored.held()),
            governed: self.governed.remembered(),
            paced: self.mirrored.pacing(),
        }
    }
}
