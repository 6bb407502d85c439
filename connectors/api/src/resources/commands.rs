//! What people ask of the pipeline, and its answers.
//!
//! In: `commands.results`, all partitions, from now on. Out: `commands`, under
//! the tenant's key. A command is appended only while the answers are listened
//! to; whoever waits for one is told within [`PATIENCE`], if only that there is
//! none (the command may still be done then).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::StatusCode;
use bytes::Bytes;
use hashbrown::HashMap;
use pipeline::{
    event::{Command, CommandResult},
    ports::{Headers, Log, LogError, NewRecord, Record, Start, Visibility},
    topics::{Topic, partition_of},
};
use tokio::{sync::oneshot, task::JoinSet};

use runtime::http::problem::Problem;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Commands that wait for an answer at the same time.
const WAITING_MAX: usize = 1_024;

/// Answers that are read at once.
const RECORDS_AT_ONCE: usize = 256;

#[derive(Default)]
struct Waiting {
    /// Whether somebody reads the answers.
    listening: bool,
    waiters: HashMap<String, oneshot::Sender<CommandResult>>,
}

/// Asks the pipeline.
pub struct Commands {
    log: Arc<dyn Log>,
    waiting: Mutex<Waiting>,
}

impl Commands {
    /// Over this log.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Commands { log, waiting: Mutex::default() }
    }

    /// Reads the answers until the log fails; calls `listening` once, when none
    /// can be missed any more.
    pub async fn listen(self: Arc<Self>, listening: impl FnOnce()) -> Result<(), LogError> {
        let mut readers = JoinSet::new();
        for partition in 0..self.log.partitions() {
            let read = self.log.read(Topic::CommandsResults, partition, Start::Newest, Visibility::Durable);
            let (mut reader, commands) = (read.await?, Arc::clone(&self));
            readers.spawn(async move {
                loop {
                    match reader.next(RECORDS_AT_ONCE).await {
                        Ok(records) => records.iter().for_each(|record| commands.answered(record)),
                        Err(error) => return error,
                    }
                }
            });
        }
        self.waiting().listening = true;
        listening();
        let ended = readers.join_next().await;
        let mut waiting = self.waiting();
        waiting.listening = false;
        waiting.waiters.clear();
        match ended {
            Some(Ok(error)) => Err(error),
            _ => Err(LogError::Closed),
        }
    }

    fn answered(&self, record: &Record) {
        let Some(value) = record.value.as_deref() else { return };
        let Ok(result) = serde_json::from_slice::<CommandResult>(value) else { return };
        let waiter = self.waiting().waiters.remove(&result.correlation_id);
        if let Some(waiter) = waiter {
            let _ = waiter.send(result);
        }
    }

    /// Has something done that is not answered.
    pub async fn tell(&self, tenant: &str, command: &Command, now_ms: u64) -> Result<(), Problem> {
        self.append(tenant, command, now_ms).await.map_err(unavailable)
    }

    /// Has something done, and waits for what became of it.
    pub async fn ask(
        &self,
        tenant: &str,
        correlation_id: &str,
        command: &Command,
        now_ms: u64,
    ) -> Result<CommandResult, Problem> {
        let record = self.record(tenant, command, now_ms).map_err(unavailable)?;
        self.ask_by(tenant, correlation_id, record).await
    }

    /// The same, by any record that the pipeline answers under that name.
    pub async fn ask_by(
        &self,
        tenant: &str,
        correlation_id: &str,
        record: NewRecord,
    ) -> Result<CommandResult, Problem> {
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if !waiting.listening || waiting.waiters.len() >= WAITING_MAX {
                return Err(unanswered());
            }
            waiting.waiters.insert(correlation_id.to_owned(), tell);
        }
        // Also when the caller goes away before there is an answer.
        let _leave = Leave { commands: self, correlation_id };
        self.log.append(vec![record]).await.map_err(unavailable)?;
        match tokio::time::timeout(PATIENCE, told).await {
            // Nobody else's answer, whatever it is called.
            Ok(Ok(result)) if result.tenant_id == tenant => match result.accepted {
                true => Ok(result),
                false => Err(refused(result)),
            },
            _ => Err(unanswered()),
        }
    }

    async fn append(&self, tenant: &str, command: &Command, now_ms: u64) -> Result<(), LogError> {
        self.log.append(vec![self.record(tenant, command, now_ms)?]).await.map(drop)
    }

    fn record(&self, tenant: &str, command: &Command, now_ms: u64) -> Result<NewRecord, LogError> {
        let value = serde_json::to_vec(command).map_err(|error| LogError::Unavailable { detail: error.to_string() })?;
        Ok(NewRecord {
            topic: Topic::Commands,
            partition: partition_of(tenant, self.log.partitions()),
            at_ms: now_ms,
            key: Bytes::from(tenant.to_owned()),
            value: Some(value.into()),
            headers: Headers::new([("schema", b"nexus.command.v1".as_slice())]),
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Leave<'a> {
    commands: &'a Commands,
    correlation_id: &'a str,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.commands.waiting().waiters.remove(self.correlation_id);
    }
}

/// How long an agent is to wait that a person muted: nobody knows.
const MUTED_RETRY_S: u64 = 60;

/// An agent that may not act now, with the rule that says so.
fn muted(result: &CommandResult) -> Problem {
    let rule = result.reason.as_deref().unwrap_or_default();
    let retry_after_ms = result.data.as_ref().and_then(|data| data["retryAfterMs"].as_u64());
    let seconds = retry_after_ms.map_or(MUTED_RETRY_S, |ms| ms.div_ceil(1_000).max(1));
    let detail = format!("the agent may not act now: {rule}");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "muted", detail).retry_after(seconds)
}

