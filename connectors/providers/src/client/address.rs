//! Which addresses the hub may call: those of the public internet.
//!
//! Addresses of providers come from people, and some of those people are
//! tenants: without this, a base URL of `http://169.254.169.254` reads the
//! machine's own credentials. A name is judged by what it resolves to at the
//! moment of connecting, by the very addresses that are then connected to, so
//! that a name which changes its mind in between gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// A target that is not on the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is private; NEXUS_ALLOW_PRIVATE_TARGETS=true allows such targets")]
pub struct Private;

/// An address below another, made of these parts, each of which stays one; none
/// where a part could be more than that.
pub fn below(base: &Url, parts: &[&str]) -> Option<Url> {
    let is_part = |part: &&str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=128).contains(&part.len()) && part.bytes().all(allowed) && !part.bytes().all(|byte| byte == b'.')
    };
    if !parts.iter().all(is_part) {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(parts);
    Some(url)
}

/// Whether an address is one of the public internet. Those that carry another
/// address inside are as public as that one.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inside = |high: u16, low: u16| is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match parts {
        // IPv4 in IPv6 clothes: mapped, and what a NAT64 translates.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside(high, low),
        // 6to4 delivers to the address inside.
        [0x2002, high, low, ..] => inside(high, low),
        // Protocol assignments (Teredo among them) and documentation.
        [0x2001, ..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, ..0x1000, ..] => false,
        // Only this eighth is given out; the rest is local, multicast or void.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// Whether a URL's host may be called, as far as that can be told without
/// resolving it: literal addresses never reach a resolver.
pub fn check_literal(url: &Url) -> Result<(), Private> {
    let host = url.host_str().unwrap_or_default();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match literal.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => Err(Private),
        _ => Ok(()),
    }
}

/// The system's resolver, without its private answers.
pub struct Guarded {
    /// Whether those are kept after all.
    pub allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed = pick(found, allow_private)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn pick(found: Vec<SocketAddr>, allow_private: bool) -> Result<Vec<SocketAddr>, Private> {
    let any = !found.is_empty();
    let allowed: Vec<_> = found.into_iter().filter(|found| allow_private || is_public(found.ip())).collect();
    if any && allowed.is_empty() { Err(Private) } else { Ok(allowed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_of_the_public_internet_is_known() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.88.99.1",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn literals_are_known_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://017700000001/",
            "http://[::1]:80/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://0/",
            "http://１２７.0.0.1/",
        ] {
            assert_eq!(check_literal(&url.parse().expect(url)), Err(Private), "{url}");
        }
        for url in ["https://api.clickup.com/api/v2", "https://8.8.8.8/", "https://[2606:4700:4700::1111]/"] {
            assert_eq!(check_literal(&url.parse().expect(url)), Ok(()), "{url}");
        }
    }

    #[test]
    fn of_a_name_only_the_public_addresses_are_used() {
        let at = |text: &str| SocketAddr::new(text.parse().expect("an address"), 0);
        let both = vec![at("10.0.0.1"), at("8.8.8.8")];
        assert_eq!(pick(both.clone(), false), Ok(vec![at("8.8.8.8")]));
        assert_eq!(pick(both.clone(), true), Ok(both));
        assert_eq!(pick(vec![at("10.0.0.1")], false), Err(Private));
        assert_eq!(pick(Vec::new(), false), Ok(Vec::new()), "the resolver says that it does not exist");
    }

    proptest! {
        #[test]
        fn an_address_inside_another_is_judged_alike(bits: u32) {
            let inner = Ipv4Addr::from(bits);
            let public = is_public(IpAddr::V4(inner));
            prop_assert_eq!(is_public(IpAddr::V6(inner.to_ipv6_mapped())), public);
            let [high, low] = [(bits >> 16) as u16, bits as u16];
            prop_assert_eq!(is_public(IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low))), public);
            prop_assert_eq!(is_public(IpAddr::V6(Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1))), public);
            // The standard library's own words for the clearest cases.
            if inner.is_private() || inner.is_loopback() || inner.is_link_local() || inner.is_multicast() {
                prop_assert!(!public);
            }
        }
    }
}
