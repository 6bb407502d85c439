//! What is held until the provider has told details of it, and what was asked.
//!
//! In: events to hold, the answers of `lookups.results`. Out: a
//! [`LookupRequest`] for each task and list that is asked for, and the events,
//! in their order per task, once the answer is there or
//! [`LookupSettings::patience_ms`] have passed. What is held is bounded, and kept
//! in `pipeline.state` (kind `parked`), so that a crash loses none.
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
    settings::LookupSettings,
    state::{Stateful, StoredEntry, index::Index},
    topics::Topic,
    turn::Turn,
};

/// The kind of state entry in which drafts wait.
const PARKED: &str = "parked";
/// The kind of state entry that remembers which list was asked for.
const ASKED: &str = "asked";

/// How long an answer about a list is waited for; nothing is held for it.
const LIST_PATIENCE_MS: u64 = 60_000;

/// What is held, and what was asked for.
pub struct Lookups {
    settings: LookupSettings,
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
    pub archived: Option<StandardEvent>,
}

impl Lookups {
    /// Nothing is held yet.
    pub fn new(settings: &LookupSettings) -> Self {
        Lookups {
            settings: settings.clone(),
            waiting: HashMap::new(),
            due_tasks: VecDeque::new(),
            due_lists: VecDeque::new(),
            asked: HashMap::new(),
            held: 0,
        }
    }

    /// Whether events of a task are held.
    pub fn holds(&self, key: u128) -> bool {
        self.waiting.contains_key(&key)
    }

    /// Holds an event behind those of the same task; whether there was room.
    pub fn hold(&mut self, key: u128, event: &StandardEvent, turn: &mut Turn<'_>) -> bool {
        let queued = self.waiting.get(&key).map_or(0, |waiting| waiting.events.len());
        if self.held >= self.settings.drafts_max || queued >= self.settings.drafts_per_task_max {
            return false;
        }
        if queued == 0 {
            self.ask_for_task(key, event, turn);
        }
        let Some(waiting) = self.waiting.get_mut(&key) else { return false };
        let request = &waiting.request_id;
        let parking = Parking { at: turn.now_ms, request, task: hex(key), event };
        turn.keep(&event.tenant_id, PARKED, &event.id, Some(&parking));
        waiting.events.push(event.clone());
        self.held += 1;
        true
    }

    /// Lets go on what is held of a task, without the details.
    pub fn release_incomplete(&mut self, key: u128, turn: &mut Turn<'_>) -> Vec<StandardEvent> {
        self.release(key, turn).into_iter().map(incomplete).collect()
    }

    fn ask_for_task(&mut self, key: u128, event: &StandardEvent, turn: &mut Turn<'_>) {
        let id = request_id(event);
        let request = LookupRequest {
            id: id.clone(),
            tenant_id: event.tenant_id.clone(),
            connection_id: event.source.connection_id.clone().unwrap_or_default(),
            kind: "task".to_owned(),
            external_id: event.task.as_ref().and_then(|task| task.external_id.clone()).unwrap_or_default(),
            deadline: Time::from_ms(turn.now_ms + self.settings.patience_ms),
        };
        ask(&request, turn);
        self.asked.insert(id.clone(), Asked::Task(key));
        self.due_tasks.push_back((turn.now_ms, id.clone()));
        self.waiting.insert(key, Waiting { request_id: id, events: Vec::new() });
    }

    /// Asks what became of a list, if it may be over or wants a name.
    pub fn ask_for_list(&mut self, index: &Index, event: &StandardEvent, turn: &mut Turn<'_>) {
        let changed = matches!(event.kind, EventType::ProjectUpdated | EventType::ProjectCreated);
        if !changed || event.source.provider != "clickup" || self.asked.len() >= self.settings.drafts_max {
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
        self.due_lists.push_back((turn.now_ms, id.clone()));
        self.asked.insert(id, Asked::List(list));
    }

    /// The drafts that an answer lets go on, the first of them completed.
    pub fn on_result(&mut self, result: &LookupResult, turn: &mut Turn<'_>) -> Vec<StandardEvent> {
        let Some(Asked::Task(key)) = self.asked.get(&result.request_id) else { return Vec::new() };
        let mut released = self.release(*key, turn);
        if let (None, Some(task), Some(first)) = (&result.error, &result.task, released.first_mut()) {
            fill(first, task, result.project_external_id.as_deref());
            return released;
        }
        released.into_iter().map(incomplete).collect()
    }

    /// What an answer says of a list.
    pub fn on_list(&mut self, result: &LookupResult, turn: &mut Turn<'_>) -> Option<ListFound> {
        if !matches!(self.asked.get(&result.request_id), Some(Asked::List(_))) {
            return None;
        }
        let Some(Asked::List(list)) = self.asked.remove(&result.request_id) else { return None };
        turn.forget(&list.tenant_id, ASKED, &result.request_id);
        let archived = result.archived == Some(true) && result.error.is_none();
        let draft = archived.then(|| archived_list(&list, result.name.clone(), turn));
        Some(ListFound { list_id: list.list_id, name: result.name.clone(), archived: draft })
    }

    /// The drafts that have waited long enough.
    pub fn overdue(&mut self, turn: &mut Turn<'_>) -> Vec<StandardEvent> {
        let mut released = Vec::new();
        let now_ms = turn.now_ms;
        while let Some((_, id)) = self.due_tasks.pop_front_if(|(at_ms, _)| *at_ms + self.settings.patience_ms <= now_ms)
        {
            if let Some(Asked::Task(key)) = self.asked.get(&id) {
                released.extend(self.release(*key, turn).into_iter().map(incomplete));
            }
        }
        while let Some((_, id)) = self.due_lists.pop_front_if(|(at_ms, _)| *at_ms + LIST_PATIENCE_MS <= now_ms) {
            if let Some(Asked::List(list)) = self.asked.remove(&id) {
                turn.forget(&list.tenant_id, ASKED, &id);
            }
        }
        released
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

impl Stateful for Lookups {
    fn kinds(&self) -> &'static [&'static str] {
        &[PARKED, ASKED]
    }

    fn restore(&mut self, kept: StoredEntry<'_>) {
        let Some(data) = kept.data else { return };
        if kept.key.kind == ASKED {
            let Ok(list) = List::deserialize(data) else { return };
            self.due_lists.push_back((list.at, kept.key.id.to_owned()));
            self.asked.insert(kept.key.id.to_owned(), Asked::List(list));
            return;
        }
        let Ok(parked) = Parked::deserialize(data) else { return };
        let Some(key) = udfs::hash::from_hex(&parked.task) else { return };
        self.held += 1;
        if let Some(waiting) = self.waiting.get_mut(&key) {
            return waiting.events.push(parked.event);
        }
        self.asked.insert(parked.request.clone(), Asked::Task(key));
        self.due_tasks.push_back((parked.at, parked.request.clone()));
        self.waiting.insert(key, Waiting { request_id: parked.request, events: vec![parked.event] });
    }
}

/// Whether there is a token to ask with.
pub fn may_ask(index: &Index, event: &StandardEvent) -> bool {
    let Some(id) = event.source.connection_id.as_deref() else { return false };
    match index.connection(id) {
        Some(_) => index.may_call(id),
        // One of the settings, which has no row.
        None => index.has_house_token(&event.source.provider),
    }
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

fn incomplete(mut event: StandardEvent) -> StandardEvent {
    event.incomplete = true;
    event
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
        id: turn.id("evt", "lookup", 0),
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
