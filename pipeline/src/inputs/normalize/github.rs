//! GitHub: webhooks of repositories, organisations and apps.
//!
//! The event's name is in a header and its action in the body; issues and pull
//! requests are tasks named `owner/repository#number`. `X-GitHub-Delivery`
//! stays the same over redeliveries, so it alone tells a repeat.

use std::collections::BTreeMap;

use serde::Deserialize;
use udfs::markup::{markdown_to_plain, origin};

use crate::{
    draft::Draft,
    event::{ActorKind, EventType, Message, ProjectRef, StandardEvent, TaskRef, Trust},
    inputs::normalize::{
        Rejected,
        lenient::{Flag, LenientText, Many, Maybe, Moment, Raw},
        request::{
            Request, Said, actor, change, malformed, may_have_mark, mentions, mentions_in_markdown, set_mark, subject,
        },
    },
};

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct GithubBody<'a> {
    action: LenientText<'a>,
    repository: Maybe<Repository<'a>>,
    organization: Maybe<Account<'a>>,
    sender: Maybe<Account<'a>>,
    issue: Maybe<GithubItem<'a>>,
    pull_request: Maybe<GithubItem<'a>>,
    discussion: Maybe<GithubItem<'a>>,
    comment: Maybe<GithubComment<'a>>,
    review: Maybe<GithubComment<'a>>,
    release: Maybe<Release<'a>>,
    check_run: Maybe<Run<'a>>,
    workflow_run: Maybe<Run<'a>>,
    label: Maybe<Label<'a>>,
    assignee: Maybe<Account<'a>>,
    requested_reviewer: Maybe<Account<'a>>,
    milestone: Maybe<Milestone<'a>>,
    changes: Raw<'a>,
    #[serde(rename = "ref")]
    reference: LenientText<'a>,
    before: LenientText<'a>,
    after: LenientText<'a>,
    compare: LenientText<'a>,
    head_commit: Maybe<Commit<'a>>,
    zen: LenientText<'a>,
    pusher: Maybe<Account<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Repository<'a> {
    full_name: LenientText<'a>,
    name: LenientText<'a>,
    html_url: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Account<'a> {
    login: LenientText<'a>,
    #[serde(rename = "type")]
    kind: LenientText<'a>,
    name: LenientText<'a>,
    email: LenientText<'a>,
}

/// An issue, a pull request or a discussion.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct GithubItem<'a> {
    number: LenientText<'a>,
    title: LenientText<'a>,
    body: LenientText<'a>,
    state: LenientText<'a>,
    merged: Flag,
    html_url: LenientText<'a>,
    user: Maybe<Account<'a>>,
    author_association: LenientText<'a>,
    assignees: Many<Account<'a>>,
    created_at: Moment,
    updated_at: Moment,
}

/// A comment or a review.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct GithubComment<'a> {
    id: LenientText<'a>,
    body: LenientText<'a>,
    state: LenientText<'a>,
    html_url: LenientText<'a>,
    user: Maybe<Account<'a>>,
    author_association: LenientText<'a>,
    created_at: Moment,
    updated_at: Moment,
    submitted_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Release<'a> {
    tag_name: LenientText<'a>,
    name: LenientText<'a>,
    body: LenientText<'a>,
    html_url: LenientText<'a>,
    published_at: Moment,
    created_at: Moment,
}

/// A check run or a workflow run.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Run<'a> {
    id: LenientText<'a>,
    name: LenientText<'a>,
    conclusion: LenientText<'a>,
    html_url: LenientText<'a>,
    completed_at: Moment,
    updated_at: Moment,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Label<'a> {
    name: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Milestone<'a> {
    title: LenientText<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Commit<'a> {
    message: LenientText<'a>,
    timestamp: Moment,
}

/// What a field was, in `changes`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Was<'a> {
    from: Raw<'a>,
}

/// The event of a GitHub request.
pub(super) fn read(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    if !request.is_form() {
        return read_json(request);
    }
    let payload = udfs::form::field(request.body, "payload")
        .ok()
        .flatten()
        .ok_or_else(|| Rejected::new("the github form has no payload"))?;
    read_json(&Request { body: &payload, webhook: request.webhook, turn: request.turn })
}

