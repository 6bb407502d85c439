//! The states of many subjects, each until it says nothing any more.
//!
//! In: a state and when it expires. Out: the keys of what has expired, for
//! which tombstones are written. Memory: `subjects_max` states; beyond them the
//! one that would expire first goes early, and its subject begins anew.

use std::{collections::BTreeSet, sync::Arc};

use hashbrown::HashMap;

/// States by key: `tenant/id`.
#[derive(Debug)]
pub struct Subjects<S> {
    states: HashMap<Arc<str>, (u64, S)>,
    expiries: BTreeSet<(u64, Arc<str>)>,
    subjects_max: usize,
}

impl<S: Default> Subjects<S> {
    /// Nobody is known yet.
    pub fn new(subjects_max: usize) -> Self {
        Subjects { states: HashMap::new(), expiries: BTreeSet::new(), subjects_max }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// A subject's state.
    pub fn get(&self, key: &str) -> Option<&S> {
        self.states.get(key).map(|(_, state)| state)
    }

    /// A subject's state, and when it expires.
    pub fn entry(&self, key: &str) -> Option<(u64, &S)> {
        self.states.get(key).map(|(expiry, state)| (*expiry, state))
    }

    /// A subject's state, or an empty one, to be changed and [`put`](Self::put)
    /// back.
    pub fn take(&mut self, key: &str) -> S {
        let Some((key, (expiry, state))) = self.states.remove_entry(key) else { return S::default() };
        self.expiries.remove(&(expiry, key));
        state
    }

    /// Remembers a state until `expiry`; without one it says nothing, and is
    /// not remembered. Gives the key of what had to go for it, if anything had.
    pub fn put(&mut self, key: &str, state: S, expiry: Option<u64>) -> Option<Arc<str>> {
        self.take(key);
        let expiry = expiry?;
        let key: Arc<str> = key.into();
        self.expiries.insert((expiry, Arc::clone(&key)));
        self.states.insert(key, (expiry, state));
        if self.states.len() > self.subjects_max { self.forget_first() } else { None }
    }

    /// Forgets what says nothing from `now_ms` on, `count_max` at most, so that
    /// a tick stays short; gives the keys, in a fixed order.
    pub fn expire(&mut self, now_ms: u64, count_max: usize) -> Vec<Arc<str>> {
        let mut keys = Vec::new();
        while keys.len() < count_max && self.next_expiry().is_some_and(|expiry| expiry <= now_ms) {
            keys.extend(self.forget_first());
        }
        keys
    }

    /// When the first expires.
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expiry, _)| *expiry)
    }

    fn forget_first(&mut self) -> Option<Arc<str>> {
        let (_, key) = self.expiries.pop_first()?;
        self.states.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_remembered_until_it_expires() {
        let mut subjects = Subjects::<u32>::new(10);
        assert_eq!(subjects.take("t/a"), 0);
        for (key, state, expiry) in [("t/a", 1, Some(30)), ("t/b", 2, Some(10)), ("t/c", 3, Some(10)), ("t/d", 4, None)]
        {
            assert_eq!(subjects.put(key, state, expiry), None);
        }
        assert_eq!((subjects.len(), subjects.next_expiry(), subjects.get("t/b")), (3, Some(10), Some(&2)));
        assert!(subjects.expire(9, 10).is_empty());
        assert_eq!(subjects.expire(30, 2), ["t/b".into(), "t/c".into()], "oldest first, not too many at a time");
        assert_eq!(subjects.take("t/a"), 1);
        assert!(subjects.is_empty() && subjects.next_expiry().is_none());
        // Put again, the later expiry holds.
        subjects.put("t/a", 1, Some(5));
        subjects.put("t/a", 2, Some(50));
        assert!(subjects.expire(49, 10).is_empty());
        subjects.put("t/a", 2, None);
        assert!(subjects.is_empty());
    }

    #[test]
    fn beyond_the_bound_the_first_to_expire_goes() {
        let mut subjects = Subjects::<u32>::new(2);
        subjects.put("t/a", 1, Some(30));
        subjects.put("t/b", 2, Some(10));
        assert_eq!(subjects.put("t/c", 3, Some(20)).as_deref(), Some("t/b"));
        assert_eq!(subjects.put("t/d", 4, Some(5)).as_deref(), Some("t/d"));
        assert_eq!((subjects.len(), subjects.expiries.len()), (2, 2));
    }
}
