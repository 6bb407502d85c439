//! Says what is to be remembered of what passes, and counts threads.
//!
//! In: drafts with their place and task, as they are about to be published.
//! Out: requests to the memory. Messages, comments and tasks' descriptions are
//! learned under an id that follows from what the provider calls them, so that
//! an edit replaces and a deletion takes away; every [`SUMMARISED_EVERY`]th
//! message of a task's thread asks for a summary. Only what belongs to a
//! project is remembered; what is our own voice come back is not, as the words
//! that it repeats are remembered already.
//!
//! What was made of a request comes back as a result: a summary becomes the
//! event `SummaryCreated`. Nothing is kept here: a message's number is the
//! task's, and the task is kept by `track`.

use udfs::hash::{Parts, hex};

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    event::{Actor, EventType, Forget, MemoryRequest, Span, StandardEvent, Task, Text, TextKind, Trust},
    ports::Headers,
    state::{
        PartitionState,
        index::Index,
        tasks::{Tasks, scope},
    },
    topics::Topic,
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: NAME, on, on_tick: None };

/// A part of the requests' ids.
const NAME: &str = "remember";

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    look(state.directory.of(&draft.event.tenant_id), &state.tasks, draft, turn);
    Verdict::Pass
}

/// How many messages of a thread a summary takes up.
pub const SUMMARISED_EVERY: u64 = 50;

/// More of one text is not remembered: it would be one of a thousand chunks.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// What an event means for the memory.
enum Means {
    Learn(TextKind),
    Reword(TextKind),
    Forget,
}

/// One event that is about to be published.
fn look(index: Option<&Index>, tasks: &Tasks, draft: &Draft, turn: &mut Turn<'_>) {
    let (event, facts) = (&draft.event, &draft.facts);
    let is_voice = event.echo || facts.is_own || facts.copy.is_some();
    let project = event.project.as_ref().and_then(|project| project.id.as_deref());
    let (Some(project), false, false) = (project, is_voice, event.unrouted) else { return };
    let Some(means) = means(event) else { return };
    let task = facts.task.and_then(|key| tasks.get(key));
    let Some(id) = text_id(index, event, task) else { return };
    let request = match means {
        Means::Forget => MemoryRequest::Forget(Forget {
            id: request_id(event, "forget"),
            tenant_id: event.tenant_id.clone(),
            text_id: Some(id),
            thread_ts: None,
            channel_id: None,
            at: event.occurred_at,
        }),
        Means::Learn(kind) | Means::Reword(kind) => {
            let Some(text) = said(kind, event, task) else { return };
            let (channel_id, thread_ts) = thread_of(event, task);
            MemoryRequest::Remember(Text {
                id,
                tenant_id: event.tenant_id.clone(),
                project_id: project.to_owned(),
                kind,
                text,
                task_id: task.map(|task| task.id.clone()),
                channel_id,
                thread_ts,
                thread_seq: event.message.as_ref().and_then(|message| message.thread_seq),
                author: event.actor.as_ref().and_then(|actor| name_of(index, &event.source.provider, actor)),
                trust: event.actor.as_ref().map_or(Trust::Unknown, |actor| actor.trust),
                at: event.occurred_at,
                revised_at: event.occurred_at,
                is_edit: matches!(means, Means::Reword(_)),
            })
        }
    };
    ask(&request, &event.trace_id, turn);
    if let (Some(task), Some(through)) = (task, event.message.as_ref().and_then(|message| message.thread_seq))
        && through.is_multiple_of(SUMMARISED_EVERY)
    {
        let span = Span {
            id: request_id(event, "summarise"),
            tenant_id: event.tenant_id.clone(),
            project_id: project.to_owned(),
            task_id: task.id.clone(),
            channel_id: task.channel_id.clone(),
            thread_ts: task.thread_ts.clone(),
            through,
            at: turn.now(),
        };
        ask(&MemoryRequest::Summarise(span), &event.trace_id, turn);
    }
}

/// One record may lead to several events; what follows from each is named by it.
fn request_id(event: &StandardEvent, what: &str) -> String {
    format!("mrq_{}", hex(Parts::new().add(NAME).add(what).add(&event.id).finish()))
}

