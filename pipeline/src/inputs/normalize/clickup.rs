//! ClickUp: webhooks, automations, and the low-level object envelope.
//!
//! ClickUp tells most things twice: as `taskUpdated` and as an event of its
//! own, both with the same history item. A `taskUpdated` is therefore read as
//! the specific event that its history names, and shares that event's mark:
//! whichever comes first is the event, the other its repeat. Two pairs cannot
//! be told from one side alone, and there one of the two gives no draft:
//!
//! * the first status of a new task (`before` is null): `taskCreated` tells it;
//! * a `taskUpdated` about a comment: whether it was posted or edited is told
//!   only by `taskCommentPosted` and `taskCommentUpdated`.

use serde::Deserialize;
use serde_json::Value;
use udfs::markup::{Document, clickup_comment_to_plain, origin};

use crate::{
    draft::Draft,
    event::{ActorKind, Change, EventType, Message, ProjectRef, StandardEvent, TaskRef, TaskState},
    inputs::normalize::{
        Rejected,
        lenient::{Flag, LenientText, Many, Maybe, Moment, Named, NamedList, Raw},
        request::{Request, Said, actor, malformed, may_have_mark, mentions, set_mark, subject},
    },
};

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupEnvelope<'a> {
    event: LenientText<'a>,
    webhook_id: LenientText<'a>,
    task_id: LenientText<'a>,
    list_id: LenientText<'a>,
    folder_id: LenientText<'a>,
    space_id: LenientText<'a>,
    goal_id: LenientText<'a>,
    key_result_id: LenientText<'a>,
    history_items: Many<ClickupItem<'a>>,
    task: Maybe<ClickupTask<'a>>,
    // An automation has the task here, and an id and a date of its own.
    payload: Maybe<ClickupTask<'a>>,
    id: LenientText<'a>,
    date: Moment,
    // The low-level envelope.
    hist_id: LenientText<'a>,
    version: Maybe<Version<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupItem<'a> {
    id: LenientText<'a>,
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    date: Moment,
    field: LenientText<'a>,
    parent_id: LenientText<'a>,
    source: LenientText<'a>,
    user: Maybe<ClickupUser<'a>>,
    before: Raw<'a>,
    after: Raw<'a>,
    comment: Raw<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupUser<'a> {
    id: LenientText<'a>,
    username: LenientText<'a>,
    email: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupTask<'a> {
    id: LenientText<'a>,
    name: LenientText<'a>,
    text_content: LenientText<'a>,
    description: LenientText<'a>,
    status: Named<'a, ClickupLevel<'a>>,
    priority: Named<'a, ClickupLevel<'a>>,
    assignees: NamedList<'a, ClickupUser<'a>>,
    creator: Maybe<ClickupUser<'a>>,
    list: Maybe<ClickupPlace<'a>>,
    url: LenientText<'a>,
}

/// A status or a priority: its word is in the field of its own name.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupLevel<'a> {
    status: LenientText<'a>,
    priority: LenientText<'a>,
    #[serde(rename = "type")]
    kind: LenientText<'a>,
}

impl ClickupLevel<'_> {
    fn word(&self) -> Option<&str> {
        self.status.or(&self.priority)
    }

    /// What the status is to ClickUp. `custom` is anything in between, so it
    /// says nothing.
    fn state(&self) -> Option<TaskState> {
        match self.kind.get()? {
            "open" => Some(TaskState::Todo),
            "done" | "closed" => Some(TaskState::Done),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupPlace<'a> {
    id: LenientText<'a>,
    name: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ClickupComment<'a> {
    id: LenientText<'a>,
    text_content: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Version<'a> {
    object_type: LenientText<'a>,
    object_id: LenientText<'a>,
    operation: LenientText<'a>,
    deleted: Flag,
    data: Maybe<VersionData<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct VersionData<'a> {
    relationships: Many<Relation<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Relation<'a> {
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    object_type: LenientText<'a>,
    object_id: LenientText<'a>,
}

/// The events of a ClickUp request: one, or none for a twin (see above).
pub(super) fn read(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    let body: ClickupEnvelope<'_> = request.parse()?;
    if body.event.get().is_some() {
        return read_event(request, &body);
    }
    if let Some(version) = body.version.get() {
        return Ok(vec![read_version(request, &body, version)]);
    }
    let (kind, name, task) = match body.payload.get().or(body.task.get()) {
        Some(task) => (EventType::WorkItemUpdated, "automation", Some(task)),
        None => (EventType::Other, "unknown", None),
    };
    let said = Said { event: name, at_ms: body.date.0, ..Said::default() };
    let mut draft = request.draft(kind, &said);
    if let Some(task) = task {
        fill_task(&mut draft.event, task, None);
        draft.event.actor = actor(ActorKind::Bot, None, Some("automation"), None);
    }
    draft.marks.push(request.content_mark(request.body));
    Ok(vec![draft])
}

/// The event of its own that ClickUp sends for a history item of a field.
fn specific_of(field: &str) -> Option<&'static str> {
    Some(match field {
        "status" => "taskStatusUpdated",
        "assignee" | "assignee_add" | "assignee_rem" => "taskAssigneeUpdated",
        "priority" => "taskPriorityUpdated",
        "due_date" => "taskDueDateUpdated",
        "tag" | "tag_removed" => "taskTagUpdated",
        "section_moved" => "taskMoved",
        "time_estimate" => "taskTimeEstimateUpdated",
        "time_spent" => "taskTimeTrackedUpdated",
        "task_creation" => "taskCreated",
        _ => return None,
    })
}

