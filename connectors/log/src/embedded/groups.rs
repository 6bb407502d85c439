//! Consumer groups: who works on which partition, and how far they are.
//!
//! The newest living member of a group owns all of its partitions; each change
//! of hands raises the partition's epoch, and whoever comes with an older one
//! is fenced. (All members are in one process here, so there is nothing to
//! share out; a second member is a successor.)

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Notify;

use super::frame::Lane;

#[derive(Default)]
pub(super) struct Groups {
    by_name: HashMap<String, Group>,
    members_so_far: u64,
}

#[derive(Default)]
struct Group {
    offsets: HashMap<Lane, u64>,
    seats: Vec<Seat>,
    members: Vec<(u64, Arc<Notify>)>,
}

#[derive(Default)]
struct Seat {
    epoch: u64,
    holder: Option<Holder>,
}

struct Holder {
    member: u64,
    alarm: Arc<Notify>,
}

impl Groups {
    /// How far a group is in a lane.
    pub(super) fn offset(&self, group: &str, lane: Lane) -> Option<u64> {
        self.by_name.get(group)?.offsets.get(&lane).copied()
    }

    /// Moves a group on.
    pub(super) fn set_offset(&mut self, group: &str, lane: Lane, next: u64) {
        match self.by_name.get_mut(group) {
            Some(known) => known.offsets.insert(lane, next),
            None => self.by_name.entry(group.to_owned()).or_default().offsets.insert(lane, next),
        };
    }

    /// A new member, who will be told through `alarm` of partitions to take.
    pub(super) fn join(&mut self, group: &str, partitions: u32, alarm: Arc<Notify>) -> u64 {
        self.members_so_far += 1;
        let group = self.by_name.entry(group.to_owned()).or_default();
        group.seats.resize_with(partitions as usize, Seat::default);
        group.members.push((self.members_so_far, alarm));
        self.members_so_far
    }

    /// A member goes; its sessions stay until somebody takes their partitions.
    pub(super) fn leave(&mut self, group: &str, member: u64) {
        if let Some(group) = self.by_name.get_mut(group) {
            group.members.retain(|(known, _)| *known != member);
            group.call();
        }
    }

    /// A partition for this member, with its new epoch, if there is one.
    pub(super) fn take(&mut self, group: &str, member: u64, alarm: &Arc<Notify>) -> Option<(u32, u64)> {
        let group = self.by_name.get_mut(group)?;
        if group.members.last().is_none_or(|(newest, _)| *newest != member) {
            return None;
        }
        let is_free = |seat: &Seat| seat.holder.as_ref().is_none_or(|holder| holder.member != member);
        let partition = group.seats.iter().position(is_free)?;
        let seat = &mut group.seats[partition];
        seat.epoch += 1;
        let holder = Holder { member, alarm: alarm.clone() };
        if let Some(fenced) = seat.holder.replace(holder) {
            fenced.alarm.notify_one();
        }
        Some((partition as u32, seat.epoch))
    }

    /// Whether a session still has its partition.
    pub(super) fn holds(&self, group: &str, partition: u32, epoch: u64) -> bool {
        let seat = self.by_name.get(group).and_then(|group| group.seats.get(partition as usize));
        seat.is_some_and(|seat| seat.epoch == epoch)
    }

    /// A session ends; its partition may be taken again.
    pub(super) fn release(&mut self, group: &str, partition: u32, epoch: u64) {
        let Some(group) = self.by_name.get_mut(group) else { return };
        if let Some(seat) = group.seats.get_mut(partition as usize)
            && seat.epoch == epoch
        {
            seat.holder = None;
            group.call();
        }
    }

    /// Wakes everybody, because the log is at its end.
    pub(super) fn wake_all(&self) {
        for group in self.by_name.values() {
            group.call();
            for holder in group.seats.iter().filter_map(|seat| seat.holder.as_ref()) {
                holder.alarm.notify_one();
            }
        }
    }
}

impl Group {
    fn call(&self) {
        for (_, alarm) in &self.members {
            alarm.notify_one();
        }
    }
}
