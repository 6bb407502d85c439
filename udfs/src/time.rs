//! Times as milliseconds since the epoch, and their RFC 3339 form in UTC.

const DAY_MS: i64 = 86_400_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999Z: what four digits can say.
const OLDEST_MS: i64 = -62_135_596_800_000;
const NEWEST_MS: i64 = 253_402_300_799_999;

/// `2026-11-21T08:00:00.123Z`. A time that four digits of year cannot say is
/// brought to the nearest that they can.
pub fn to_rfc3339(ms: i64) -> String {
    let ms = ms.clamp(OLDEST_MS, NEWEST_MS);
    let (days, in_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = civil_from_days(days);
    let mut text = [0u8; 24];
    digits(&mut text[0..4], year);
    text[4] = b'-';
    digits(&mut text[5..7], month);
    text[7] = b'-';
    digits(&mut text[8..10], day);
    text[10] = b'T';
    digits(&mut text[11..13], in_day / 3_600_000);
    text[13] = b':';
    digits(&mut text[14..16], in_day / 60_000 % 60);
    text[16] = b':';
    digits(&mut text[17..19], in_day / 1_000 % 60);
    text[19] = b'.';
    digits(&mut text[20..23], in_day % 1_000);
    text[23] = b'Z';
    // Nothing but ASCII was written.
    String::from_utf8_lossy(&text).into_owned()
}

fn digits(into: &mut [u8], mut number: i64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// From RFC 3339 and its relatives in the wild: any number of fraction digits,
/// `Z` or an offset with or without a colon (`+0200`), `t` or a space for `T`.
/// Fractions beyond a millisecond are cut. Nothing that [`to_rfc3339`] could not
/// write again.
pub fn from_rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    if !matches!(bytes[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (number(&bytes[0..4])?, number(&bytes[5..7])?, number(&bytes[8..10])?);
    let (hour, minute, second) = (number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || year < 1 {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &bytes[19..];
    let mut ms = 0;
    if let [b'.' | b',', fraction @ ..] = rest {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let padded = fraction[..length].iter().chain(b"000");
        for digit in padded.take(3) {
            ms = ms * 10 + i64::from(digit - b'0');
        }
        rest = &fraction[length..];
    }
    let offset_min = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = hour * 3600 + minute * 60 + second.min(59) - offset_min * 60;
    let ms = days_from_civil(year, month, day) * DAY_MS + seconds * 1000 + ms;
    (OLDEST_MS..=NEWEST_MS).contains(&ms).then_some(ms)
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date, by counting years from March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        assert_eq!(to_rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(to_rfc3339(1_709_208_000_123), "2024-02-29T12:00:00.123Z");
        assert_eq!(to_rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(to_rfc3339(i64::MIN), "0001-01-01T00:00:00.000Z");
        assert_eq!(from_rfc3339("2024-02-29T14:00:00.1239+02:00"), Some(1_709_208_000_123));
        assert_eq!(from_rfc3339("2024-02-29T14:00:00+0200"), Some(1_709_208_000_000));
    }

    #[test]
    fn what_is_no_time() {
        for text in [
            "",
            "2024",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+2",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(from_rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn there_and_back(ms in OLDEST_MS..=NEWEST_MS) {
            prop_assert_eq!(from_rfc3339(&to_rfc3339(ms)), Some(ms));
        }

        #[test]
        fn what_is_read_from_any_text_is_a_time_that_can_be_written(text in prop_oneof![
            "\\PC*",
            "(0001|9999|[0-9]{4})-(0[0-9]|1[0-3])-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.,][0-9]{0,12})?(Z|[+-][0-2][0-9]:?[0-5][0-9])",
        ]) {
            if let Some(ms) = from_rfc3339(&text) {
                prop_assert!((OLDEST_MS..=NEWEST_MS).contains(&ms), "{ms}");
                prop_assert_eq!(from_rfc3339(&to_rfc3339(ms)), Some(ms));
                // A date and a time of day stand at its beginning, and nothing else.
                prop_assert!(text.is_ascii() && text.len() >= "2026-11-21T08:00:00Z".len(), "{text:?}");
                prop_assert_eq!((text.as_bytes()[4], text.as_bytes()[7], text.as_bytes()[13]), (b'-', b'-', b':'));
            }
        }
    }
}
