//! What agents do: they move tasks, say something, report their status.
//!
//! In: [`AgentAction`]s. Out: the events that tell of it, as of any other
//! author, and one `action_result` for each `message` and `status_update`
//! through the agent's own inbox. An agent reaches only the projects of its
//! workgroups; anything else is `not_found`. Reasons of failure: `not_found`,
//! `illegal_move`, `invalid`, `archived`. What may not be said or done now
//! (see [`govern`]) has the status `muted`, the rule as its reason, and the time
//! after which it may.
//!
//! A `tool_request` is held against the agent's rights here and used elsewhere:
//! the call goes to `memory.requests` with the projects that the agent reaches,
//! and its answer comes back as a command. A tool that is not the hub's goes
//! there for a signed leave if the agent's capabilities name it (`tool:NAME`,
//! `tool:NAME.ACTION`, `tool:*`) and the agent may act now, and is `denied`
//! otherwise. An action that names a `correlationId` is answered on
//! `commands.results` too. `usage` and `trace` say something to other readers of `agents.actions` and nothing here.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use udfs::hash::Parts;

use crate::{
    chain::Chain,
    draft::Draft,
    event::{
        Actor, ActorKind, AgentAction, Change, CommandResult, EventType, MemoryRequest, Mention, Message, ProjectRef,
        Subject, TaskState, ToolCall, Trust,
    },
    event_builder::EventBuilder,
    inputs::{
        begin,
        commands::{self, moved},
        read,
    },
    ports::{NewRecord, Record},
    stages::remember,
    state::{
        governed::{self, Speech},
        index::{AgentId, Index, Place},
        seqs::{CONTEXT_UPDATE, Letter},
        tasks::{key_of, scope},
    },
    turn::Turn,
};

/// The stage's name.
pub const NAME: &str = "act";

/// The providers whose task ids an agent may use instead of the hub's.
const HOMES: &[&str] = &["clickup", "github", "jira"];
/// A message may be as long as Slack takes one.
const TEXT_BYTES_MAX: usize = 160_000;
/// What an agent may call its own status.
const STATUS_BYTES_MAX: usize = 100;

/// One action. One that comes again is a repeat, and counts once.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let Some(action) = read::<AgentAction>(chain, record, NAME, outputs) else { return };
    // What an agent may do depends on when it did it, to the millisecond.
    chain.tell_time(action.at, record);
    let Some(mut turn) = begin(chain, record, &action.tenant_id, outputs) else { return };
    let mark = Parts::new().add("action").add(&action.id).finish();
    if chain.state.seen.is_first(&action.tenant_id, &[mark], &mut turn) {
        perform(chain, &action, &mut turn);
    } else {
        chain.counts.repeats += 1;
    }
}

/// Does what an agent asks.
fn perform(chain: &mut Chain, action: &AgentAction, turn: &mut Turn<'_>) {
    let tenant = &*action.tenant_id;
    let agent = chain.state.directory.of(tenant).and_then(|index| index.agent(&action.agent_id));
    // Whoever was taken out of the directory meanwhile has no say any more.
    let Some(agent) = agent.filter(|(_, enabled)| *enabled).map(|(agent, _)| Arc::clone(agent)) else {
        return reply(chain, action, &Err(Refused::Failed("agent_disabled")), turn);
    };
    let done: Result<(), Refused> = match &*action.name {
        "message" => say(chain, &agent, action, turn),
        "status_update" if field(action, "taskId").is_some() => move_task(chain, &agent, action, turn),
        "status_update" => report(chain, action, turn),
        "tool_request" => return use_tool(chain, &agent, action, turn),
        _ => return,
    };
    reply(chain, action, &done, turn);
    let mut data = json!({ "status": "accepted", "actionId": action.id });
    match done {
        Ok(()) => {}
        Err(Refused::Failed(reason)) => (data["status"], data["reason"]) = ("failed".into(), reason.into()),
        Err(Refused::Muted { rule, retry_after_ms }) => {
            (data["status"], data["reason"]) = ("muted".into(), rule.into());
            if let Some(retry_after_ms) = retry_after_ms {
                data["retryAfterMs"] = retry_after_ms.into();
            }
        }
    }
    if let Some(request) = action.data.get("requestId").filter(|request| !request.is_null()) {
        data["requestId"] = request.clone();
    }
    answer(chain, &agent, action, "action_result", data, turn);
}

