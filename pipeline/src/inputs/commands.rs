//! What people ask of the pipeline, one answer each on `commands.results`.
//!
//! In: commands. Out: their effects (events, letters to agents, tasks), and the
//! answer by `correlationId`. A command that comes again is answered again and
//! not done again (see [`crate::state::answers`]). Codes of refusal: `not_found`,
//! `illegal_move`, `conflict`, `agent_disabled`, `invalid`, and `muted` for an
//! agent that [`governed`](crate::state::governed) does not let act now.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{
    chain::Chain,
    draft::Draft,
    event::{Actor, ActorKind, Change, Command, CommandResult, EventType, Task, TaskState, Trust},
    event_builder::EventBuilder,
    inputs::{begin, read},
    ports::{NewRecord, Record},
    stages::{enrich::find_place, track::beginning},
    state::{
        governed::Speech,
        index::AgentId,
        seqs::{CONTEXT_UPDATE, Letter, WAKE_UP},
        tasks::{key_of, scope},
    },
    turn::Turn,
};

/// The stage's name.
pub const NAME: &str = "commands";

/// Agents in one record at most: the log takes no larger one.
const ADDRESSEES_MAX: usize = 20_000;
/// What one re-route sends on, about: it is written several times over.
const REROUTED_BYTES_MAX: usize = 4 << 20;
/// Agent events may be named so and no longer.
const NAME_BYTES_MAX: usize = 64;

/// Why a command was not done.
struct Refusal {
    code: &'static str,
    reason: String,
    data: Option<Value>,
}

fn refuse<T>(code: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, reason: reason.into(), data: None })
}

/// What an answer says of when a muted agent may try again.
pub(super) fn retry_data(retry_after_ms: Option<u64>) -> Option<Value> {
    retry_after_ms.map(|ms| json!({ "retryAfterMs": ms }))
}

/// One command, or a tick.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let Some(command) = read::<Command>(chain, record, NAME, outputs) else { return };
    if let Command::Tick { at } = &command {
        chain.tick_to(*at);
        return chain.on_tick(&mut chain.turn(record, outputs));
    }
    let Some((tenant, _)) = command.names() else { return };
    if let Some(mut turn) = begin(chain, record, tenant, outputs) {
        perform(chain, command, &mut turn);
    }
}

/// Does what a command asks.
fn perform(chain: &mut Chain, command: Command, turn: &mut Turn<'_>) {
    let Some((tenant_id, correlation_id)) = command.names() else { return };
    let (tenant_id, correlation_id) = (tenant_id.to_owned(), correlation_id.map(str::to_owned));
    if correlation_id.as_ref().is_some_and(|id| chain.state.answers.repeat(&tenant_id, id, turn)) {
        return;
    }
    let done = match command {
        Command::MoveTask { tenant_id, task_id, state, actor_id, by_agent, .. } => {
            move_task(chain, &tenant_id, &task_id, state, (actor_id, by_agent), turn)
        }
        Command::TrackTask { .. } => track_task(chain, command, turn),
        Command::Wake { tenant_id, agent_id, message, .. } => {
            let data = message.map(|text| Map::from_iter([("message".to_owned(), json!({ "text": text }))]));
            tell(chain, &tenant_id, &agent_id, WAKE_UP, data, turn)
        }
        Command::Tell { tenant_id, agent_id, name, data, .. } => {
            tell(chain, &tenant_id, &agent_id, &name, Some(data), turn)
        }
        Command::Broadcast { tenant_id, message, data, .. } => broadcast(chain, &tenant_id, message, data, turn),
        Command::Mute { tenant_id, agent_id, muted, .. } => mute(chain, &tenant_id, &agent_id, muted, turn),
        Command::Reroute { tenant_id, event_ids, .. } => Ok(reroute(chain, &tenant_id, &event_ids, turn)),
        Command::Tick { .. } => return,
    };
    let Some(correlation_id) = correlation_id else { return };
    let mut result = CommandResult {
        correlation_id,
        tenant_id,
        accepted: done.is_ok(),
        code: None,
        reason: None,
        data: None,
        at: turn.now(),
    };
    match done {
        Ok(data) => result.data = Some(data).filter(|data| !data.is_null()),
        Err(Refusal { code, reason, data }) => {
            (result.code, result.reason, result.data) = (Some(code.to_owned()), Some(reason), data);
        }
    }
    chain.state.answers.give(result, turn);
}

