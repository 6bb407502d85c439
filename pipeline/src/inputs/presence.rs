//! `presence`: what the gateways say of agents' sockets.
//!
//! In: `tenant/agent/agentId/socketId`; one without a value says that the socket
//! is closed. Out: what is known of who is online, and an alert for who is back.
//! What else is there (the gateways' own signs of life, who was cut) is for
//! gateways.

use super::read;
use crate::{
    chain::Chain,
    event::{GATEWAY, Presence, TenantKey},
    ports::{NewRecord, Record},
    state::governed::NAME,
};

/// How one socket is.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let Some(key) = TenantKey::parse(&record.key).filter(|key| key.kind == "agent") else { return };
    let Some((agent, socket)) = key.split_id() else { return };
    if agent == GATEWAY || !chain.owns(key.tenant, record) {
        return;
    }
    let presence = match record.value.is_some() {
        true => match read::<Presence>(chain, record, NAME, outputs) {
            None => return,
            some => some,
        },
        false => None,
    };
    let mut turn = chain.turn(record, outputs);
    chain.enter(NAME, &turn);
    let state = &mut chain.state;
    // Nobody but the directory bounds how many agents there are.
    if state.directory.of(key.tenant).is_some_and(|index| index.agent(agent).is_some()) {
        let status = presence.map(|presence| presence.status);
        state.governed.on_presence(key.tenant, agent, socket, status, &mut turn);
    }
}
