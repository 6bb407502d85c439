//! Queries that are followed: their rows as they are written ([`rows`]), or over
//! windows of event time the answer to each when it is over ([`windows`]).

pub mod closing;
pub mod rows;
pub mod windows;

use std::sync::Arc;

use runtime::sql::{Cursor, Followed, Question, Refused};
use tokio::sync::mpsc;

use self::windows::{Means, Windows};
use crate::{
    catalog, statement,
    table::{Follow, Reads, Source, Whose},
};

/// Rows that wait for whoever follows; beyond it the query waits.
const WAITING_MAX: usize = 64;

/// Begins to follow a query.
pub async fn begin(means: Means, question: Question, after: Option<Cursor>) -> Result<Followed, Refused> {
    let limits = means.limits;
    let refusal = |error| limits.refusal(&error);
    let whose = Whose::tenant(&question.tenant);
    let session = catalog::session(&means.source, &whose, &limits).map_err(refusal)?;
    let state = session.state();
    let plan = statement::plan(&state, &question.text).await?.map_err(refusal)?;
    let (to, followed) = mpsc::channel(WAITING_MAX);
    if let Some(asked) = windows::asked(&state, &plan)? {
        let windows = Windows::begin(means, question, asked, after).await?;
        tokio::spawn(windows.tell(to));
        return Ok(followed);
    }
    let after = match after {
        Some(Cursor::After(offset)) => Some(offset),
        Some(Cursor::Windows { .. }) => return Err(Refused::Invalid("the cursor is of another query".to_owned())),
        None => None,
    };
    let follow = Follow::after(after);
    let source = Source { reads: Reads::Follow(Arc::clone(&follow)), ..means.source };
    let session = catalog::session(&source, &whose, &limits).map_err(refusal)?;
    let frame = statement::frame(&session, &question.text).await?.map_err(refusal)?;
    let batches = frame.execute_stream().await.map_err(refusal)?;
    tokio::spawn(rows::tell(batches, follow, limits, to));
    Ok(followed)
}
