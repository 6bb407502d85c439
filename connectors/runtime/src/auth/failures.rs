//! Who guessed wrong too often: a client's id or an address is refused for a
//! while, longer each time.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use super::bounded::Bounded;

/// Wrong secrets in a row before a client's id, or an address, is refused.
/// Many agents may share an address, so it may fail more often.
const CLIENT_FAILURES_MAX: u32 = 10;
const ADDRESS_FAILURES_MAX: u32 = 100;

/// The first refusal's length; each further one is twice as long, up to the
/// second.
const REFUSED_FIRST_MS: u64 = 30_000;
const REFUSED_MAX_MS: u64 = 15 * 60_000;

/// After so long without a failure all is forgotten.
const FORGOTTEN_AFTER_MS: u64 = 30 * 60_000;

/// Ids and addresses that are kept in mind.
const KEPT_MAX: usize = 20_000;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A client's id, whether there is such a client or not.
    Client(String),
    /// An address; of IPv6 the network, which its owner has all of.
    Address(IpAddr),
}

impl Who {
    /// An address, as it is counted.
    pub fn at(address: IpAddr) -> Who {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Who::Address(IpAddr::V6(network.into()))
            }
            address => Who::Address(address),
        }
    }

    fn failures_max(&self) -> u32 {
        match self {
            Who::Client(_) => CLIENT_FAILURES_MAX,
            Who::Address(_) => ADDRESS_FAILURES_MAX,
        }
    }
}

#[derive(Default)]
struct Record {
    failures: u32,
    refusals: u32,
    refused_until_ms: u64,
    last_ms: u64,
}

/// All that were counted.
pub struct Failures(Mutex<Bounded<Who, Record>>);

impl Default for Failures {
    fn default() -> Self {
        Failures(Mutex::new(Bounded::new(KEPT_MAX)))
    }
}

impl Failures {
    /// Whether somebody is refused now: for how many seconds yet.
    pub fn refused_s(&self, who: &Who, now_ms: u64) -> Option<u64> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left_ms = records.get(who)?.refused_until_ms.checked_sub(now_ms).filter(|left| *left > 0)?;
        Some(left_ms.div_ceil(1_000))
    }

    /// A wrong secret.
    pub fn failed(&self, who: Who, now_ms: u64) {
        let failures_max = who.failures_max();
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.entry(who, now_ms, Record::default);
        if now_ms.saturating_sub(record.last_ms) > FORGOTTEN_AFTER_MS {
            *record = Record::default();
        }
        record.last_ms = now_ms;
        record.failures += 1;
        if record.failures >= failures_max {
            let length_ms = REFUSED_FIRST_MS << record.refusals.min(10);
            record.refused_until_ms = now_ms + length_ms.min(REFUSED_MAX_MS);
            record.refusals += 1;
            record.failures = 0;
        }
    }

    /// The right secret: a client's failures are forgotten. An address's are
    /// not, or whoever has one client could guess at others without end.
    pub fn succeeded(&self, client_id: &str) {
        let who = Who::Client(client_id.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Who {
        Who::Client("cli_1".to_owned())
    }

    #[test]
    fn ten_wrong_ones_are_too_many_and_each_time_for_longer() {
        let failures = Failures::default();
        let mut now_ms = 1_000;
        for length_s in [30, 60, 120, 240, 480, 900, 900] {
            for _ in 0..CLIENT_FAILURES_MAX {
                assert_eq!(failures.refused_s(&client(), now_ms), None);
                failures.failed(client(), now_ms);
            }
            assert_eq!(failures.refused_s(&client(), now_ms), Some(length_s));
            assert_eq!(failures.refused_s(&Who::Client("cli_2".to_owned()), now_ms), None);
            now_ms += length_s * 1_000;
            assert_eq!(failures.refused_s(&client(), now_ms - 1), Some(1));
        }
        failures.failed(client(), now_ms + FORGOTTEN_AFTER_MS + 1);
        now_ms += FORGOTTEN_AFTER_MS + 1;
        (1..CLIENT_FAILURES_MAX).for_each(|_| failures.failed(client(), now_ms));
        assert_eq!(failures.refused_s(&client(), now_ms), Some(30), "long ago is forgotten");
    }

    #[test]
    fn the_right_one_clears_the_client_and_not_the_address() {
        let failures = Failures::default();
        let address = Who::at([10, 0, 0, 1].into());
        for _ in 0..ADDRESS_FAILURES_MAX {
            failures.failed(client(), 0);
            failures.failed(address.clone(), 0);
            failures.succeeded("cli_1");
        }
        assert_eq!(failures.refused_s(&client(), 0), None);
        assert_eq!(failures.refused_s(&address, 0), Some(30));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_mapped_addresses_are_ipv4() {
        let at = |text: &str| Who::at(text.parse().expect("an address"));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.2"), at("10.0.0.1"));
    }
}
