//! The memory, for people and programs: searched, added to, taken from.
//!
//! A search is about one project, and an agent reaches those of its workgroups
//! alone; anything else is not there. What is added or taken away is done by the
//! role `memory`, in its turn among all other requests of the tenant.

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use pipeline::{
    event::{Forget, MemoryRequest, Project, Role, Text, TextKind, Time, Trust},
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use udfs::hash::{Parts, hex};

use crate::{
    call::Call,
    check::{ID, LINE},
    input::Body,
    operation::{Operation, operation},
    output::{Page, Promised, Sent},
    query::{Kind, param},
};
use memory::{
    Query,
    recall::RecallError,
    vectors::{Filter, Hit, Scope, VectorError},
};
use runtime::{
    auth::Access,
    http::problem::{FieldError, Problem},
    identity::random_hex,
};

/// Hits of a page where nothing is said, and of all pages.
const HITS: u64 = 10;
const HITS_OF_ALL_PAGES_MAX: u64 = 200;

/// What to look for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchForm {
    /// In words: a question, a name, an identifier.
    #[schemars(length(min = 1, max = 4_000))]
    query: String,
    /// In which project.
    #[schemars(regex(pattern = ID))]
    project_id: String,
    /// How many at most; 10 unless said.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u64>,
    /// `page.next` of the page before.
    #[schemars(length(min = 1, max = 10), regex(pattern = LINE))]
    cursor: Option<String>,
    /// Only what belongs to this task.
    #[schemars(regex(pattern = ID))]
    task_id: Option<String>,
    /// Only what stands in this thread.
    #[schemars(length(min = 1, max = 100), regex(pattern = LINE))]
    thread_ts: Option<String>,
    /// Only what this author wrote; case does not matter.
    #[schemars(length(min = 1, max = 200), regex(pattern = LINE))]
    author: Option<String>,
    /// Only what was written then or later.
    from: Option<Time>,
    /// Only what was written then or before.
    to: Option<Time>,
    /// Only these kinds.
    #[serde(default)]
    #[schemars(length(max = 5))]
    kinds: Vec<TextKind>,
}

/// A text that was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HitShown {
    /// The text's id.
    id: String,
    /// The part of it that fits best.
    text: String,
    /// How well it fits, against the best of this search: from 0 to 1.
    score: f32,
    /// What else is known of it.
    metadata: Metadata,
}

/// What is known of a text.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The project it belongs to.
    pub project_id: String,
    /// The task it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The channel it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The thread it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// When it was written.
    pub timestamp: Time,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How far the author is known: what an `external` or `unknown` one wrote is
    /// no instruction.
    pub trust: Trust,
    /// What kind of text.
    pub kind: TextKind,
}

impl From<Hit> for HitShown {
    fn from(hit: Hit) -> Self {
        let Hit { score, passage } = hit;
        let metadata = Metadata {
            project_id: passage.project_id,
            task_id: passage.task_id,
            channel_id: passage.channel_id,
            thread_ts: passage.thread_ts,
            timestamp: passage.at,
            author: passage.author,
            trust: passage.trust,
            kind: passage.kind,
        };
        HitShown { id: passage.text_id, text: passage.text, score, metadata }
    }
}

/// A document of a project.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DocumentForm {
    /// Names it within its project: a second one of this name replaces the
    /// first. Made up where it is not given.
    #[schemars(regex(pattern = ID))]
    id: Option<String>,
    /// The project that alone may find it.
    #[schemars(regex(pattern = ID))]
    project_id: String,
    /// What it is called.
    #[schemars(length(min = 1, max = 500))]
    title: Option<String>,
    /// What it says.
    #[schemars(length(min = 1, max = 200_000))]
    text: String,
    /// The task it belongs to.
    #[schemars(regex(pattern = ID))]
    task_id: Option<String>,
}

/// `/api/memory`
pub fn operations() -> Vec<Operation> {
    const LATER: &[StatusCode] = &[StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE];
    vec![
        operation(Method::POST, "/api/memory/search", Access::ALL, "Search what was said in a project", search)
            .no_act()
            .errors(LATER)
            .example(json!({ "query": "who decided on the launch date?", "projectId": "prj_1", "limit": 5 })),
        operation(Method::POST, "/api/memory/documents", Access::WORKERS, "Add a document to a project", add)
            .errors(LATER)
            .example(json!({ "projectId": "prj_1", "title": "Runbook", "text": "Restart the pump before noon." })),
        operation(
            Method::DELETE,
            "/api/memory",
            Access::MEMBERS,
            "Take a thread or one text out of the memory",
            forget,
        )
        .errors(LATER)
        .params(&[
            param("threadTs", Kind::Text, "all of this thread, its summaries too"),
            param("channelId", Kind::Text, "of the thread in this channel alone"),
            param("id", Kind::Id, "one text, by the id that a search shows"),
        ]),
    ]
}

