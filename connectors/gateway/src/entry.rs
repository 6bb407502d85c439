//! A record of `agents.inbox`, read once for all of its agents.
//!
//! In: the record's value. Out: whom it is for, what filters go by, and the
//! part of `data` that is the same for every agent, encoded. What differs (the
//! type, the agent, its numbers) is put in front of that for each agent, so a
//! delivery costs a copy and nothing else.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use pipeline::event::Addressee;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

/// What agents are told of together.
#[derive(Debug)]
pub struct Entry {
    /// Where it is in its partition.
    pub offset: u64,
    /// Whose agents.
    pub tenant: Box<str>,
    /// What the event is called, where an addressee has no own name for it.
    pub name: Box<str>,
    /// The event's type in the hub's vocabulary.
    pub kind: Option<Box<str>>,
    /// The project's id.
    pub project: Option<Box<str>>,
    /// Whom it is for.
    pub to: Box<[To]>,
    /// Stands for the id where acknowledgements name it.
    pub id_hash: u64,
    /// The end of `data`: all that follows the parts that differ.
    pub body: Box<str>,
}

/// One agent's place in it.
#[derive(Debug)]
pub struct To {
    /// Which agent.
    pub agent: Box<str>,
    /// Its number.
    pub seq: u64,
    /// The number before it.
    pub prev_seq: u64,
    /// What it is called to this agent.
    pub name: Option<Box<str>>,
}

/// An entry for one of its agents.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Which of its addressees.
    pub place: u32,
}

impl Delivery {
    /// The agent's place.
    pub fn to(&self) -> &To {
        &self.entry.to[self.place as usize]
    }

    /// What the event is called.
    pub fn name(&self) -> &str {
        self.to().name.as_deref().unwrap_or(&self.entry.name)
    }
}

/// What stands for an event's id.
pub fn hash_of(id: &str) -> u64 {
    xxh3_64(id.as_bytes())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    tenant_id: Cow<'a, str>,
    #[serde(borrow, default)]
    trace_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    to: Vec<Addressee>,
    #[serde(borrow)]
    at: &'a RawValue,
    #[serde(borrow, default)]
    event: Option<Happening<'a>>,
    #[serde(borrow, default)]
    data: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Happening<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    occurred_at: &'a RawValue,
    #[serde(borrow)]
    source: &'a RawValue,
    #[serde(borrow, default)]
    actor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    subject: Option<&'a RawValue>,
    #[serde(borrow, default)]
    mentions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    changes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    project: Option<&'a RawValue>,
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thread: Option<&'a RawValue>,
}

/// The few fields that are looked into.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Looked<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    channel_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    slack_channel_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thread_ts: Option<Cow<'a, str>>,
}

impl<'a> Looked<'a> {
    fn into(value: Option<&'a RawValue>) -> Self {
        value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    occurred_at: &'a RawValue,
    source: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mentions: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadShown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<&'a str>,
    thread_ts: &'a str,
}

/// Fields that an entry's own `data` cannot replace.
const RESERVED: [&str; 8] = ["type", "agentId", "seq", "prevSeq", "eventId", "tenantId", "traceId", "at"];

impl Entry {
    /// From a record's value; the error says what is wrong with it.
    pub fn parse(offset: u64, value: &[u8]) -> Result<Entry, serde_json::Error> {
        let envelope: Envelope<'_> = serde_json::from_slice(value)?;
        let happening = envelope.event.as_ref();
        let project = happening.and_then(|event| event.project);
        let mut body = Body(String::with_capacity(value.len().min(64 << 10)));
        body.text("eventId", &envelope.id);
        body.text("tenantId", &envelope.tenant_id);
        if let Some(trace) = &envelope.trace_id {
            body.text("traceId", trace);
        }
        body.raw("at", envelope.at.get());
        let data = envelope.data.unwrap_or_default();
        if let Some(event) = happening {
            for (name, value) in [("project", project), ("task", event.task), ("message", event.message)] {
                if let Some(value) = value.filter(|_| !data.contains_key(name)) {
                    body.raw(name, value.get());
                }
            }
            if !data.contains_key("thread") {
                body.thread(event);
            }
            if !data.contains_key("event") {
                body.raw("event", &serde_json::to_string(&Shown::of(event))?);
            }
        }
        for (name, value) in data.iter().filter(|(name, _)| !RESERVED.contains(&name.as_ref())) {
            body.raw(name, value.get());
        }
        let to = envelope.to.into_iter().map(|to| To {
            agent: to.agent_id.into(),
            seq: to.seq,
            prev_seq: to.prev_seq,
            name: to.name.map(Into::into),
        });
        Ok(Entry {
            offset,
            tenant: (*envelope.tenant_id).into(),
            name: (*envelope.name).into(),
            kind: happening.map(|event| (*event.kind).into()),
            project: Looked::into(project).id.map(|id| (*id).into()),
            to: to.collect(),
            id_hash: hash_of(&envelope.id),
            body: body.0.into(),
        })
    }

