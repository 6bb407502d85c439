//! Threads: what was said, oldest first, and what it comes to.

use axum::http::{Method, StatusCode};
use pipeline::event::{Text, TextKind, ThreadSummary, Time, Trust};
use schemars::JsonSchema;
use serde::Serialize;

use super::memory;
use crate::{
    call::{Call, problem_of},
    operation::{Operation, operation},
    output::{Data, Page},
    query::{CURSOR, Kind, LIMIT, param},
};
use runtime::{auth::Access, http::problem::Problem};
use store::Thread;

/// A message or comment of a thread.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// Its id in the memory.
    pub id: String,
    /// What it says.
    pub text: String,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How far the author is known.
    pub trust: Trust,
    /// `message` or `comment`.
    pub kind: TextKind,
    /// When it was written.
    pub timestamp: Time,
    /// Its number in its task's thread, from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_seq: Option<u64>,
    /// The task that is discussed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The project it belongs to.
    pub project_id: String,
}

impl From<Text> for Said {
    fn from(text: Text) -> Self {
        Said {
            id: text.id,
            text: text.text,
            author: text.author,
            trust: text.trust,
            kind: text.kind,
            timestamp: text.at,
            thread_seq: text.thread_seq,
            task_id: text.task_id,
            project_id: text.project_id,
        }
    }
}

/// A thread's summary.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryShown {
    #[serde(flatten)]
    summary: ThreadSummary,
    /// When it was made, if it is one that is kept: of every 50 messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_at: Option<Time>,
    /// Whether it is kept, or was made for this answer.
    kept: bool,
}

/// `/api/threads`
pub fn operations() -> Vec<Operation> {
    const ONE: &str = "/api/threads/{channel}/{threadTs}";
    const SUMMARY: &str = "/api/threads/{channel}/{threadTs}/summary";
    vec![
        operation(Method::GET, ONE, Access::ALL, "What was said in a thread, oldest first", read)
            .params(&[LIMIT, CURSOR]),
        operation(Method::GET, SUMMARY, Access::ALL, "What a thread comes to", sum_up)
            .params(&[param("fresh", Kind::Truth, "as of now, with what was said since the last summary that is kept")])
            .errors(&[StatusCode::SERVICE_UNAVAILABLE]),
    ]
}

async fn thread(call: &Call) -> Result<Thread, Problem> {
    let (channel, thread_ts) = (call.part("channel"), call.part("threadTs"));
    call.desk.recall.thread(&call.tenant, channel, thread_ts).await.map_err(problem_of)
}

async fn read(call: Call, (): ()) -> Result<Page<Said>, Problem> {
    let paging = call.paging();
    let after = paging.after.as_deref().map(place);
    let (thread, reach) = (thread(&call).await?, call.desk.reach(&call.who));
    let texts = call.desk.store.texts();
    let texts = texts.of_thread(&call.tenant, &thread, reach.as_deref(), after.as_ref(), paging.limit + 1).await;
    let mut texts = texts.map_err(problem_of)?;
    if texts.is_empty() && after.is_none() {
        return Err(unknown());
    }
    let more = texts.len() > paging.limit;
    texts.truncate(paging.limit);
    let next = texts.last().filter(|_| more).map(|last| format!("{}:{}", last.at.0, last.id));
    Ok(Page { rows: texts.into_iter().map(Said::from).collect(), next })
}

async fn sum_up(call: Call, (): ()) -> Result<Data<SummaryShown>, Problem> {
    let (thread, reach) = (thread(&call).await?, call.desk.reach(&call.who));
    let recall = &call.desk.recall;
    let kept = recall.kept_summary(&call.tenant, &thread).await.map_err(problem_of)?;
    let kept = kept.filter(|(kept, _)| reach.as_ref().is_none_or(|reach| reach.contains(&kept.project_id)));
    if let Some((summary, made_at)) = kept.filter(|_| !call.said.truth("fresh")) {
        return Ok(Data(SummaryShown { summary, made_at: Some(made_at), kept: true }));
    }
    let summary = recall.summary_now(&call.tenant, &thread, reach.as_deref()).await.map_err(memory::problem_of)?;
    let summary = summary.ok_or_else(unknown)?;
    Ok(Data(SummaryShown { summary, made_at: None, kept: false }))
}

fn unknown() -> Problem {
    Problem::not_found("there is no such thread")
}

/// A cursor: a time and an id. Any other text is before everything.
fn place(cursor: &str) -> (i64, String) {
    let place = cursor.split_once(':').and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())));
    place.unwrap_or((i64::MIN, cursor.to_owned()))
}
