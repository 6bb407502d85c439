//! Does what a tool is to do.

use std::sync::Arc;

use bytes::Bytes;
use pipeline::{
    event::{AgentAction, Command, Project, TaskState, Text, Time, Trust},
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use serde_json::{Map, Value, json};

use super::{
    Arguments, Caller, Refused,
    arguments::{History, Message, Search, Status},
};
use crate::Desk;
use memory::{
    Query, fenced,
    recall::RecallError,
    vectors::{Filter, Hit, Scope},
};
use runtime::identity::random_hex;
use store::{StoreError, Thread};

/// The longest query, and the longest message.
const QUERY_BYTES_MAX: usize = 16_000;
const TEXT_BYTES_MAX: usize = 64 << 10;

pub(super) async fn perform(desk: &Arc<Desk>, caller: &Caller, arguments: Arguments) -> Result<Value, Refused> {
    match arguments {
        Arguments::Search(search) => memory_search(desk, caller, search).await,
        Arguments::History(history) => thread_history(desk, caller, history).await,
        Arguments::Task(named) => Ok(json!({ "task": task(desk, caller, &named.task_id).await? })),
        Arguments::Status(status) => task_update_status(desk, caller, status).await,
        Arguments::Message(message) => message_post(desk, caller, message).await,
        Arguments::Agents(_) => Ok(json!({ "agents": desk.online.list(&caller.tenant_id) })),
    }
}

impl Caller {
    fn reaches(&self, project_id: &str) -> bool {
        self.reach.as_ref().is_none_or(|reach| reach.iter().any(|known| known == project_id))
    }
}

async fn memory_search(desk: &Arc<Desk>, caller: &Caller, search: Search) -> Result<Value, Refused> {
    let projects = desk.directory.all::<Project>(&caller.tenant_id);
    let known = projects.iter().map(|(id, _)| id.to_string()).filter(|id| caller.reaches(id));
    let wanted = search.project_id.as_deref();
    let project_ids: Vec<String> = known.filter(|id| wanted.is_none_or(|wanted| wanted == id)).collect();
    if project_ids.is_empty() && wanted.is_some() {
        return Err(Refused::new("not_found", "there is no such project"));
    }
    if search.query.is_empty() || search.query.len() > QUERY_BYTES_MAX {
        return Err(Refused::new("invalid", "a query has 1 to 4,000 characters"));
    }
    let Search { query, limit, task_id, thread_ts, author, from, to, .. } = search;
    let filter = Filter { task_id, thread_ts, author, from, to, kinds: Vec::new() };
    let query = Query { text: query, filter, limit: limit.unwrap_or(10).clamp(1, 50) };
    let scope = Scope { tenant_id: caller.tenant_id.clone(), project_ids };
    let found = desk.recall.search(&scope, &query).await.map_err(refused_by_memory)?;
    let results: Vec<Value> = found.hits.iter().map(hit).collect();
    Ok(json!({ "results": results, "byWordsOnly": found.by_words_only }))
}

fn hit(Hit { score, passage }: &Hit) -> Value {
    let mut shown = said(&passage.text, passage.author.as_deref(), passage.trust, passage.at);
    shown["score"] = json!(score);
    shown["id"] = json!(passage.text_id);
    shown["kind"] = json!(passage.kind);
    shown["projectId"] = json!(passage.project_id);
    let places = [("taskId", &passage.task_id), ("channelId", &passage.channel_id), ("threadTs", &passage.thread_ts)];
    for (name, value) in places {
        if let Some(value) = value {
            shown[name] = json!(value);
        }
    }
    shown
}

/// A text that is data: fenced, with who wrote it.
fn said(text: &str, author: Option<&str>, trust: Trust, at: Time) -> Value {
    json!({ "text": fenced(text), "author": author, "trust": trust, "timestamp": at })
}

async fn thread_history(desk: &Arc<Desk>, caller: &Caller, history: History) -> Result<Value, Refused> {
    let thread = match (&history.task_id, &history.channel_id, &history.thread_ts) {
        (Some(id), _, _) => {
            let task = task(desk, caller, id).await?;
            let text = |name: &str| task[name].as_str().map(str::to_owned);
            Thread { channel_id: text("channelId"), thread_ts: text("threadTs"), task_id: text("id") }
        }
        (None, Some(channel), Some(thread_ts)) => {
            desk.recall.thread(&caller.tenant_id, channel, thread_ts).await.map_err(refused_by_store)?
        }
        _ => return Err(Refused::new("invalid", "name taskId, or channelId and threadTs")),
    };
    let limit = history.limit.unwrap_or(50).clamp(1, 200);
    let after = history.cursor.as_deref().and_then(|cursor| cursor.split_once(':'));
    let after = after.and_then(|(at, id)| Some((at.parse().ok()?, id.to_owned())));
    let (texts, reach) = (desk.store.texts(), caller.reach.as_deref());
    let read = texts.of_thread(&caller.tenant_id, &thread, reach, after.as_ref(), limit + 1).await;
    let mut messages: Vec<Text> = read.map_err(refused_by_store)?;
    if messages.is_empty() && after.is_none() && history.task_id.is_none() {
        return Err(Refused::new("not_found", "there is no such thread"));
    }
    let more = messages.len() > limit;
    messages.truncate(limit);
    let next = messages.last().filter(|_| more).map(|last| format!("{}:{}", last.at.0, last.id));
    let kept = desk.recall.kept_summary(&caller.tenant_id, &thread).await.map_err(refused_by_store)?;
    let summary = kept.filter(|(kept, _)| caller.reaches(&kept.project_id)).map(|(kept, made_at)| {
        json!({ "text": fenced(&kept.text), "trust": kept.trust, "through": kept.through, "madeAt": made_at })
    });
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| {
            let mut shown = said(&text.text, text.author.as_deref(), text.trust, text.at);
            shown["kind"] = json!(text.kind);
            shown["threadSeq"] = json!(text.thread_seq);
            shown
        })
        .collect();
    Ok(json!({ "messages": messages, "summary": summary, "next": next }))
}

