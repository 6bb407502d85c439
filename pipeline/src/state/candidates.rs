//! Lists, repositories, projects and channels that were created and could be
//! mapped: kept in `pipeline.state` (kind `candidate`, id `provider:externalId`)
//! until they are, or until they are gone.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    event::{Candidate, Project, Row, Workgroup},
    state::{Stateful, StoredEntry},
    turn::Turn,
};

/// The kind of state entry.
const KIND: &str = "candidate";

/// Candidates of one tenant at most; the oldest go first.
const CANDIDATES_MAX: usize = 1_000;

/// Each tenant's candidates, oldest first.
#[derive(Default)]
pub struct Candidates {
    tenants: HashMap<Arc<str>, VecDeque<Candidate>>,
}

impl Candidates {
    /// A row of `control` maps what it names.
    pub fn on_row(&mut self, tenant: &str, kind: &str, data: Option<&Value>, turn: &mut Turn<'_>) {
        let Some(data) = data.filter(|_| self.tenants.contains_key(tenant)) else { return };
        let names = match kind {
            Project::KIND => Project::deserialize(data).ok().map(|project| {
                vec![
                    ("clickup", project.clickup_list_id),
                    ("github", project.github_repository),
                    ("jira", project.jira_project_key),
                    ("slack", project.slack_channel_id),
                ]
            }),
            Workgroup::KIND => {
                Workgroup::deserialize(data).ok().map(|workgroup| vec![("slack", workgroup.slack_channel_id)])
            }
            _ => None,
        };
        for (provider, name) in names.into_iter().flatten() {
            if let Some(name) = name {
                self.end(tenant, provider, &name, turn);
            }
        }
    }

    /// A candidate is called so now, if it is one and the name is new.
    pub fn rename(&mut self, tenant: &str, provider: &str, id: &str, name: Option<String>, turn: &mut Turn<'_>) {
        let Some(name) = name else { return };
        let Some(known) = self.find(tenant, provider, id).filter(|(_, known)| known.name.as_ref() != Some(&name))
        else {
            return;
        };
        let candidate = Candidate { name: Some(name), ..known.1.clone() };
        self.put(tenant, candidate, turn);
    }

    /// Whether something is a candidate.
    pub fn has(&self, tenant: &str, provider: &str, id: &str) -> bool {
        self.find(tenant, provider, id).is_some()
    }

    /// Says whose a candidate would be, and in which channel.
    pub fn propose(
        &mut self,
        tenant: &str,
        provider: &str,
        id: &str,
        workgroup: Option<&str>,
        channel: Option<&str>,
        turn: &mut Turn<'_>,
    ) {
        let Some((_, known)) = self.find(tenant, provider, id) else { return };
        let (workgroup_id, slack_channel_id) = (workgroup.map(str::to_owned), channel.map(str::to_owned));
        if (&known.workgroup_id, &known.slack_channel_id) != (&workgroup_id, &slack_channel_id) {
            self.put(tenant, Candidate { workgroup_id, slack_channel_id, ..known.clone() }, turn);
        }
    }

    fn find(&self, tenant: &str, provider: &str, id: &str) -> Option<(usize, &Candidate)> {
        let mut known = self.tenants.get(tenant)?.iter().enumerate();
        known.find(|(_, known)| known.provider == provider && known.external_id.eq_ignore_ascii_case(id))
    }

    /// Adds one, or says anew what is known of it.
    pub fn put(&mut self, tenant: &str, candidate: Candidate, turn: &mut Turn<'_>) {
        turn.keep(tenant, KIND, &id_of(&candidate), Some(&candidate));
        if let Some(gone) = self.add(tenant, candidate) {
            turn.forget(tenant, KIND, &id_of(&gone));
        }
    }

    /// Adds one as the newest; the answer is the one that found no room.
    fn add(&mut self, tenant: &str, candidate: Candidate) -> Option<Candidate> {
        let at = self.find(tenant, &candidate.provider, &candidate.external_id).map(|(at, _)| at);
        let of_tenant = self.tenants.entry(tenant.into()).or_default();
        if let Some(at) = at {
            of_tenant.remove(at);
        }
        of_tenant.push_back(candidate);
        if of_tenant.len() > CANDIDATES_MAX { of_tenant.pop_front() } else { None }
    }

    /// One is mapped, or gone.
    pub fn end(&mut self, tenant: &str, provider: &str, id: &str, turn: &mut Turn<'_>) {
        let Some((at, _)) = self.find(tenant, provider, id) else { return };
        let Some(of_tenant) = self.tenants.get_mut(tenant) else { return };
        if let Some(gone) = of_tenant.remove(at) {
            turn.forget(tenant, KIND, &id_of(&gone));
        }
        if of_tenant.is_empty() {
            self.tenants.remove(tenant);
        }
    }
}

impl Stateful for Candidates {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        if let Some(candidate) = kept.data.and_then(|data| Candidate::deserialize(data).ok()) {
            self.add(kept.key.tenant, candidate);
        }
    }
}

fn id_of(candidate: &Candidate) -> String {
    [&*candidate.provider, &candidate.external_id].join(":")
}
