//! Asks the provider for what an event lacks, and holds the event meanwhile.
//!
//! In: drafts of ClickUp tasks, and the answers of `lookups.results`. Out: a
//! [`LookupRequest`] for a task of which neither the event nor the hub knows
//! title or list, if its connection has a token; and the drafts, in their order
//! per task, as soon as the answer is there or [`Lookup::patience_ms`] of the
//! log's clock have passed. Those go on marked `incomplete`, as do those that
//! find no room: what is held is bounded, and kept in `pipeline.state` (kind
//! `parked`), so that a crash loses none.
//!
//! A list that was changed is asked for too, since only that tells whether it
//! was completed; nothing waits for this answer (kind `asked`).

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use udfs::hash::{Parts, hex};

use crate::{
    event::{
        EventType, LookupRequest, LookupResult, Mention, ProjectRef, Source, StandardEvent, Subject, TaskRef, Time,
    },
    ports::Headers,
    state::{index::Index, tasks::Tasks},
    topics::Topic,
    turn::{Draft, Kept, Turn},
};

/// The stage's name.
pub const NAME: &str = "lookup";
/// The kind of state entry in which drafts wait.
pub const PARKED: &str = "parked";
/// The kind of state entry that remembers which list was asked for.
pub const ASKED: &str = "asked";

/// How long an answer about a list is waited for; nothing is held for it.
const LIST_PATIENCE_MS: u64 = 60_000;

/// What this operator is set to.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// How long an event is held. With a tick a second, it goes on at most a
    /// second later.
    pub patience_ms: u64,
    /// How many events of one partition are held at most; all of them may go
    /// on in one commit.
    pub drafts_max: usize,
    /// How many events of one task are held at most.
    pub drafts_per_task_max: usize,
}

impl Default for Lookup {
    fn default() -> Self {
        Lookup { patience_ms: 4_000, drafts_max: 4_000, drafts_per_task_max: 100 }
    }
}

/// What is held, and what was asked for.
#[derive(Default)]
pub struct Lookups {
    waiting: HashMap<u128, Waiting>,
    /// Requests in the order in which they were made, of tasks and of lists.
    due_tasks: VecDeque<(u64, String)>,
    due_lists: VecDeque<(u64, String)>,
    asked: HashMap<String, Asked>,
    held: usize,
}

struct Waiting {
    request_id: String,
    events: Vec<StandardEvent>,
}

enum Asked {
    Task(u128),
    List(List),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    at: u64,
    tenant_id: String,
    connection_id: String,
    list_id: String,
    trace_id: String,
}

#[derive(Serialize)]
struct Parking<'a> {
    at: u64,
    request: &'a str,
    task: String,
    event: &'a StandardEvent,
}

#[derive(Deserialize)]
struct Parked {
    at: u64,
    request: String,
    task: String,
    event: StandardEvent,
}

/// What a list turned out to be.
pub struct ListFound {
    /// Its name at the provider.
    pub list_id: String,
    /// What it is called.
    pub name: Option<String>,
    /// The event to be published, if it is over.
    pub archived: Option<Draft>,
}

impl Lookup {
    /// Whether a draft is to be held. `key` is its task's.
    pub fn wants(&self, lookups: &Lookups, index: Option<&Index>, tasks: &Tasks, key: u128, draft: &Draft) -> bool {
        let event = &draft.event;
        if event.source.provider != "clickup" || !is_of_task(event.kind) {
            return false;
        }
        if lookups.waiting.contains_key(&key) {
            return true;
        }
        let Some(index) = index.filter(|_| event.kind != EventType::WorkItemDeleted) else { return false };
        if !may_ask(index, event) {
            return false;
        }
        let known = tasks.get(key);
        let list = event.project.as_ref().and_then(|project| project.external_id.as_deref());
        let has_home = known.is_some_and(|task| task.project_id.is_some());
        if list.is_some_and(|list| index.place("clickup", list).is_none()) && !has_home {
            // Nobody is going to be told of it, however complete it is.
            return false;
        }
        let has_title = event.task.as_ref().is_some_and(|task| task.title.is_some())
            || known.is_some_and(|task| task.title.is_some());
        !has_title || (list.is_none() && !has_home)
    }

    /// Holds a draft, behind those of the same task. The answer is what goes on
    /// at once instead, where there is no room.
    pub fn hold(&self, lookups: &mut Lookups, key: u128, draft: Draft, turn: &mut Turn<'_>) -> Vec<Draft> {
        let event = draft.event;
        let queued = lookups.waiting.get(&key).map_or(0, |waiting| waiting.events.len());
        if lookups.held >= self.drafts_max || queued >= self.drafts_per_task_max {
            let mut released = lookups.release(key, turn);
            released.push(event);
            return released.into_iter().map(incomplete).collect();
        }
        if queued == 0 {
            self.ask_for_task(lookups, key, &event, turn);
        }
        let Some(waiting) = lookups.waiting.get_mut(&key) else { return Vec::new() };
        let request = &waiting.request_id;
        let parking = Parking { at: turn.now_ms, request, task: hex(key), event: &event };
        turn.keep(&event.tenant_id, PARKED, &event.id, Some(&parking));
        waiting.events.push(event);
        lookups.held += 1;
        Vec::new()
    }

