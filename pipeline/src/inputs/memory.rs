//! `memory.results`: what the memory has made of requests.
//!
//! In: [`MemoryResult`]s. Out: a summary becomes the event `SummaryCreated`, and
//! takes the way of every event; the other results are for other readers.

use super::{begin, read};
use crate::{
    chain::Chain,
    draft::Draft,
    event::{Actor, ActorKind, EventType, MemoryResult, Message, ProjectRef, Subject, ThreadSummary},
    event_builder::EventBuilder,
    ports::{NewRecord, Record},
    state::tasks::Tasks,
    turn::Turn,
};

/// The name under which results that cannot be read are buried.
pub const NAME: &str = "remember";

/// One result.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let Some(result) = read::<MemoryResult>(chain, record, NAME, outputs) else { return };
    let Some(mut turn) = begin(chain, record, result.tenant_id(), outputs) else { return };
    if let Some(draft) = summary_event(&chain.state.tasks, &result, &turn) {
        chain.onward(draft, &mut turn);
    }
}

/// What became of a request: a summary is an event of its thread.
fn summary_event(tasks: &Tasks, result: &MemoryResult, turn: &Turn<'_>) -> Option<Draft> {
    let MemoryResult::Summarised { tenant_id, summary, .. } = result else { return None };
    let builder = EventBuilder {
        tenant: tenant_id,
        kind: EventType::SummaryCreated,
        event: "summary.created",
        operator: "remember",
        trace_id: None,
    };
    let actor = Actor {
        kind: ActorKind::System,
        trust: summary.trust,
        external_id: None,
        agent_id: None,
        name: Some(summary.model.clone()),
        email: None,
    };
    let mut draft = Draft::of(builder.event(actor, turn));
    if let Some(key) = tasks.find(tenant_id, &summary.task_id)
        && let Some(task) = tasks.get(key)
    {
        draft.set_task(key, task);
    }
    let ThreadSummary { project_id, channel_id, thread_ts, text, through, .. } = summary;
    draft.event.project = Some(ProjectRef { id: Some(project_id.clone()), ..ProjectRef::default() });
    draft.event.subject = Some(Subject { kind: "thread".to_owned(), external_id: thread_ts.clone(), url: None });
    draft.event.message = Some(Message {
        text: text.clone(),
        thread_ts: thread_ts.clone(),
        channel_id: channel_id.clone(),
        thread_seq: Some(*through),
        ..Message::default()
    });
    Some(draft)
}