/// Answers who waits for what became of an action, if somebody does.
fn reply(chain: &mut Chain, action: &AgentAction, done: &Result<(), Refused>, turn: &mut Turn<'_>) {
    let Some(correlation_id) = action.correlation_id.clone() else { return };
    let (code, reason, data) = match done {
        Ok(()) => (None, None, Some(json!({ "actionId": action.id }))),
        Err(Refused::Failed(reason)) => (Some(*reason), Some(*reason), None),
        Err(Refused::Muted { rule, retry_after_ms }) => {
            (Some(CommandResult::MUTED), Some(*rule), commands::retry_data(*retry_after_ms))
        }
    };
    let (code, reason) = (code.map(str::to_owned), reason.map(str::to_owned));
    let (tenant_id, accepted) = (action.tenant_id.clone(), done.is_ok());
    chain
        .state
        .answers
        .give(CommandResult { correlation_id, tenant_id, accepted, code, reason, data, at: turn.now() }, turn);
}

/// The hub's own tools; what stands behind them is in `connectors::tools`.
pub const TOOLS: &[&str] =
    &["memory_search", "thread_history", "task_get", "task_update_status", "message_post", "agents_online"];

fn use_tool(chain: &mut Chain, agent: &AgentId, action: &AgentAction, turn: &mut Turn<'_>) {
    let request_id = field(action, "requestId").unwrap_or(&action.id).to_owned();
    let (tool, asked) = (field(action, "tool").unwrap_or_default(), field(action, "action"));
    if !TOOLS.contains(&tool)
        && let Err(denied) = leave(chain, agent, action, (tool, asked), turn)
    {
        let mut data = denied;
        (data["requestId"], data["tool"], data["decision"]) = (request_id.into(), tool.into(), "denied".into());
        return answer(chain, agent, action, "tool_result", data, turn);
    }
    let index = chain.state.directory.of(&action.tenant_id);
    let call = MemoryRequest::UseTool(ToolCall {
        id: action.id.clone(),
        tenant_id: action.tenant_id.clone(),
        agent_id: agent.to_string(),
        request_id,
        tool: tool.to_owned(),
        args: action.data.get("args").cloned().unwrap_or_default(),
        project_ids: index.map(|index| index.reach(agent)).unwrap_or_default(),
        at: turn.now(),
        trace_id: trace_of(action).map(str::to_owned),
    });
    let trace = trace_of(action).map_or_else(|| crate::event_builder::trace(&action.id), str::to_owned);
    remember::ask(&call, &trace, turn);
}

/// Whether an agent may do something elsewhere: its rights name it, and it may
/// act now. The hub's own tools that act are asked where they do.
fn leave(
    chain: &mut Chain,
    agent: &AgentId,
    action: &AgentAction,
    (tool, asked): (&str, Option<&str>),
    turn: &mut Turn<'_>,
) -> Result<(), Value> {
    let card = chain.state.directory.of(&action.tenant_id).and_then(|index| index.card(agent));
    if !card.is_some_and(|card| card.may_use(tool, asked)) {
        return Err(json!({ "reason": format!("the agent's capabilities do not name tool:{tool}") }));
    }
    match ask(chain, agent, action, &speech(action, None, None), turn) {
        Err(Refused::Muted { rule, retry_after_ms: Some(ms) }) => {
            Err(json!({ "reason": format!("muted: {rule}"), "retryAfterMs": ms }))
        }
        Err(Refused::Muted { rule, .. }) => Err(json!({ "reason": format!("muted: {rule}") })),
        Err(Refused::Failed(reason)) => Err(json!({ "reason": reason })),
        Ok(()) => Ok(()),
    }
}

