//! `control`: rows of the tenants' directories.
//!
//! In: one record a row, `tenant/kind/id`; one without a value takes the row
//! away. Out: the directory that the stages look into, from this record on, and
//! what follows for what was known of the row.

use crate::{
    chain::Chain,
    event::{Agent, Control, Row, TenantKey},
    ports::{NewRecord, Record},
};

/// The name under which rows that cannot be read are buried.
pub const NAME: &str = "directory";

/// One row.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    if let Err(reason) = take(chain, record, outputs) {
        chain.bury(record, NAME, &reason, outputs);
    }
}

fn take(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) -> Result<(), String> {
    let mut turn = chain.turn(record, outputs);
    chain.enter(NAME, &turn);
    let key = TenantKey::parse(&record.key)
        .ok_or_else(|| format!("{:?} is no tenant/kind/id", String::from_utf8_lossy(&record.key)))?;
    let row = record.value.as_deref().map(serde_json::from_slice::<Control>).transpose();
    let row = row.map_err(|error| error.to_string())?.map(|row| row.data);
    let TenantKey { tenant, kind, id } = key;
    if !chain.owns(tenant, record) {
        return Err("it is in another tenant's partition".to_owned());
    }
    let (row, state) = (row.as_ref(), &mut chain.state);
    state.directory.on(tenant, kind, id, row, &mut turn)?;
    if kind == Agent::KIND && row.is_none() {
        state.governed.forget_agent(tenant, id, &mut turn);
    }
    state.candidates.on_row(tenant, kind, row, &mut turn);
    state.notices.on_row(tenant, kind, id, row, &mut turn);
    Ok(())
}
