//! The three bodies: what is taken, and which member a refusal names.

use proptest::prelude::*;
use serde_json::{Value, json};
use telemetry::{Reading, RejectReason, Rejection, parse_reading, visit_batch, visit_series};

fn parse_series(body: &[u8]) -> Result<Vec<Reading>, Rejection> {
    let mut readings = Vec::new();
    visit_series(body, |_, reading| readings.push(reading.to_reading()))?;
    Ok(readings)
}

fn parse_batch(body: &[u8]) -> Result<Vec<(Reading, &str)>, Rejection> {
    let mut readings = Vec::new();
    visit_batch(body, |reading, body| readings.push((reading.to_reading(), body)))?;
    Ok(readings)
}

fn reading() -> Value {
    json!({"device_id": "d-1", "timestamp": "2026-01-31T12:00:00Z", "value": 1.5})
}

fn refusal(body: &Value) -> String {
    let rejection = parse_reading(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(rejection.reason, RejectReason::InvalidReading);
    rejection.detail
}

#[test]
fn each_broken_rule_names_its_member() {
    let cases: [(&str, Value); 15] = [
        ("device_id", json!("")),
        ("device_id", json!("-starts-with-a-hyphen")),
        ("device_id", json!("a".repeat(129))),
        ("device_id", json!("späte")),
        ("device_id", json!(7)),
        ("device_id", Value::Null),
        ("timestamp", json!("yesterday")),
        ("timestamp", json!(1_700_000_000)),
        ("value", json!("1.5")),
        ("value", Value::Null),
        ("value", json!(1e101)),
        ("value", json!([1])),
        ("event_id", json!("")),
        ("event_id", json!("with space")),
        ("event_id", Value::Null),
    ];
    for (member, wrong) in cases {
        let mut body = reading();
        body[member] = wrong;
        assert!(refusal(&body).starts_with(&format!("`{member}`: ")), "{body} gave {}", refusal(&body));
    }
    for member in ["device_id", "timestamp", "value"] {
        let mut body = reading();
        body.as_object_mut().unwrap().remove(member);
        assert_eq!(refusal(&body), format!("`{member}`: is missing"));
    }
}

#[test]
fn a_member_named_twice_is_refused_however_it_is_written() {
    for twice in [r#""value":1"#, r#""\u0076alue":1"#, r#""other":1,"other":2"#] {
        let body = format!(r#"{{"device_id":"d","timestamp":"2026-01-31T12:00:00Z","value":1,{twice}}}"#);
        let rejection = parse_reading(body.as_bytes()).unwrap_err();
        assert!(rejection.detail.contains("named twice"), "{body} gave {rejection}");
    }
}

#[test]
fn other_members_are_allowed() {
    let mut body = reading();
    body["unit"] = json!({"deep": [[[[1]]]]});
    assert!(parse_reading(body.to_string().as_bytes()).is_ok());
}

#[test]
fn what_is_not_one_json_document_of_utf_8_is_malformed() {
    for body in [&b""[..], b"{", b"{}{}", b"\xff", b"nul", b"\xef\xbb\xbf{}", b"{\"value\":01}", b"{\"a\":\"\x01\"}"] {
        assert_eq!(parse_reading(body).unwrap_err().reason, RejectReason::MalformedJson, "{body:?}");
    }
}

#[test]
fn a_number_beyond_doubles_names_the_value() {
    let body = br#"{"device_id":"d","timestamp":"2026-01-31T12:00:00Z","value":1e999}"#;
    assert!(parse_reading(body).unwrap_err().detail.starts_with("`value`: "));
}

#[test]
fn negative_zero_is_zero() {
    let body = br#"{"device_id":"d","timestamp":"2026-01-31T12:00:00Z","value":-0.0}"#;
    assert!(parse_reading(body).unwrap().value.is_sign_positive());
}

#[test]
fn nesting_without_end_is_refused_without_a_crash() {
    let body = format!("{}1{}", "[".repeat(120_000), "]".repeat(120_000));
    assert_eq!(parse_reading(body.as_bytes()).unwrap_err().reason, RejectReason::InvalidReading);
    for member in ["device_id", "timestamp", "value", "event_id", "readings", "x"] {
        let mut members = vec![r#""device_id":"d""#, r#""timestamp":"2026-01-31T12:00:00Z""#, r#""value":1"#];
        members.retain(|given| !given.contains(member));
        let body = format!(r#"{{{},"{member}":{body}}}"#, members.join(","));
        for parsed in [
            parse_reading(body.as_bytes()).err(),
            parse_series(body.as_bytes()).err(),
            parse_batch(body.as_bytes()).err(),
        ] {
            assert_eq!(parsed.unwrap().reason, RejectReason::InvalidReading, "{member}");
        }
    }
}

/// It was taken at any depth, and what reads the archive later gives up at depths of its own.
#[test]
fn json_is_taken_to_a_depth_of_128_and_not_of_129() {
    let nested = |depth: usize| format!(r#"["]]]]\"{{",{}1{}]"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    let one =
        |depth| format!(r#"{{"device_id":"d","timestamp":"2026-01-31T12:00:00Z","value":1,"note":{}}}"#, nested(depth));
    let beside = |depth| {
        let note = nested(depth);
        let reading = r#"{"device_id":"d","timestamp":"2026-01-31T12:00:00Z","value":1}"#;
        format!(r#"{{"device_id":"d","note":{note},"readings":[{reading}]}}"#)
    };
    let within = |depth| format!(r#"{{"device_id":"d","readings":[{}]}}"#, one(depth));
    let too_deep = |place: &str| {
        Some(format!(r#"{place}: the member "note" is nested too deep; JSON is taken to a depth of 128"#))
    };
    let detail = |rejection: Option<Rejection>| rejection.map(|rejection| rejection.detail);
    assert_eq!(detail(parse_reading(one(127).as_bytes()).err()), None);
    assert_eq!(detail(parse_reading(one(128).as_bytes()).err()), too_deep("the body"));
    for parse in [|body: &str| parse_series(body.as_bytes()).err(), |body: &str| parse_batch(body.as_bytes()).err()] {
        assert_eq!(detail(parse(&beside(127))), None);
        assert_eq!(detail(parse(&beside(128))), too_deep("the body"));
        assert_eq!(detail(parse(&within(125))), None);
        assert_eq!(detail(parse(&within(126))), too_deep("`readings[0]`"));
    }
}

#[test]
fn a_series_is_refused_whole_naming_the_reading() {
    let item = json!({"timestamp": "2026-01-31T12:00:00Z", "value": 1});
    let mut series = json!({"device_id": "d", "readings": [item, item, item]});
    assert_eq!(parse_series(series.to_string().as_bytes()).unwrap().len(), 3);
    series["readings"][2]["value"] = json!("x");
    let rejection = parse_series(series.to_string().as_bytes()).unwrap_err();
    assert!(rejection.detail.starts_with("`readings[2].value`: "), "{rejection}");
    assert_eq!(rejection.device_id.unwrap().as_str(), "d");
}

#[test]
fn a_series_reading_may_repeat_its_device_but_not_name_another() {
    let item = |device: &str| json!({"device_id": device, "timestamp": "2026-01-31T12:00:00Z", "value": 1});
    let body = |device: &str| json!({"device_id": "d", "readings": [item(device)]}).to_string();
    assert!(parse_series(body("d").as_bytes()).is_ok());
    let rejection = parse_series(body("e").as_bytes()).unwrap_err();
    assert!(rejection.detail.starts_with("`readings[0].device_id`: "), "{rejection}");
}

#[test]
fn a_series_or_batch_holds_1_to_500_readings() {
    let item = json!({"device_id": "d", "timestamp": "2026-01-31T12:00:00Z", "value": 1});
    for (length, taken) in [(0, false), (1, true), (500, true), (501, false)] {
        let body = json!({"device_id": "d", "readings": vec![item.clone(); length]}).to_string();
        assert_eq!(parse_series(body.as_bytes()).is_ok(), taken, "{length}");
        assert_eq!(parse_batch(body.as_bytes()).is_ok(), taken, "{length}");
    }
}

#[test]
fn a_batch_keeps_each_body_as_it_was_posted() {
    let body = br#"{"readings": [ {"device_id":"a","timestamp":"2026-01-31T12:00:00Z","value":1.50,"unit":"K"} ,
        {"value":2e0,"device_id":"b","timestamp":"2026-01-31T12:00:00Z"}]}"#;
    let entries = parse_batch(body).unwrap();
    assert_eq!(entries[0].1, r#"{"device_id":"a","timestamp":"2026-01-31T12:00:00Z","value":1.50,"unit":"K"}"#);
    assert_eq!((entries[1].0.device_id.as_str(), entries[1].0.value), ("b", 2.0));
}

#[test]
fn a_single_reading_cannot_also_be_a_series() {
    let mut body = reading();
    body["readings"] = json!([]);
    assert!(parse_reading(body.to_string().as_bytes()).is_err());
    let series = json!({"device_id": "d", "value": 1, "readings": [{"timestamp": "2026-01-31T12:00:00Z", "value": 1}]});
    assert!(parse_series(series.to_string().as_bytes()).unwrap_err().detail.starts_with("`value`: "));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn every_finite_value_in_range_is_read_to_the_last_bit(value in -1e100f64..1e100) {
        let body = json!({"device_id": "d", "timestamp": "2026-01-31T12:00:00Z", "value": value}).to_string();
        prop_assert_eq!(parse_reading(body.as_bytes()).unwrap().value.to_bits(), value.to_bits());
    }

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (parse_reading(&body), parse_series(&body), parse_batch(&body));
    }

    #[test]
    fn a_cut_or_changed_body_is_never_taken_for_another_reading(at in 0usize..80, byte in any::<u8>()) {
        let body = reading().to_string().into_bytes();
        let at = at % body.len();
        let mut changed = body.clone();
        changed[at] = byte;
        let (before, after) = (parse_reading(&body).unwrap(), parse_reading(&changed));
        if let Ok(after) = after {
            let one_member = [after.device_id != before.device_id, after.timestamp != before.timestamp,
                after.value != before.value].iter().filter(|differs| **differs).count();
            prop_assert!(one_member <= 1);
        }
        prop_assert!(parse_reading(&body[..at]).is_err());
    }
}
