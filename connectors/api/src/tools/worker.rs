//! Uses tools for agents that asked over their sockets.
//!
//! In: the tool calls of `memory.requests`, as the consumer group [`GROUP`],
//! which the pipeline has held against the agent's rights. Out: `commands` that
//! have the pipeline put the answer into the agent's inbox, with its number. A
//! call is answered in any order and within [`PATIENCE`]; the group moves on
//! only past what is answered, so a crash repeats calls and loses none, and an
//! answer that comes twice is told once (it has the call's id).
//!
//! A tool that is not the hub's is not used here: its call carries a `grant`,
//! and the answer is the signed leave to use it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    event::{Command, MemoryRequest, Time, ToolCall},
    ports::{Batch, Headers, Log, LogError, NewRecord, Session},
    topics::{Topic, partition_of},
};
use serde_json::{Map, Value, json};
use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use super::{Caller, Refused};
use crate::Desk;
use runtime::{
    in_flight::Open,
    sessions::{Sessions, Stop},
    supervisor::{Failure, RoleContext},
};

/// The consumer group of all who use tools.
pub const GROUP: &str = "nexus-tools";

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Calls of one partition under way, the answered ones behind a slow one
/// included.
const OPEN_MAX: usize = 1_024;
const RECORDS_AT_ONCE: usize = 256;
const POLL_IDLE: Duration = Duration::from_millis(250);
const POLL_BUSY: Duration = Duration::from_millis(3);

/// What the worker needs.
#[derive(Clone)]
pub struct Worker {
    /// Where calls come from and answers go.
    pub log: Arc<dyn Log>,
    /// What tools work with.
    pub desk: Arc<Desk>,
}

impl Worker {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, context: RoleContext) -> Result<(), Failure> {
        let sessions = Sessions::join(&*self.log, GROUP, &[Topic::MemoryRequests], "tools").await?;
        // The tools are used here, where the other waiting is done.
        let (worker, hands) = (self.clone(), Handle::current());
        let work = async move |session: &mut dyn Session, stop: &Stop| worker.drive(session, &hands, stop).await;
        context.running();
        Ok(sessions.run(context.stop.clone(), work).await?)
    }

    async fn drive(&self, session: &mut dyn Session, work: &Handle, stop: &Stop) -> Result<(), LogError> {
        let (mut open, mut outputs) = (Open::default(), Vec::new());
        let mut using: JoinSet<(u64, ToolCall, Value)> = JoinSet::new();
        let finish = |ended: Result<(u64, ToolCall, Value), tokio::task::JoinError>,
                      open: &mut Open,
                      outputs: &mut Vec<NewRecord>| {
            // Every call catches its own defects, so there always is an answer.
            let Ok((offset, call, answer)) = ended else { return };
            open.end(offset);
            outputs.extend(self.answer(&call, answer));
        };
        while !stop() {
            while let Some(ended) = using.try_join_next() {
                finish(ended, &mut open, &mut outputs);
            }
            commit(session, &mut open, &mut outputs).await?;
            let room = OPEN_MAX - open.span().min(OPEN_MAX);
            if room == 0 {
                if let Ok(Some(ended)) = timeout(POLL_IDLE, using.join_next()).await {
                    finish(ended, &mut open, &mut outputs);
                }
                continue;
            }
            let patience = if using.is_empty() { POLL_IDLE } else { POLL_BUSY };
            for record in session.poll(room.min(RECORDS_AT_ONCE), patience).await? {
                let offset = record.position.offset;
                open.begin(offset, &String::from_utf8_lossy(&record.key));
                let request = record.value.as_deref().map(serde_json::from_slice::<MemoryRequest>);
                match request {
                    Some(Ok(MemoryRequest::UseTool(call))) if call.tenant_id.as_bytes() == &*record.key => {
                        let desk = Arc::clone(&self.desk);
                        using.spawn_on(async move { (offset, call.clone(), used(desk, call).await) }, work);
                    }
                    // Others' requests, and what the memory puts away.
                    _ => open.end(offset),
                }
            }
        }
        let finishing = async {
            while let Some(ended) = using.join_next().await {
                finish(ended, &mut open, &mut outputs);
            }
        };
        let _ = timeout(POLL_IDLE, finishing).await;
        commit(session, &mut open, &mut outputs).await?;
        session.settle().await
    }

    /// Has the pipeline tell the agent.
    fn answer(&self, call: &ToolCall, answer: Value) -> Option<NewRecord> {
        let mut data = Map::new();
        data.insert("requestId".to_owned(), call.request_id.clone().into());
        data.insert("tool".to_owned(), call.tool.clone().into());
        data.extend(call.trace_id.clone().map(|trace| ("traceId".to_owned(), trace.into())));
        data.extend(answer.as_object().cloned().unwrap_or_default());
        let now_ms = self.desk.clock.now_ms();
        let command = Command::Tell {
            correlation_id: call.id.clone(),
            tenant_id: call.tenant_id.clone(),
            agent_id: call.agent_id.clone(),
            name: "tool_result".to_owned(),
            data,
            at: Time::from_ms(now_ms),
        };
        Some(NewRecord {
            topic: Topic::Commands,
            partition: partition_of(&call.tenant_id, self.log.partitions()),
            at_ms: now_ms,
            key: Bytes::copy_from_slice(call.tenant_id.as_bytes()),
            value: Some(serde_json::to_vec(&command).ok()?.into()),
            headers: Headers::new([("schema", b"nexus.command.v1".as_slice())]),
        })
    }
}

async fn commit(session: &mut dyn Session, open: &mut Open, outputs: &mut Vec<NewRecord>) -> Result<(), LogError> {
    let next_offsets: Vec<_> = open.advance().map(|next| (Topic::MemoryRequests, next)).into_iter().collect();
    if outputs.is_empty() && next_offsets.is_empty() {
        return Ok(());
    }
    session.commit(Batch { outputs: std::mem::take(outputs), next_offsets }).await
}

/// What a call comes to: a result, an error, or the leave to do it oneself.
async fn used(desk: Arc<Desk>, call: ToolCall) -> Value {
    let ToolCall { tenant_id, agent_id, tool, args, project_ids, trace_id, .. } = call;
    if super::tool(&tool).is_none() {
        let granting = async { Ok::<_, Refused>(desk.tokens.grant(&tenant_id, &agent_id, &tool, &args)) };
        return match desk.acting(&tenant_id, &agent_id, granting).await {
            Ok(grant) => json!({ "decision": "execute_locally", "grant": grant }),
            Err(refused) => json!({ "decision": "denied", "reason": format!("{}: {}", refused.code, refused.reason) }),
        };
    }
    let reach = Some(project_ids);
    let caller = Caller { tenant_id, subject: agent_id, is_agent: true, may_write: true, reach, trace_id };
    // A task of its own: a defect must cost one answer.
    let using = tokio::spawn(async move { super::call(&desk, &caller, &tool, args).await });
    let refused = |code: &str, reason: &str| json!({ "error": Refused::new(code, reason).to_json() });
    match timeout(PATIENCE, using).await {
        Ok(Ok(Ok(result))) => json!({ "result": result }),
        Ok(Ok(Err(error))) => json!({ "error": error.to_json() }),
        Ok(Err(_)) => refused("unavailable", "a defect of the hub"),
        Err(_) => refused("unavailable", "it takes too long"),
    }
}
