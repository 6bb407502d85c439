//! Each scheme signs and verifies; whatever is changed on the way is refused.

use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

use super::*;

const NOW_MS: i64 = 1_700_000_000_000;
const NOW_S: u64 = 1_700_000_000;

type Lines = Vec<(&'static str, Vec<u8>)>;

fn lookup<'l>(lines: &'l Lines) -> impl Fn(&str) -> Option<&'l [u8]> + 'l {
    |name| lines.iter().find(|(known, _)| *known == name).map(|(_, value)| &value[..])
}

fn check<'l>(scheme: &Scheme, lines: &'l Lines, body: &[u8], secrets: &[&str]) -> Result<Verified<'l>, Refused> {
    verify(scheme, &lookup(lines), body, secrets, NOW_MS)
}

fn lines(headers: &[(&'static str, &str)]) -> Lines {
    headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect()
}

fn signed(scheme: &Scheme, secret: &str, body: &[u8]) -> Lines {
    let headers = sign(scheme, secret, "msg_1", NOW_S, body).unwrap();
    headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect()
}

fn secret_for(scheme: &Scheme) -> &'static str {
    if scheme.secret == Secret::Base64 { "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw" } else { "whsec_text secret" }
}

/// The example that GitHub's documentation prints.
#[test]
fn githubs_own_example() {
    let lines =
        lines(&[("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")]);
    let secret = "It's a Secret to Everybody";
    assert!(check(&GITHUB, &lines, b"Hello, World!", &[secret]).is_ok());
    assert_eq!(check(&GITHUB, &lines, b"Hello, World!\n", &[secret]), Err(Refused::Mismatch));
}

#[test]
fn every_scheme_verifies_what_it_signed() {
    for scheme in SCHEMES {
        let secret = secret_for(scheme);
        let lines = signed(scheme, secret, b"{}");
        let verified = check(scheme, &lines, b"{}", &["another", secret]).unwrap();
        assert_eq!(verified.id.is_some(), scheme.id_header.is_some(), "{}", scheme.name);
        assert_eq!(verified.timestamp_ms.is_some(), scheme.timestamp != Timestamp::None, "{}", scheme.name);
        assert_eq!(check(scheme, &lines, b"{}", &["YW5vdGhlcg"]), Err(Refused::Mismatch), "{}", scheme.name);
        assert_eq!(check(scheme, &lines, b"{}", &[]), Err(Refused::NoSecret), "{}", scheme.name);
        assert_eq!(detect(SCHEMES, &lookup(&lines)), Some(scheme));
        assert_eq!(by_name(scheme.name), Some(scheme));
        for missing in 0..lines.len() {
            let mut fewer = lines.clone();
            let (name, _) = fewer.remove(missing);
            assert_eq!(check(scheme, &fewer, b"{}", &[secret]), Err(Refused::MissingHeader(name)));
        }
    }
}

#[test]
fn the_header_tells_the_scheme() {
    for (index, scheme) in SCHEMES.iter().enumerate() {
        assert_eq!(SCHEMES.iter().position(|other| other.header == scheme.header), Some(index));
    }
}

/// An HMAC with an empty key is a digest that anyone can compute.
#[test]
fn an_empty_secret_verifies_nothing() {
    for scheme in SCHEMES {
        for secret in ["", "whsec_", "whpk_"] {
            let text_scheme = scheme.secret == Secret::Text;
            if secret.is_empty() || !text_scheme {
                assert!(Key::new(scheme, secret).is_none(), "{} {secret}", scheme.name);
                assert_eq!(sign(scheme, secret, "id", NOW_S, b"").unwrap_err(), Refused::NoSecret);
            }
        }
    }
}

#[test]
fn time_counts_both_ways_and_to_the_millisecond() {
    for scheme in SCHEMES.iter().filter(|scheme| scheme.timestamp != Timestamp::None) {
        let secret = secret_for(scheme);
        let lines = signed(scheme, secret, b"x");
        let at = |now_ms| verify(scheme, &lookup(&lines), b"x", &[secret], now_ms);
        for (now_ms, fine) in [
            (NOW_MS + 300_000, true),
            (NOW_MS - 300_000, true),
            (NOW_MS + 300_001, false),
            (NOW_MS - 300_001, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(at(now_ms).err(), (!fine).then_some(Refused::Stale), "{} {now_ms}", scheme.name);
        }
    }
}

#[test]
fn own_timestamps_may_be_milliseconds() {
    let key = Key::new(&NEXUS, "s").unwrap();
    let digest = key.digest([&b"1700000000123"[..], b".", b"x"].into_iter()).unwrap();
    let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let lines =
        lines(&[("x-webhook-event-id", "7"), ("x-webhook-timestamp", "1700000000123"), ("x-webhook-signature", &hex)]);
    let verified = check(&NEXUS, &lines, b"x", &["s"]).unwrap();
    assert_eq!(verified, Verified { id: Some("7"), timestamp_ms: Some(1_700_000_000_123) });
}

#[test]
fn what_is_no_timestamp() {
    for text in ["", "abc", "-1700000000", "+1700000000", " 1700000000", "1700000000 ", "1.7e9", "99999999999999999999"]
    {
        let mut lines = signed(&SLACK, "s", b"x");
        lines[1].1 = text.as_bytes().to_vec();
        assert_eq!(check(&SLACK, &lines, b"x", &["s"]), Err(Refused::BadHeader("x-slack-request-timestamp")), "{text}");
    }
    let mut lines = signed(&SLACK, "s", b"x");
    lines[1].1 = i64::MAX.to_string().into_bytes();
    assert_eq!(check(&SLACK, &lines, b"x", &["s"]), Err(Refused::Stale));
}

#[test]
fn what_is_no_signature() {
    let good = String::from_utf8(signed(&CLICKUP, "s", b"x")[0].1.clone()).unwrap();
    let bad = Err(Refused::BadHeader("x-signature"));
    for text in ["", &good[1..], &format!("{good}0"), &format!("sha256={good}"), &good.replacen(&good[..1], "g", 1)] {
        assert_eq!(check(&CLICKUP, &lines(&[("x-signature", text)]), b"x", &["s"]), bad, "{text}");
    }
    assert!(check(&CLICKUP, &lines(&[("x-signature", &good.to_uppercase())]), b"x", &["s"]).is_ok());
    assert_eq!(
        check(&CLICKUP, &lines(&[("x-signature", &"0".repeat(64)), ("x-signature", &good)]), b"x", &["s"]),
        Err(Refused::Mismatch),
        "the first line of a name counts"
    );
}

#[test]
fn stripe_wants_one_t_and_a_v1() {
    let good = String::from_utf8(signed(&STRIPE, "s", b"x")[0].1.clone()).unwrap();
    let with = |text: &str| check(&STRIPE, &lines(&[("stripe-signature", text)]), b"x", &["s"]).err();
    let bad = Some(Refused::BadHeader("stripe-signature"));
    assert_eq!(with(&good), None);
    assert_eq!(with(&format!("{good},v0={}", "0".repeat(64))), None);
    assert_eq!(with(&good.replace("v1", "v0")), bad);
    assert_eq!(with(&format!("{good},t=1700000000")), bad);
    assert_eq!(with(good.split_once(',').unwrap().1), bad);
    assert_eq!(with(",,=,t,v1,==;"), bad);
    assert_eq!(with(&format!("t=1700000000{}", format!(",v1={}", "0".repeat(64)).repeat(5000))), bad);
    let rotated = good.replace("v1=", &format!("v1={},v1=", "0".repeat(64)));
    assert_eq!(with(&rotated), None);
}

#[test]
fn standard_webhooks_may_carry_several_versions_and_ed25519() {
    let pair = SigningKey::from_bytes(&[7; 32]);
    let public = format!("whpk_{}", crate::hash::base64(pair.verifying_key().as_bytes()));
    let made = crate::hash::base64(&pair.sign(b"msg_1.1700000000.{}").to_bytes());
    let secret = secret_for(&STANDARD_WEBHOOKS);
    let mut lines = signed(&STANDARD_WEBHOOKS, secret, b"{}");
    let hmac = String::from_utf8(lines[0].1.clone()).unwrap();
    let zeros = crate::hash::base64(&[0; 32]);

    lines[0].1 = format!("v1,{zeros} v2,{zeros} v1a,{made} {hmac}").into_bytes();
    assert!(check(&STANDARD_WEBHOOKS, &lines, b"{}", &[secret]).is_ok());
    assert!(check(&STANDARD_WEBHOOKS, &lines, b"{}", &[&public]).is_ok());
    assert_eq!(check(&STANDARD_WEBHOOKS, &lines, b"{ }", &[secret, &public]), Err(Refused::Mismatch));

    // Neither kind of key may vouch for the other kind of signature.
    lines[0].1 = format!("v1a,{made}").into_bytes();
    assert_eq!(check(&STANDARD_WEBHOOKS, &lines, b"{}", &[secret]), Err(Refused::Mismatch));
    lines[0].1 = hmac.into_bytes();
    assert_eq!(check(&STANDARD_WEBHOOKS, &lines, b"{}", &[&public]), Err(Refused::Mismatch));
    assert_eq!(sign(&STANDARD_WEBHOOKS, &public, "msg_1", NOW_S, b"").unwrap_err(), Refused::NoSecret);

    // The point of order one is a public key under which anything verifies.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(Key::new(&STANDARD_WEBHOOKS, &format!("whpk_{}", crate::hash::base64(&weak))).is_none());
}

#[test]
fn secrets_may_have_lost_their_padding() {
    for secret in ["whsec_c2VjcmV0cw==", "whsec_c2VjcmV0cw", "c2VjcmV0cw", "c2VjcmV0cx"] {
        let lines = signed(&STANDARD_WEBHOOKS, secret, b"{}");
        assert!(check(&STANDARD_WEBHOOKS, &lines, b"{}", &["whsec_c2VjcmV0cw=="]).is_ok(), "{secret}");
    }
    assert!(Key::new(&STANDARD_WEBHOOKS, "no base64!").is_none());
}

#[test]
fn ids_are_bounded_and_printable() {
    for id in ["", "a b", "ä", &"x".repeat(257)] {
        let mut lines = signed(&NEXUS, "s", b"x");
        lines[1].1 = id.as_bytes().to_vec();
        assert_eq!(check(&NEXUS, &lines, b"x", &["s"]), Err(Refused::BadHeader("x-webhook-event-id")));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let key = Key::new(&SLACK, "the secret").unwrap();
    assert_eq!(format!("{key:?}"), "Key(hmac)");
    assert_eq!(Refused::Stale.to_string(), "the timestamp is more than 300 s from now");
}

proptest! {
    /// Any single bit of body, signature, id or timestamp matters: except the
    /// case of a hex digit, and the id where the scheme does not sign it.
    #[test]
    fn one_changed_bit_is_refused(
        row in 0..SCHEMES.len(),
        mut body in proptest::collection::vec(any::<u8>(), 1..200),
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let scheme = &SCHEMES[row];
        let secret = secret_for(scheme);
        let mut lines = signed(scheme, secret, &body);
        prop_assert!(check(scheme, &lines, &body, &[secret]).is_ok());

        let headers_bytes: usize = lines.iter().map(|(_, value)| value.len()).sum();
        let mut at = place.index(headers_bytes + body.len());
        let mut changed = None;
        for (name, value) in &mut lines {
            if changed.is_none() && at < value.len() {
                let before = value[at];
                value[at] ^= 1 << bit;
                changed = Some((*name, before, value[at]));
            }
            if changed.is_none() {
                at -= value.len();
            }
        }
        match changed {
            Some((name, _, _)) if Some(name) == scheme.id_header && !scheme.signed.contains(&Part::Id) => return Ok(()),
            Some((_, before, after)) => {
                let hex = scheme.written != Written::Versions && before.is_ascii_hexdigit();
                prop_assume!(!(hex && before.eq_ignore_ascii_case(&after)));
            }
            None => body[at] ^= 1 << bit,
        }
        prop_assert!(check(scheme, &lines, &body, &[secret]).is_err());
    }

    #[test]
    fn any_header_is_answered(row in 0..SCHEMES.len(), header in proptest::collection::vec(any::<u8>(), 0..300)) {
        let scheme = &SCHEMES[row];
        let mut lines = signed(scheme, secret_for(scheme), b"x");
        lines[0].1 = header;
        prop_assert!(check(scheme, &lines, b"x", &[secret_for(scheme)]).is_err());
    }
}