/// Why something is not done.
enum Refused {
    /// It cannot be: what is wrong.
    Failed(&'static str),
    /// It may not be now: the rule that says so.
    Muted { rule: &'static str, retry_after_ms: Option<u64> },
}

impl From<&'static str> for Refused {
    fn from(reason: &'static str) -> Self {
        Refused::Failed(reason)
    }
}

/// Asks `govern`, and tells the agent what that has to say to it.
fn ask(
    chain: &mut Chain,
    agent: &AgentId,
    action: &AgentAction,
    speech: &Speech<'_>,
    turn: &mut Turn<'_>,
) -> Result<(), Refused> {
    let limits = chain.state.directory.limits(speech.tenant);
    let verdict = chain.state.governed.judge(limits, speech, turn);
    if let Some(nudge) = verdict.nudge {
        let id = turn.id("inb", governed::NAME, 0);
        let (trace_id, to) = (trace_of(action), [(Arc::clone(agent), None)]);
        let (tenant, data) = (&*action.tenant_id, Some(&nudge));
        chain
            .state
            .seqs
            .send(&Letter { id: &id, tenant, trace_id, name: CONTEXT_UPDATE, to: &to, event: None, data }, turn);
    }
    match verdict.refused {
        None => Ok(()),
        Some(rule) => Err(Refused::Muted { rule, retry_after_ms: verdict.retry_after_ms }),
    }
}

/// What an action asks for, as `govern` sees it.
fn speech<'a>(action: &'a AgentAction, task: Option<&'a str>, words: Option<&'a str>) -> Speech<'a> {
    let (tenant, agent, trace_id) = (&*action.tenant_id, &*action.agent_id, trace_of(action));
    Speech { tenant, agent, task, words, trace_id }
}

fn answer(chain: &mut Chain, agent: &AgentId, action: &AgentAction, name: &str, mut data: Value, turn: &mut Turn<'_>) {
    let trace = trace_of(action);
    if let Some(trace) = trace {
        data["traceId"] = trace.into();
    }
    let data: Option<&Map<String, Value>> = data.as_object();
    let id = turn.id("inb", NAME, 1);
    let to = [(Arc::clone(agent), None)];
    let letter = Letter { id: &id, tenant: &action.tenant_id, trace_id: trace, name, to: &to, event: None, data };
    chain.state.seqs.send(&letter, turn);
}

fn field<'a>(action: &'a AgentAction, name: &str) -> Option<&'a str> {
    action.data.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn trace_of(action: &AgentAction) -> Option<&str> {
    action.trace_id.as_deref().or_else(|| field(action, "traceId"))
}

/// An agent, as the author of an event.
pub(super) fn actor(agent: &str) -> Actor {
    Actor {
        kind: ActorKind::Agent,
        trust: Trust::Agent,
        external_id: Some(agent.to_owned()),
        agent_id: Some(agent.to_owned()),
        name: None,
        email: None,
    }
}

/// A task that the agent may reach, by the hub's id or the provider's.
fn task(chain: &mut Chain, agent: &str, tenant: &str, id: &str) -> Result<(u128, Arc<Place>), &'static str> {
    let index = chain.state.directory.of(tenant);
    let abroad = |home: &&str| {
        let key = key_of(tenant, home, scope(index, home, None), id);
        chain.state.tasks.get(key).map(|_| key)
    };
    let key = chain.state.tasks.find(tenant, id).or_else(|| HOMES.iter().find_map(abroad)).ok_or("not_found")?;
    let task = chain.state.tasks.get(key).filter(|task| !task.deleted).ok_or("not_found")?;
    let place = index.zip(task.project_id.as_deref()).and_then(|(index, id)| index.project(id));
    allowed(place, agent).map(|place| (key, place))
}

fn allowed(place: Option<&Arc<Place>>, agent: &str) -> Result<Arc<Place>, &'static str> {
    let place = place.filter(|place| place.has(agent)).ok_or("not_found")?;
    if place.archived { Err("archived") } else { Ok(Arc::clone(place)) }
}

fn move_task(chain: &mut Chain, agent: &AgentId, action: &AgentAction, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let id = field(action, "taskId").ok_or("invalid")?;
    let (key, place) = task(chain, agent, &action.tenant_id, id)?;
    let word = field(action, "status").ok_or("invalid")?;
    let state = TaskState::of_status(word, Some(&place.status_map)).ok_or("invalid")?;
    if !chain.state.tasks.get(key).is_some_and(|task| task.state.may_become(state)) {
        return Err("illegal_move".into());
    }
    let task_id = crate::state::tasks::id_of(key);
    let said = field(action, "message").map(cut);
    // The same words about another move are not the same message.
    let words = said.map(|said| format!("{task_id} {}\n{said}", state.name()));
    ask(chain, agent, action, &speech(action, Some(&task_id), words.as_deref()), turn)?;
    let mut draft = moved(chain, &action.tenant_id, key, state, actor(agent), NAME, turn);
    if let Some(said) = said {
        draft.event.message = Some(Message { text: said.to_owned(), ..Message::default() });
    }
    finish(&mut draft, action);
    chain.onward(draft, turn);
    Ok(())
}

