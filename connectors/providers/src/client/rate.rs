//! What providers say about their limits, in their headers.
//!
//! `Retry-After` (seconds or an HTTP date), ClickUp's and GitHub's
//! `X-RateLimit-*`, and the same without the `X-`. What cannot be read is as
//! though it were not there.

use std::time::UNIX_EPOCH;

/// No pause of a provider is believed beyond this: a header is a stranger's
/// number, and GitHub's and ClickUp's longest windows are an hour.
const PAUSE_MAX_MS: u64 = 3_600_000;

/// A provider's limit, as far as an answer tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Calls in a window.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// When the window ends.
    pub reset_at_ms: Option<u64>,
    /// When the provider wants to be asked again.
    pub retry_at_ms: Option<u64>,
}

impl Rate {
    /// Reads the headers that `get` has.
    pub fn read<'h>(get: impl Fn(&str) -> Option<&'h str>, now_ms: u64) -> Rate {
        let any = |name: &str| {
            let long = format!("x-ratelimit-{name}");
            get(&long).or_else(|| get(&long[2..])).map(str::trim)
        };
        let number = |name| any(name).and_then(|text| text.parse().ok());
        Rate {
            limit: number("limit").filter(|limit| *limit > 0),
            remaining: number("remaining"),
            reset_at_ms: any("reset").and_then(|text| moment(text, now_ms)).map(|at_ms| bounded(at_ms, now_ms)),
            retry_at_ms: get("retry-after").and_then(|text| retry_at(text.trim(), now_ms)),
        }
    }

    /// Until when nothing more is to be asked, if that is so.
    pub fn pause_until_ms(&self) -> Option<u64> {
        let spent = self.reset_at_ms.filter(|_| self.remaining == Some(0));
        self.retry_at_ms.max(spent)
    }
}

fn bounded(at_ms: u64, now_ms: u64) -> u64 {
    at_ms.clamp(now_ms, now_ms.saturating_add(PAUSE_MAX_MS))
}

fn retry_at(text: &str, now_ms: u64) -> Option<u64> {
    let at_ms = match text.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => now_ms.saturating_add((seconds * 1000.0) as u64),
        Ok(_) => return None,
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64,
    };
    Some(bounded(at_ms, now_ms))
}

/// Providers write the end of a window as seconds or milliseconds since the
/// epoch, as seconds from now, or as a date (Jira).
fn moment(text: &str, now_ms: u64) -> Option<u64> {
    match text.parse::<u64>() {
        Ok(number) if number >= 100_000_000_000 => Some(number),
        Ok(number) if number >= 1_000_000_000 => Some(number * 1000),
        Ok(number) => Some(now_ms.saturating_add(number * 1000)),
        Err(_) => udfs::time::from_rfc3339(text).and_then(|at_ms| u64::try_from(at_ms).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: u64 = 1_795_248_000_000;

    fn read(headers: &[(&str, &str)]) -> Rate {
        Rate::read(|name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value), NOW_MS)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let at = |value| read(&[("retry-after", value)]).retry_at_ms;
        assert_eq!(at("7"), Some(NOW_MS + 7_000));
        assert_eq!(at("0.5"), Some(NOW_MS + 500));
        assert_eq!(at("Sat, 21 Nov 2026 08:00:30 GMT"), Some(NOW_MS + 30_000));
        assert_eq!(at("Saturday, 21-Nov-26 08:00:30 GMT"), Some(NOW_MS + 30_000));
        assert_eq!(at("Sat, 21 Nov 2026 07:00:00 GMT"), Some(NOW_MS), "what is past is now");
        assert_eq!(at("999999999"), Some(NOW_MS + PAUSE_MAX_MS), "nobody is believed for ever");
        for nonsense in ["soon", "-3", "NaN", ""] {
            assert_eq!(at(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_end_of_a_window_is_read_in_every_form() {
        let at = |value| read(&[("x-ratelimit-reset", value)]).reset_at_ms;
        assert_eq!(at("1795248042"), Some(NOW_MS + 42_000), "ClickUp, GitHub");
        assert_eq!(at("1795248042000"), Some(NOW_MS + 42_000));
        assert_eq!(at("42"), Some(NOW_MS + 42_000));
        assert_eq!(at("2026-11-21T08:00:42Z"), Some(NOW_MS + 42_000), "Jira");
        assert_eq!(at("never"), None);
    }

    #[test]
    fn a_spent_window_is_a_pause_and_another_is_not() {
        let clickup =
            [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795248010")];
        assert_eq!(read(&clickup).limit, Some(100));
        assert_eq!(read(&clickup).pause_until_ms(), Some(NOW_MS + 10_000));
        let left = [("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "1795248010")];
        assert_eq!(read(&left).pause_until_ms(), None);
        assert_eq!(read(&[("ratelimit-remaining", "3")]).remaining, Some(3));
        // GitHub's secondary limit: the quota is not spent, the pause counts.
        let secondary = [("x-ratelimit-remaining", "4000"), ("retry-after", "60")];
        assert_eq!(read(&secondary).pause_until_ms(), Some(NOW_MS + 60_000));
    }

    proptest! {
        #[test]
        fn no_header_makes_more_than_an_hour_or_a_panic(name in "retry-after|x-ratelimit-(limit|remaining|reset)", value in "\\PC{0,24}|-?[0-9]{0,25}(\\.[0-9]{0,5})?") {
            let rate = read(&[(&name, &value), ("x-ratelimit-remaining", "0")]);
            let until_ms = rate.pause_until_ms().unwrap_or(NOW_MS);
            prop_assert!((NOW_MS..=NOW_MS + PAUSE_MAX_MS).contains(&until_ms));
        }
    }
}
