//! One partition's requests: read, done in their order, and their results
//! committed with how far the group is.
//!
//! Texts that follow each other are learned together, as many as queued while
//! the last ones were: nothing waits for company. What cannot be done now is
//! tried until it can, and what comes behind it waits in the log.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    event::{MemoryRequest, MemoryResult, Text},
    ports::{Batch, Headers, Log, LogError, NewRecord, Record, Session},
    retry::{self, Decision, Failure},
    topics::Topic,
    turn::Turn,
};
use tokio::runtime::Handle;

use super::{embed::ModelError, recall::RecallError, role::Bench, vectors::VectorError};

/// Requests that are read at once, and texts that are learned together.
const RECORDS_AT_ONCE: usize = 128;
/// How long a poll waits: how late a stop is heard.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between looks at something that is down.
const DOWN_FIRST_MS: u64 = 500;
const DOWN_MAX_MS: u64 = 15_000;

/// A request and the record that it came in.
type Asked = (Record, MemoryRequest);

/// What became of requests that were tried.
enum Tried {
    Done(Vec<MemoryResult>),
    /// Nothing will ever come of them, for this reason.
    Given(String),
    /// The hub stops first.
    Stopped,
}

/// Does the requests of the session's partition until it is fenced, the log
/// fails, or `stop` says so. The work itself is done on `work`.
pub async fn drive(
    session: &mut dyn Session,
    log: &dyn Log,
    bench: &Arc<Bench>,
    work: &Handle,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), LogError> {
    while !stop() {
        let records = session.poll(RECORDS_AT_ONCE, PATIENCE).await?;
        let Some(last) = records.last() else { continue };
        let end = last.position.offset + 1;
        let mut outputs = Outputs { log, bench, records: Vec::new() };
        let mut next = None;
        let mut groups = grouped(records, &mut outputs).into_iter();
        for group in &mut groups {
            let offset = group.last().map(|(record, _)| record.position.offset + 1);
            if !one_group(group, &mut outputs, bench, work, stop).await {
                break;
            }
            next = offset.or(next);
        }
        // What was left out between groups (others' requests) is passed too.
        let next = if groups.next().is_none() && !stop() { Some(end) } else { next };
        if let Some(next) = next {
            let records = outputs.records;
            session.commit(Batch { outputs: records, next_offsets: vec![(Topic::MemoryRequests, next)] }).await?;
        }
    }
    session.settle().await
}

/// Texts in a row are one group, everything else is one by itself.
fn grouped(records: Vec<Record>, outputs: &mut Outputs<'_>) -> Vec<Vec<Asked>> {
    let mut groups: Vec<Vec<Asked>> = Vec::new();
    for record in records {
        let key = String::from_utf8_lossy(&record.key).into_owned();
        let request = record.value.as_deref().map(serde_json::from_slice::<MemoryRequest>);
        let request = match request {
            Some(Ok(request)) if request.tenant_id() == key => request,
            Some(Ok(_)) => {
                outputs.bury(&record, "the request names another tenant than its key");
                continue;
            }
            Some(Err(error)) => {
                outputs.bury(&record, &format!("not a request: {error}"));
                continue;
            }
            None => {
                outputs.bury(&record, "a request without a value");
                continue;
            }
        };
        let is_text = |(_, request): &Asked| matches!(request, MemoryRequest::Remember(_));
        let asked = (record, request);
        match groups.last_mut() {
            // Tools are used elsewhere.
            _ if matches!(asked.1, MemoryRequest::UseTool(_)) => {}
            Some(group) if is_text(&asked) && group.iter().all(is_text) => group.push(asked),
            _ => groups.push(vec![asked]),
        }
    }
    groups
}

/// Whether the group was done, one way or the other.
async fn one_group(
    group: Vec<Asked>,
    outputs: &mut Outputs<'_>,
    bench: &Arc<Bench>,
    work: &Handle,
    stop: &(dyn Fn() -> bool + Sync),
) -> bool {
    let requests: Arc<[MemoryRequest]> = group.iter().map(|(_, request)| request.clone()).collect();
    match tried(requests, bench, work, stop).await {
        Tried::Done(results) => outputs.tell(&group, results),
        Tried::Stopped => return false,
        // One bad text among many: each by itself.
        Tried::Given(_) if group.len() > 1 => {
            for asked in group {
                if !Box::pin(one_group(vec![asked], outputs, bench, work, stop)).await {
                    return false;
                }
            }
        }
        Tried::Given(reason) => {
            for (record, request) in &group {
                outputs.bury(record, &reason);
                let failed = MemoryResult::Failed {
                    request_id: request.id().to_owned(),
                    tenant_id: request.tenant_id().to_owned(),
                    error: reason.clone(),
                    at: bench.recall.now(),
                };
                outputs.tell(&[], vec![failed]);
            }
        }
    }
    true
}

