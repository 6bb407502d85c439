//! Rows of the outbox: what a transaction announces on the log.
//!
//! In: a row of the directory, an alert, an act or a command, within the
//! transaction of what it tells. Out: a row that [`crate::announce`] writes to the
//! log, in the order of the commits.

use pipeline::event::{Act, Alert, Row, Time};

use crate::{database::Tx, error::StoreError, json, sql};

/// The kind of an outbox row that is a command and no row of the directory.
pub(crate) const COMMAND: &str = "command";

/// The kinds of outbox rows that are an alert, and a line of the trail.
pub(crate) const ALERT: &str = "alert";
pub(crate) const ACT: &str = "act";

/// An alert, which the announcer takes to its topic.
pub async fn post_alert(tx: &mut Tx, alert: &Alert) -> Result<(), StoreError> {
    post(tx, &alert.tenant_id, ALERT, &alert.kind, Some(json(alert)), alert.at).await
}

/// An act, which the announcer takes to its topic.
pub async fn post_act(tx: &mut Tx, act: &Act) -> Result<(), StoreError> {
    post(tx, &act.tenant_id, ACT, &act.id, Some(json(act)), act.at).await
}

/// A row of `control`, which the announcer takes there.
pub async fn post_row<R: Row>(
    tx: &mut Tx,
    tenant: &str,
    kind: &str,
    id: &str,
    row: Option<&R>,
    at: Time,
) -> Result<(), StoreError> {
    post(tx, tenant, kind, id, row.map(|row| json(row)), at).await
}

async fn post(
    tx: &mut Tx,
    tenant: &str,
    kind: &str,
    id: &str,
    data: Option<String>,
    at: Time,
) -> Result<(), StoreError> {
    let values = [tenant.into(), kind.into(), id.into(), data.into(), at.0.into()];
    tx.execute(sql!("outbox_insert"), &values).await?;
    Ok(())
}
