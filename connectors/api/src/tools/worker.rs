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
    ports::{Headers, Log, LogError, NewRecord, Record},
    topics::{Topic, partition_of},
};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{Caller, Refused};
use crate::Desk;
use runtime::{
    consumer::{self, Commits, Consumer, ConsumerSettings, InHand, Parsed, Processed, Processing},
    supervisor::{Failure, RoleContext},
};

/// The consumer group of all who use tools.
pub const GROUP: &str = "nexus-tools";

/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(15);

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
        consumer::run(Arc::clone(&self.log), self, context).await
    }
}

impl Consumer for Worker {
    type Request = ToolCall;
    type Partition = ();

    fn settings(&self) -> ConsumerSettings {
        ConsumerSettings {
            group: GROUP,
            topic: Topic::MemoryRequests,
            name: "tools",
            // An offset each; most of the topic is the memory's.
            open_max: 16_384,
            in_hand_max: 4_096,
            in_hand_of_tenant_max: 256,
            batch_max: 1,
            commits: Commits::WhenAnswered,
            stop_grace: Duration::from_millis(250),
        }
    }

    fn now_ms(&self) -> u64 {
        self.desk.clock.now_ms()
    }

    async fn open(&self, _partition: u32) -> Result<(), LogError> {
        Ok(())
    }

    fn parse(&self, record: &Record) -> Parsed<ToolCall> {
        match record.value.as_deref().map(serde_json::from_slice::<MemoryRequest>) {
            Some(Ok(MemoryRequest::UseTool(call))) if call.tenant_id.as_bytes() == &*record.key => {
                Parsed::Request(call)
            }
            // Others' requests, and what the memory puts away.
            _ => Parsed::Ignored,
        }
    }

    fn process(&self, _partition: &mut (), batch: Vec<InHand<ToolCall>>) -> Processing<ToolCall> {
        let worker = self.clone();
        Box::pin(async move {
            let mut outputs = Vec::new();
            for InHand { request, .. } in batch {
                let answer = used(Arc::clone(&worker.desk), request.clone()).await;
                outputs.extend(worker.answer(&request, answer));
            }
            Processed::Answered(outputs)
        })
    }
}

impl Worker {
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
