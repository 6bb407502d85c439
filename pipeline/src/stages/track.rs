//! The life of tasks: what they are called, where they are discussed, in which
//! state they are, and which agents were given them.
//!
//! In: drafts with their place. Out: the draft's task completed from what is
//! known, its message numbered, and the task kept in `pipeline.state` (kind
//! `task`), once a commit however often it changed. The provider's moves always
//! hold; a status that says what was known already is old news (the status
//! event right behind a creation, a repeat that came round another way).
//!
//! Memory is bounded by [`TrackSettings::tasks_max`](crate::settings::TrackSettings::tasks_max) and [`TrackSettings::bytes_max`](crate::settings::TrackSettings::bytes_max): beyond
//! them the task that was updated longest ago is forgotten here. Its row stays
//! in `pipeline.state` for the store, except when it is deleted, or done for
//! [`TrackSettings::done_keep_ms`](crate::settings::TrackSettings::done_keep_ms): then it goes there too. What is forgotten and heard
//! of again begins anew with what the event says.

use serde_json::Value;

use super::{Stage, Verdict};
use crate::{
    draft::Draft,
    event::{Change, EventType, StandardEvent, Task, TaskRef, TaskState},
    state::{
        PartitionState,
        index::Place,
        tasks::{Tasks, id_of},
    },
    turn::Turn,
};

/// See the module.
pub const STAGE: Stage = Stage { name: "track", on, on_tick: None };

/// The longest description that is kept; agents get the rest with the event.
const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;
/// The longest title.
const TITLE_BYTES_MAX: usize = 1024;
/// More people than this do not work on one task.
const ASSIGNEES_MAX: usize = 100;

fn on(state: &mut PartitionState, draft: &mut Draft, turn: &mut Turn<'_>) -> Verdict {
    follow(&mut state.tasks, draft, turn);
    Verdict::Pass
}

/// Follows one event.
fn follow(tasks: &mut Tasks, draft: &mut Draft, turn: &mut Turn<'_>) {
    let (Some(place), Some(key)) = (&draft.facts.place, draft.facts.task) else { return };
    let event = &mut draft.event;
    // What is our own voice says nothing about the task that is not known.
    if event.echo || !is_followed(event.kind) {
        return;
    }
    if tasks.get(key).is_none() {
        let may_begin = event.task.is_some() && event.kind != EventType::WorkItemDeleted;
        let Some(task) = may_begin.then(|| begin(key, event, turn)).flatten() else { return };
        tasks.insert(key, &event.tenant_id, task);
    }
    let is_ours = event.source.provider == "nexus";
    let counts = matches!(event.kind, EventType::MessagePosted | EventType::CommentPosted) && !draft.facts.is_own;
    let known = tasks.get(key).and_then(|task| task.status.as_deref());
    draft.facts.is_old_news = event.kind == EventType::WorkItemStatusChanged
        && !is_ours
        && known.is_some()
        && known == event.task.as_ref().and_then(|task| task.status.as_deref());
    tasks.update(key, |task| {
        if !is_ours {
            learn(task, event, place);
        }
        if counts {
            task.thread_seq += 1;
            if let Some(message) = &mut event.message {
                message.thread_seq = Some(task.thread_seq);
            }
        }
        task.updated_at = turn.now();
        complete(&mut event.task, task);
    });
    tasks.trim(turn);
}

fn is_followed(kind: EventType) -> bool {
    use EventType::{
        CommentDeleted, CommentPosted, CommentUpdated, MessageChanged, MessageDeleted, MessagePosted, NewWorkItem,
        WorkItemDeleted, WorkItemStatusChanged, WorkItemUpdated,
    };
    matches!(
        kind,
        NewWorkItem
            | WorkItemUpdated
            | WorkItemStatusChanged
            | WorkItemDeleted
            | CommentPosted
            | CommentUpdated
            | CommentDeleted
            | MessagePosted
            | MessageChanged
            | MessageDeleted
    )
}

