//! The requests of a partition: done in their order, one lane for all.
//!
//! Texts that follow each other are learned together, as many as queued while
//! the last ones were: nothing waits for company. What cannot be done now is
//! tried until it can, and what comes behind it waits.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use pipeline::{
    event::{MemoryRequest, MemoryResult, Text},
    ports::{Headers, LogError, NewRecord, Record},
    retry::{self, Decision, Failure},
    topics::Topic,
};
use runtime::consumer::{Commits, Consumer, ConsumerSettings, InHand, Parsed, Processed, Processing, dead_letter};

use super::{
    embed::ModelError,
    recall::RecallError,
    role::{Bench, GROUP, Memory},
    vectors::VectorError,
};

/// Between looks at something that is down.
const DOWN_FIRST_MS: u64 = 500;
const DOWN_MAX_MS: u64 = 15_000;

/// A request, the record that it came in, and how often it was tried.
pub struct MemoryTask {
    record: Record,
    request: MemoryRequest,
    attempts: u32,
    down_ms: u64,
    /// Something that it was tried with is refused for good: each by itself.
    is_alone: bool,
}

impl MemoryTask {
    fn is_text(&self) -> bool {
        matches!(self.request, MemoryRequest::Remember(_))
    }
}

impl Consumer for Memory {
    type Request = MemoryTask;
    type Partition = ();

    fn settings(&self) -> ConsumerSettings {
        // One lane a partition: no tenant is ahead of another.
        const OPEN_MAX: usize = 512;
        ConsumerSettings {
            group: GROUP,
            topic: Topic::MemoryRequests,
            name: "memory",
            open_max: OPEN_MAX,
            in_hand_max: 65_536,
            in_hand_of_tenant_max: OPEN_MAX,
            batch_max: 128,
            commits: Commits::WhenAnswered,
            // What is cut off is done again at the next start, which changes nothing.
            stop_grace: Duration::from_secs(5),
        }
    }

    fn now_ms(&self) -> u64 {
        self.bench.recall.now().as_ms()
    }

    async fn open(&self, _partition: u32) -> Result<(), LogError> {
        Ok(())
    }

    fn parse(&self, record: &Record) -> Parsed<MemoryTask> {
        let reason = match record.value.as_deref().map(serde_json::from_slice::<MemoryRequest>) {
            Some(Ok(request)) if request.tenant_id().as_bytes() != &*record.key => {
                "the request names another tenant than its key".to_owned()
            }
            // Tools are used elsewhere.
            Some(Ok(MemoryRequest::UseTool(_))) => return Parsed::Ignored,
            Some(Ok(request)) => {
                let (attempts, down_ms, is_alone) = (0, DOWN_FIRST_MS, false);
                return Parsed::Request(MemoryTask { record: record.clone(), request, attempts, down_ms, is_alone });
            }
            Some(Err(error)) => format!("not a request: {error}"),
            None => "a request without a value".to_owned(),
        };
        self.bench.counts.done.with_label_values(&["dead"]).inc();
        Parsed::Dead(reason)
    }

    fn lane(&self, _request: &MemoryTask) -> Option<Arc<str>> {
        Some("".into())
    }

    fn joins(&self, before: &MemoryTask, next: &MemoryTask) -> bool {
        let are_texts = before.is_text() && next.is_text() && !before.is_alone && !next.is_alone;
        are_texts && (before.attempts, before.down_ms) == (next.attempts, next.down_ms)
    }

    fn process(&self, _partition: &mut (), batch: Vec<InHand<MemoryTask>>) -> Processing<MemoryTask> {
        let memory = self.clone();
        Box::pin(async move { memory.attempt(batch).await })
    }
}

