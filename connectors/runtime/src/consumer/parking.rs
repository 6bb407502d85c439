//! Records that were read and have no room: their offsets, by tenant, in order.
//! The records themselves stay in the log. Pure.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Parking {
    tenants: HashMap<Arc<str>, VecDeque<u64>>,
    count: usize,
}

impl Parking {
    /// One more of a tenant.
    pub fn push(&mut self, tenant: Arc<str>, offset: u64) {
        self.tenants.entry(tenant).or_default().push_back(offset);
        self.count += 1;
    }

    /// The oldest of a tenant.
    pub fn first(&self, tenant: &str) -> Option<u64> {
        self.tenants.get(tenant)?.front().copied()
    }

    /// The oldest of a tenant has room now, or is gone.
    pub fn pop(&mut self, tenant: &str) {
        let Some(offsets) = self.tenants.get_mut(tenant) else { return };
        self.count -= usize::from(offsets.pop_front().is_some());
        if offsets.is_empty() {
            self.tenants.remove(tenant);
        }
    }

    /// How many of a tenant.
    pub fn of(&self, tenant: &str) -> usize {
        self.tenants.get(tenant).map_or(0, VecDeque::len)
    }

    /// How many of all.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Who has some.
    pub fn tenants(&self) -> Vec<Arc<str>> {
        self.tenants.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_wait_apart_and_in_order() {
        let mut parking = Parking::default();
        [("a", 1), ("b", 2), ("a", 3)].into_iter().for_each(|(tenant, offset)| parking.push(tenant.into(), offset));
        assert_eq!((parking.first("a"), parking.of("a"), parking.of("c"), parking.count()), (Some(1), 2, 0, 3));
        parking.pop("a");
        parking.pop("b");
        assert_eq!((parking.first("a"), parking.first("b"), parking.count()), (Some(3), None, 1));
        assert_eq!(parking.tenants().len(), 1);
    }
}