/// A task that is heard of for the first time.
fn begin(key: u128, event: &StandardEvent, turn: &Turn<'_>) -> Option<Task> {
    let external_id = event.task.as_ref()?.external_id.clone()?;
    let task = Task::new(id_of(key), event.source.provider.clone(), external_id, event.occurred_at);
    Some(Task { connection_id: event.source.connection_id.clone(), updated_at: turn.now(), ..task })
}

/// Takes over what an event of the provider says of the task.
fn learn(task: &mut Task, event: &StandardEvent, place: &Place) {
    if place.project_id.is_some() {
        task.project_id.clone_from(&place.project_id);
    }
    // A deletion may be taken back; nothing else comes after it.
    task.deleted = match event.kind {
        EventType::WorkItemDeleted => true,
        EventType::NewWorkItem | EventType::WorkItemUpdated | EventType::WorkItemStatusChanged => false,
        _ => task.deleted,
    };
    let Some(told) = &event.task else { return };
    if let Some(status) = &told.status
        && task.status.as_ref() != Some(status)
    {
        // Only a word that is new is a move made there: the old one is repeated
        // with every comment, whatever was agreed on here meanwhile.
        let state = TaskState::of_status(status, Some(&place.status_map)).or(told.state);
        task.state = state.unwrap_or(task.state);
        task.status = Some(status.clone());
    }
    if let Some(title) = &told.title {
        task.title = Some(beginning(title, TITLE_BYTES_MAX));
    }
    if let Some(description) = &told.description {
        task.description = Some(beginning(description, DESCRIPTION_BYTES_MAX));
    }
    if let Some(priority) = &told.priority {
        task.priority = Some(priority.clone());
    }
    // GitHub and Jira send the whole issue each time, ClickUp what changed.
    let is_whole = told.title.is_some() && matches!(&*task.provider, "github" | "jira");
    if is_whole || !told.assignees.is_empty() {
        task.assignees.clone_from(&told.assignees);
    }
    if task.provider == "clickup" {
        event.changes.iter().for_each(|change| reassign(&mut task.assignees, change));
    }
    task.assignees.truncate(ASSIGNEES_MAX);
    let page = event.subject.as_ref().filter(|subject| matches!(&*subject.kind, "task" | "pull_request"));
    if let Some(url) = page.and_then(|page| page.url.as_ref()) {
        task.url = Some(url.clone());
    }
}

fn reassign(assignees: &mut Vec<String>, change: &Change) {
    if !matches!(&*change.field, "assignee" | "assignee_add" | "assignee_rem") {
        return;
    }
    let id = |value: &Option<Value>| match value.as_ref().map(|value| value.get("id").unwrap_or(value)) {
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    };
    let (before, after) = (id(&change.before), id(&change.after));
    if change.field == "assignee_rem" {
        let gone = before.or(after);
        return assignees.retain(|known| Some(known) != gone.as_ref());
    }
    assignees.retain(|known| Some(known) != before.as_ref());
    if let Some(new) = after.filter(|new| !assignees.contains(new)) {
        assignees.push(new);
    }
}

/// Fills in what the event does not say. The description only if it is asked
/// for by [`describe`]: most events are told without.
fn complete(told: &mut Option<TaskRef>, task: &Task) {
    let Some(told) = told else {
        *told = Some(task.to_ref());
        return;
    };
    let fill = |into: &mut Option<String>, from: &Option<String>| {
        if into.is_none() {
            into.clone_from(from);
        }
    };
    told.id = Some(task.id.clone());
    told.state = Some(task.state);
    fill(&mut told.title, &task.title);
    fill(&mut told.status, &task.status);
    fill(&mut told.priority, &task.priority);
    fill(&mut told.channel_id, &task.channel_id);
    fill(&mut told.thread_ts, &task.thread_ts);
    if told.external_id.is_none() {
        told.external_id = Some(task.external_id.clone());
    }
    if told.assignees.is_empty() {
        told.assignees.clone_from(&task.assignees);
    }
}

/// Adds the description, for an agent that hears of the task the first time.
pub fn describe(event: &mut StandardEvent, task: &Task) {
    if let Some(told) = event.task.as_mut().filter(|told| told.description.is_none()) {
        told.description.clone_from(&task.description);
    }
}

/// The first bytes of a text, whole characters.
pub fn beginning(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}
