//! Jira, cloud and server: issues, comments and projects.
//!
//! A comment arrives as `comment_created` and, from servers, once more inside a
//! `jira:issue_updated`: the first is the CommentPosted, the second a
//! WorkItemUpdated that carries the text but calls nobody. Servers' comment
//! events name no issue: their task is then the number in the comment's link.

use serde::Deserialize;
use serde_json::Value;
use udfs::markup::{adf_to_markdown, adf_to_plain, origin};

use crate::{
    draft::Draft,
    event::{ActorKind, Change, EventType, Message, ProjectRef, StandardEvent, TaskRef, TaskState},
    inputs::normalize::{
        Rejected,
        lenient::{LenientText, Many, Maybe, Moment, Named, Raw},
        request::{Request, Said, actor, malformed, may_have_mark, mentions, mentions_in_markdown, set_mark, subject},
    },
};

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct JiraBody<'a> {
    timestamp: Moment,
    #[serde(rename = "webhookEvent")]
    event: LenientText<'a>,
    issue_event_type_name: LenientText<'a>,
    user: Maybe<JiraUser<'a>>,
    issue: Maybe<Issue<'a>>,
    comment: Maybe<JiraComment<'a>>,
    changelog: Maybe<Changelog<'a>>,
    project: Maybe<JiraProject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct JiraUser<'a> {
    account_id: LenientText<'a>,
    account_type: LenientText<'a>,
    key: LenientText<'a>,
    name: LenientText<'a>,
    display_name: LenientText<'a>,
    email_address: LenientText<'a>,
}

impl JiraUser<'_> {
    fn id(&self) -> Option<&str> {
        self.account_id.or(&self.key).or_else(|| self.name.get())
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Issue<'a> {
    id: LenientText<'a>,
    key: LenientText<'a>,
    #[serde(rename = "self")]
    link: LenientText<'a>,
    fields: Maybe<Fields<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Fields<'a> {
    summary: LenientText<'a>,
    description: Raw<'a>,
    status: Named<'a, Status<'a>>,
    priority: Named<'a, Name<'a>>,
    assignee: Maybe<JiraUser<'a>>,
    project: Maybe<JiraProject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct Status<'a> {
    name: LenientText<'a>,
    status_category: Maybe<Category<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Category<'a> {
    key: LenientText<'a>,
}

impl Status<'_> {
    fn state(&self) -> Option<TaskState> {
        match self.status_category.get()?.key.get()? {
            "new" => Some(TaskState::Todo),
            "indeterminate" => Some(TaskState::InProgress),
            "done" => Some(TaskState::Done),
            _ => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Name<'a> {
    name: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct JiraProject<'a> {
    key: LenientText<'a>,
    name: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct JiraComment<'a> {
    id: LenientText<'a>,
    #[serde(rename = "self")]
    link: LenientText<'a>,
    body: Raw<'a>,
    author: Maybe<JiraUser<'a>>,
    update_author: Maybe<JiraUser<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Changelog<'a> {
    items: Many<JiraItem<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
struct JiraItem<'a> {
    field: LenientText<'a>,
    field_id: LenientText<'a>,
    from: LenientText<'a>,
    to: LenientText<'a>,
    from_string: LenientText<'a>,
    to_string: LenientText<'a>,
}

impl JiraItem<'_> {
    fn is(&self, field: &str) -> bool {
        self.field.or_empty().eq_ignore_ascii_case(field) || self.field_id.is(field)
    }
}

