//! `mirror.results`: what became of the mirror's commands.
//!
//! In: [`MirrorResult`]s. Out: what stands at the providers now, the next command
//! of the lane, and the drafts that waited for it.

use super::{begin, read};
use crate::{
    chain::Chain,
    event::MirrorResult,
    ports::{NewRecord, Record},
    stages::mirror::MirrorContext,
};

/// The name under which results that cannot be read are buried.
pub const NAME: &str = "mirror";

/// One step of a command.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let Some(result) = read::<MirrorResult>(chain, record, NAME, outputs) else { return };
    let Some(mut turn) = begin(chain, record, &result.tenant_id, outputs) else { return };
    let mut mirror = MirrorContext::of(&mut chain.state, &result.tenant_id);
    mirror.on_channel(&result, &mut turn);
    mirror.on_result(&result, &mut turn);
    chain.settle(&mut turn);
}