/// Tries until it is done, refused or out of attempts.
async fn tried(
    requests: Arc<[MemoryRequest]>,
    bench: &Arc<Bench>,
    work: &Handle,
    stop: &(dyn Fn() -> bool + Sync),
) -> Tried {
    let (mut attempt, mut down_ms) = (0, DOWN_FIRST_MS);
    loop {
        attempt += 1;
        let (doing, wanted) = (Arc::clone(bench), Arc::clone(&requests));
        // A task of its own: a defect must cost these requests, not the role.
        let done = work.spawn(async move { perform(&doing, &wanted).await }).await;
        let (failure, reason) = match done {
            Ok(Ok(results)) => return Tried::Done(results),
            Ok(Err(error)) => (failure_of(&error), error.to_string()),
            Err(error) => (Failure::Retryable { retry_after_ms: None }, format!("defect: {error}")),
        };
        let wait_ms = match retry::decide(&bench.policy, attempt, &failure, getrandom::u64().unwrap_or_default()) {
            Decision::GiveUp => return Tried::Given(reason),
            Decision::RetryAfter { delay_ms } => delay_ms,
            Decision::Wait => {
                attempt -= 1;
                if down_ms == DOWN_FIRST_MS {
                    tracing::warn!(reason, "the memory waits");
                }
                let wait_ms = down_ms;
                down_ms = (2 * down_ms).min(DOWN_MAX_MS);
                wait_ms
            }
        };
        bench.counts.waits.inc();
        let mut left_ms = wait_ms;
        while left_ms > 0 {
            if stop() {
                return Tried::Stopped;
            }
            let step_ms = left_ms.min(100);
            tokio::time::sleep(Duration::from_millis(step_ms)).await;
            left_ms -= step_ms;
        }
        if stop() {
            return Tried::Stopped;
        }
    }
}

/// The requests of a group: texts, or one of another kind.
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

/// What a batch of requests leads to.
struct Outputs<'a> {
    log: &'a dyn Log,
    bench: &'a Bench,
    records: Vec<NewRecord>,
}

impl Outputs<'_> {
    fn tell(&mut self, group: &[Asked], results: Vec<MemoryResult>) {
        for (record, request) in group {
            let waited_ms = self.bench.recall.now().as_ms().saturating_sub(record.at_ms);
            self.bench.counts.done.with_label_values(&[request.name()]).inc();
            self.bench.counts.delay.observe(waited_ms as f64 / 1_000.0);
        }
        let trace = group.last().and_then(|(record, _)| record.headers.get("traceparent"));
        let trace = trace.map(|trace| ("traceparent", trace));
        for result in results {
            // Fails for nothing that this type can hold.
            let Ok(value) = serde_json::to_vec(&result) else { continue };
            let headers = [("type", result.name().as_bytes()), ("schema", b"nexus.memory-result.v1".as_slice())];
            let tenant = result.tenant_id();
            self.records.push(NewRecord {
                topic: Topic::MemoryResults,
                partition: pipeline::topics::partition_of(tenant, self.log.partitions()),
                at_ms: self.bench.recall.now().as_ms(),
                key: Bytes::copy_from_slice(tenant.as_bytes()),
                value: Some(value.into()),
                headers: Headers::new(headers.into_iter().chain(trace)),
            });
        }
    }

    fn bury(&mut self, record: &Record, reason: &str) {
        self.bench.counts.done.with_label_values(&["dead"]).inc();
        let mut turn = Turn {
            now_ms: self.bench.recall.now().as_ms(),
            source: record.position,
            identity: self.log.identity(),
            partitions: self.log.partitions(),
            outputs: &mut self.records,
        };
        turn.bury(record, "memory", reason);
    }
}