fn read_json(request: &Request<'_>) -> Result<Vec<Draft>, Rejected> {
    let body: GithubBody<'_> = request.parse()?;
    let event = request.header("x-github-event").unwrap_or_else(|| guess(&body));
    let action = body.action.or_empty();
    let name = if action.is_empty() { event.to_owned() } else { [event, action].join(".") };
    let kind = kind_of(event, action);
    let delivery = request.header("x-github-delivery");
    let said = Said { event: &name, at_ms: when(&body, kind), delivery, ..Said::default() };
    let mut draft = request.draft(kind, &said);
    draft.marks.push(match delivery.or(request.webhook.delivery_id.as_deref().filter(|id| !id.is_empty())) {
        Some(delivery) => request.mark("github.delivery").add(delivery).finish(),
        None => request.content_mark(request.body),
    });
    let event = &mut draft.event;
    set_actor(event, &body);
    let repository =
        body.repository.get().map(|repository| repository.full_name.or(&repository.name).unwrap_or_default());
    event.project = repository.filter(|name| !name.is_empty()).map(|name| ProjectRef {
        external_id: Some(name.to_owned()),
        name: body.repository.get().and_then(|repository| repository.name.owned()),
        ..ProjectRef::default()
    });
    fill(event, &body, kind, repository.unwrap_or_default());
    draft.thing = thing(request, event, repository.unwrap_or_default());
    add_changes(event, &body, action).map_err(|error| malformed("github changes", &error))?;
    Ok(vec![draft])
}

/// An issue or a comment on one, which the hub may find by asking: deliveries are
/// named by webhooks alone.
fn thing(request: &Request<'_>, event: &StandardEvent, repository: &str) -> Option<u128> {
    let about = |what: &str| request.mark("github.found").add(request.connection()).add(repository).add(what);
    let id = event.subject.as_ref()?.external_id.as_deref()?;
    match event.source.event.as_str() {
        "issues.opened" => Some(about("issue").add(id).finish()),
        "issue_comment.created" => Some(about("comment").add(id).finish()),
        _ => None,
    }
}

fn kind_of(event: &str, action: &str) -> EventType {
    match (event, action) {
        ("issues" | "pull_request", "opened") => EventType::NewWorkItem,
        ("issues", "closed" | "reopened") | ("pull_request", "closed" | "merged") => EventType::WorkItemStatusChanged,
        ("issues", "deleted" | "transferred") => EventType::WorkItemDeleted,
        ("issues" | "pull_request", _) => EventType::WorkItemUpdated,
        ("issue_comment" | "pull_request_review_comment" | "discussion_comment", "created") => EventType::CommentPosted,
        ("pull_request_review", "submitted") => EventType::CommentPosted,
        ("issue_comment" | "pull_request_review_comment" | "discussion_comment" | "commit_comment", "edited")
        | ("pull_request_review", "edited") => EventType::CommentUpdated,
        ("issue_comment" | "pull_request_review_comment" | "discussion_comment" | "commit_comment", "deleted") => {
            EventType::CommentDeleted
        }
        ("repository", "created") => EventType::ProjectCreated,
        ("repository", "archived" | "deleted") => EventType::ProjectArchived,
        ("repository", _) => EventType::ProjectUpdated,
        ("push", _) => EventType::CodePushed,
        ("check_run" | "workflow_run", "completed") => EventType::CheckCompleted,
        // GitHub also sends `released` or `prereleased` beside this one.
        ("release", "published") => EventType::ReleasePublished,
        _ => EventType::Other,
    }
}