impl Memory {
    /// Tries once: what is refused for good is buried, everything else is tried
    /// again.
    async fn attempt(&self, mut batch: Vec<InHand<MemoryTask>>) -> Processed<MemoryTask> {
        let requests: Vec<MemoryRequest> = batch.iter().map(|in_hand| in_hand.request.request.clone()).collect();
        // A defect must cost these requests, not the partition.
        let done = AssertUnwindSafe(perform(&self.bench, &requests)).catch_unwind().await;
        let (failure, reason) = match done {
            Ok(Ok(results)) => return Processed::Answered(self.answered(&batch, results)),
            Ok(Err(error)) => (failure_of(&error), error.to_string()),
            Err(_) => (Failure::Retryable { retry_after_ms: None }, "defect: it panicked; see the log".to_owned()),
        };
        let attempts = batch.iter().map(|in_hand| in_hand.request.attempts).max().unwrap_or_default() + 1;
        let (policy, random) = (&self.bench.policy, getrandom::u64().unwrap_or_default());
        let wait_ms = match retry::decide(policy, attempts, &failure, random) {
            Decision::GiveUp if batch.len() == 1 => return Processed::Answered(self.refused(&batch, &reason)),
            // One bad text among many: each by itself.
            Decision::GiveUp => {
                for InHand { request, .. } in &mut batch {
                    (request.attempts, request.down_ms, request.is_alone) = (0, DOWN_FIRST_MS, true);
                }
                return Processed::NotYet(batch, Duration::ZERO);
            }
            Decision::RetryAfter { delay_ms } => {
                batch.iter_mut().for_each(|in_hand| in_hand.request.attempts = attempts);
                delay_ms
            }
            Decision::Wait => {
                let down_ms = batch.iter().map(|in_hand| in_hand.request.down_ms).max().unwrap_or(DOWN_FIRST_MS);
                if down_ms == DOWN_FIRST_MS {
                    tracing::warn!(reason, "the memory waits");
                }
                batch.iter_mut().for_each(|in_hand| in_hand.request.down_ms = (2 * down_ms).min(DOWN_MAX_MS));
                down_ms
            }
        };
        self.bench.counts.waits.inc();
        Processed::NotYet(batch, Duration::from_millis(wait_ms))
    }

    fn answered(&self, batch: &[InHand<MemoryTask>], results: Vec<MemoryResult>) -> Vec<NewRecord> {
        for InHand { request: MemoryTask { record, request, .. }, .. } in batch {
            let waited_ms = self.now_ms().saturating_sub(record.at_ms);
            self.bench.counts.done.with_label_values(&[request.name()]).inc();
            self.bench.counts.delay.observe(waited_ms as f64 / 1_000.0);
        }
        let trace = batch.last().and_then(|in_hand| in_hand.request.record.headers.get("traceparent"));
        results.iter().filter_map(|result| self.written(result, trace)).collect()
    }

    fn refused(&self, batch: &[InHand<MemoryTask>], reason: &str) -> Vec<NewRecord> {
        let mut outputs = Vec::new();
        for InHand { request: MemoryTask { record, request, .. }, .. } in batch {
            self.bench.counts.done.with_label_values(&["dead"]).inc();
            outputs.extend(dead_letter(&*self.log, self.now_ms(), record, "memory", reason));
            let failed = MemoryResult::Failed {
                request_id: request.id().to_owned(),
                tenant_id: request.tenant_id().to_owned(),
                error: reason.to_owned(),
                at: self.bench.recall.now(),
            };
            outputs.extend(self.written(&failed, None));
        }
        outputs
    }

    fn written(&self, result: &MemoryResult, trace: Option<&[u8]>) -> Option<NewRecord> {
        // Fails for nothing that this type can hold.
        let value = serde_json::to_vec(result).ok()?;
        let headers = [("type", result.name().as_bytes()), ("schema", b"nexus.memory-result.v1".as_slice())];
        let tenant = result.tenant_id();
        Some(NewRecord {
            topic: Topic::MemoryResults,
            partition: pipeline::topics::partition_of(tenant, self.log.partitions()),
            at_ms: self.now_ms(),
            key: Bytes::copy_from_slice(tenant.as_bytes()),
            value: Some(value.into()),
            headers: Headers::new(headers.into_iter().chain(trace.map(|trace| ("traceparent", trace)))),
        })
    }
}

/// The requests of a batch: texts, or one of another kind.
async fn perform(bench: &Bench, requests: &[MemoryRequest]) -> Result<Vec<MemoryResult>, RecallError> {
    let recall = &bench.recall;
    if let [request] = requests {
        return match request {
            MemoryRequest::Forget(forget) => Ok(vec![recall.forget(forget).await?]),
            MemoryRequest::Summarise(span) => Ok(recall.sum_up(span).await?.into_iter().collect()),
            MemoryRequest::Remember(text) => recall.learn(std::slice::from_ref(text)).await,
            MemoryRequest::UseTool(_) => Ok(Vec::new()),
        };
    }
    let texts: Vec<Text> = requests
        .iter()
        .filter_map(|request| match request {
            MemoryRequest::Remember(text) => Some(text.clone()),
            _ => None,
        })
        .collect();
    recall.learn(&texts).await
}

/// What is not there now is waited for; what is refused is refused for good.
fn failure_of(error: &RecallError) -> Failure {
    match error {
        RecallError::Store(_)
        | RecallError::Vectors(VectorError::Unavailable(_))
        | RecallError::Model(ModelError::Down(_)) => Failure::Down,
        RecallError::Vectors(VectorError::Refused(_)) | RecallError::Model(ModelError::Refused(_)) => Failure::Final,
    }
}