/// The event of a Jira request.
pub(super) fn read(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    let body: JiraBody<'_> = request.parse()?;
    let name = body.event.or(&body.issue_event_type_name).unwrap_or("unknown");
    let items = body.changelog.get().map_or(&[][..], |changelog| &changelog.items.0);
    let kind = kind_of(body.event.or_empty(), items);
    let identifier = request.header("x-atlassian-webhook-identifier");
    let said = Said { event: name, at_ms: body.timestamp.0, delivery: identifier, ..Said::default() };
    let mut draft = request.draft(kind, &said);
    draft.marks = marks(request, &body, identifier);
    let event = &mut draft.event;
    let comment = body.comment.get();
    set_actor(event, &body);
    let issue = body.issue.get();
    let fields = issue.and_then(|issue| issue.fields.get());
    let project = body.project.get().or_else(|| fields.and_then(|fields| fields.project.get()));
    let key = project
        .and_then(|project| project.key.get())
        .or_else(|| issue.and_then(|issue| issue.key.get()?.rsplit_once('-')).map(|(project, _)| project));
    event.project = key.map(|key| ProjectRef {
        external_id: Some(key.to_owned()),
        name: project.and_then(|project| project.name.owned()),
        ..ProjectRef::default()
    });
    if let Some(issue) = issue {
        let page = page_of(issue);
        event.subject = subject("task", issue.key.or(&issue.id), page.as_deref());
        event.task = Some(task_of(issue)?);
    } else if let Some(number) = comment.and_then(|comment| issue_of(comment.link.or_empty())) {
        event.task = Some(TaskRef { external_id: Some(number.to_owned()), ..TaskRef::default() });
    } else if let Some(project) = project {
        event.subject = subject("project", project.key.get(), None);
    }
    if calls(kind, items)
        && let Some(task) = &event.task
    {
        mentions(task.title.as_deref().unwrap_or_default(), &mut event.mentions);
        mentions(task.description.as_deref().unwrap_or_default(), &mut event.mentions);
    }
    if let Some(comment) = comment {
        say(event, comment)?;
    }
    if kind != EventType::NewWorkItem {
        event.changes.extend(items.iter().filter_map(change_of));
    }
    Ok(vec![draft])
}

