//! The reconciliation that nobody has to ask for: comments that were deleted
//! where the provider tells nobody of it.
//!
//! What was heard of comments is read from `events` once a process, and then
//! only what is new; the tasks that have comments take turns.

use std::sync::PoisonError;

use pipeline::event::{Reconciled, Time};

use super::{
    super::{Connections, calls::UNHURRIED},
    Work,
    known::Known,
};
use providers::client::ProviderError;

/// Tasks whose comments are looked at in one turn: with ClickUp's hundred calls
/// a minute there is room for others.
const TASKS_OF_TURN: usize = 40;

/// What was read for a connection, and whose turn was last.
#[derive(Clone, Default)]
pub struct Read {
    known: Known,
    last: Option<String>,
}

impl Connections {
    /// One turn of a connection; how much was fed in.
    pub(in super::super) async fn reconcile(&self, tenant: &str, connection: &str) -> Result<u64, ProviderError> {
        let client = self.client(tenant, connection, UNHURRIED)?;
        let comments = client.provider.backfill().and_then(|backfill| backfill.comments());
        let Some(comments) = comments else { return Ok(0) };
        let now_ms = self.clock.now_ms();
        let from = Time::from_ms(now_ms.saturating_sub(self.settings.reconcile_days.saturating_mul(86_400_000)));
        let key = (tenant.to_owned(), connection.to_owned());
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        let mut read = match read {
            Some(read) => read,
            None => Read { known: self.known_since(tenant, connection, from, false).await?, last: None },
        };
        self.learn_more(&mut read.known, tenant, connection, false).await?;
        let tasks: Vec<String> =
            read.known.tasks().filter(|task| read.known.comments_on(task).next().is_some()).collect();
        let at = read.last.as_ref().map_or(0, |last| tasks.partition_point(|task| task <= last));
        let turn: Vec<String> = tasks.iter().cycle().skip(at).take(TASKS_OF_TURN.min(tasks.len())).cloned().collect();
        let mut work = Work::new(self, &client, read.known, (from, Reconciled::Missed));
        let mut fed = 0;
        let mut halted = Ok(());
        for task in turn {
            halted = comments.look(&client, &mut work, &task).await;
            if halted.is_err() {
                break;
            }
            fed += work.feed.flush().await?;
            read.last = Some(task);
        }
        let read = Read { known: work.known, last: read.last };
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(key, read);
        halted.map(|()| fed)
    }

    /// What nobody needs any more.
    pub(in super::super) fn forget_read(&self, tenant: &str, connection: &str) {
        let key = (tenant.to_owned(), connection.to_owned());
        self.read.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
