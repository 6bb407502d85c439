//! What the pipeline reads: one file an input topic, which says what is read
//! from it and what it starts. All have one signature.
//!
//! In: a record. Out: what follows from it, at once or by a draft that is let
//! into the chain. A record that cannot be read goes to `dead.letters` under the
//! file's `NAME`.

pub mod actions;
pub mod commands;
pub mod control;
pub mod lookups;
pub mod memory;
pub mod mirror;
pub mod normalize;
pub mod presence;
pub mod webhooks;

use crate::{
    chain::Chain,
    ports::{NewRecord, Record},
    turn::Turn,
};

/// Reads a record's value, or buries it.
fn read<T: serde::de::DeserializeOwned>(
    chain: &mut Chain,
    record: &Record,
    name: &'static str,
    outputs: &mut Vec<NewRecord>,
) -> Option<T> {
    let turn = chain.turn(record, outputs);
    chain.enter(name, &turn);
    match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
        Ok(value) => Some(value),
        Err(error) => {
            chain.bury(record, name, &error.to_string(), outputs);
            None
        }
    }
}

/// The turn of a tenant's record, if it is where it belongs.
fn begin<'a>(chain: &mut Chain, record: &Record, tenant: &str, outputs: &'a mut Vec<NewRecord>) -> Option<Turn<'a>> {
    if !chain.owns(tenant, record) {
        chain.send_home(record, tenant, outputs);
        return None;
    }
    Some(chain.turn(record, outputs))
}
