//! `lookups.results`: details that a webhook lacked.
//!
//! In: [`LookupResult`]s. Out: the drafts that waited for a task's details go
//! on, the first of them completed; a list's candidate gets its name and, where
//! its workgroup wants that, a channel; a list that is over becomes the event
//! `ProjectArchived`.

use super::{begin, read};
use crate::{
    chain::Chain,
    draft::Draft,
    event::LookupResult,
    ports::{NewRecord, Record},
    stages::mirror::MirrorContext,
};

/// The name under which results that cannot be read are buried.
pub const NAME: &str = "lookup";

/// One result.
pub fn on(chain: &mut Chain, record: &Record, outputs: &mut Vec<NewRecord>) {
    let Some(result) = read::<LookupResult>(chain, record, NAME, outputs) else { return };
    let Some(mut turn) = begin(chain, record, &result.tenant_id, outputs) else { return };
    for event in chain.state.lookups.on_result(&result, &mut turn) {
        chain.onward(Draft::of(event), &mut turn);
    }
    if let Some(list) = chain.state.lookups.on_list(&result, &mut turn) {
        chain.state.candidates.rename(&result.tenant_id, "clickup", &list.list_id, list.name, &mut turn);
        MirrorContext::of(&mut chain.state, &result.tenant_id).on_list(&list.list_id, &result, &mut turn);
        chain.settle(&mut turn);
        if let Some(event) = list.archived {
            chain.onward(Draft::of(event), &mut turn);
        }
    }
}
