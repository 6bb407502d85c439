//! The port that the memory log implements.

use std::collections::VecDeque;

use super::{
    memory_log::{MemoryLog, no_partition},
    memory_session::{LaneReader, Member},
};
use crate::{
    ports::{Lag, Log, LogError, Membership, NewRecord, Pending, Position, Reader, Start, Visibility},
    topics::Topic,
};

impl Log for MemoryLog {
    fn identity(&self) -> u64 {
        self.identity
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn append(&self, records: Vec<NewRecord>) -> Pending<'static, Vec<Position>> {
        let taken = self.take(records);
        let inner = self.inner.clone();
        Box::pin(async move {
            let (positions, seq, crashes) = taken?;
            inner
                .until(|state| match state.crashes == crashes {
                    true => Ok(state.is_durable(seq).then_some(())),
                    // Whoever waited for it does not learn what became of it.
                    false => Err(LogError::Closed),
                })
                .await?;
            Ok(positions)
        })
    }

    fn read(&self, topic: Topic, partition: u32, from: Start, _visibility: Visibility) -> Pending<'_, Box<dyn Reader>> {
        Box::pin(async move {
            if partition >= self.partitions {
                return Err(no_partition(partition, self.partitions));
            }
            let lane = (topic, partition);
            let state = self.lock();
            state.check_open()?;
            let next = match from {
                Start::Oldest => 0,
                Start::Newest => state.lanes.get(&lane).map_or(0, |records| records.taken),
                Start::Offset(offset) => offset,
            };
            let reader = LaneReader { log: self.inner.clone(), next: (lane, next), from_oldest: from == Start::Oldest };
            reader.check_kept(&state)?;
            Ok(Box::new(reader) as Box<dyn Reader>)
        })
    }

    fn join(&self, group: &str, inputs: &[Topic]) -> Pending<'_, Box<dyn Membership>> {
        let mut state = self.lock();
        state.members += 1;
        let number = state.members;
        state.groups.entry(group.to_owned()).or_default().members.push(number);
        drop(state);
        let member = Member { log: self.clone(), group: group.to_owned(), inputs: inputs.to_vec(), number };
        Box::pin(async move { Ok(Box::new(member) as Box<dyn Membership>) })
    }

    fn lag(&self, group: &str, topics: &[Topic]) -> Pending<'_, Vec<Lag>> {
        let state = self.lock();
        let mut lags = Vec::new();
        for topic in topics {
            for partition in 0..self.partitions {
                let lane = (*topic, partition);
                let group_offset = state.groups.get(group).and_then(|group| group.offsets.get(&lane)).copied();
                let oldest = state.read(&mut [(lane, group_offset.unwrap_or_default())], 1);
                lags.push(Lag {
                    topic: *topic,
                    partition,
                    first_offset: state.first(lane),
                    end_offset: state.lanes.get(&lane).map_or(0, |records| records.taken),
                    group_offset,
                    oldest_unread_at_ms: oldest.first().map(|record| record.at_ms),
                });
            }
        }
        Box::pin(std::future::ready(Ok(lags)))
    }

    fn ready(&self) -> Result<(), LogError> {
        self.lock().check_open()
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.inner.until(|state| Ok(state.held.as_ref().is_none_or(VecDeque::is_empty).then_some(()))).await?;
            let mut state = self.lock();
            state.is_closed = true;
            self.wake(state);
            Ok(())
        })
    }
}