fn move_task(
    chain: &mut Chain,
    tenant: &str,
    task_id: &str,
    state: TaskState,
    (actor_id, by_agent): (String, bool),
    turn: &mut Turn<'_>,
) -> Result<Value, Refusal> {
    let key = chain.state.tasks.find(tenant, task_id);
    let known = key.and_then(|key| Some((key, chain.state.tasks.get(key)?))).filter(|(_, task)| !task.deleted);
    let Some((key, task)) = known else { return refuse("not_found", format!("there is no task {task_id}")) };
    if !task.state.may_become(state) {
        let reason = format!("a task cannot go from {} to {}", task.state.name(), state.name());
        return refuse("illegal_move", reason);
    }
    if by_agent {
        may_act(chain, tenant, &actor_id, Some(&crate::state::tasks::id_of(key)), turn)?;
    }
    // Whoever may write commands was let in by the API.
    let actor = match by_agent {
        true => super::actions::actor(&actor_id),
        false => Actor {
            kind: ActorKind::Human,
            trust: Trust::Member,
            external_id: Some(actor_id),
            agent_id: None,
            name: None,
            email: None,
        },
    };
    let moved = moved(chain, tenant, key, state, actor, NAME, turn);
    chain.onward(moved, turn);
    Ok(json!({ "task": chain.state.tasks.get(key) }))
}

/// Whether an agent may do something without words now. It takes no place in
/// the agent's window.
fn may_act(
    chain: &mut Chain,
    tenant: &str,
    agent: &str,
    task: Option<&str>,
    turn: &mut Turn<'_>,
) -> Result<(), Refusal> {
    match chain.state.directory.of(tenant).and_then(|index| index.agent(agent)) {
        None => return refuse("not_found", format!("there is no agent {agent}")),
        Some((_, false)) => return refuse("agent_disabled", format!("the agent {agent} is disabled")),
        Some((_, true)) => {}
    }
    let limits = chain.state.directory.limits(tenant);
    let speech = Speech { tenant, agent, task, words: None, trace_id: None };
    let verdict = chain.state.governed.judge(limits, &speech, turn);
    match verdict.refused {
        None => Ok(()),
        Some(rule) => Err(Refusal {
            code: CommandResult::MUTED,
            reason: rule.to_owned(),
            data: retry_data(verdict.retry_after_ms),
        }),
    }
}

/// Moves a task and makes the event that tells of it.
pub(crate) fn moved(
    chain: &mut Chain,
    tenant: &str,
    key: u128,
    state: TaskState,
    actor: Actor,
    operator: &'static str,
    turn: &Turn<'_>,
) -> Draft {
    let builder =
        EventBuilder { tenant, kind: EventType::WorkItemStatusChanged, event: "task.moved", operator, trace_id: None };
    let mut draft = Draft::of(builder.event(actor, turn));
    let before = chain.state.tasks.get(key).map(|task| task.state.name());
    chain.state.tasks.update(key, |task| task.state = state);
    if let Some(task) = chain.state.tasks.get(key) {
        draft.set_task(key, task);
    }
    let change = |value: &str| Some(Value::from(value));
    draft.event.changes.push(Change {
        field: "state".to_owned(),
        before: before.and_then(change),
        after: change(state.name()),
    });
    draft
}

fn track_task(chain: &mut Chain, command: Command, turn: &mut Turn<'_>) -> Result<Value, Refusal> {
    let Command::TrackTask {
        tenant_id,
        project_id,
        provider,
        external_id,
        title,
        channel_id,
        thread_ts,
        agent_id,
        at,
        ..
    } = command
    else {
        return refuse("invalid", "not a task to track");
    };
    if let Some(agent) = &agent_id {
        may_act(chain, &tenant_id, agent, None, turn)?;
    }
    let index = chain.state.directory.of(&tenant_id);
    let Some(place) = index.and_then(|index| index.project(&project_id)).map(Arc::clone) else {
        return refuse("not_found", format!("there is no project {project_id}"));
    };
    if provider.is_empty() || external_id.is_empty() {
        return refuse("invalid", "a task has a provider and an external id");
    }
    let key = key_of(&tenant_id, &provider, scope(index, &provider, None), &external_id);
    let channel_id = channel_id.or_else(|| place.channel_id.clone());
    let thread = thread_ts.zip(channel_id);
    if let Some((thread_ts, channel)) = &thread
        && chain.state.tasks.in_thread(&tenant_id, channel, thread_ts).is_some_and(|taken| taken != key)
    {
        return refuse("conflict", "another task is discussed in this thread");
    }
    if chain.state.tasks.get(key).is_none() {
        chain.state.tasks.insert(
            key,
            &tenant_id,
            Task::new(crate::state::tasks::id_of(key), provider, external_id, at),
        );
    }
    chain.state.tasks.update(key, |task| {
        task.project_id = Some(project_id);
        task.deleted = false;
        task.updated_at = turn.now();
        if let Some(title) = &title {
            task.title = Some(beginning(title, 1_024));
        }
    });
    if let Some((thread_ts, channel)) = thread {
        chain.state.tasks.discuss(key, channel, thread_ts);
    }
    chain.state.tasks.trim(turn);
    Ok(json!({ "task": chain.state.tasks.get(key) }))
}