    fn ask_for_task(&self, lookups: &mut Lookups, key: u128, event: &StandardEvent, turn: &mut Turn<'_>) {
        let id = request_id(event);
        let request = LookupRequest {
            id: id.clone(),
            tenant_id: event.tenant_id.clone(),
            connection_id: event.source.connection_id.clone().unwrap_or_default(),
            kind: "task".to_owned(),
            external_id: event.task.as_ref().and_then(|task| task.external_id.clone()).unwrap_or_default(),
            deadline: Time::from_ms(turn.now_ms + self.patience_ms),
        };
        ask(&request, turn);
        lookups.asked.insert(id.clone(), Asked::Task(key));
        lookups.due_tasks.push_back((turn.now_ms, id.clone()));
        lookups.waiting.insert(key, Waiting { request_id: id, events: Vec::new() });
    }

    /// Asks what became of a list, if it may be over or wants a name.
    pub fn ask_for_list(&self, lookups: &mut Lookups, index: &Index, event: &StandardEvent, turn: &mut Turn<'_>) {
        let changed = matches!(event.kind, EventType::ProjectUpdated | EventType::ProjectCreated);
        if !changed || event.source.provider != "clickup" || lookups.asked.len() >= self.drafts_max {
            return;
        }
        let Some(list_id) = event.project.as_ref().and_then(|project| project.external_id.clone()) else { return };
        let Some(connection_id) = event.source.connection_id.clone() else { return };
        if !may_ask(index, event) {
            return;
        }
        let id = request_id(event);
        let list = List {
            at: turn.now_ms,
            tenant_id: event.tenant_id.clone(),
            connection_id: connection_id.clone(),
            list_id: list_id.clone(),
            trace_id: event.trace_id.clone(),
        };
        let request = LookupRequest {
            id: id.clone(),
            tenant_id: event.tenant_id.clone(),
            connection_id,
            kind: "list".to_owned(),
            external_id: list_id,
            deadline: Time::from_ms(turn.now_ms + LIST_PATIENCE_MS),
        };
        ask(&request, turn);
        turn.keep(&event.tenant_id, ASKED, &id, Some(&list));
        lookups.due_lists.push_back((turn.now_ms, id.clone()));
        lookups.asked.insert(id, Asked::List(list));
    }

    /// The drafts that an answer lets go on, the first of them completed.
    pub fn on_result(&self, lookups: &mut Lookups, result: &LookupResult, turn: &mut Turn<'_>) -> Vec<Draft> {
        let Some(Asked::Task(key)) = lookups.asked.get(&result.request_id) else { return Vec::new() };
        let mut released = lookups.release(*key, turn);
        if let (None, Some(task), Some(first)) = (&result.error, &result.task, released.first_mut()) {
            fill(first, task, result.project_external_id.as_deref());
            return released.into_iter().map(Draft::of).collect();
        }
        released.into_iter().map(incomplete).collect()
    }

    /// What an answer says of a list.
    pub fn on_list(&self, lookups: &mut Lookups, result: &LookupResult, turn: &mut Turn<'_>) -> Option<ListFound> {
        if !matches!(lookups.asked.get(&result.request_id), Some(Asked::List(_))) {
            return None;
        }
        let Some(Asked::List(list)) = lookups.asked.remove(&result.request_id) else { return None };
        turn.forget(&list.tenant_id, ASKED, &result.request_id);
        let archived = result.archived == Some(true) && result.error.is_none();
        let draft = archived.then(|| Draft::of(archived_list(&list, result.name.clone(), turn)));
        Some(ListFound { list_id: list.list_id, name: result.name.clone(), archived: draft })
    }

    /// The drafts that have waited long enough.
    pub fn on_tick(&self, lookups: &mut Lookups, turn: &mut Turn<'_>) -> Vec<Draft> {
        let mut released = Vec::new();
        let now_ms = turn.now_ms;
        while let Some((_, id)) = lookups.due_tasks.pop_front_if(|(at_ms, _)| *at_ms + self.patience_ms <= now_ms) {
            if let Some(Asked::Task(key)) = lookups.asked.get(&id) {
                released.extend(lookups.release(*key, turn).into_iter().map(incomplete));
            }
        }
        while let Some((_, id)) = lookups.due_lists.pop_front_if(|(at_ms, _)| *at_ms + LIST_PATIENCE_MS <= now_ms) {
            if let Some(Asked::List(list)) = lookups.asked.remove(&id) {
                turn.forget(&list.tenant_id, ASKED, &id);
            }
        }
        released
    }