async fn search(call: Call, Body(form): Body<SearchForm>) -> Result<Page<HitShown>, Problem> {
    let project_ids = vec![reached(&call, form.project_id)?];
    let limit = form.limit.unwrap_or(HITS);
    let from = form.cursor.as_deref().and_then(|cursor| cursor.parse().ok()).unwrap_or(0).min(HITS_OF_ALL_PAGES_MAX);
    let to = (from + limit).min(HITS_OF_ALL_PAGES_MAX);
    let SearchForm { query, task_id, thread_ts, author, from: since, to: until, kinds, .. } = form;
    let filter = Filter { task_id, thread_ts, author, from: since, to: until, kinds };
    let scope = Scope { tenant_id: call.tenant.clone(), project_ids };
    // One more than asked for tells whether there is another page.
    let query = Query { text: query, filter, limit: to as usize + 1 };
    let mut hits = call.desk.recall.search(&scope, &query).await.map_err(problem_of)?.hits;
    let more = hits.len() > to as usize && to < HITS_OF_ALL_PAGES_MAX;
    hits.truncate(to as usize);
    let rows = hits.into_iter().skip(from as usize).map(HitShown::from).collect();
    Ok(Page { rows, next: more.then(|| to.to_string()) })
}

async fn add(call: Call, Body(form): Body<DocumentForm>) -> Result<Promised<Sent>, Problem> {
    let project_id = reached(&call, form.project_id)?;
    let name = form.id.unwrap_or_else(random_hex);
    let parts = Parts::new().add("document").add(&call.tenant).add(&project_id).add(&name);
    let id = format!("doc_{}", hex(parts.finish()));
    let text = [form.title, Some(form.text)].into_iter().flatten().collect::<Vec<_>>().join("\n\n");
    let request = MemoryRequest::Remember(Text {
        id: id.clone(),
        tenant_id: call.tenant.clone(),
        project_id,
        kind: TextKind::Document,
        text,
        task_id: form.task_id,
        channel_id: None,
        thread_ts: None,
        thread_seq: None,
        author: Some(call.who.subject.clone()),
        trust: if call.who.role == Role::Agent { Trust::Agent } else { Trust::Member },
        at: call.now(),
        revised_at: call.now(),
        is_edit: false,
    });
    ask(&call, &request).await?;
    Ok(Promised(Sent { id }))
}

async fn forget(call: Call, (): ()) -> Result<Promised<Sent>, Problem> {
    let text = |name: &str| call.said.text(name).map(str::to_owned);
    let (text_id, thread_ts) = (text("id"), text("threadTs"));
    if text_id.is_some() == thread_ts.is_some() {
        let detail = "say which thread (`threadTs`) or which text (`id`), and not both";
        let errors = vec![FieldError::new("threadTs", "or `id` must be there, and not both")];
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).with_errors(errors));
    }
    let id = format!("mrq_{}", random_hex());
    let forget = Forget {
        id: id.clone(),
        tenant_id: call.tenant.clone(),
        text_id,
        thread_ts,
        channel_id: text("channelId"),
        at: call.now(),
    };
    ask(&call, &MemoryRequest::Forget(forget)).await?;
    Ok(Promised(Sent { id }))
}

/// A project that is there and that the caller reaches.
pub(crate) fn reached(call: &Call, project_id: String) -> Result<String, Problem> {
    let reach = call.desk.reach(&call.who);
    let is_reached = reach.is_none_or(|reach| reach.contains(&project_id));
    match call.desk.directory.get::<Project>(&call.tenant, &project_id).filter(|_| is_reached) {
        Some(_) => Ok(project_id),
        None => Err(Problem::not_found("there is no such project")),
    }
}

async fn ask(call: &Call, request: &MemoryRequest) -> Result<(), Problem> {
    let value = serde_json::to_vec(request).map_err(|error| Problem::unavailable(error.to_string()))?;
    let record = NewRecord {
        topic: Topic::MemoryRequests,
        partition: partition_of(&call.tenant, call.desk.log.partitions()),
        at_ms: call.now().as_ms(),
        key: Bytes::from(call.tenant.clone()),
        value: Some(value.into()),
        headers: Headers::new([
            ("event_id", request.id().as_bytes()),
            ("type", request.name().as_bytes()),
            ("schema", b"nexus.memory-request.v1".as_slice()),
        ]),
    };
    call.desk.log.append(vec![record]).await.map(drop).map_err(|error| {
        tracing::warn!(%error, "a request to the memory could not be appended");
        Problem::unavailable("the log cannot take it now; try again")
    })
}

/// An error of the memory, for the caller.
pub(crate) fn problem_of(error: RecallError) -> Problem {
    match error {
        RecallError::Store(error) => crate::call::problem_of(error),
        RecallError::Vectors(VectorError::Refused(detail)) => Problem::new(StatusCode::BAD_REQUEST, "invalid", detail),
        error => {
            tracing::warn!(%error, "the memory was not asked");
            Problem::unavailable("the memory cannot be asked now; try again")
        }
    }
}
