//! Which requests of a partition are being answered, and how far the group may
//! therefore move on. Pure.
//!
//! Answers come in any order; the group's offset may only pass a request when
//! that and all before it are answered, or a crash would lose the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;

/// The requests that are being answered.
#[derive(Debug, Default)]
pub struct Open {
    /// By offset: whose they are, and when their records were made.
    offsets: BTreeMap<u64, (Arc<str>, u64)>,
    /// Answered, but behind one that is not.
    ahead: BTreeSet<u64>,
    of_tenant: HashMap<Arc<str>, usize>,
    next: Option<u64>,
    told: Option<u64>,
}

impl Open {
    /// A request was read, of this time. Tells how many of its tenant are being
    /// answered now.
    pub fn begin(&mut self, offset: u64, tenant: &str, at_ms: u64) -> usize {
        let tenant: Arc<str> = match self.of_tenant.get_key_value(tenant) {
            Some((known, _)) => Arc::clone(known),
            None => tenant.into(),
        };
        self.next = self.next.max(Some(offset + 1));
        self.offsets.insert(offset, (Arc::clone(&tenant), at_ms));
        let count = self.of_tenant.entry(tenant).or_default();
        *count += 1;
        *count
    }

    /// It was answered.
    pub fn end(&mut self, offset: u64) {
        let Some((tenant, _)) = self.offsets.remove(&offset) else { return };
        if let Some(count) = self.of_tenant.get_mut(&tenant) {
            *count -= 1;
            if *count == 0 {
                self.of_tenant.remove(&tenant);
            }
        }
        match self.offsets.first_key_value() {
            Some((oldest, _)) => {
                if offset > *oldest {
                    self.ahead.insert(offset);
                }
                self.ahead = self.ahead.split_off(oldest);
            }
            None => self.ahead.clear(),
        }
    }

    /// How many of a tenant are being answered.
    pub fn of(&self, tenant: &str) -> usize {
        self.of_tenant.get(tenant).copied().unwrap_or_default()
    }

    /// When the oldest was made that is not answered.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.offsets.first_key_value().map(|(_, (_, at_ms))| *at_ms)
    }

    /// How many requests lie between the oldest that is not answered and the
    /// newest that was read: what a crash would have answered again.
    pub fn span(&self) -> usize {
        self.offsets.len() + self.ahead.len()
    }

    /// Where the group may go on, if that is news.
    pub fn advance(&mut self) -> Option<u64> {
        let next = match self.offsets.first_key_value() {
            Some((oldest, _)) => *oldest,
            None => self.next?,
        };
        let is_news = self.told.is_none_or(|told| told < next);
        is_news.then(|| *self.told.insert(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_group_waits_for_the_slowest() {
        let mut open = Open::default();
        for offset in [4, 5, 9] {
            open.begin(offset, "acme", offset);
        }
        assert_eq!(open.advance(), Some(4), "nothing is answered, nothing is passed");
        open.end(5);
        assert_eq!((open.advance(), open.span()), (None, 3));
        open.end(4);
        assert_eq!((open.advance(), open.span()), (Some(9), 1));
        open.end(9);
        assert_eq!((open.advance(), open.span()), (Some(10), 0));
        assert_eq!(open.advance(), None);
    }

    #[test]
    fn tenants_are_counted_apart() {
        let mut open = Open::default();
        assert_eq!([open.begin(0, "acme", 0), open.begin(1, "acme", 1), open.begin(2, "umbra", 2)], [1, 2, 1]);
        open.end(0);
        assert_eq!(open.begin(3, "acme", 3), 2);
    }

    proptest! {
        #[test]
        fn nothing_unanswered_is_ever_passed(order in Just((0..40u64).collect::<Vec<_>>()).prop_shuffle(), early in 0..40usize) {
            let (mut open, mut answered) = (Open::default(), BTreeSet::new());
            (0..40).for_each(|offset| { open.begin(offset, "acme", offset); });
            for (step, offset) in order.into_iter().enumerate() {
                open.end(offset);
                answered.insert(offset);
                if step >= early && let Some(next) = open.advance() {
                    prop_assert!((0..next).all(|offset| answered.contains(&offset)));
                    prop_assert!(!answered.contains(&next));
                }
                prop_assert!(open.span() <= 40);
            }
            prop_assert_eq!(open.told, Some(40));
            prop_assert_eq!(open.span(), 0);
        }
    }
}