/// What the pipeline refused, under its own code.
fn refused(result: CommandResult) -> Problem {
    if result.code.as_deref() == Some(CommandResult::MUTED) {
        return muted(&result);
    }
    let detail = result.reason.unwrap_or_else(|| "the pipeline refused it".to_owned());
    match result.code.as_deref() {
        Some("not_found") => Problem::not_found(detail),
        Some("illegal_move") => Problem::new(StatusCode::CONFLICT, "illegal_move", detail),
        Some("conflict") => Problem::new(StatusCode::CONFLICT, "conflict", detail),
        Some("archived") => Problem::new(StatusCode::CONFLICT, "archived", "the project is archived"),
        code => {
            tracing::debug!(code, "a command was refused");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail)
        }
    }
}

fn unanswered() -> Problem {
    let detail = "the pipeline does not answer now; what was asked may still be done";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "pipeline_unavailable", detail).retry_after(1)
}

fn unavailable(error: LogError) -> Problem {
    match error {
        LogError::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", error.to_string()),
        error => {
            tracing::warn!(%error, "a command could not be appended");
            Problem::unavailable("the log cannot take it now; try again")
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::{event::Time, testing::MemoryLog};

    use super::*;

    fn command(id: &str) -> Command {
        Command::Reroute { correlation_id: id.into(), tenant_id: "acme".into(), event_ids: vec![], at: Time(0) }
    }

    async fn answer(log: &dyn Log, id: &str, tenant: &str, code: Option<&str>) {
        let result = CommandResult {
            correlation_id: id.into(),
            tenant_id: tenant.into(),
            accepted: code.is_none(),
            code: code.map(str::to_owned),
            reason: None,
            data: None,
            at: Time(0),
        };
        let record = NewRecord {
            topic: Topic::CommandsResults,
            partition: partition_of(tenant, log.partitions()),
            at_ms: 0,
            key: Bytes::from(tenant.to_owned()),
            value: Some(serde_json::to_vec(&result).expect("JSON").into()),
            headers: Headers::default(),
        };
        log.append(vec![record]).await.expect("appended");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_find_who_asked() {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::new(4));
        let commands = Arc::new(Commands::new(Arc::clone(&log)));
        let early = commands.ask("acme", "c0", &command("c0"), 0).await;
        assert_eq!(early.expect_err("nobody listens").code(), "pipeline_unavailable");
        let (tell, told) = oneshot::channel();
        tokio::spawn(Arc::clone(&commands).listen(|| tell.send(()).expect("heard")));
        told.await.expect("listening");
        for (id, tenant, code, becomes) in [
            ("c1", "acme", None, "done"),
            ("c2", "acme", Some("illegal_move"), "illegal_move"),
            ("c3", "acme", Some("not_found"), "not_found"),
            ("c4", "acme", Some("something_new"), "refused"),
            ("c5", "umbra", None, "pipeline_unavailable"),
        ] {
            let asking = command(id);
            let (asked, ()) = tokio::join!(commands.ask("acme", id, &asking, 0), answer(&*log, id, tenant, code));
            assert_eq!(asked.map_or_else(|problem| problem.code(), |_| "done"), becomes, "{id}");
        }
        assert_eq!(
            commands.ask("acme", "c6", &command("c6"), 0).await.expect_err("silence").code(),
            "pipeline_unavailable"
        );
        assert!(commands.waiting().waiters.is_empty());
    }
}
