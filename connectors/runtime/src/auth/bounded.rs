//! A table of a bounded number of entries: when it is full, the half of it that
//! was not used for the longest time goes.

use std::{borrow::Borrow, hash::Hash};

use hashbrown::HashMap;

/// Entries by key, and when each was last asked for.
pub struct Bounded<K, V> {
    entries: HashMap<K, (u64, V)>,
    entries_max: usize,
}

impl<K: Hash + Eq, V> Bounded<K, V> {
    /// With room for so many.
    pub fn new(entries_max: usize) -> Self {
        Bounded { entries: HashMap::new(), entries_max: entries_max.max(2) }
    }

    /// The entry of a key, made if it is not there.
    pub fn entry(&mut self, key: K, now_ms: u64, make: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() >= self.entries_max && !self.entries.contains_key(&key) {
            self.shed();
        }
        let entry = self.entries.entry(key).or_insert_with(|| (now_ms, make()));
        entry.0 = now_ms;
        &mut entry.1
    }

    /// The entry of a key, if it is there.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Takes an entry away.
    pub fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.remove(key);
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Half at once, so that the sorting is paid for once in many entries.
    fn shed(&mut self) {
        let mut used: Vec<u64> = self.entries.values().map(|(at, _)| *at).collect();
        let middle = used.len() / 2;
        let (_, median, _) = used.select_nth_unstable(middle);
        let (median, mut left) = (*median, middle);
        self.entries.retain(|_, (at, _)| {
            // Of those of the same moment as many as fit.
            let keep = *at > median || (*at == median && left > 0);
            left = left.saturating_sub(usize::from(keep));
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_and_keeps_what_is_used() {
        let mut table = Bounded::new(100);
        for number in 0..10_000u64 {
            table.entry(number, number, || ());
            table.entry(0, number, || ());
            assert!(table.len() <= 101, "{}", table.len());
        }
        assert!(table.get(&0).is_some() && table.get(&9_999).is_some() && table.get(&5).is_none());
    }

    #[test]
    fn also_where_all_came_at_once() {
        let mut table = Bounded::new(10);
        (0..1_000).for_each(|number| *table.entry(number, 7, || 0) += 1);
        assert!(table.len() <= 10 && table.get(&999) == Some(&1), "{}", table.len());
    }
}
