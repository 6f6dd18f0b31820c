//! DynamoDB's size of a device's statistics item.
//!
//! The rule (Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats"): the UTF-8 bytes of the attribute
//! names, plus the values'; strings their UTF-8 bytes; numbers one byte per two significant digits plus one (plus one
//! more for a negative number, which the guide leaves out and its service charges); binaries their bytes; null one
//! byte; a map three bytes, one per member, and its members' names and values.

use crate::identity::NANOSECONDS_PER_SECOND;
use crate::summary::Summary;
use std::sync::LazyLock;

/// What an item may take to be one write unit.
pub(crate) const ITEM_BYTES: usize = 1_024;

/// An RFC 3339 timestamp with nanoseconds.
const LONGEST_TIMESTAMP: usize = 30;
/// A number of 20 digits: what a `revision` may grow to.
const REVISION_BYTES: usize = 11;

/// What everything but `device_id` and `state` takes at the most. A double has no more than 17 significant digits.
static WIDEST: LazyLock<usize> = LazyLock::new(|| {
    let number = Some(-f64::MAX);
    let timestamp_ns = Some(1);
    let widest = Summary {
        count: u64::MAX,
        mean: number,
        median: number,
        standard_deviation: number,
        minimum: number,
        maximum: number,
        mean_confidence_95: Some((-f64::MAX, -f64::MAX)),
        anomaly_count: u64::MAX,
        first_timestamp_ns: timestamp_ns,
        last_timestamp_ns: timestamp_ns,
        last_anomaly: None,
    };
    item_size("", &widest, 0)
});

/// What no item with this name and state can pass, whatever its readable attributes say: without computing them.
pub(crate) fn item_size_at_most(device_id: &str, state_bytes: usize) -> usize {
    *WIDEST + device_id.len() + state_bytes
}

/// The bytes of a number written in the fewest digits that read back as this double.
fn number(value: Option<f64>) -> usize {
    let Some(value) = value else {
        return 1;
    };
    let mut buffer = zmij::Buffer::new();
    let digits = buffer.format_finite(value).split('e').next().unwrap_or_default();
    let is_significant = |digit: u8| (b'1'..=b'9').contains(&digit);
    let first = digits.bytes().position(is_significant).unwrap_or(0);
    let last = digits.bytes().rposition(is_significant).unwrap_or(0);
    let significant = last + 1 - first - usize::from(digits[first..=last].contains('.'));
    // An odd power of ten shifts the digits by one within their pairs.
    (significant + 1).div_ceil(2) + 1 + usize::from(value < 0.0)
}

fn integer(value: u64) -> usize {
    let digits = value.checked_ilog10().unwrap_or(0) as usize + 1;
    (digits + 1).div_ceil(2) + 1
}

/// A timestamp in UTC: fractions are written in groups of three digits at most.
fn timestamp(timestamp_ns: Option<i128>) -> usize {
    let Some(timestamp_ns) = timestamp_ns else {
        return 1;
    };
    let nanoseconds = timestamp_ns.rem_euclid(NANOSECONDS_PER_SECOND);
    match nanoseconds {
        0 => LONGEST_TIMESTAMP - 10,
        _ if nanoseconds % 1_000_000 == 0 => LONGEST_TIMESTAMP - 6,
        _ if nanoseconds % 1_000 == 0 => LONGEST_TIMESTAMP - 3,
        _ => LONGEST_TIMESTAMP,
    }
}

/// The whole item's bytes: an upper bound, reached with a `revision` of 20 digits and an `updated_at` in nanoseconds.
pub(crate) fn item_size(device_id: &str, summary: &Summary, state_bytes: usize) -> usize {
    let confidence = match summary.mean_confidence_95 {
        Some((low, high)) => 3 + 2 + "low".len() + number(Some(low)) + "high".len() + number(Some(high)),
        None => 1,
    };
    let attributes = [
        ("device_id", device_id.len()),
        ("item", "statistics".len()),
        ("revision", REVISION_BYTES),
        ("count", integer(summary.count)),
        ("mean", number(summary.mean)),
        ("median", number(summary.median)),
        ("standard_deviation", number(summary.standard_deviation)),
        ("minimum", number(summary.minimum)),
        ("maximum", number(summary.maximum)),
        ("mean_confidence_95", confidence),
        ("anomaly_count", integer(summary.anomaly_count)),
        ("first_timestamp", timestamp(summary.first_timestamp_ns)),
        ("last_timestamp", timestamp(summary.last_timestamp_ns)),
        ("updated_at", LONGEST_TIMESTAMP),
        ("state", state_bytes),
    ];
    attributes.iter().map(|(name, value)| name.len() + value).sum()
}