fn kind_of(event: &str) -> EventType {
    match event {
        "taskCreated" => EventType::NewWorkItem,
        "taskUpdated"
        | "taskAssigneeUpdated"
        | "taskPriorityUpdated"
        | "taskDueDateUpdated"
        | "taskTagUpdated"
        | "taskMoved" => EventType::WorkItemUpdated,
        "taskStatusUpdated" => EventType::WorkItemStatusChanged,
        "taskDeleted" => EventType::WorkItemDeleted,
        "taskCommentPosted" => EventType::CommentPosted,
        "taskCommentUpdated" => EventType::CommentUpdated,
        // Of no webhook of theirs: found by the hub, which missed the comment.
        "taskCommentDeleted" => EventType::CommentDeleted,
        "listCreated" => EventType::ProjectCreated,
        "listUpdated" => EventType::ProjectUpdated,
        "listDeleted" => EventType::ProjectArchived,
        _ => EventType::Other,
    }
}

fn read_event(request: &Request<'_>, body: &ClickupEnvelope<'_>) -> Result<Vec<Draft>, Rejected> {
    let name = body.event.or_empty();
    let items = &body.history_items.0;
    let first = items.first();
    let field = first.map_or("", |item| item.field.or_empty());
    let specific = match name {
        "taskUpdated" if field == "comment" => return Ok(Vec::new()),
        "taskUpdated" if items.iter().any(|item| item.field.is("task_creation")) => "taskCreated",
        "taskUpdated" => specific_of(field).unwrap_or(name),
        _ => name,
    };
    let kind = kind_of(specific);
    if kind == EventType::WorkItemStatusChanged && first.is_some_and(is_first_status) {
        return Ok(Vec::new());
    }
    let at_ms = first.and_then(|item| item.date.0).or(body.date.0);
    let said = Said { event: name, at_ms, delivery: first.and_then(|item| item.id.get()), ..Said::default() };
    let mut draft = request.draft(kind, &said);
    let event = &mut draft.event;
    let parent =
        first.filter(|item| item.kind.is("1") || name.starts_with("task")).and_then(|item| item.parent_id.get());
    event.project = project(body.list_id.get().or(parent), None);
    set_actor(event, first);
    if let Some(id) = body.task_id.get().or_else(|| body.task.get().and_then(|task| task.id.get())) {
        event.task = Some(TaskRef { external_id: Some(id.to_owned()), ..TaskRef::default() });
        event.subject = subject("task", Some(id), page_of(id).as_deref());
    } else {
        let (what, id) = subject_of(body);
        event.subject = subject(what, id, None);
    }
    if let Some(task) = body.task.get() {
        fill_task(event, task, body.task_id.get());
        if kind == EventType::NewWorkItem {
            mentions(task.name.or_empty(), &mut event.mentions);
            mentions(task.text_content.or(&task.description).unwrap_or_default(), &mut event.mentions);
        }
    }
    let mut content = None;
    for item in items {
        if item.field.is("comment") {
            content = content.or(item.comment.get());
            read_comment(event, item)?;
        } else {
            read_item(event, item, kind)?;
        }
    }
    draft.marks.push(mark(request, body, specific, first, content));
    draft.thing = thing(request, &draft.event);
    Ok(vec![draft])
}

/// `webhook_id`, event and history item; a comment's content as well, because
/// all edits of a comment share one history item.
fn mark(
    request: &Request<'_>,
    body: &ClickupEnvelope<'_>,
    event: &str,
    first: Option<&ClickupItem<'_>>,
    content: Option<&str>,
) -> u128 {
    let Some(id) = first.and_then(|item| item.id.get()) else { return request.content_mark(request.body) };
    let parts = request.mark("clickup.history").add(body.webhook_id.or_empty()).add(event).add(id);
    match content {
        Some(content) => parts.add(content).finish(),
        None => parts.finish(),
    }
}

