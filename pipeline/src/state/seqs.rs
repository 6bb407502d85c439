//! The number of each agent's last letter, and how letters are written.
//!
//! In: what agents are told. Out: one record of `agents.inbox` for all agents of
//! a letter, each with its own number and the one before. Numbers are kept once
//! a commit (kind `seq`), however often they changed.

use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::{Map, Value};

use crate::{
    event::Time,
    ports::Headers,
    state::{Stateful, StoredEntry, index::AgentId},
    topics::Topic,
    turn::{Turn, to_json},
};

/// The kind of state entry in which each agent's last number is kept.
const KIND: &str = "seq";

/// What agents are told under.
pub const TASK_ASSIGNED: &str = "task_assigned";
/// See [`TASK_ASSIGNED`].
pub const CONTEXT_UPDATE: &str = "context_update";
/// See [`TASK_ASSIGNED`].
pub const WAKE_UP: &str = "wake_up";

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
}

impl Stateful for Seqs {
    fn kinds(&self) -> &'static [&'static str] {
        &[KIND]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(last) = kept.data.and_then(Value::as_u64) else { return };
        let seqs = self.tenants.entry(kept.key.tenant.into()).or_default();
        seqs.insert(kept.key.id.into(), Seq { last, is_dirty: false });
    }

    fn flush(&mut self, turn: &mut Turn<'_>) {
        for (tenant, agent) in self.dirty.drain(..) {
            if let Some(seq) = self.tenants.get_mut(&tenant).and_then(|seqs| seqs.get_mut(&agent)) {
                seq.is_dirty = false;
                turn.keep(&tenant, KIND, &agent, Some(&seq.last));
            }
        }
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
    struct InboxValue<'a> {
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
    let entry = InboxValue {
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
