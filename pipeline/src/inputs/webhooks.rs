//! `webhooks.raw`: verified requests of providers.
//!
//! In: requests, body byte for byte. Out: a draft for each thing that a request
//! tells of, into the first stage. The partition's clock follows them. A sender
//! that no connection knows is told of once a window, however much it sends.

use udfs::hash::Parts;

use super::normalize::{self, Rejected};
use crate::{
    chain::Chain,
    event::Severity,
    ports::{NewRecord, Record},
    topics::UNROUTED,
};

/// One request.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let turn = chain.turn(record, outputs);
    chain.enter(normalize::NAME, &turn);
    let webhook = match normalize::read(record) {
        Ok(webhook) => webhook,
        Err(Rejected { reason }) => return chain.bury(record, normalize::NAME, &reason, outputs),
    };
    if !chain.owns(&webhook.tenant_id, record) {
        return chain.send_home(record, &webhook.tenant_id, outputs);
    }
    chain.tell_time(webhook.received_at, record);

    let mut turn = chain.turn(record, outputs);
    chain.state.notices.hear(&webhook, &mut turn);
    let drafts = match normalize::on(&webhook, &turn) {
        Ok(drafts) => drafts,
        Err(Rejected { reason }) => return chain.bury(record, normalize::NAME, &reason, outputs),
    };
    chain.counts.twins += u64::from(drafts.is_empty());
    if webhook.tenant_id == UNROUTED && !drafts.is_empty() {
        let sender = format!("{}:{}", webhook.provider, webhook.sender_id.as_deref().unwrap_or("?"));
        let mark = Parts::new().add("connection.unknown").add(&sender).finish();
        if chain.state.seen.is_first(UNROUTED, &[mark], &mut turn) {
            let message = format!("no connection knows {sender}; its events are kept as {UNROUTED}");
            turn.alert("connection.unknown", Severity::Warning, UNROUTED, &sender, message);
        }
    }
    for draft in drafts {
        chain.admit(draft, &mut turn);
    }
}