fn tell(
    chain: &mut Chain,
    tenant: &str,
    agent_id: &str,
    name: &str,
    data: Option<Map<String, Value>>,
    turn: &mut Turn<'_>,
) -> Result<Value, Refusal> {
    let agent = chain.state.directory.of(tenant).and_then(|index| index.agent(agent_id));
    let Some((agent, enabled)) = agent.map(|(agent, enabled)| (Arc::clone(agent), enabled)) else {
        return refuse("not_found", format!("there is no agent {agent_id}"));
    };
    if !enabled {
        return refuse("agent_disabled", format!("the agent {agent_id} is disabled"));
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return refuse("invalid", format!("an event's name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    let id = turn.id("inb", NAME, 0);
    let to = [(agent, None)];
    let trace = crate::event_builder::trace(&id);
    let letter = Letter { id: &id, tenant, trace_id: Some(&trace), name, to: &to, event: None, data: data.as_ref() };
    chain.state.seqs.send(&letter, turn);
    Ok(json!({ "eventId": id, "seq": chain.state.seqs.last(tenant, agent_id) }))
}

fn mute(chain: &mut Chain, tenant: &str, agent_id: &str, muted: bool, turn: &mut Turn<'_>) -> Result<Value, Refusal> {
    if chain.state.directory.of(tenant).and_then(|index| index.agent(agent_id)).is_none() {
        return refuse("not_found", format!("there is no agent {agent_id}"));
    }
    chain.state.governed.mute(tenant, agent_id, muted, turn);
    Ok(Value::Null)
}

fn broadcast(
    chain: &mut Chain,
    tenant: &str,
    message: String,
    data: Option<Map<String, Value>>,
    turn: &mut Turn<'_>,
) -> Result<Value, Refusal> {
    let agents = chain.state.directory.of(tenant).map(|index| index.agents().cloned().collect()).unwrap_or_default();
    let agents: Vec<AgentId> = agents;
    let to: Vec<_> = agents.into_iter().map(|agent| (agent, None)).collect();
    let mut data = data.unwrap_or_default();
    data.insert("message".to_owned(), json!({ "text": message }));
    let id = turn.id("inb", NAME, 0);
    let trace = crate::event_builder::trace(&id);
    for part in to.chunks(ADDRESSEES_MAX) {
        let data = Some(&data);
        let letter =
            Letter { id: &id, tenant, trace_id: Some(&trace), name: CONTEXT_UPDATE, to: part, event: None, data };
        chain.state.seqs.send(&letter, turn);
    }
    Ok(json!({ "eventId": id, "agents": to.len() }))
}

/// Sends on what has found a place since. An event that goes out again is a new
/// one, with the old one's source, trace and request. One command sends on as
/// much as fits a commit; the answer tells how much remains.
fn reroute(chain: &mut Chain, tenant: &str, ids: &[String], turn: &mut Turn<'_>) -> Value {
    let (mut sent, mut sent_bytes) = (Vec::new(), 0);
    for number in chain.state.unrouted.numbers(tenant, ids) {
        if sent_bytes > REROUTED_BYTES_MAX {
            break;
        }
        let Some((mut event, bytes)) = chain.state.unrouted.get(number) else { continue };
        let mut draft = Draft::of(event.clone());
        find_place(&mut chain.state, &mut draft);
        if draft.event.unrouted {
            continue;
        }
        sent_bytes += bytes;
        chain.state.unrouted.take(number, turn);
        event.id = turn.id("evt", "reroute", sent.len());
        event.unrouted = false;
        sent.push(event.id.clone());
        chain.readmit(Draft::of(event), turn);
    }
    json!({ "rerouted": sent.len(), "eventIds": sent, "remaining": chain.state.unrouted.count(tenant) })
}
