//! The times that providers write: RFC 3339, seconds, milliseconds and more.

use udfs::time::from_rfc3339;

/// Nothing that a webhook tells of happened before the year 2000.
const OLDEST_MS: i64 = 946_684_800_000;
/// How far a provider's clock may be ahead of the hub's.
const AHEAD_MAX_MS: i64 = 86_400_000;

/// What happened at a time that can be believed, or else when it was received.
pub(super) fn believable(said_ms: Option<i64>, received_ms: i64) -> i64 {
    said_ms.filter(|said| (OLDEST_MS..=received_ms.saturating_add(AHEAD_MAX_MS)).contains(said)).unwrap_or(received_ms)
}

/// Milliseconds from a count since the epoch whose unit its size gives away.
pub(super) fn from_number(count: u64) -> Option<i64> {
    let ms = match count {
        0..100_000_000_000 => count * 1_000,
        100_000_000_000..100_000_000_000_000 => count,
        100_000_000_000_000..100_000_000_000_000_000 => count / 1_000,
        _ => count / 1_000_000,
    };
    i64::try_from(ms).ok()
}

/// Milliseconds from `1700000000`, `1700000000123`, `1700000000.000100`,
/// RFC 3339 and `2016-08-12 15:23:28 UTC`.
pub(super) fn from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = from_number(whole.parse().ok()?)?;
        let ms = fraction.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit & 15));
        return Some(whole + ms);
    }
    match text.strip_suffix(" UTC") {
        Some(local) => from_rfc3339(&format!("{local}Z")),
        None => from_rfc3339(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, ms) in [
            ("1700000000", 1_700_000_000_000),
            ("1700000000123", 1_700_000_000_123),
            ("1700000000123456", 1_700_000_000_123),
            ("1700000000.000100", 1_700_000_000_000),
            ("1700000000.5", 1_700_000_000_500),
            ("2016-08-12 15:23:28 UTC", 1_471_015_408_000),
            ("2019-06-04T00:15:17.234+0000", 1_559_607_317_234),
        ] {
            assert_eq!(from_text(text), Some(ms), "{text}");
        }
        for text in ["", ".", "soon", "1.2.3", "-5", "99999999999999999999"] {
            assert!(from_text(text).is_none_or(|ms| ms > 0), "{text}");
        }
    }

    #[test]
    fn an_absurd_date_gives_way() {
        let received = 1_700_000_000_000;
        for said in [None, Some(0), Some(-5), Some(i64::MAX), Some(received + AHEAD_MAX_MS + 1)] {
            assert_eq!(believable(said, received), received);
        }
        assert_eq!(believable(Some(received - 1), received), received - 1);
    }
}
