//! Timestamps against an independent computation of the calendar.

use proptest::prelude::*;
use std::time::Duration;
use telemetry::Timestamp;

/// Days since the Unix epoch, counted year by year and month by month: slow, and nothing like the code under test.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let of_year = |y: i64| if leap(y) { 366 } else { 365 };
    let years: i64 =
        if year >= 1970 { (1970..year).map(of_year).sum() } else { -(year..1970).map(of_year).sum::<i64>() };
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths[..(month - 1) as usize].iter().sum::<i64>() + day - 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn an_instant_is_its_civil_time_less_its_offset(
        year in 1i64..9999, month in 1i64..=12, day in 1i64..=28, hour in 0i64..24, minute in 0i64..60, second in 0i64..60,
        nanosecond in 0i64..1_000_000_000, offset in -1439i64..=1439,
    ) {
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
        let text = format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}{sign}{hours:02}:{minutes:02}"
        );
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60;
        let expected = i128::from(seconds) * 1_000_000_000 + i128::from(nanosecond);
        prop_assert_eq!(Timestamp::parse(&text).map(Timestamp::as_nanosecond), Ok(expected));
    }

    #[test]
    fn what_is_printed_parses_back_to_the_same_instant(nanoseconds in Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond()) {
        let timestamp = Timestamp::from_nanosecond(nanoseconds).unwrap();
        let text = timestamp.to_string();
        prop_assert!(text.ends_with('Z'));
        prop_assert_eq!(Timestamp::parse(&text), Ok(timestamp));
    }

    #[test]
    fn a_fraction_counts_by_its_digits(digits in "[0-9]{1,9}") {
        let parsed = Timestamp::parse(&format!("1970-01-01T00:00:00.{digits}Z")).unwrap();
        let expected: i128 = format!("{digits:0<9}").parse().unwrap();
        prop_assert_eq!(parsed.as_nanosecond(), expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = Timestamp::parse(&text);
    }

    #[test]
    fn one_character_off_the_form_is_refused_or_still_a_time(at in 0usize..25, with in "[ -~]") {
        let form = "2026-01-31T12:00:00+01:00";
        let mut text = form.to_owned();
        text.replace_range(at..=at, &with);
        prop_assume!(text != form);
        if let Ok(parsed) = Timestamp::parse(&text) {
            prop_assert!(with.bytes().all(|b| b.is_ascii_digit() || b"tT+-".contains(&b)), "{} gave {}", text, parsed);
        }
    }
}

#[test]
fn a_leap_second_is_refused_saying_so() {
    assert!(Timestamp::parse("2016-12-31T23:59:60Z").unwrap_err().contains("leap second"));
}

#[test]
fn what_is_not_rfc_3339_with_an_offset_is_refused() {
    for text in [
        "",
        "2026",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00Z",
        "20260131T120000Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+01:60",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00 Z",
        "2026-01-31T12:00:00ZZ",
        "+002026-01-31T12:00:00Z",
        "-2026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z[UTC]",
        "２０２６-01-31T12:00:00Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59.999999999-00:01",
    ] {
        assert!(Timestamp::parse(text).is_err(), "{text} was taken");
    }
}

/// `9999-12-31T23:59:59Z` was refused as lying outside the years 0000 to 9999, which it does not.
#[test]
fn the_years_0000_and_9999_are_taken_to_their_ends() {
    for (text, instant, shown) in [
        ("0000-01-01T00:00:00Z", Timestamp::MIN, "0000-01-01T00:00:00Z"),
        ("0000-01-01T23:59:00+23:59", Timestamp::MIN, "0000-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999999Z", Timestamp::MAX, "9999-12-31T23:59:59.999999999Z"),
        ("9999-12-31T00:00:59.999999999-23:59", Timestamp::MAX, "9999-12-31T23:59:59.999999999Z"),
    ] {
        let parsed = Timestamp::parse(text).unwrap();
        assert_eq!((parsed, parsed.to_string().as_str()), (instant, shown), "{text}");
        assert_eq!(Timestamp::from_nanosecond(parsed.as_nanosecond()), Some(parsed));
        assert_eq!(Timestamp::from_millisecond(parsed.as_millisecond()).unwrap().utc_date(), parsed.utc_date());
    }
    assert_eq!(Timestamp::parse("9999-12-31T23:59:59Z").unwrap().utc_date(), "9999-12-31");
    assert_eq!(Timestamp::from_nanosecond(Timestamp::MIN.as_nanosecond() - 1), None);
    assert_eq!(Timestamp::from_nanosecond(Timestamp::MAX.as_nanosecond() + 1), None);
    for outside in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
        assert_eq!(Timestamp::parse(outside), Err("must lie in the years 0000 to 9999 (UTC)"), "{outside}");
    }
}

#[test]
fn a_reading_ahead_of_its_arrival_is_told_both_times() {
    let (tolerance, arrived_at) = (Duration::from_secs(300), Timestamp::parse("2026-06-01T12:00:00Z").unwrap());
    let check = |text: &str| Timestamp::parse(text).unwrap().check_arrival(arrived_at, tolerance);
    for taken in ["0000-01-01T00:00:00Z", "2026-06-01T12:05:00Z"] {
        assert_eq!(check(taken), Ok(()));
    }
    for ahead in ["2026-06-01T12:05:00.000000001Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z"] {
        let rule = "must be at most 300 seconds after its arrival, but";
        assert_eq!(check(ahead), Err(format!("{rule} {ahead} arrived at 2026-06-01T12:00:00Z")));
    }
}

#[test]
fn the_same_instant_in_two_offsets_is_equal() {
    assert_eq!(Timestamp::parse("2026-01-31T12:00:00+05:30"), Timestamp::parse("2026-01-31t06:30:00z"));
}

#[test]
fn date_and_hour_are_those_of_utc() {
    let timestamp = Timestamp::parse("2026-01-01T00:30:00+01:00").unwrap();
    assert_eq!((timestamp.utc_date().as_str(), timestamp.utc_hour()), ("2025-12-31", 23));
}

#[test]
fn the_form_of_sql_has_milliseconds_rounded_down_in_utc() {
    for (text, expected) in [
        ("2026-01-01T00:30:00+01:00", "2025-12-31 23:30:00.000"),
        ("2026-12-31T23:59:59.999999999Z", "2026-12-31 23:59:59.999"),
        ("0000-01-01T00:00:00.05Z", "0000-01-01 00:00:00.050"),
        ("1969-12-31T23:59:59.9995Z", "1969-12-31 23:59:59.999"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31 23:59:59.999"),
    ] {
        assert_eq!(Timestamp::parse(text).unwrap().utc_millisecond(), expected);
    }
}