/// The agent's own status, of interest to people only.
fn report(chain: &mut Chain, action: &AgentAction, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let status = field(action, "status").filter(|status| status.len() <= STATUS_BYTES_MAX).ok_or("invalid")?;
    let builder = builder_of(action, EventType::AgentStatusChanged);
    let mut draft = Draft::of(builder.event(actor(&action.agent_id), turn));
    draft.event.subject =
        Some(Subject { kind: "agent".to_owned(), external_id: Some(action.agent_id.clone()), url: None });
    draft.event.changes.push(Change { field: "status".to_owned(), before: None, after: Some(status.into()) });
    if let Some(text) = field(action, "message") {
        draft.event.message = Some(Message { text: cut(text).to_owned(), ..Message::default() });
    }
    finish(&mut draft, action);
    chain.onward(draft, turn);
    Ok(())
}

fn say(chain: &mut Chain, agent: &AgentId, action: &AgentAction, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let draft = match said(chain, agent, action, turn) {
        Ok(draft) => draft,
        Err(reason) => {
            ask(chain, agent, action, &speech(action, None, None), turn)?;
            return Err(reason.into());
        }
    };
    let task = draft.facts.task.map(crate::state::tasks::id_of);
    ask(chain, agent, action, &speech(action, task.as_deref(), field(action, "text")), turn)?;
    chain.onward(draft, turn);
    Ok(())
}

/// What an agent says, as an event; nothing has happened yet.
fn said(chain: &mut Chain, agent: &AgentId, action: &AgentAction, turn: &Turn<'_>) -> Result<Draft, &'static str> {
    let text = field(action, "text").filter(|text| text.len() <= TEXT_BYTES_MAX).ok_or("invalid")?;
    let tenant = &*action.tenant_id;
    let mut draft = Draft::of(builder_of(action, EventType::MessagePosted).event(actor(agent), turn));
    let mut message = Message { text: text.to_owned(), ..Message::default() };
    let thread = action.data.get("thread");
    let thread_field = |name: &str| thread.and_then(|thread| thread.get(name)?.as_str());
    let thread = thread_field("channelId").or_else(|| thread_field("channel")).zip(thread_field("threadTs"));
    let tracked = || thread.and_then(|(channel, ts)| chain.state.tasks.in_thread(tenant, channel, ts));
    let task_id = field(action, "taskId").map(str::to_owned).or_else(|| tracked().map(crate::state::tasks::id_of));
    if let Some(id) = task_id {
        let (key, _) = task(chain, agent, tenant, &id)?;
        if let Some(task) = chain.state.tasks.get(key) {
            draft.set_task(key, task);
            (message.channel_id, message.thread_ts) = (task.channel_id.clone(), task.thread_ts.clone());
        }
    } else {
        let (channel, ts) = thread.ok_or("invalid")?;
        let index: Option<&Index> = chain.state.directory.of(tenant);
        let place = allowed(index.and_then(|index| index.place("slack", channel)), agent)?;
        let project = ProjectRef { slack_channel_id: Some(channel.to_owned()), ..ProjectRef::default() };
        draft.event.project = Some(ProjectRef { id: place.project_id.clone(), ..project });
        (message.channel_id, message.thread_ts) = (Some(channel.to_owned()), Some(ts.to_owned()));
    }
    draft.event.subject = Some(Subject { kind: "message".to_owned(), external_id: Some(action.id.clone()), url: None });
    let mention = |alias: &str| Mention { alias: alias.to_owned(), agent_ids: Vec::new() };
    draft.event.mentions = udfs::mentions::mentions(text).into_iter().map(mention).collect();
    draft.event.message = Some(message);
    finish(&mut draft, action);
    Ok(draft)
}

fn builder_of(action: &AgentAction, kind: EventType) -> EventBuilder<'_> {
    EventBuilder { tenant: &action.tenant_id, kind, event: &action.name, operator: NAME, trace_id: trace_of(action) }
}

/// What every event of an action has of it.
fn finish(draft: &mut Draft, action: &AgentAction) {
    draft.event.source.delivery_id = Some(action.id.clone());
    draft.event.source.event.clone_from(&action.name);
    draft.event.occurred_at = action.at.min(draft.event.received_at);
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
