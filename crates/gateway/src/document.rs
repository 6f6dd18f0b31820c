//! The OpenAPI document, and how it is served.

use telemetry::Timestamp;

/// The OpenAPI document: the source for API Gateway, for this gateway and for the tests.
pub const OPENAPI_DOCUMENT: &str = include_str!("../openapi.yaml");

/// How the timestamp's pattern begins in the document; the bound of the day is written in behind the `^`.
const PATTERN_START: &str = "pattern: '^";
const TIMESTAMP_PATTERN_REST: &str = "(?![0-9]{4}-(?:02-3";

/// The largest offset from UTC, 23:59, leaves a local date at most one day ahead.
const DAY_NANOSECONDS: i128 = 86_400_000_000_000;

/// The document as it holds while `horizon` is the latest timestamp that is taken: the timestamp's pattern matches no
/// date after that of the horizon, in whatever offset. Who checks or generates readings by the document alone then
/// makes none that are refused as lying ahead, to the day.
pub(crate) fn served_until(horizon: Timestamp) -> String {
    let Some(latest) = Timestamp::from_nanosecond(horizon.as_nanosecond() + DAY_NANOSECONDS) else {
        return OPENAPI_DOCUMENT.to_owned();
    };
    let bounded = format!("{PATTERN_START}(?!{}){TIMESTAMP_PATTERN_REST}", later_than(&latest.utc_date()));
    OPENAPI_DOCUMENT.replacen(&format!("{PATTERN_START}{TIMESTAMP_PATTERN_REST}"), &bounded, 1)
}

/// A pattern of what begins like a date and sorts behind `date`: the same up to a digit, and there a greater one.
fn later_than(date: &str) -> String {
    let greater = date.bytes().enumerate().filter(|(_, digit)| (b'0'..=b'8').contains(digit)).map(|(at, digit)| {
        let above = char::from(digit + 1);
        format!("{}[{above}-9]", &date[..at])
    });
    greater.collect::<Vec<_>>().join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_served_with_the_day_in_its_pattern() {
        let served = served_until(Timestamp::parse("2026-11-22T23:58:00Z").unwrap());
        let added = "(?![3-9]|2[1-9]|20[3-9]|202[7-9]|2026-[2-9]|2026-1[2-9]|2026-11-[3-9]|2026-11-2[4-9])";
        assert_eq!(served.matches(added).count(), 1);
        assert_eq!(served.replace(added, ""), OPENAPI_DOCUMENT);
    }
}