fn kind_of(event: &str, items: &[JiraItem<'_>]) -> EventType {
    match event {
        "jira:issue_created" => EventType::NewWorkItem,
        "jira:issue_updated" if items.iter().any(|item| item.is("status")) => EventType::WorkItemStatusChanged,
        "jira:issue_updated" => EventType::WorkItemUpdated,
        "jira:issue_deleted" => EventType::WorkItemDeleted,
        "comment_created" => EventType::CommentPosted,
        "comment_updated" => EventType::CommentUpdated,
        "comment_deleted" => EventType::CommentDeleted,
        "project_created" => EventType::ProjectCreated,
        "project_updated" | "project_restored_archived" | "project_restored_deleted" => EventType::ProjectUpdated,
        "project_deleted" | "project_soft_deleted" | "project_archived" => EventType::ProjectArchived,
        _ => EventType::Other,
    }
}

/// Whether the issue's own text is new, so that who stands in it is called.
fn calls(kind: EventType, items: &[JiraItem<'_>]) -> bool {
    kind == EventType::NewWorkItem || items.iter().any(|item| item.is("description") || item.is("summary"))
}

/// The identifier, where there is one, and the specified key; the key alone
/// cannot tell two comments of one millisecond, or two events of no issue.
fn marks(request: &Request<'_>, body: &JiraBody<'_>, identifier: Option<&str>) -> Vec<u128> {
    let connection = request.connection();
    let mut marks = Vec::with_capacity(2);
    if let Some(identifier) = identifier {
        marks.push(request.mark("jira.delivery").add(connection).add(identifier).finish());
    }
    let issue = body.issue.get().and_then(|issue| issue.id.get());
    let comment = body.comment.get().and_then(|comment| comment.id.get());
    marks.push(match body.timestamp.0 {
        Some(at_ms) if issue.is_some() || comment.is_some() => {
            let parts = request.mark("jira.webhook").add(connection).add(body.event.or_empty());
            parts.add(issue.unwrap_or_default()).number(at_ms as u64).add(comment.unwrap_or_default()).finish()
        }
        _ => request.content_mark(request.body),
    });
    marks
}

fn set_actor(event: &mut StandardEvent, body: &JiraBody<'_>) {
    let commenter = body.comment.get().and_then(|comment| comment.update_author.get().or(comment.author.get()));
    let Some(user) = body.user.get().or(commenter) else { return };
    let kind = if user.account_type.is("app") { ActorKind::Bot } else { ActorKind::Human };
    event.actor = actor(kind, user.id(), user.display_name.or(&user.name), user.email_address.get());
}

/// `https://site/rest/api/2/issue/10040` leads people to `/browse/KEY-1`.
fn page_of(issue: &Issue<'_>) -> Option<String> {
    let (site, _) = issue.link.get()?.split_once("/rest/api/")?;
    let key =
        issue.key.get().filter(|key| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))?;
    Some(format!("{site}/browse/{key}"))
}

/// The issue's number in `…/issue/10013/comment/10082`.
fn issue_of(link: &str) -> Option<&str> {
    let (number, _) = link.split_once("/issue/")?.1.split_once('/')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(number)
}

fn task_of(issue: &Issue<'_>) -> Result<TaskRef, Rejected> {
    let mut task = TaskRef { external_id: issue.key.or(&issue.id).map(str::to_owned), ..TaskRef::default() };
    if let Some(fields) = issue.fields.get() {
        task.title = fields.summary.owned();
        task.description = text_of(&fields.description)?.map(|(plain, markdown)| markdown.unwrap_or(plain));
        task.status = fields.status.get(|status| status.name.get()).map(str::to_owned);
        task.state = fields.status.full().and_then(Status::state);
        task.priority = fields.priority.get(|priority| priority.name.get()).map(str::to_owned);
        task.assignees = fields.assignee.get().and_then(JiraUser::id).map(str::to_owned).into_iter().collect();
    }
    Ok(task)
}

/// A text as plain text, and as Markdown where it is a document.
fn text_of(raw: &Raw<'_>) -> Result<Option<(String, Option<String>)>, Rejected> {
    let unreadable = |error| malformed("jira text", &error);
    if raw.get().is_some_and(|raw| raw.starts_with('{')) {
        let document: Value = raw.read().map_err(unreadable)?;
        return Ok(Some((adf_to_plain(&document), Some(adf_to_markdown(&document)))));
    }
    let text: LenientText<'_> = raw.read().map_err(unreadable)?;
    Ok(text.owned().map(|text| (text, None)))
}

fn say(event: &mut StandardEvent, comment: &JiraComment<'_>) -> Result<(), Rejected> {
    let (text, markdown) = text_of(&comment.body)?.unwrap_or_default();
    if matches!(event.kind, EventType::CommentPosted | EventType::CommentUpdated) {
        match &markdown {
            Some(markdown) => mentions_in_markdown(markdown, &mut event.mentions),
            None => mentions(&text, &mut event.mentions),
        }
    }
    if matches!(event.kind, EventType::CommentPosted | EventType::CommentUpdated | EventType::CommentDeleted) {
        let page = event.subject.take().and_then(|task| task.url).zip(comment.id.get());
        let page = page.map(|(page, id)| format!("{page}?focusedCommentId={id}"));
        event.subject = subject("comment", comment.id.get(), page.as_deref());
    }
    event.message = Some(Message { text, markdown, ..Message::default() });
    if comment.body.get().is_some_and(may_have_mark) {
        let body: Value = comment.body.read().map_err(|error| malformed("jira comment", &error))?;
        set_mark(event, origin::find_in(&body));
    }
    Ok(())
}

fn change_of(item: &JiraItem<'_>) -> Option<Change> {
    let value = |name: &LenientText<'_>, id: &LenientText<'_>| name.or(id).map(Value::from);
    Some(Change {
        field: item.field.or(&item.field_id)?.to_owned(),
        before: value(&item.from_string, &item.from),
        after: value(&item.to_string, &item.to),
    })
}
