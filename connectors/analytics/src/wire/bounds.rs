//! How much a statement may take over the wire: rows go out as they come, and
//! where a limit is reached an error follows them, which no client takes for
//! the end.

use std::{sync::Arc, time::Instant};

use datafusion_postgres::pgwire::{
    api::results::Response,
    error::{PgWireError, PgWireResult},
};
use futures_util::{StreamExt, stream};
use runtime::sql::Refused;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal;
use crate::{limits::Limits, statement};

/// The bounds of one connection's statements.
pub struct Bounds {
    pub limits: Limits,
    /// Statements at the same time, all connections together.
    pub running: Arc<Semaphore>,
}

/// One statement's turn.
pub struct Turn {
    limits: Limits,
    begun: Instant,
    /// Held until the last row has gone.
    running: Arc<OwnedSemaphorePermit>,
}

impl Bounds {
    /// A turn, if there is one to have.
    pub fn turn(&self, text: &str) -> PgWireResult<Turn> {
        if text.len() > statement::LETTERS_MAX {
            let detail = format!("statements of more than {} bytes are not taken", statement::LETTERS_MAX);
            return Err(refusal(&Refused::Forbidden(detail)));
        }
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(running) => Ok(Turn { limits: self.limits, begun: Instant::now(), running: Arc::new(running) }),
            Err(_) => Err(refusal(&Refused::Busy)),
        }
    }
}

impl Turn {
    /// What comes in time.
    pub async fn within<T>(&self, work: impl Future<Output = PgWireResult<T>>) -> PgWireResult<T> {
        let left = self.limits.timeout.saturating_sub(self.begun.elapsed());
        match tokio::time::timeout(left, work).await {
            Ok(done) => done,
            Err(_) => Err(refusal(&self.limits.slow())),
        }
    }

    /// A response whose rows keep to the limits.
    pub fn bound(&self, response: Response) -> Response {
        let Response::Query(mut query) = response else { return response };
        let rows = std::mem::replace(&mut query.data_rows, Box::pin(stream::empty()));
        let counted =
            Counted { limits: self.limits, begun: self.begun, _running: Arc::clone(&self.running), rows: 0, bytes: 0 };
        query.data_rows = Box::pin(stream::unfold(Some((rows, counted)), |state| async move {
            let (mut rows, mut counted) = state?;
            let left = counted.limits.timeout.saturating_sub(counted.begun.elapsed());
            let next = match tokio::time::timeout(left, rows.next()).await {
                Ok(next) => next?,
                Err(_) => return Some((Err(refusal(&counted.limits.slow())), None)),
            };
            let next = next.and_then(|row| counted.count(row.data.len()).map(|()| row));
            let state = next.is_ok().then_some((rows, counted));
            Some((next, state))
        }));
        Response::Query(query)
    }
}

struct Counted {
    limits: Limits,
    begun: Instant,
    _running: Arc<OwnedSemaphorePermit>,
    rows: usize,
    bytes: usize,
}

impl Counted {
    fn count(&mut self, bytes: usize) -> Result<(), PgWireError> {
        self.rows += 1;
        self.bytes += bytes;
        self.limits.hold(self.rows, self.bytes).map_err(|refused| refusal(&refused))
    }
}
