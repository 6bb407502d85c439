//! The key of a record in a compacted topic: `tenant/kind/id`.

use std::fmt;

use bytes::Bytes;

/// A key of `control`, `pipeline.state`, `presence` or `agents.cursors`, taken
/// apart. Tenants and kinds hold no `/`; what follows the second is the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantKey<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Which kind of entry.
    pub kind: &'a str,
    /// Which one.
    pub id: &'a str,
}

impl<'a> TenantKey<'a> {
    /// The key of an entry.
    pub fn new(tenant: &'a str, kind: &'a str, id: &'a str) -> Self {
        TenantKey { tenant, kind, id }
    }

    /// Reads a record's key; nothing if it has fewer than three parts or is not
    /// UTF-8.
    pub fn parse(key: &'a [u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.splitn(3, '/');
        Some(TenantKey { tenant: parts.next()?, kind: parts.next()?, id: parts.next()? })
    }

    /// The id's own two parts, where it has them (`agentId/socketId`).
    pub fn split_id(&self) -> Option<(&'a str, &'a str)> {
        self.id.split_once('/')
    }

    /// As a record's key.
    pub fn to_bytes(&self) -> Bytes {
        [self.tenant, self.kind, self.id].join("/").into()
    }
}

impl fmt::Display for TenantKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        for key in [TenantKey::new("acme", "row", "agent/agt_1"), TenantKey::new("_clock", "_clock", "now")] {
            assert_eq!(TenantKey::parse(&key.to_bytes()), Some(key));
            assert_eq!(key.to_bytes(), key.to_string());
        }
        assert_eq!(TenantKey::new("acme", "agent", "a/s/1").split_id(), Some(("a", "s/1")));
        assert!(TenantKey::parse(b"acme/row").is_none() && TenantKey::parse(b"a/b/\xff").is_none());
    }
}
