//! What makes a reading itself: its instant, and its `event_id` where the sender gave one.

use std::fmt;

/// Nanoseconds in a second.
pub(crate) const NANOSECONDS_PER_SECOND: i128 = 1_000_000_000;
/// Nanoseconds in a day; UTC as RFC 3339 writes it has no other days here (leap seconds are refused).
pub(crate) const NANOSECONDS_PER_DAY: i128 = 86_400 * NANOSECONDS_PER_SECOND;
/// 0000-01-01T00:00:00Z, the earliest instant that RFC 3339 can write.
pub(crate) const EARLIEST_NS: i128 = -62_167_219_200 * NANOSECONDS_PER_SECOND;
/// 9999-12-31T23:59:59.999999999Z, the latest.
pub(crate) const LATEST_NS: i128 = 253_402_300_800 * NANOSECONDS_PER_SECOND - 1;

/// A reading's identity within its device. Two readings of one identity are one reading.
///
/// Ordered by instant, then those without an `event_id` before those with one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Identity {
    /// The instant, in nanoseconds since 1970-01-01T00:00:00Z; years 0000 to 9999.
    pub timestamp_ns: i128,
    /// A 64-bit hash of the `event_id`; `None` where the sender gave none.
    pub event_id_hash: Option<u64>,
}

/// A reading that is to be counted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CountedReading {
    /// Which reading it is.
    pub identity: Identity,
    /// What it says: finite.
    pub value: f64,
    /// A 16-bit check of the value, kept with the identity to tell a duplicate from a conflict.
    pub value_check: u16,
}

/// A day of the UTC calendar (proleptic Gregorian), as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UtcDay(pub(crate) i32);

impl UtcDay {
    /// The day that an instant, in nanoseconds since the Unix epoch, falls on.
    ///
    /// Instants more than 5 million years away saturate; a reading's never are.
    pub fn of(timestamp_ns: i128) -> Self {
        let days = timestamp_ns.div_euclid(NANOSECONDS_PER_DAY);
        Self(days.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32)
    }

    /// The first instant of the day, in nanoseconds since the Unix epoch.
    pub fn start_ns(self) -> i128 {
        i128::from(self.0) * NANOSECONDS_PER_DAY
    }
}

impl fmt::Display for UtcDay {
    /// `YYYY-MM-DD`, by H. Hinnant's `civil_from_days` (chrono-Compatible Low-Level Date Algorithms, 2013).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = i64::from(self.0) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl Identity {
    /// Whether RFC 3339 can write the instant.
    pub(crate) fn is_in_range(&self) -> bool {
        (EARLIEST_NS..=LATEST_NS).contains(&self.timestamp_ns)
    }
}
