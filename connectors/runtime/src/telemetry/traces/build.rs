//! From what passed the log to spans. One task does it, so what it remembers
//! needs no lock; it remembers little, and only for a while.

use std::collections::VecDeque;

use bytes::Bytes;
use hashbrown::HashMap;
use pipeline::{
    event::{AgentAction, MirrorCommand, MirrorResult, MirrorStage, StandardEvent, Webhook},
    ports::Headers,
};
use udfs::hash::{Parts, from_hex};

/// Things that are remembered of each sort: enough for what is under way.
const REMEMBERED_MAX: usize = 10_000;
/// A value is not longer in a span.
const VALUE_CHARS_MAX: usize = 200;

/// A pair of a span. All of ours are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute(pub &'static str, pub String);

/// What kind of work a span is, by OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// A piece of work, over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace: u128,
    /// Its own id.
    pub id: u64,
    /// What it is a part of.
    pub parent: Option<u64>,
    /// What was done.
    pub name: String,
    /// What kind of work.
    pub kind: Kind,
    /// In ns since the epoch.
    pub begun_ns: u64,
    /// The same.
    pub ended_ns: u64,
    /// What else is known. Never what anybody said.
    pub attributes: Vec<Attribute>,
    /// What went wrong, if it did.
    pub error: Option<String>,
}

/// Something that passed the log.
pub(super) enum Seen {
    /// The pipeline published an event; `cause` is the webhook it came from.
    Event { value: Bytes, cause: Option<Bytes>, log: u64, begun_ns: u64, ended_ns: u64 },
    /// The pipeline wants something done at a provider.
    Wanted { value: Bytes, begun_ns: u64, ended_ns: u64 },
    /// Agents can be told of an event.
    Told { headers: Headers, at_ns: u64 },
    /// An agent said something.
    Said { value: Bytes, ended_ns: u64 },
    /// The mirror has a command.
    Taken { value: Bytes, at_ns: u64 },
    /// The mirror has begun or ended it.
    Done { value: Bytes, at_ns: u64 },
}

/// See the module.
#[derive(Default)]
pub(super) struct Builder {
    /// The span of the newest event of a trace, and when agents were told.
    events: Recent<u128, u64>,
    told: Recent<u128, (u64, u64)>,
    commands: Recent<String, Command>,
}

/// A command under way.
struct Command {
    command: Box<MirrorCommand>,
    begun_ns: u64,
}

/// The newest of something, by name.
struct Recent<K, V> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + std::hash::Hash, V> Recent<K, V> {
    fn put(&mut self, key: K, value: V) {
        if self.known.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(VALUE_CHARS_MAX).collect()
}

/// The last half of an id's digits.
fn last_half(id: &str) -> Option<u64> {
    u64::from_str_radix(id.get(id.len().checked_sub(16)?..)?, 16).ok()
}

/// The first half: of an action's id the gateway's own choice for its span.
fn first_half(id: &str) -> Option<u64> {
    let digits = id.split_once('_')?.1;
    u64::from_str_radix(digits.get(..16)?, 16).ok()
}

fn trace(text: Option<&str>) -> Option<u128> {
    from_hex(text?).filter(|trace| *trace != 0)
}

impl Builder {
    /// The spans that are complete with this.
    pub fn on(&mut self, seen: Seen) -> Vec<Span> {
        match seen {
            Seen::Event { value, cause, log, begun_ns, ended_ns } => {
                self.event(&value, cause.as_deref(), log, begun_ns, ended_ns).unwrap_or_default()
            }
            Seen::Wanted { value, begun_ns, ended_ns } => self.wanted(&value, begun_ns, ended_ns).into_iter().collect(),
            // An answer may come before what it answers to is seen here.
            Seen::Told { headers, .. } if matches!(headers.get("type"), Some(b"action_result" | b"tool_result")) => {
                Vec::new()
            }
            Seen::Told { headers, at_ns } => {
                let parent = headers.get("traceparent").and_then(|parent| std::str::from_utf8(parent).ok());
                let mut parts = parent.unwrap_or_default().split('-').skip(1);
                let (trace_id, span) = (trace(parts.next()), parts.next().and_then(last_half));
                if let (Some(trace), Some(span)) = (trace_id, span) {
                    self.told.put(trace, (span, at_ns));
                }
                Vec::new()
            }
            Seen::Said { value, ended_ns } => self.said(&value, ended_ns).into_iter().collect(),
            Seen::Taken { value, at_ns } => {
                if let Ok(command) = serde_json::from_slice::<Box<MirrorCommand>>(&value) {
                    self.commands.put(command.id.clone(), Command { command, begun_ns: at_ns });
                }
                Vec::new()
            }
            Seen::Done { value, at_ns } => self.done(&value, at_ns).into_iter().collect(),
        }
    }