fn means(event: &StandardEvent) -> Option<Means> {
    Some(match event.kind {
        EventType::MessagePosted => Means::Learn(TextKind::Message),
        EventType::MessageChanged => Means::Reword(TextKind::Message),
        EventType::CommentPosted => Means::Learn(TextKind::Comment),
        EventType::CommentUpdated => Means::Reword(TextKind::Comment),
        EventType::NewWorkItem => Means::Learn(TextKind::Task),
        EventType::WorkItemUpdated => Means::Reword(TextKind::Task),
        EventType::MessageDeleted | EventType::CommentDeleted | EventType::WorkItemDeleted => Means::Forget,
        _ => return None,
    })
}

/// Names a text by what the provider calls it: a task by the hub's id, Slack's
/// messages by channel and time, comments by their ids.
fn text_id(index: Option<&Index>, event: &StandardEvent, task: Option<&Task>) -> Option<String> {
    use EventType::{NewWorkItem, WorkItemDeleted, WorkItemUpdated};
    if matches!(event.kind, NewWorkItem | WorkItemUpdated | WorkItemDeleted) {
        return task.map(|task| task.id.clone());
    }
    let subject = event.subject.as_ref()?;
    let provider = &*event.source.provider;
    let of = match provider {
        "slack" => {
            let of_message = event.message.as_ref().and_then(|message| message.channel_id.as_deref());
            of_message.or_else(|| event.project.as_ref()?.slack_channel_id.as_deref())?
        }
        // Issues' and reviews' comments are numbered apart.
        "github" => event.source.event.split('.').next().unwrap_or_default(),
        _ => scope(index, provider, event.source.connection_id.as_deref()),
    };
    let parts = Parts::new().add("text").add(&event.tenant_id).add(provider).add(of);
    Some(format!("txt_{}", hex(parts.add(&subject.kind).add(subject.external_id.as_deref()?).finish())))
}

/// What there is to remember; nothing where nothing is said.
fn said(kind: TextKind, event: &StandardEvent, task: Option<&Task>) -> Option<String> {
    let text = match (kind, task) {
        (TextKind::Task, Some(task)) => {
            [task.title.as_deref(), task.description.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("\n\n")
        }
        (TextKind::Task, None) => return None,
        _ => event.message.as_ref()?.text.clone(),
    };
    let cut = text.floor_char_boundary(TEXT_BYTES_MAX);
    let text = text[..cut].trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The thread that a text stands in: its own in Slack (a message that begins
/// one is its first), elsewhere its task's.
fn thread_of(event: &StandardEvent, task: Option<&Task>) -> (Option<String>, Option<String>) {
    let message = event.message.as_ref();
    let channel = message.and_then(|message| message.channel_id.clone());
    if channel.is_some() {
        let own = || event.subject.as_ref().filter(|_| event.source.provider == "slack")?.external_id.clone();
        return (channel, message.and_then(|message| message.thread_ts.clone()).or_else(own));
    }
    task.map_or((None, None), |task| (task.channel_id.clone(), task.thread_ts.clone()))
}

/// What people call an author, as far as anybody knows.
fn name_of(index: Option<&Index>, provider: &str, actor: &Actor) -> Option<String> {
    let agent = actor.agent_id.as_deref().and_then(|id| index?.card(id)).map(|card| card.name.clone());
    let person = || index?.person_name(provider, actor.external_id.as_deref()?).map(str::to_owned);
    agent.or_else(person).or_else(|| actor.name.clone()).or_else(|| actor.external_id.clone())
}

/// Writes a request.
pub fn ask(request: &MemoryRequest, trace: &str, turn: &mut Turn<'_>) {
    let id = request.id();
    let traceparent = format!("00-{trace}-{}-01", &id[id.len().saturating_sub(16)..]);
    let headers = Headers::new([
        ("event_id", id.as_bytes()),
        ("type", request.name().as_bytes()),
        ("schema", b"nexus.memory-request.v1".as_slice()),
        ("traceparent", traceparent.as_bytes()),
    ]);
    turn.emit(Topic::MemoryRequests, request.tenant_id(), request, headers);
}
