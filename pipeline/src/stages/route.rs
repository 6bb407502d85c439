//! Decides which agents are told of an event, and numbers what each is told.
//!
//! In: drafts with place, task and calls. Out: [`Told`], which `publish` writes
//! to `agents.inbox` beside the event. Only enabled agents of the place are
//! told (see [`Place`](crate::state::index::Place)), an agent never of what it did
//! itself, and each once an event:
//!
//! | event | agents | name |
//! | --- | --- | --- |
//! | `NewWorkItem` | called and assigned (`notify = all`: all of the place) | `task_assigned` |
//! | any other of a task | called or assigned now, and not given it before | `task_assigned` |
//! | any other of a task | those it was given (`notify = all`: all of the place) | `context_update` |
//! | `MessagePosted` outside tracked threads | called; all of the place if only our own bot is | `wake_up` |
//!
//! Edits and deletions are told like what they change: an agent that knows the
//! text must not go on with the old one. An edit wakes nobody who sleeps.

use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::{Map, Value};

use crate::{
    event::{EventType, Notify, Time},
    ports::Headers,
    stages::track,
    state::{
        index::{AgentId, Index},
        tasks::Tasks,
    },
    topics::Topic,
    turn::{Draft, Kept, Turn, to_json},
};

/// The stage's name.
pub const NAME: &str = "route";

/// The kind of state entry in which each agent's last number is kept.
pub const KIND: &str = "seq";

/// What agents are told under.
pub const TASK_ASSIGNED: &str = "task_assigned";
/// See [`TASK_ASSIGNED`].
pub const CONTEXT_UPDATE: &str = "context_update";
/// See [`TASK_ASSIGNED`].
pub const WAKE_UP: &str = "wake_up";

/// Who is told of an event, and under which name.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The name that most get it under.
    pub name: &'static str,
    /// Each agent, and its own name for it where that differs.
    pub to: Vec<(AgentId, Option<&'static str>)>,
}

/// Decides for one draft.
pub fn on(index: Option<&Index>, tasks: &mut Tasks, draft: &mut Draft) {
    let facts = &draft.facts;
    let Some(place) = facts.place.as_ref().filter(|place| !place.archived && !place.agents.is_empty()) else { return };
    if facts.is_own || facts.is_old_news || draft.event.echo || draft.event.is_history() {
        return;
    }
    let is_other = |agent: &AgentId| facts.by.as_ref() != Some(agent);
    let known = facts.task.and_then(|key| Some((key, tasks.get(key)?)));
    let Some((key, task)) = known.filter(|_| draft.event.task.is_some()) else {
        if draft.event.kind == EventType::MessagePosted {
            let all = facts.called.is_empty() && facts.calls_hub;
            let called = place.agents.iter().filter(|agent| all || facts.called.binary_search(agent).is_ok());
            let to: Vec<_> = called.filter(|agent| is_other(agent)).map(|agent| (Arc::clone(agent), None)).collect();
            draft.facts.told = (!to.is_empty()).then_some(Told { name: WAKE_UP, to });
        }
        return;
    };
    let Some(calls) = calls_of(draft.event.kind) else { return };
    let provider = &*task.provider;
    let assigned = task.assignees.iter().filter_map(|id| index?.agent_abroad(provider, id));
    let assigned: Vec<&AgentId> = if calls.assigns { assigned.collect() } else { Vec::new() };
    let all = place.notify == Notify::All;
    let (mut given, mut to, mut is_update) = (Vec::new(), Vec::with_capacity(place.agents.len().min(64)), false);
    for agent in &place.agents {
        let had = task.agent_ids.binary_search_by(|known| (**known).cmp(agent)).is_ok();
        let is_called = calls.mentions && facts.called.binary_search(agent).is_ok()
            || assigned.contains(&agent)
            || all && draft.event.kind == EventType::NewWorkItem;
        let is_given = is_called && !had;
        if is_given {
            given.push(agent.to_string());
        }
        if (is_given || had || all) && is_other(agent) {
            is_update |= !is_given;
            to.push((Arc::clone(agent), is_given.then_some(TASK_ASSIGNED)));
        }
    }
    if to.iter().any(|(_, name)| name.is_some()) {
        track::describe(&mut draft.event, task);
    }
    if !given.is_empty() {
        tasks.update(key, |task| {
            task.agent_ids.append(&mut given);
            task.agent_ids.sort_unstable();
        });
    }
    if !is_update {
        to.iter_mut().for_each(|(_, name)| *name = None);
    }
    let name = if is_update { CONTEXT_UPDATE } else { TASK_ASSIGNED };
    draft.facts.told = (!to.is_empty()).then_some(Told { name, to });
}

struct Calls {
    mentions: bool,
    assigns: bool,
}

/// How an event of a task gives it to agents; `None`: it is not told at all.
fn calls_of(kind: EventType) -> Option<Calls> {
    let (mentions, assigns) = match kind {
        EventType::NewWorkItem | EventType::WorkItemUpdated | EventType::WorkItemStatusChanged => (true, true),
        EventType::CommentPosted | EventType::CommentUpdated | EventType::MessagePosted | EventType::MessageChanged => {
            (true, false)
        }
        EventType::WorkItemDeleted | EventType::CommentDeleted | EventType::MessageDeleted => (false, false),
        _ => return None,
    };
    Some(Calls { mentions, assigns })
}

/// The last number of every agent. An agent that is gone keeps its number: if
/// its id comes back, its numbers go on.
#[derive(Default)]
pub struct Seqs {
    tenants: HashMap<Arc<str>, HashMap<AgentId, Seq>>,
    dirty: Vec<(Arc<str>, AgentId)>,
}