/// What is known again however it was heard of: history ids are told by webhooks
/// alone, so what the hub finds by asking has none.
fn thing(request: &Request<'_>, event: &StandardEvent) -> Option<u128> {
    let about = |what: &str| request.mark("clickup.found").add(request.connection()).add(what);
    let id = event.subject.as_ref()?.external_id.as_deref()?;
    let text = event.message.as_ref().map_or("", |message| &message.text);
    match event.kind {
        EventType::NewWorkItem => Some(about("task").add(id).finish()),
        EventType::CommentPosted => Some(about("comment").add(id).add(text).finish()),
        EventType::CommentUpdated => Some(about("edit").add(id).add(text).finish()),
        EventType::CommentDeleted => Some(about("deletion").add(id).finish()),
        _ => None,
    }
}

/// Creating a task also sends its first status, which changes nothing.
fn is_first_status(item: &ClickupItem<'_>) -> bool {
    let before: Option<Named<'_, ClickupLevel<'_>>> = item.before.read().ok();
    item.before.is_null() || matches!(before, Some(Named::Full(level)) if level.word().is_none())
}

fn set_actor(event: &mut StandardEvent, item: Option<&ClickupItem<'_>>) {
    let Some(item) = item else { return };
    let user = item.user.get();
    let id = user.and_then(|user| user.id.get());
    let name = user.and_then(|user| user.username.get());
    // Nobody has a negative id: -1 is ClickUp's own bot.
    let by_machine = id.is_some_and(|id| id.starts_with('-'))
        || item.source.get().is_some_and(|source| source.contains("automation"));
    let kind = if by_machine { ActorKind::Bot } else { ActorKind::Human };
    event.actor = actor(kind, id, name, user.and_then(|user| user.email.get()));
}

fn subject_of<'a>(body: &'a ClickupEnvelope<'_>) -> (&'static str, Option<&'a str>) {
    let kinds = [
        ("project", &body.list_id),
        ("folder", &body.folder_id),
        ("key_result", &body.key_result_id),
        ("goal", &body.goal_id),
        ("space", &body.space_id),
    ];
    kinds.into_iter().find_map(|(kind, id)| Some((kind, Some(id.get()?)))).unwrap_or(("object", None))
}

/// The page of a task, for ids that cannot lead anywhere else.
fn page_of(id: &str) -> Option<String> {
    let plain = id.len() <= 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then(|| format!("https://app.clickup.com/t/{id}"))
}

fn project(id: Option<&str>, name: Option<&str>) -> Option<ProjectRef> {
    let external_id = Some(id?.to_owned());
    Some(ProjectRef { external_id, name: name.map(str::to_owned), ..ProjectRef::default() })
}

fn fill_task(event: &mut StandardEvent, task: &ClickupTask<'_>, id: Option<&str>) {
    let id = id.or(task.id.get());
    event.task = Some(TaskRef {
        external_id: id.map(str::to_owned),
        title: task.name.owned(),
        description: task.text_content.or(&task.description).map(str::to_owned),
        status: task.status.get(ClickupLevel::word).map(str::to_owned),
        state: task.status.full().and_then(ClickupLevel::state),
        priority: task.priority.get(ClickupLevel::word).map(str::to_owned),
        assignees: task
            .assignees
            .0
            .iter()
            .filter_map(|user| user.get(|user| user.id.get()).map(str::to_owned))
            .collect(),
        ..TaskRef::default()
    });
    event.subject = subject("task", id, task.url.get()).or(event.subject.take());
    if let Some(list) = task.list.get() {
        event.project = project(list.id.get(), list.name.get()).or(event.project.take());
    }
    if event.actor.is_none()
        && event.kind == EventType::NewWorkItem
        && let Some(creator) = task.creator.get()
    {
        event.actor = actor(ActorKind::Human, creator.id.get(), creator.username.get(), creator.email.get());
    }
}