    fn event(
        &mut self,
        value: &[u8],
        cause: Option<&[u8]>,
        log: u64,
        begun_ns: u64,
        ended_ns: u64,
    ) -> Option<Vec<Span>> {
        let event: StandardEvent = serde_json::from_slice(value).ok()?;
        let (trace, id) = (trace(Some(&event.trace_id))?, last_half(&event.id)?);
        let mut common = vec![Attribute("nexus.tenant.id", event.tenant_id.clone())];
        let actor = event.actor.as_ref();
        let user = actor.and_then(|actor| actor.agent_id.as_deref().or(actor.external_id.as_deref()));
        if let Some(user) = user {
            common.push(Attribute("user.id", short(user)));
        }
        let mut spans = Vec::new();
        let parent = if event.raw.topic == "webhooks.raw" {
            let raw = &event.raw;
            let name = Parts::new().add("webhook").number(log).number(u64::from(raw.partition)).number(raw.offset);
            // As long as an id, and the same wherever it is computed.
            let root = (name.finish() as u64).max(1);
            let outside = cause.and_then(|cause| serde_json::from_slice::<Webhook<'_>>(cause).ok());
            let outside = outside.and_then(|webhook| {
                let mut parts = webhook.headers.get("traceparent")?.split('-').skip(1);
                (from_hex(parts.next()?)? == trace).then(|| parts.next().and_then(last_half))?
            });
            let received_ns = event.received_at.as_ms().saturating_mul(1_000_000);
            let mut attributes = common.clone();
            attributes.push(Attribute("nexus.provider", event.source.provider.clone()));
            attributes.push(Attribute("nexus.provider.event", short(&event.source.event)));
            if let Some(delivery) = &event.source.delivery_id {
                attributes.push(Attribute("nexus.delivery.id", short(delivery)));
            }
            let name = format!("{} {}", event.source.provider, short(&event.source.event));
            attributes.push(Attribute("langfuse.trace.name", name));
            spans.push(Span {
                trace,
                id: root,
                parent: outside,
                name: format!("webhook {}", event.source.provider),
                kind: Kind::Server,
                // The wall clock of who received it may be another's.
                begun_ns: received_ns.min(begun_ns),
                ended_ns: begun_ns,
                attributes,
                error: None,
            });
            Some(root)
        } else {
            event.source.delivery_id.as_deref().filter(|id| id.starts_with("act_")).and_then(first_half)
        };
        let mut attributes = common;
        attributes.push(Attribute("nexus.event.id", event.id.clone()));
        attributes.push(Attribute("nexus.event.type", event.kind.name().to_owned()));
        if let Some(task) = event.task.as_ref().and_then(|task| task.id.clone()) {
            attributes.push(Attribute("nexus.task.id", task));
        }
        if let Some(project) = event.project.as_ref().and_then(|project| project.id.clone()) {
            attributes.push(Attribute("nexus.project.id", project));
        }
        spans.push(Span {
            trace,
            id,
            parent,
            name: format!("pipeline {}", event.kind.name()),
            kind: Kind::Internal,
            begun_ns,
            ended_ns,
            attributes,
            error: None,
        });
        self.events.put(trace, id);
        Some(spans)
    }

    /// A command's first half is the span of who wanted it, its last half that
    /// of who does it.
    fn wanted(&mut self, value: &[u8], begun_ns: u64, ended_ns: u64) -> Option<Span> {
        let command: MirrorCommand = serde_json::from_slice(value).ok()?;
        let trace = trace(command.trace_id.as_deref())?;
        let of_action = command.action_id.as_deref().and_then(first_half);
        Some(Span {
            trace,
            id: first_half(&command.id)?,
            parent: of_action.or_else(|| self.events.known.get(&trace).copied()),
            name: "pipeline mirror".to_owned(),
            kind: Kind::Producer,
            begun_ns,
            ended_ns,
            attributes: attributes_of(&command),
            error: None,
        })
    }

    fn said(&mut self, value: &[u8], ended_ns: u64) -> Option<Span> {
        let action: AgentAction = serde_json::from_slice(value).ok()?;
        let trace = trace(action.trace_id.as_deref())?;
        let told = self.told.known.get(&trace).copied();
        let mut attributes = vec![
            Attribute("nexus.tenant.id", action.tenant_id),
            Attribute("nexus.agent.id", action.agent_id.clone()),
            Attribute("user.id", action.agent_id),
            Attribute("nexus.action.id", action.id.clone()),
        ];
        if action.name == "usage" {
            let text = |name: &str| {
                action.data.get(name).map(|value| match value.as_str() {
                    Some(text) => short(text),
                    None => value.to_string(),
                })
            };
            let of = |name, text: Option<String>| text.map(|text| Attribute(name, text));
            attributes.extend(of("gen_ai.request.model", text("model")));
            attributes.extend(of("gen_ai.usage.input_tokens", text("inputTokens")));
            attributes.extend(of("gen_ai.usage.output_tokens", text("outputTokens")));
        }
        Some(Span {
            trace,
            id: first_half(&action.id)?,
            parent: told.map(|(span, _)| span),
            name: format!("agent {}", action.name),
            kind: Kind::Consumer,
            // From when it was told: what lies between is the agent's own work.
            begun_ns: told.map_or(ended_ns, |(_, at_ns)| at_ns),
            ended_ns,
            attributes,
            error: None,
        })
    }

    fn done(&mut self, value: &[u8], at_ns: u64) -> Option<Span> {
        let result: MirrorResult = serde_json::from_slice(value).ok()?;
        if result.stage == MirrorStage::Claimed {
            // Before that it waited for its turn.
            self.commands.known.get_mut(&result.command_id)?.begun_ns = at_ns;
            return None;
        }
        let Command { command, begun_ns } = self.commands.known.remove(&result.command_id)?;
        let mut attributes = attributes_of(&command);
        let remote: Vec<_> = result.parts.iter().map(|part| part.id.clone()).collect();
        if !remote.is_empty() {
            attributes.push(Attribute("nexus.remote.id", short(&remote.join(","))));
        }
        let stage = format!("{:?}", result.stage).to_lowercase();
        attributes.push(Attribute("nexus.outcome", stage.clone()));
        let failed = result.stage != MirrorStage::Done;
        Some(Span {
            trace: trace(command.trace_id.as_deref())?,
            id: last_half(&command.id)?,
            parent: first_half(&command.id),
            name: crate::acts::of_command(&command, None).action,
            kind: Kind::Client,
            begun_ns,
            ended_ns: at_ns,
            attributes,
            error: failed.then(|| result.code.unwrap_or(stage)),
        })
    }
}

fn attributes_of(command: &MirrorCommand) -> Vec<Attribute> {
    let act = crate::acts::of_command(command, None);
    let mut attributes = vec![
        Attribute("nexus.tenant.id", act.tenant_id),
        Attribute("nexus.provider", act.subject.kind),
        Attribute("nexus.command.id", command.id.clone()),
        Attribute("nexus.action", act.action),
    ];
    let of = |name, text: Option<String>| text.map(|text| Attribute(name, short(&text)));
    attributes.extend(of("nexus.task.id", act.task_id));
    attributes.extend(of("nexus.project.id", act.project_id));
    attributes.extend(of("user.id", act.agent_id.or(act.actor.id)));
    attributes
}
