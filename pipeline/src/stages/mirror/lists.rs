//! A list that was created, where its workgroup wants a channel for it.
//!
//! The channel is made, or is the workgroup's own, and the candidate then says
//! so: with a workgroup and a channel it has all that a project needs.

use crate::{
    event::{LookupResult, MirrorPlace, MirrorResult, MirrorStage, OnListCreated},
    stages::mirror::context::{Desired, MirrorContext, NAME},
    state::mirror::item::Aim,
    turn::Turn,
};

impl MirrorContext<'_> {
    /// Details of a list have come.
    pub fn on_list(&mut self, list_id: &str, found: &LookupResult, turn: &mut Turn<'_>) {
        let Some(index) = self.index.filter(|index| index.place("clickup", list_id).is_none()) else { return };
        let (folder, space) = (found.folder_external_id.as_deref(), found.space_external_id.as_deref());
        let Some((workgroup, wanted)) = index.squad_of(folder, space) else { return };
        if found.archived == Some(true) || !self.candidates.has(self.tenant, "clickup", list_id) {
            return;
        }
        match wanted {
            OnListCreated::Ask => {}
            OnListCreated::UseWorkgroupChannel => {
                let channel = index.channel_of(workgroup);
                self.candidates.propose(self.tenant, "clickup", list_id, Some(workgroup), channel, turn);
            }
            OnListCreated::CreateChannel => {
                let Some(connection) = index.outgoing("slack") else { return };
                let wish = Desired {
                    source: format!("{NAME}:channel:clickup:{list_id}"),
                    aim: Aim::Channel {
                        name: found.name.clone().unwrap_or_else(|| list_id.to_owned()),
                        provider: "clickup".to_owned(),
                        external_id: list_id.to_owned(),
                        workgroup_id: workgroup.to_owned(),
                    },
                    place: MirrorPlace::Slack { channel_id: String::new(), thread_ts: None },
                    connection: connection.to_owned(),
                    lane: format!("channel/{workgroup}"),
                    task: None,
                    project: None,
                    action: None,
                    trace: None,
                    author: None,
                    said_ms: turn.now().0,
                    text: None,
                };
                self.post(wish, turn);
            }
        }
    }

    /// A channel was made.
    pub fn on_channel(&mut self, result: &MirrorResult, turn: &mut Turn<'_>) {
        let Some(channel) = result.channel_id.as_deref().filter(|_| result.stage == MirrorStage::Done) else { return };
        let key = self.state.items.of_command(self.tenant, &result.command_id);
        let Some(item) = key.and_then(|key| self.state.items.get(key)) else { return };
        if let Aim::Channel { provider, external_id, workgroup_id, .. } = &item.aim {
            self.candidates.propose(self.tenant, provider, external_id, Some(workgroup_id), Some(channel), turn);
        }
    }
}
