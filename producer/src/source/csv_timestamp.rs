//! Timestamps as CSV files write them.

use telemetry::Timestamp;

const FORM: &str = "must be a date and time such as 2026-01-31 12:00:00 (taken as UTC) or 2026-01-31T12:00:00+01:00";

/// Parses `YYYY-MM-DD HH:MM:SS`, with a fraction of at most nine digits, with a space or a `T` between, and with or
/// without an offset. Without an offset it is UTC.
///
/// # Errors
/// The rule that is broken, in words that follow the member's name.
pub fn csv_timestamp(text: &str) -> Result<Timestamp, &'static str> {
    // Longest: 19 characters, a point and nine digits, an offset of six; a longer one breaks a rule below as well.
    const LENGTH_MAX: usize = 48;
    let bytes = text.as_bytes();
    if bytes.len() < 19 || bytes.len() > LENGTH_MAX || !text.is_ascii() || !b" Tt".contains(&bytes[10]) {
        return Err(FORM);
    }
    let mut rfc3339 = [0; LENGTH_MAX + 1];
    rfc3339[..bytes.len()].copy_from_slice(bytes);
    rfc3339[10] = b'T';
    let mut length = bytes.len();
    let has_offset = bytes[19..].iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    if !has_offset {
        rfc3339[length] = b'Z';
        length += 1;
    }
    // ASCII by the check above.
    let rfc3339 = std::str::from_utf8(&rfc3339[..length]).map_err(|_| FORM)?;
    // The rule for RFC 3339 would ask for an offset, which a CSV file may leave out.
    Timestamp::parse(rfc3339)
        .map_err(|rule| if rule.contains("RFC 3339") || !has_offset && rule.contains("offset") { FORM } else { rule })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Days since 1970-01-01 by counting, year by year and month by month: slow, and plainly right.
    fn days_by_counting(year: i64, month: i64, day: i64) -> i64 {
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let year_days = |y: i64| if leap(y) { 366 } else { 365 };
        let before: i64 =
            if year >= 1970 { (1970..year).map(year_days).sum() } else { -(year..1970).map(year_days).sum::<i64>() };
        let months = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        before + months[..month as usize - 1].iter().sum::<i64>() + day - 1
    }

    proptest! {
        #[test]
        fn a_csv_timestamp_is_the_instant_that_counting_days_gives(
            (year, month, day) in (1i64..9999, 1i64..=12, 1i64..=28),
            (hour, minute, second) in (0i64..24, 0i64..60, 0i64..60),
            (nanosecond, digits) in (0i64..1_000_000_000, 0usize..=9),
            separator in prop::sample::select(vec![' ', 'T', 't']),
            offset in prop::option::of((-1i64..=1, 0i64..24, 0i64..60)),
        ) {
            let mut text = format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}");
            let mut nanoseconds = 0;
            if digits > 0 {
                let fraction = format!("{nanosecond:09}")[..digits].to_owned();
                nanoseconds = format!("{fraction:0<9}").parse::<i64>().unwrap();
                text += &format!(".{fraction}");
            }
            let mut offset_seconds = 0;
            match offset {
                None => {}
                Some((0, ..)) => text.push('Z'),
                Some((sign, hours, minutes)) => {
                    text += &format!("{}{hours:02}:{minutes:02}", if sign < 0 { '-' } else { '+' });
                    offset_seconds = sign * (hours * 3600 + minutes * 60);
                }
            }
            let days = days_by_counting(year, month, day);
            let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds;
            let expected = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
            prop_assert_eq!(csv_timestamp(&text).map(Timestamp::as_nanosecond), Ok(expected), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}", near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.+Z-]{0,40}") {
            let _ = csv_timestamp(&text);
            let _ = csv_timestamp(&near);
        }
    }

    #[test]
    fn what_is_no_instant_is_refused_with_the_rule_it_breaks() {
        for (text, rule) in [
            ("", "such as"),
            ("2014-04-10", "such as"),
            ("2014-04-10 00:04", "such as"),
            ("10.04.2014 00:04:00", "such as"),
            ("2014-04-10 00:04:00 CET", "such as"),
            ("2014-04-10 00:04:00,5", "such as"),
            ("2014-04-10_00:04:00", "such as"),
            ("2014-04-10 00:04:00.1234567890", "1 to 9 digits"),
            ("2014-02-29 00:04:00", "that exists"),
            ("2014-04-10 24:00:00", "that exists"),
            ("2014-04-10 23:59:60", "leap seconds"),
            ("2014-04-10 00:04:00+1:00", "offset"),
            ("2014-04-10 00:04:00\u{b2}", "such as"),
        ] {
            let message = csv_timestamp(text).unwrap_err();
            assert!(message.contains(rule), "{text}: {message}");
        }
    }
}