    /// What it takes in memory, roughly.
    pub fn cost_bytes(&self) -> usize {
        200 + self.body.len() + self.to.len() * 100
    }
}

impl<'a> Shown<'a> {
    fn of(event: &'a Happening<'a>) -> Self {
        Shown {
            id: &event.id,
            kind: &event.kind,
            occurred_at: event.occurred_at,
            source: event.source,
            actor: event.actor,
            subject: event.subject,
            mentions: event.mentions,
            changes: event.changes,
        }
    }
}

/// Fields of an object, one after the other.
struct Body(String);

impl Body {
    fn raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        push_text(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.raw(name, "");
        push_text(&mut self.0, value);
    }

    /// The event's own words about its thread, or what its message and its task
    /// tell of it.
    fn thread(&mut self, event: &Happening<'_>) {
        if let Some(thread) = event.thread {
            return self.raw("thread", thread.get());
        }
        let (message, task) = (Looked::into(event.message), Looked::into(event.task));
        let Some(thread_ts) = message.thread_ts.or(task.thread_ts) else { return };
        let channel = message.channel_id.or(Looked::into(event.project).slack_channel_id);
        let thread = ThreadShown { channel_id: channel.as_deref(), thread_ts: &thread_ts };
        if let Ok(thread) = serde_json::to_string(&thread) {
            self.raw("thread", &thread);
        }
    }
}

/// Adds a JSON string.
pub fn push_text(to: &mut String, text: &str) {
    // Writing to a string cannot fail.
    to.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Entry {
        Entry::parse(7, value.to_string().as_bytes()).expect("an entry")
    }

    fn data(entry: &Entry) -> Value {
        serde_json::from_str(&format!("{{{}}}", entry.body)).expect("JSON")
    }

    #[test]
    fn an_event_is_shown_in_parts() {
        let entry = parse(&json!({
            "id": "evt_1", "tenantId": "acme", "traceId": "t", "name": "context_update", "at": "2026-11-21T08:00:00Z",
            "to": [{"agentId": "a", "seq": 3, "prevSeq": 2}, {"agentId": "b", "seq": 1, "prevSeq": 0, "name": "task_assigned"}],
            "event": {
                "id": "evt_1", "type": "MessagePosted", "tenantId": "acme", "occurredAt": "x", "receivedAt": "y",
                "source": {"provider": "slack"}, "project": {"id": "prj_1", "slackChannelId": "C1"},
                "message": {"text": "say \"hi\"\n", "threadTs": "17.1", "channelId": "C2"}, "raw": {"offset": 1},
            },
        }));
        assert_eq!((entry.offset, &*entry.tenant, entry.project.as_deref()), (7, "acme", Some("prj_1")));
        assert_eq!(entry.kind.as_deref(), Some("MessagePosted"));
        let entry = Arc::new(entry);
        assert_eq!(Delivery { entry: entry.clone(), place: 0 }.name(), "context_update");
        assert_eq!(Delivery { entry: entry.clone(), place: 1 }.name(), "task_assigned");
        let data = data(&entry);
        assert_eq!(data["eventId"], "evt_1");
        assert_eq!(data["thread"], json!({"channelId": "C2", "threadTs": "17.1"}));
        assert_eq!(data["message"]["text"], "say \"hi\"\n");
        assert_eq!(data["event"]["type"], "MessagePosted");
        assert!(data["event"].get("raw").is_none() && data["event"].get("message").is_none());
    }

    #[test]
    fn an_entrys_own_data_is_joined_in_but_replaces_no_number() {
        let entry = parse(&json!({
            "id": "cmd_1", "tenantId": "acme", "name": "wake_up", "at": "2026-11-21T08:00:00Z", "to": [],
            "data": {"message": "wake", "seq": 99, "eventId": "forged", "x y": [1]},
        }));
        let data = data(&entry);
        assert_eq!(data["message"], "wake");
        assert_eq!(data["eventId"], "cmd_1");
        assert_eq!(data["x y"], json!([1]));
        assert!(data.get("seq").is_none());
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        for bad in [&b"\xff"[..], b"{}", b"[]", b"{\"id\":1}"] {
            assert!(Entry::parse(0, bad).is_err());
        }
    }
}
