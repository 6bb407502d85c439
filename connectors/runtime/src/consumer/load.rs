//! How much of a group's records is in hand in this process, for metrics and for
//! the bound over all partitions.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// See the module.
#[derive(Debug, Default)]
pub struct GroupLoad {
    in_hand: AtomicUsize,
    parked: AtomicUsize,
    /// By partition: when the oldest record was made that is not answered.
    oldest_ms: Mutex<BTreeMap<u32, u64>>,
}

impl GroupLoad {
    /// Records that were read and are not answered, without those that wait in the
    /// log.
    pub fn in_hand(&self) -> usize {
        self.in_hand.load(Relaxed)
    }

    /// Records that wait in the log for room, though they were read once.
    pub fn parked(&self) -> usize {
        self.parked.load(Relaxed)
    }

    /// When the oldest record was made that was read and is not answered.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.oldest_ms.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }
}

/// One partition's part of it. Whatever is left goes with it.
pub(super) struct PartitionLoad<'a> {
    group: &'a GroupLoad,
    partition: u32,
    in_hand: usize,
    parked: usize,
    oldest_ms: Option<u64>,
}

impl<'a> PartitionLoad<'a> {
    pub fn new(group: &'a GroupLoad, partition: u32) -> Self {
        PartitionLoad { group, partition, in_hand: 0, parked: 0, oldest_ms: None }
    }

    /// Of all partitions.
    pub fn in_hand_of_all(&self) -> usize {
        self.group.in_hand()
    }

    pub fn taken(&mut self) {
        self.in_hand += 1;
        self.group.in_hand.fetch_add(1, Relaxed);
    }

    pub fn answered(&mut self, count: usize) {
        let count = count.min(self.in_hand);
        self.in_hand -= count;
        self.group.in_hand.fetch_sub(count, Relaxed);
    }

    /// So many are parked now.
    pub fn parked(&mut self, count: usize) {
        self.group.parked.fetch_add(count, Relaxed);
        self.group.parked.fetch_sub(self.parked, Relaxed);
        self.parked = count;
    }

    /// The oldest that is not answered is of this time now.
    pub fn oldest(&mut self, oldest_ms: Option<u64>) {
        if oldest_ms == self.oldest_ms {
            return;
        }
        self.oldest_ms = oldest_ms;
        let mut all = self.group.oldest_ms.lock().unwrap_or_else(PoisonError::into_inner);
        match oldest_ms {
            Some(oldest_ms) => all.insert(self.partition, oldest_ms),
            None => all.remove(&self.partition),
        };
    }
}

impl Drop for PartitionLoad<'_> {
    fn drop(&mut self) {
        self.answered(self.in_hand);
        self.parked(0);
        self.oldest(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_partition_had_goes_with_it() {
        let group = GroupLoad::default();
        let (mut one, mut other) = (PartitionLoad::new(&group, 0), PartitionLoad::new(&group, 1));
        (0..3).for_each(|_| one.taken());
        other.taken();
        one.parked(2);
        one.oldest(Some(7));
        other.oldest(Some(9));
        assert_eq!((group.in_hand(), group.parked(), group.oldest_ms()), (4, 2, Some(7)));
        one.answered(2);
        drop(one);
        assert_eq!((group.in_hand(), group.parked(), group.oldest_ms()), (1, 0, Some(9)));
    }
}