#[derive(Default)]
struct Seq {
    last: u64,
    is_dirty: bool,
}

/// What is written to the inbox, but for the event.
pub struct Letter<'a> {
    /// The event's id, or one made alike.
    pub id: &'a str,
    /// Whose agents.
    pub tenant: &'a str,
    /// The trace it belongs to.
    pub trace_id: Option<&'a str>,
    /// Under which name.
    pub name: &'a str,
    /// For whom.
    pub to: &'a [(AgentId, Option<&'static str>)],
    /// The event, as JSON.
    pub event: Option<&'a [u8]>,
    /// What else there is to tell.
    pub data: Option<&'a Map<String, Value>>,
}

impl Seqs {
    /// Numbers a letter for each of its agents, and writes it.
    pub fn send(&mut self, letter: &Letter<'_>, turn: &mut Turn<'_>) {
        let (tenant, seqs) = match self.tenants.get_key_value_mut(letter.tenant) {
            Some((tenant, seqs)) => (Arc::clone(tenant), seqs),
            None => {
                let tenant: Arc<str> = letter.tenant.into();
                (Arc::clone(&tenant), self.tenants.entry(tenant).or_default())
            }
        };
        let mut to = Vec::with_capacity(letter.to.len());
        for (agent, name) in letter.to {
            let seq = match seqs.get_mut(agent) {
                Some(seq) => seq,
                None => seqs.entry(Arc::clone(agent)).or_default(),
            };
            seq.last += 1;
            if !seq.is_dirty {
                seq.is_dirty = true;
                self.dirty.push((Arc::clone(&tenant), Arc::clone(agent)));
            }
            to.push(Numbered { agent, seq: seq.last, name: *name });
        }
        let Some(value) = written(letter, &to, turn.now()) else { return };
        let trace = letter.trace_id.unwrap_or_default();
        // 00-{trace}-{span}-01: the span is the event itself.
        let traceparent = match trace.is_empty() {
            true => String::new(),
            false => format!("00-{trace}-{}-01", &letter.id[letter.id.len().saturating_sub(16)..]),
        };
        let headers = Headers::new([
            ("event_id", letter.id.as_bytes()),
            ("type", letter.name.as_bytes()),
            ("schema", b"nexus.inbox.v1".as_slice()),
            ("traceparent", traceparent.as_bytes()),
        ]);
        turn.emit_bytes(Topic::AgentsInbox, letter.tenant, value, headers);
    }

    /// The number that an agent was told last.
    pub fn last(&self, tenant: &str, agent: &str) -> u64 {
        self.tenants.get(tenant).and_then(|seqs| seqs.get(agent)).map_or(0, |seq| seq.last)
    }

    /// Takes numbers back that were given out in a turn that did not count.
    pub fn take_back(&mut self, tenant: &str, agent: &str, last: u64) {
        if let Some(seq) = self.tenants.get_mut(tenant).and_then(|seqs| seqs.get_mut(agent)) {
            seq.last = seq.last.min(last);
        }
    }

    /// Keeps every number that changed since the last commit.
    pub fn keep(&mut self, turn: &mut Turn<'_>) {
        for (tenant, agent) in self.dirty.drain(..) {
            if let Some(seq) = self.tenants.get_mut(&tenant).and_then(|seqs| seqs.get_mut(&agent)) {
                seq.is_dirty = false;
                turn.keep(&tenant, KIND, &agent, Some(&seq.last));
            }
        }
    }

    /// Takes up a number that an earlier run kept.
    pub fn restore(&mut self, kept: Kept<'_>) {
        let Some(last) = kept.data.and_then(Value::as_u64) else { return };
        let seqs = self.tenants.entry(kept.tenant.into()).or_default();
        seqs.insert(kept.id.into(), Seq { last, is_dirty: false });
    }
}

struct Numbered<'a> {
    agent: &'a str,
    seq: u64,
    name: Option<&'static str>,
}

/// As [`Addressee`](crate::event::Addressee), without owning anything.
impl Serialize for Numbered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Addressee", 3 + usize::from(self.name.is_some()))?;
        fields.serialize_field("agentId", self.agent)?;
        fields.serialize_field("seq", &self.seq)?;
        fields.serialize_field("prevSeq", &(self.seq - 1))?;
        if let Some(name) = self.name {
            fields.serialize_field("name", name)?;
        }
        fields.end()
    }
}

/// As [`InboxEntry`](crate::event::InboxEntry): the event is JSON already, and
/// is put in as it is.
fn written(letter: &Letter<'_>, to: &[Numbered<'_>], at: Time) -> Option<bytes::Bytes> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        id: &'a str,
        tenant_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        trace_id: Option<&'a str>,
        name: &'a str,
        to: &'a [Numbered<'a>],
        at: Time,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a Map<String, Value>>,
    }
    let entry = Entry {
        id: letter.id,
        tenant_id: letter.tenant,
        trace_id: letter.trace_id,
        name: letter.name,
        to,
        at,
        data: letter.data,
    };
    let Some(event) = letter.event else { return to_json(&entry) };
    let mut buffer = Vec::with_capacity(256 + 100 * to.len() + event.len());
    serde_json::to_writer(&mut buffer, &entry).ok()?;
    buffer.pop();
    buffer.extend_from_slice(b",\"event\":");
    buffer.extend_from_slice(event);
    buffer.push(b'}');
    Some(buffer.into())
}
