//! Instants, as RFC 3339 writes them.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::de::Error as _;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How far ahead of its arrival a reading's timestamp may lie by default, in seconds.
pub const FUTURE_TOLERANCE_DEFAULT_SECONDS: i64 = 300;

const SECOND_NANOSECONDS: i128 = 1_000_000_000;
const CIVIL_EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// An instant between the years 0000 and 9999 (UTC), to the nanosecond.
///
/// `jiff::Timestamp` ends 26 hours before the year 9999 does, so the calendar here is that of `jiff::civil` in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Since the Unix epoch, rounded down.
    second: i64,
    /// Of that second, below 1,000,000,000.
    nanosecond: u32,
}

impl Timestamp {
    /// 0000-01-01T00:00:00Z.
    pub const MIN: Timestamp = Timestamp { second: -62_167_219_200, nanosecond: 0 };

    /// 9999-12-31T23:59:59.999999999Z.
    pub const MAX: Timestamp = Timestamp { second: 253_402_300_799, nanosecond: 999_999_999 };

    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Timestamp = Timestamp { second: 0, nanosecond: 0 };

    /// From nanoseconds since the Unix epoch; `None` outside the years 0000–9999.
    pub fn from_nanosecond(nanoseconds: i128) -> Option<Self> {
        let second = i64::try_from(nanoseconds.div_euclid(SECOND_NANOSECONDS)).ok()?;
        // A remainder is below its divisor.
        let nanosecond = nanoseconds.rem_euclid(SECOND_NANOSECONDS) as u32;
        let instant = Timestamp { second, nanosecond };
        (Self::MIN..=Self::MAX).contains(&instant).then_some(instant)
    }

    /// From milliseconds since the Unix epoch; `None` outside the years 0000–9999.
    pub fn from_millisecond(milliseconds: i64) -> Option<Self> {
        Self::from_nanosecond(i128::from(milliseconds) * 1_000_000)
    }

    /// Nanoseconds since the Unix epoch.
    pub fn as_nanosecond(self) -> i128 {
        i128::from(self.second) * SECOND_NANOSECONDS + i128::from(self.nanosecond)
    }

    /// Milliseconds since the Unix epoch, rounded down.
    pub fn as_millisecond(self) -> i64 {
        // Ten thousand years in milliseconds are far from an i64's end.
        self.second * 1000 + i64::from(self.nanosecond / 1_000_000)
    }

    /// Date and time in UTC.
    fn civil(self) -> DateTime {
        // A second's nanoseconds fit an i32.
        CIVIL_EPOCH.saturating_add(SignedDuration::new(self.second, self.nanosecond as i32))
    }

    /// `YYYY-MM-DD` of the UTC day.
    pub fn utc_date(self) -> String {
        self.civil().date().to_string()
    }

    /// The hour of the UTC day, 0–23.
    pub fn utc_hour(self) -> u8 {
        // An hour is never negative.
        self.civil().hour() as u8
    }

    /// `YYYY-MM-DD HH:MM:SS.mmm` in UTC, rounded down to the millisecond: SQL's form of a timestamp.
    pub fn utc_millisecond(self) -> String {
        let civil = self.civil();
        let mut text = *b"0000-00-00 00:00:00.000";
        // Every field of a date in the range of this type is positive.
        let fields = [
            (0..4, civil.year() as u32),
            (5..7, civil.month() as u32),
            (8..10, civil.day() as u32),
            (11..13, civil.hour() as u32),
            (14..16, civil.minute() as u32),
            (17..19, civil.second() as u32),
            (20..23, civil.subsec_nanosecond() as u32 / 1_000_000),
        ];
        for (place, mut number) in fields {
            for digit in text[place].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        text.iter().map(|byte| char::from(*byte)).collect()
    }

    /// Checks that this reading's timestamp lies at most `tolerance` after the reading's arrival.
    ///
    /// # Errors
    /// The rule, with both times, in words that follow the member's name.
    pub fn check_arrival(self, arrived_at: Timestamp, tolerance: Duration) -> Result<(), String> {
        // Below 2^64 seconds, a duration fits as nanoseconds.
        if self.as_nanosecond() - arrived_at.as_nanosecond() <= tolerance.as_nanos() as i128 {
            return Ok(());
        }
        let seconds = tolerance.as_secs();
        Err(format!("must be at most {seconds} seconds after its arrival, but {self} arrived at {arrived_at}"))
    }

    /// Parses RFC 3339 with an offset: seconds 00–59, at most nine digits of a fraction.
    ///
    /// # Errors
    /// The rule that is broken, in words that follow the member's name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be an RFC 3339 date and time with an offset, such as 2026-01-31T12:00:00Z";
        let bytes = text.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if bytes.len() < 20 || separators.iter().any(|(at, byte)| bytes[*at] != *byte) || !b"Tt".contains(&bytes[10]) {
            return Err(FORM);
        }
        let number = |from: usize, to: usize| digits(&bytes[from..to]);
        let fields = (number(0, 4), number(5, 7), number(8, 10), number(11, 13), number(14, 16), number(17, 19));
        let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = fields else {
            return Err(FORM);
        };
        if second == 60 {
            return Err("must have seconds from 00 to 59; leap seconds are not taken");
        }
        let (nanosecond, rest) = fraction(&bytes[19..])?;
        let offset_seconds =
            offset(rest).ok_or("must end in an offset: Z, or ±HH:MM with hours to 23 and minutes to 59")?;
        if hour > 23 || minute > 59 || second > 59 || day == 0 || day > days_in_month(year, month) {
            return Err("must be a date and time that exists");
        }
        let of_day = i64::from(hour * 3600 + minute * 60 + second);
        let second = days_from_epoch(year, month, day) * 86_400 + of_day - i64::from(offset_seconds);
        let instant = Timestamp { second, nanosecond };
        let in_range = (Self::MIN..=Self::MAX).contains(&instant);
        in_range.then_some(instant).ok_or("must lie in the years 0000 to 9999 (UTC)")
    }
}

/// 0 where there is no such month.
fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar: Hinnant's `days_from_civil`
/// (<https://howardhinnant.github.io/date_algorithms.html>), whose years begin in March.
fn days_from_epoch(year: u32, month: u32, day: u32) -> i64 {
    // Counted from the year -400, so that nothing is negative.
    let year = year + 400 - u32::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    i64::from(days) - 719_468 - 146_097
}

/// The value of up to nine ASCII digits.
fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

/// The fraction in nanoseconds, and what follows it.
fn fraction(bytes: &[u8]) -> Result<(u32, &[u8]), &'static str> {
    let [b'.', rest @ ..] = bytes else { return Ok((0, bytes)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 || length > 9 {
        return Err("must have 1 to 9 digits after the decimal point");
    }
    let value = digits(&rest[..length]).unwrap_or(0) * 10u32.pow(9 - length as u32);
    Ok((value, &rest[length..]))
}

/// `Z`, or `±HH:MM`, in seconds east of UTC.
fn offset(bytes: &[u8]) -> Option<i32> {
    match bytes {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = (hours * 3600 + minutes * 60) as i32;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.civil())
    }
}

impl FromStr for Timestamp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}