fn read_comment(event: &mut StandardEvent, item: &ClickupItem<'_>) -> Result<(), Rejected> {
    let unreadable = |error| malformed("clickup comment", &error);
    let comment = item.comment.read::<Maybe<ClickupComment<'_>>>().map_err(unreadable)?.0.unwrap_or_default();
    let text = match comment.text_content.get() {
        Some(text) => text.trim_end().to_owned(),
        None => clickup_comment_to_plain(&item.comment.read().map_err(unreadable)?),
    };
    let after: LenientText<'_> = item.after.read().map_err(unreadable)?;
    let page = event.subject.as_mut().and_then(|subject| subject.url.take());
    event.subject = subject("comment", comment.id.or(&after), page.as_deref());
    mentions(&text, &mut event.mentions);
    // Plain words are the same in every notation.
    let is_formatted = |raw: &&str| raw.contains("\"attributes\"") || raw.contains("\"tag\"");
    let markdown = match item.comment.get().filter(is_formatted) {
        Some(_) => {
            Some(Document::from_clickup(&item.comment.read().map_err(unreadable)?).without_origin().to_markdown())
        }
        None => None,
    };
    event.message =
        Some(Message { markdown: markdown.filter(|markdown| *markdown != text), text, ..Message::default() });
    if item.comment.get().is_some_and(may_have_mark) {
        set_mark(event, origin::find_in(&item.comment.read().map_err(unreadable)?));
    }
    Ok(())
}

/// One history item: into the task's fields where it says what is now, and
/// into the changes, except of a task that is new as a whole.
fn read_item(event: &mut StandardEvent, item: &ClickupItem<'_>, kind: EventType) -> Result<(), Rejected> {
    let Some(field) = item.field.get() else { return Ok(()) };
    let unreadable = |error| malformed("clickup history", &error);
    let (before, after) = match field {
        "status" | "priority" => (word(&item.before).map_err(unreadable)?, word(&item.after).map_err(unreadable)?),
        "task_creation" => return Ok(()),
        _ if kind == EventType::NewWorkItem => return Ok(()),
        _ => (item.before.value().map_err(unreadable)?, item.after.value().map_err(unreadable)?),
    };
    if let (Some(task), Some(Value::String(now))) = (&mut event.task, &after) {
        match field {
            // A body that carries the task has the same or something newer.
            "status" if task.status.is_none() => {
                task.status = Some(now.clone());
                let level: Named<'_, ClickupLevel<'_>> = item.after.read().map_err(unreadable)?;
                task.state = level.full().and_then(ClickupLevel::state);
            }
            "priority" => task.priority = task.priority.take().or_else(|| Some(now.clone())),
            "name" => task.title = task.title.take().or_else(|| Some(now.clone())),
            _ => {}
        }
    }
    if kind != EventType::NewWorkItem {
        event.changes.push(Change { field: field.to_owned(), before, after });
    }
    Ok(())
}

/// Statuses and priorities are told by their word alone.
fn word(raw: &Raw<'_>) -> Result<Option<Value>, serde_json::Error> {
    Ok(raw.read::<Named<'_, ClickupLevel<'_>>>()?.get(ClickupLevel::word).map(Value::from))
}

fn read_version(request: &Request<'_>, body: &ClickupEnvelope<'_>, version: &Version<'_>) -> Draft {
    let object = version.object_type.or_empty();
    let operation = if version.deleted.0 { "d" } else { version.operation.or_empty() };
    let kind = match (object, operation) {
        ("task", "c") => EventType::NewWorkItem,
        ("task", "u") => EventType::WorkItemUpdated,
        ("task", "d") => EventType::WorkItemDeleted,
        ("comment", "c") => EventType::CommentPosted,
        ("comment", "u") => EventType::CommentUpdated,
        ("comment", "d") => EventType::CommentDeleted,
        _ => EventType::Other,
    };
    let name = format!("{}.{}", if object.is_empty() { "object" } else { object }, operation);
    let said =
        Said { event: name.trim_end_matches('.'), at_ms: body.date.0, delivery: body.hist_id.get(), ..Said::default() };
    let mut draft = request.draft(kind, &said);
    let related = |kind: &str| {
        let relations = version.data.get().map_or(&[][..], |data| &data.relationships.0);
        relations.iter().find(|relation| relation.kind.is(kind))
    };
    let id = version.object_id.or(&body.id);
    draft.event.subject = subject(if object.is_empty() { "object" } else { object }, id, None);
    let parent =
        related("comment-parent").filter(|parent| parent.object_type.is("task")).and_then(|it| it.object_id.get());
    if let Some(task) = if object == "task" { id } else { parent } {
        draft.event.task = Some(TaskRef { external_id: Some(task.to_owned()), ..TaskRef::default() });
    }
    if let Some(author) = related("comment-author").and_then(|author| author.object_id.get()) {
        draft.event.actor = actor(ActorKind::Human, Some(author), None, None);
    }
    draft.marks.push(match body.hist_id.get() {
        Some(history) => request.mark("clickup.version").add(request.connection()).add(&*name).add(history).finish(),
        None => request.content_mark(request.body),
    });
    draft
}
