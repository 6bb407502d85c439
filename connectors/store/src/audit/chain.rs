//! The chain of a tenant's acts: each row's hash goes over its number, its
//! content and the hash before it. Pure.
//!
//! Whoever changes, takes out or exchanges rows breaks it where he does, and who
//! takes the newest ones is seen by the head that is kept apart. Whoever may
//! rewrite the whole database, heads included, is found by comparing a head
//! with one that was exported or written down before.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The hash in front of the first row.
pub const ROOT: &str = "";

/// The hash of a row.
pub fn hash(before: &str, tenant: &str, number: i64, data: &str) -> String {
    let mut hasher = Sha256::new();
    for part in ["nexus.audit.v1", before, tenant, &number.to_string(), data] {
        // Lengths, so that nothing can move from one part to the next.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A row as it stands in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub number: i64,
    /// Its content.
    pub data: String,
    /// Its hash.
    pub hash: String,
    /// Whether the columns that it is found by say what the content says.
    pub columns_agree: bool,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// Whose trail.
    pub tenant_id: String,
    /// The row's number.
    pub number: i64,
    /// `changed`, `missing`, `columns`, `head`.
    pub fault: &'static str,
    /// In words.
    pub detail: String,
}

/// Walks a chain from its beginning.
#[derive(Debug)]
pub struct Walk {
    tenant: String,
    /// The last row: its number and its hash.
    pub last: (i64, String),
    /// What was found.
    pub faults: Vec<Fault>,
}

impl Walk {
    /// At the beginning of a tenant's.
    pub fn begin(tenant: &str) -> Walk {
        Walk { tenant: tenant.to_owned(), last: (0, ROOT.to_owned()), faults: Vec::new() }
    }

    fn fault(&mut self, number: i64, fault: &'static str, detail: String) {
        self.faults.push(Fault { tenant_id: self.tenant.clone(), number, fault, detail });
    }

    /// The next row, in the order of the numbers.
    pub fn step(&mut self, link: &Link) {
        let expected = self.last.0 + 1;
        if link.number != expected {
            let detail = format!("rows {expected} to {} are not there", link.number - 1);
            self.fault(expected, "missing", detail);
        }
        if hash(&self.last.1, &self.tenant, link.number, &link.data) != link.hash {
            // Behind a gap nothing can be told: the row before is not there.
            if link.number == expected {
                self.fault(link.number, "changed", "its content, its place or the row before is another".to_owned());
            }
        } else if !link.columns_agree {
            self.fault(link.number, "columns", "what it is found by is not what it says".to_owned());
        }
        // What stands there is believed for the next row, so that each change
        // is named where it was made.
        self.last = (link.number, link.hash.clone());
    }

    /// After the last row: it must be the one that the head names.
    pub fn end(&mut self, head: (i64, &str)) {
        if (self.last.0, &*self.last.1) != head {
            let (number, last) = (head.0, self.last.0);
            let detail = format!("the trail ends with row {last}, and should with row {number} and its hash");
            self.fault(number.max(last), "head", detail);
        }
    }
}

/// The hash of the next row of a chain.
pub(crate) fn next_hash(before: Option<&(i64, String)>, tenant: &str, data: &str) -> (i64, String) {
    let (number, before) = before.map_or((0, ROOT), |(number, hash)| (*number, hash.as_str()));
    (number + 1, hash(before, tenant, number + 1, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain(count: i64) -> Vec<Link> {
        let mut before = ROOT.to_owned();
        (1..=count)
            .map(|number| {
                let data = format!("act {number}");
                before = hash(&before, "acme", number, &data);
                Link { number, data, hash: before.clone(), columns_agree: true }
            })
            .collect()
    }

    fn faults(links: &[Link], head: (i64, &str)) -> Vec<(i64, &'static str)> {
        let mut walk = Walk::begin("acme");
        links.iter().for_each(|link| walk.step(link));
        walk.end(head);
        walk.faults.into_iter().map(|fault| (fault.number, fault.fault)).collect()
    }

    #[test]
    fn what_nobody_touched_is_whole() {
        let links = chain(5);
        assert_eq!(faults(&links, (5, &links[4].hash)), []);
        assert_eq!(faults(&[], (0, ROOT)), []);
    }

    #[test]
    fn each_way_of_tampering_is_named_where_it_was_done() {
        let (links, end) = (chain(5), chain(5)[4].hash.clone());
        let head = (5, &*end);
        let mut changed = links.clone();
        changed[2].data = "act 3, but kinder".to_owned();
        assert_eq!(faults(&changed, head), [(3, "changed")]);
        let mut rehashed = changed.clone();
        rehashed[2].hash = hash(&links[1].hash, "acme", 3, &rehashed[2].data);
        assert_eq!(faults(&rehashed, head), [(4, "changed")], "the next one goes over the old");
        let mut without = links.clone();
        without.remove(2);
        assert_eq!(faults(&without, head), [(3, "missing")]);
        assert_eq!(faults(&links[..4], head), [(5, "head")]);
        let mut exchanged = links.clone();
        (exchanged[1].data, exchanged[3].data) = (links[3].data.clone(), links[1].data.clone());
        assert_eq!(faults(&exchanged, head), [(2, "changed"), (4, "changed")]);
        let mut columns = links.clone();
        columns[0].columns_agree = false;
        assert_eq!(faults(&columns, head), [(1, "columns")]);
        assert_eq!(faults(&links, (0, "")), [(5, "head")], "a head that was taken away");
    }

    proptest! {
        #[test]
        fn any_one_change_is_found(at in 0..8usize, way in 0..4usize, text in ".{0,20}") {
            let (mut links, end) = (chain(8), chain(8)[7].hash.clone());
            match way {
                0 => {
                    prop_assume!(links[at].data != text);
                    links[at].data = text;
                }
                1 => { links.remove(at); }
                2 => {
                    prop_assume!(links[at].hash != text);
                    links[at].hash = text;
                }
                _ => {
                    let other = (at + 1) % 8;
                    let data = links[at].data.clone();
                    links[at].data = std::mem::replace(&mut links[other].data, data);
                }
            }
            prop_assert!(!faults(&links, (8, &end)).is_empty());
        }
    }
}
