//! Rows one by one, as their records are written.

use std::sync::{Arc, atomic::Ordering};

use datafusion::execution::SendableRecordBatchStream;
use futures_util::StreamExt;
use runtime::sql::{Cursor, Refused, Told};
use tokio::sync::mpsc;

use crate::{answer, limits::Limits, table::Follow};

/// Tells the rows as they come, until there are no more or nobody listens.
pub async fn tell(
    mut rows: SendableRecordBatchStream,
    follow: Arc<Follow>,
    limits: Limits,
    to: mpsc::Sender<Result<Told, Refused>>,
) {
    loop {
        let batch = tokio::select! {
            batch = rows.next() => batch,
            () = to.closed() => return,
        };
        let lines = match batch {
            None => return,
            Some(batch) => batch.and_then(|batch| answer::lines(&batch)).map_err(|error| limits.refusal(&error)),
        };
        let cursor = Cursor::After(follow.read.load(Ordering::Relaxed));
        let told = match lines {
            Ok(lines) => lines.into_iter().map(|json| Ok(Told::Row { cursor, json })).collect(),
            Err(refused) => vec![Err(refused)],
        };
        for row in told {
            let is_last = row.is_err();
            if to.send(row).await.is_err() || is_last {
                return;
            }
        }
    }
}
