//! One partition's requests: read, handed to the desk, and their results
//! committed with how far the group is.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hashbrown::HashMap;
use pipeline::{
    event::{LookupRequest, LookupResult},
    ports::{Batch, Headers, Log, LogError, NewRecord, Record, Session},
    topics::Topic,
    turn::Turn,
};
use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use super::{STOP_GRACE, desk::Desk};
use runtime::in_flight::Open;

/// Requests of one partition that may be under way, the answered ones behind a
/// slow one included. Each is gone by its deadline, so this is also what may be
/// answered twice after a crash.
const OPEN_MAX: usize = 8_192;
/// Those of one tenant; further ones are refused at once (`busy`), so that one
/// tenant's flood leaves room for the others.
const OPEN_OF_TENANT_MAX: usize = 1_024;
/// Requests that are read at once.
const RECORDS_AT_ONCE: usize = 256;
/// How long a poll waits while nothing is under way: how late a stop is heard.
const PATIENCE_IDLE: Duration = Duration::from_millis(250);
/// And while something is: how late a result is committed.
const PATIENCE_BUSY: Duration = Duration::from_millis(3);

/// A request under way.
struct Asked {
    offset: u64,
    request: LookupRequest,
    headers: Headers,
}

/// Answers the requests of the session's partition until it is fenced, the log
/// fails, or `stop` says so. Calls are made on `calls`.
pub async fn drive(
    session: &mut dyn Session,
    log: &dyn Log,
    desk: &Arc<Desk>,
    calls: &Handle,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), LogError> {
    let mut work = Work { open: Open::default(), asked: HashMap::new(), answers: JoinSet::new(), outputs: Vec::new() };
    while !stop() {
        while let Some(ended) = work.answers.try_join_next_with_id() {
            work.take(ended, desk, session.partition());
        }
        work.commit(session).await?;
        let room = OPEN_MAX - work.open.span().min(OPEN_MAX);
        if room == 0 {
            if let Ok(Some(ended)) = timeout(PATIENCE_IDLE, work.answers.join_next_with_id()).await {
                work.take(ended, desk, session.partition());
            }
            continue;
        }
        let patience = if work.answers.is_empty() { PATIENCE_IDLE } else { PATIENCE_BUSY };
        for record in session.poll(room.min(RECORDS_AT_ONCE), patience).await? {
            work.begin(record, log, desk, calls);
        }
    }
    let finishing = async {
        while let Some(ended) = work.answers.join_next_with_id().await {
            work.take(ended, desk, session.partition());
        }
    };
    let _ = timeout(STOP_GRACE, finishing).await;
    work.commit(session).await?;
    session.settle().await
}

struct Work {
    open: Open,
    /// By the task that answers.
    asked: HashMap<tokio::task::Id, Asked>,
    answers: JoinSet<LookupResult>,
    outputs: Vec<NewRecord>,
}

impl Work {
    fn begin(&mut self, record: Record, log: &dyn Log, desk: &Arc<Desk>, calls: &Handle) {
        let key = String::from_utf8_lossy(&record.key);
        let open_of_tenant = self.open.begin(record.position.offset, &key);
        let request = record.value.as_deref().map(serde_json::from_slice::<LookupRequest>);
        let request = match request {
            // Whose token is used is a matter of the tenant: the two must agree.
            Some(Ok(request)) if request.tenant_id == key => request,
            Some(Ok(_)) => return self.bury(&record, log, desk, "the request names another tenant than its key"),
            Some(Err(error)) => return self.bury(&record, log, desk, &format!("not a request: {error}")),
            None => return self.bury(&record, log, desk, "a request without a value"),
        };
        let asked = Asked { offset: record.position.offset, request, headers: record.headers };
        if open_of_tenant > OPEN_OF_TENANT_MAX {
            let result = desk.refuse(&asked.request, "busy");
            return self.end(&asked, &result, record.position.partition);
        }
        let (desk, request) = (Arc::clone(desk), asked.request.clone());
        let task = self.answers.spawn_on(async move { desk.answer(&request).await }, calls);
        self.asked.insert(task.id(), asked);
    }

    fn take(
        &mut self,
        ended: Result<(tokio::task::Id, LookupResult), tokio::task::JoinError>,
        desk: &Desk,
        partition: u32,
    ) {
        let (id, result) = match ended {
            Ok((id, result)) => (id, Some(result)),
            Err(error) => (error.id(), None),
        };
        let Some(asked) = self.asked.remove(&id) else { return };
        // A panic is our defect: the event goes on without, as after a deadline.
        let result = result.unwrap_or_else(|| desk.refuse(&asked.request, "defect"));
        self.end(&asked, &result, partition);
    }

    fn end(&mut self, asked: &Asked, result: &LookupResult, partition: u32) {
        self.open.end(asked.offset);
        // Fails for nothing that this type can hold.
        let Ok(value) = serde_json::to_vec(result) else { return };
        let trace = asked.headers.get("traceparent").map(|trace| ("traceparent", trace));
        let headers = [
            ("event_id", result.request_id.as_bytes()),
            ("type", asked.request.kind.as_bytes()),
            ("schema", b"nexus.lookup-result.v1".as_slice()),
        ];
        self.outputs.push(NewRecord {
            topic: Topic::LookupsResults,
            partition,
            at_ms: result.at.as_ms(),
            key: Bytes::copy_from_slice(result.tenant_id.as_bytes()),
            value: Some(value.into()),
            headers: Headers::new(headers.into_iter().chain(trace)),
        });
    }

    /// Puts away what is no request.
    fn bury(&mut self, record: &Record, log: &dyn Log, desk: &Desk, reason: &str) {
        self.open.end(record.position.offset);
        let mut turn = Turn {
            now_ms: desk.now_ms(),
            source: record.position,
            identity: log.identity(),
            partitions: log.partitions(),
            outputs: &mut self.outputs,
        };
        turn.bury(record, "lookups", reason);
    }

    async fn commit(&mut self, session: &mut dyn Session) -> Result<(), LogError> {
        let next_offsets: Vec<_> = self.open.advance().map(|next| (Topic::LookupsRequests, next)).into_iter().collect();
        if self.outputs.is_empty() && next_offsets.is_empty() {
            return Ok(());
        }
        session.commit(Batch { outputs: std::mem::take(&mut self.outputs), next_offsets }).await
    }
}