/// A task that the caller reaches.
async fn task(desk: &Arc<Desk>, caller: &Caller, id: &str) -> Result<Value, Refused> {
    let tasks = desk.store.tasks();
    let found = match tasks.get(&caller.tenant_id, id).await {
        Err(StoreError::NotFound { .. }) => tasks.by_external_id(&caller.tenant_id, id).await,
        found => found,
    };
    let task = found.map_err(refused_by_store)?;
    let is_reached = match (&caller.reach, task["projectId"].as_str()) {
        (None, _) => true,
        (Some(_), Some(project)) => caller.reaches(project),
        (Some(_), None) => false,
    };
    if is_reached { Ok(task) } else { Err(Refused::new("not_found", "there is no such task")) }
}

async fn task_update_status(desk: &Arc<Desk>, caller: &Caller, status: Status) -> Result<Value, Refused> {
    let task = task(desk, caller, &status.task_id).await?;
    let (correlation_id, now) = (format!("cmd_{}", random_hex()), now(desk));
    let command = Command::MoveTask {
        correlation_id: correlation_id.clone(),
        tenant_id: caller.tenant_id.clone(),
        task_id: task["id"].as_str().unwrap_or_default().to_owned(),
        state: status.status,
        actor_id: caller.subject.clone(),
        by_agent: caller.is_agent,
        at: now,
    };
    let told = desk.commands.ask(&caller.tenant_id, &correlation_id, &command, now.as_ms()).await;
    let told = told?;
    let state: Option<TaskState> = serde_json::from_value(told.data.unwrap_or_default()["task"]["state"].take()).ok();
    Ok(json!({ "taskId": task["id"], "state": state.unwrap_or(status.status) }))
}

/// Goes the way of every word of an agent: its limits apply. What became of it is
/// the answer, and comes to the agent's inbox as `action_result` too.
async fn message_post(desk: &Arc<Desk>, caller: &Caller, message: Message) -> Result<Value, Refused> {
    if !caller.is_agent {
        return Err(Refused::new("forbidden", "messages are an agent's: use the token of one"));
    }
    if message.text.is_empty() || message.text.len() > TEXT_BYTES_MAX {
        return Err(Refused::new("invalid", format!("a message has 1 to {TEXT_BYTES_MAX} bytes")));
    }
    let mut data = Map::new();
    match (&message.task_id, &message.channel_id, &message.thread_ts) {
        (Some(id), _, _) => {
            data.insert("taskId".to_owned(), task(desk, caller, id).await?["id"].take());
        }
        (None, Some(channel), Some(thread_ts)) => {
            data.insert("thread".to_owned(), json!({ "channelId": channel, "threadTs": thread_ts }));
        }
        _ => return Err(Refused::new("invalid", "name taskId, or channelId and threadTs")),
    }
    data.insert("text".to_owned(), message.text.into());
    let correlation_id = format!("cmd_{}", random_hex());
    let (id, record) = action(desk, caller, "message", Value::Object(data), Some(correlation_id.clone()))?;
    desk.commands.ask_by(&caller.tenant_id, &correlation_id, record).await?;
    Ok(json!({ "status": "accepted", "actionId": id }))
}

/// Writes down what was done, among what agents do.
pub(super) async fn note(desk: &Arc<Desk>, caller: &Caller, name: &str, data: Value) -> Result<(), Refused> {
    let (_, record) = action(desk, caller, name, data, None)?;
    let appended = desk.log.append(vec![record]).await;
    appended.map(drop).map_err(|error| Refused::new("unavailable", error.to_string()))
}

/// An agent's action, by its id; answered under a name, if it has one.
fn action(
    desk: &Desk,
    caller: &Caller,
    name: &str,
    data: Value,
    correlation_id: Option<String>,
) -> Result<(String, NewRecord), Refused> {
    let action = AgentAction {
        id: format!("act_{}", random_hex()),
        tenant_id: caller.tenant_id.clone(),
        agent_id: caller.subject.clone(),
        name: name.to_owned(),
        data,
        at: now(desk),
        trace_id: caller.trace_id.clone(),
        correlation_id,
    };
    let value = serde_json::to_vec(&action).map_err(|error| Refused::new("invalid", error.to_string()))?;
    let record = NewRecord {
        topic: Topic::AgentsActions,
        partition: partition_of(&caller.tenant_id, desk.log.partitions()),
        at_ms: action.at.as_ms(),
        key: Bytes::from(caller.tenant_id.clone()),
        value: Some(value.into()),
        headers: Headers::new([
            ("event_id", action.id.as_bytes()),
            ("type", name.as_bytes()),
            ("schema", b"nexus.action.v1".as_slice()),
        ]),
    };
    Ok((action.id, record))
}

fn now(desk: &Desk) -> Time {
    Time::from_ms(desk.clock.now_ms())
}

fn refused_by_store(error: StoreError) -> Refused {
    match error {
        StoreError::NotFound { kind } => Refused::new("not_found", format!("there is no such {kind}")),
        error => Refused::new("unavailable", error.to_string()),
    }
}

fn refused_by_memory(error: RecallError) -> Refused {
    match error {
        RecallError::Store(error) => refused_by_store(error),
        error => Refused::new("unavailable", error.to_string()),
    }
}