/// The event of a body whose producer did not keep the header.
fn guess(body: &GithubBody<'_>) -> &'static str {
    let [comment, review] = [&body.comment, &body.review].map(|part| part.get().is_some());
    let [issue, pull, discussion] =
        [&body.issue, &body.pull_request, &body.discussion].map(|part| part.get().is_some());
    match () {
        () if issue && comment => "issue_comment",
        () if pull && review => "pull_request_review",
        () if pull && comment => "pull_request_review_comment",
        () if discussion && comment => "discussion_comment",
        () if issue => "issues",
        () if pull => "pull_request",
        () if discussion => "discussion",
        () if body.release.get().is_some() => "release",
        () if body.check_run.get().is_some() => "check_run",
        () if body.workflow_run.get().is_some() => "workflow_run",
        () if body.pusher.get().is_some() && body.compare.get().is_some() => "push",
        () if body.zen.get().is_some() => "ping",
        () => "unknown",
    }
}

fn when(body: &GithubBody<'_>, kind: EventType) -> Option<i64> {
    if let Some(comment) = body.comment.get().or(body.review.get()) {
        return match kind {
            EventType::CommentDeleted => None,
            _ => comment.submitted_at.0.or(comment.updated_at.0).or(comment.created_at.0),
        };
    }
    if let Some(item) = body.issue.get().or(body.pull_request.get()).or(body.discussion.get()) {
        return if kind == EventType::NewWorkItem { item.created_at.0 } else { item.updated_at.0 };
    }
    if let Some(run) = body.check_run.get().or(body.workflow_run.get()) {
        return run.completed_at.0.or(run.updated_at.0);
    }
    if let Some(release) = body.release.get() {
        return release.published_at.0.or(release.created_at.0);
    }
    body.head_commit.get().and_then(|commit| commit.timestamp.0)
}

fn set_actor(event: &mut StandardEvent, body: &GithubBody<'_>) {
    let Some(account) = body.sender.get().or(body.pusher.get()) else { return };
    let login = account.login.get();
    let bot = account.kind.is("Bot") || login.is_some_and(|login| login.ends_with("[bot]"));
    let kind = if bot { ActorKind::Bot } else { ActorKind::Human };
    event.actor = actor(kind, login, account.name.get().or(login), account.email.get());
    if let (Some(actor), false, Some(trust)) = (&mut event.actor, bot, login.and_then(|login| trust(body, login))) {
        actor.trust = trust;
    }
}

/// What GitHub says of the author, where the sender is the author.
fn trust(body: &GithubBody<'_>, login: &str) -> Option<Trust> {
    let said = body.comment.get().or(body.review.get()).map(|said| (&said.user, &said.author_association));
    let item = || body.issue.get().or(body.pull_request.get()).or(body.discussion.get());
    let (user, association) = said.or_else(|| item().map(|item| (&item.user, &item.author_association)))?;
    let is_author = user.get().is_some_and(|user| user.login.is(login));
    Some(match association.get().filter(|_| is_author)? {
        "OWNER" | "MEMBER" | "COLLABORATOR" => Trust::Member,
        _ => Trust::External,
    })
}

fn fill(event: &mut StandardEvent, body: &GithubBody<'_>, kind: EventType, repository: &str) {
    let (what, item) = match (body.issue.get(), body.pull_request.get(), body.discussion.get()) {
        (Some(issue), ..) => ("task", Some(issue)),
        (None, Some(pull), _) => ("pull_request", Some(pull)),
        (None, None, Some(discussion)) => ("discussion", Some(discussion)),
        _ => ("repository", None),
    };
    let id = item.and_then(|item| item.number.get()).map(|number| format!("{repository}#{number}"));
    if let Some(item) = item {
        event.subject = subject(what, id.as_deref(), item.html_url.get());
        event.task = Some(task_of(item, id));
        let described =
            kind == EventType::NewWorkItem || kind == EventType::WorkItemUpdated && body.action.is("edited");
        if described {
            mentions(item.title.or_empty(), &mut event.mentions);
            mentions_in_markdown(item.body.or_empty(), &mut event.mentions);
        }
    } else if let Some(page) = body.repository.get() {
        event.subject = subject("repository", Some(repository).filter(|name| !name.is_empty()), page.html_url.get());
    } else if let Some(owner) = body.organization.get() {
        event.subject = subject("organization", owner.login.get(), None);
    }
    if let Some(comment) = body.comment.get().or(body.review.get()) {
        let what = if body.comment.get().is_some() { "comment" } else { "review" };
        event.subject = subject(what, comment.id.get(), comment.html_url.get());
        say(event, comment.body.or_empty(), kind != EventType::CommentDeleted);
        if let (Some(state), None) = (comment.state.get(), body.comment.get()) {
            event.changes.push(change("review", None::<&str>, Some(state)));
        }
    } else if let Some(run) = body.check_run.get().or(body.workflow_run.get()) {
        let what = if body.check_run.get().is_some() { "check_run" } else { "workflow_run" };
        event.subject = subject(what, run.id.get(), run.html_url.get());
        event.changes.push(change("conclusion", None::<&str>, run.conclusion.get()));
        let text = [run.name.or_empty(), run.conclusion.or_empty()].join(": ");
        event.message = Some(Message { text: text.trim_matches([':', ' ']).to_owned(), ..Message::default() });
    } else if let Some(release) = body.release.get() {
        event.subject = subject("release", release.tag_name.or(&release.name), release.html_url.get());
        say(event, release.body.or(&release.name).unwrap_or_default(), false);
    } else if kind == EventType::CodePushed {
        event.subject = subject("commit", body.after.get(), body.compare.get());
        let reference = body.reference.get().unwrap_or("ref");
        event.changes.push(change(reference, body.before.get(), body.after.get()));
        if let Some(commit) = body.head_commit.get() {
            event.message = Some(Message { text: commit.message.or_empty().to_owned(), ..Message::default() });
        }
    }
}

fn task_of(item: &GithubItem<'_>, id: Option<String>) -> TaskRef {
    TaskRef {
        external_id: id,
        title: item.title.owned(),
        description: item.body.owned(),
        status: if item.merged.0 { Some("merged".to_owned()) } else { item.state.owned() },
        assignees: item.assignees.0.iter().filter_map(|account| account.login.owned()).collect(),
        ..TaskRef::default()
    }
}

fn say(event: &mut StandardEvent, markdown: &str, calls: bool) {
    if calls {
        mentions_in_markdown(markdown, &mut event.mentions);
    }
    let text = markdown_to_plain(markdown);
    let markdown = Some(markdown.to_owned()).filter(|markdown| !markdown.is_empty());
    let origin = markdown.as_deref().filter(|markdown| may_have_mark(markdown)).and_then(origin::find);
    event.message = Some(Message { text, markdown, ..Message::default() });
    set_mark(event, origin);
}

fn add_changes(event: &mut StandardEvent, body: &GithubBody<'_>, action: &str) -> Result<(), serde_json::Error> {
    let label = body.label.get().and_then(|label| label.name.get());
    let person = |part: &Maybe<Account<'_>>| part.get().and_then(|account| account.login.owned());
    let milestone = body.milestone.get().and_then(|milestone| milestone.title.get());
    let none = None::<String>;
    event.changes.extend(match action {
        "labeled" if label.is_some() => Some(change("label", none, label)),
        "unlabeled" if label.is_some() => Some(change("label", label, none)),
        "assigned" => person(&body.assignee).map(|login| change("assignee", none, Some(login))),
        "unassigned" => person(&body.assignee).map(|login| change("assignee", Some(login), none)),
        "review_requested" => person(&body.requested_reviewer).map(|login| change("reviewer", none, Some(login))),
        "review_request_removed" => person(&body.requested_reviewer).map(|login| change("reviewer", Some(login), none)),
        "milestoned" => Some(change("milestone", none, milestone)),
        "demilestoned" => Some(change("milestone", milestone, none)),
        "closed" | "reopened" => {
            let was = if action == "closed" { "open" } else { "closed" };
            event.task.as_ref().map(|task| change("status", Some(was), task.status.clone()))
        }
        "synchronize" => Some(change("head", body.before.get(), body.after.get())),
        _ => None,
    });
    // Values of other shapes (a transfer's whole new issue) are in the request.
    let fields: Maybe<BTreeMap<String, Maybe<Was<'_>>>> = body.changes.read()?;
    for (field, was) in fields.0.unwrap_or_default() {
        let Some(was) = was.0.filter(|was| was.from.get().is_some()) else { continue };
        let now = match (field.as_str(), &event.task, &event.message) {
            ("body", _, Some(message)) => message.markdown.clone(),
            ("body", Some(task), None) => task.description.clone(),
            ("title", Some(task), _) => task.title.clone(),
            _ => None,
        };
        event.changes.push(change(&field, was.from.value()?, now));
    }
    Ok(())
}