    /// Takes up a draft or a request that an earlier run kept.
    pub fn restore(&self, lookups: &mut Lookups, kept: Kept<'_>) {
        let Some(data) = kept.data else { return };
        if kept.kind == ASKED {
            let Ok(list) = List::deserialize(data) else { return };
            lookups.due_lists.push_back((list.at, kept.id.to_owned()));
            lookups.asked.insert(kept.id.to_owned(), Asked::List(list));
            return;
        }
        let Ok(parked) = Parked::deserialize(data) else { return };
        let Some(key) = udfs::hash::from_hex(&parked.task) else { return };
        lookups.held += 1;
        if let Some(waiting) = lookups.waiting.get_mut(&key) {
            return waiting.events.push(parked.event);
        }
        lookups.asked.insert(parked.request.clone(), Asked::Task(key));
        lookups.due_tasks.push_back((parked.at, parked.request.clone()));
        lookups.waiting.insert(key, Waiting { request_id: parked.request, events: vec![parked.event] });
    }
}

impl Lookups {
    /// How many events are held.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    fn release(&mut self, key: u128, turn: &mut Turn<'_>) -> Vec<StandardEvent> {
        let Some(waiting) = self.waiting.remove(&key) else { return Vec::new() };
        self.asked.remove(&waiting.request_id);
        self.held -= waiting.events.len();
        for event in &waiting.events {
            turn.forget(&event.tenant_id, PARKED, &event.id);
        }
        waiting.events
    }
}

/// Whether there is a token to ask with.
fn may_ask(index: &Index, event: &StandardEvent) -> bool {
    let Some(id) = event.source.connection_id.as_deref() else { return false };
    match index.connection(id) {
        Some(_) => index.may_call(id),
        // One of the settings, which has no row.
        None => index.has_house_token(&event.source.provider),
    }
}

fn is_of_task(kind: EventType) -> bool {
    use EventType::{
        CommentDeleted, CommentPosted, CommentUpdated, NewWorkItem, WorkItemDeleted, WorkItemStatusChanged,
        WorkItemUpdated,
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
    )
}

fn request_id(event: &StandardEvent) -> String {
    format!("lkp_{}", hex(Parts::new().add("lookup").add(&event.id).finish()))
}

fn ask(request: &LookupRequest, turn: &mut Turn<'_>) {
    let headers = Headers::new([
        ("event_id", request.id.as_bytes()),
        ("type", request.kind.as_bytes()),
        ("schema", b"nexus.lookup-request.v1".as_slice()),
    ]);
    turn.emit(Topic::LookupsRequests, &request.tenant_id, request, headers);
}

fn incomplete(mut event: StandardEvent) -> Draft {
    event.incomplete = true;
    Draft::of(event)
}

/// Puts what was found where the event says nothing; what it says is newer.
fn fill(event: &mut StandardEvent, found: &TaskRef, list: Option<&str>) {
    let project = event.project.get_or_insert_with(ProjectRef::default);
    if project.external_id.is_none() {
        project.external_id = list.map(str::to_owned);
    }
    let task = event.task.get_or_insert_with(TaskRef::default);
    let fill = |into: &mut Option<String>, from: &Option<String>| {
        if into.is_none() {
            into.clone_from(from);
        }
    };
    if task.status.is_none() {
        task.status.clone_from(&found.status);
        task.state = found.state;
    }
    fill(&mut task.title, &found.title);
    fill(&mut task.description, &found.description);
    fill(&mut task.priority, &found.priority);
    if task.assignees.is_empty() {
        task.assignees.clone_from(&found.assignees);
    }
    if event.kind != EventType::NewWorkItem {
        return;
    }
    for text in [&found.title, &found.description].into_iter().flatten() {
        for alias in udfs::mentions::mentions(text) {
            if !event.mentions.iter().any(|known| known.alias.eq_ignore_ascii_case(alias)) {
                event.mentions.push(Mention { alias: alias.to_owned(), agent_ids: Vec::new() });
            }
        }
    }
}

fn archived_list(list: &List, name: Option<String>, turn: &Turn<'_>) -> StandardEvent {
    StandardEvent {
        id: turn.id("evt", NAME, 0),
        kind: EventType::ProjectArchived,
        tenant_id: list.tenant_id.clone(),
        occurred_at: turn.now(),
        received_at: turn.now(),
        trace_id: list.trace_id.clone(),
        source: Source {
            provider: "clickup".to_owned(),
            connection_id: Some(list.connection_id.clone()),
            delivery_id: None,
            event: "listUpdated".to_owned(),
        },
        actor: None,
        subject: Some(Subject { kind: "project".to_owned(), external_id: Some(list.list_id.clone()), url: None }),
        project: Some(ProjectRef { external_id: Some(list.list_id.clone()), name, ..ProjectRef::default() }),
        task: None,
        message: None,
        mentions: Vec::new(),
        changes: Vec::new(),
        unrouted: false,
        incomplete: false,
        echo: false,
        reconciled: None,
        raw: turn.raw(),
    }
}
