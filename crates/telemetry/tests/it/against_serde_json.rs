//! What is taken and what is read, against serde_json's own reading of the same bytes.

use proptest::prelude::*;
use serde_json::Value;
use telemetry::{RejectReason, Timestamp, each_reading, parse_reading, visit_series};

/// Of an object that names no member twice: its device, instant and value, where all rules are met.
fn expected(json: &Value) -> Option<(String, Timestamp, f64)> {
    let object = json.as_object().filter(|object| !object.contains_key("readings"))?;
    let device = object.get("device_id")?.as_str()?;
    let named = |text: &str, taken: fn(char) -> bool| (1..=128).contains(&text.len()) && text.chars().all(taken);
    let device_is_valid = named(device, |letter| letter.is_ascii_alphanumeric() || "._:-".contains(letter))
        && device.starts_with(|first: char| first.is_ascii_alphanumeric());
    let event = object.get("event_id");
    let event_is_valid =
        event.is_none_or(|event| event.as_str().is_some_and(|text| named(text, |c| c.is_ascii_graphic())));
    let timestamp = Timestamp::parse(object.get("timestamp")?.as_str()?).ok()?;
    let value = object.get("value")?.as_f64().filter(|value| value.abs() <= 1e100)?;
    (device_is_valid && event_is_valid).then(|| (device.to_owned(), timestamp, value + 0.0))
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    (0..texts.len()).prop_map(|at| texts[at].to_owned())
}

/// Mostly what the member takes.
fn member() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (-1e6f64..1e6).prop_map(|value| format!("{value:.2}")),
        any::<f64>().prop_map(|value| format!("{value:e}")),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
    ];
    prop_oneof![
        3 => one_of(&[r#""device_id":"d""#, r#""device_id":"\u0064-1""#, r#""device\u005fid" : "x""#, r#""device_id":"""#]),
        4 => one_of(&[r#""timestamp":"2026-01-31T12:00:00Z""#, r#""timestamp":"2026-01-31T12:00:00.5+01:00""#, r#""timestamp":"2026""#]),
        4 => number.prop_map(|number| format!(r#""value":{number}"#)),
        1 => one_of(&[r#""event_id":"e""#, r#""event_id":"\" e""#, r#""value":"1""#, r#""readings":[]"#]),
        1 => one_of(&[r#""a":[1,{"b":[]},"]\"}"]"#, r#""é":null"#, "\"c\":\t{\"c\":[{}]}", r#""u":"\ud83d\ude00""#, r#""w":nul"#]),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let whole =
        prop::collection::vec(member(), 0..6).prop_map(|members| format!("{{{}}}", members.join(" , ")).into_bytes());
    let change = prop::option::weighted(0.4, (any::<usize>(), any::<u8>()));
    (whole, change).prop_map(|(mut body, change)| {
        if let Some((at, byte)) = change {
            let at = at % body.len();
            body[at] = byte;
        }
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_body_is_taken_if_serde_json_reads_a_reading_in_it(body in body()) {
        let parsed = parse_reading(&body);
        let json = serde_json::from_slice::<&serde_json::value::RawValue>(&body);
        let is_malformed = parsed.as_ref().is_err_and(|rejection| rejection.reason == RejectReason::MalformedJson);
        prop_assert_eq!(is_malformed, json.is_err());
        match parsed {
            Ok(reading) => {
                let json: Value = serde_json::from_slice(&body).unwrap();
                let read = (reading.device_id.as_str().to_owned(), reading.timestamp, reading.value);
                prop_assert_eq!(Some(read), expected(&json));
            }
            Err(rejection) if !rejection.detail.contains("named twice") => {
                let json = serde_json::from_slice::<Value>(&body).ok();
                prop_assert_eq!(json.as_ref().and_then(expected), None, "{}", rejection);
            }
            Err(_) => {}
        }
    }

    #[test]
    fn each_reading_of_a_series_is_read_as_by_itself(items in prop::collection::vec(body(), 1..5), last in any::<bool>()) {
        let array = items.join(&b","[..]);
        let parts = if last { [&b"{\"readings\":["[..], &array, b"],\"device_id\":\"d\"}"] }
            else { [&b"{\"device_id\":\"d\",\"readings\":["[..], &array, b"]}"] };
        let series = parts.concat();
        let Ok(json) = serde_json::from_slice::<Value>(&series) else { return Ok(()) };
        let Some(values) = json["readings"].as_array().filter(|values| values.len() == items.len()) else { return Ok(()) };
        let mut decoded = Vec::new();
        each_reading(&series, |each| decoded.push(each.outcome.map(|reading| reading.to_reading())));
        prop_assert_eq!(decoded.len(), values.len());
        for (decoded, value) in decoded.iter().zip(values) {
            let mut value = value.clone();
            let own = value.as_object().is_some_and(|object| object.get("device_id").is_none_or(|device| device == "d"));
            if let Some(object) = value.as_object_mut() {
                object.insert("device_id".to_owned(), "d".into());
            }
            let expected = expected(&value).filter(|_| own);
            match decoded {
                Err(rejection) if rejection.detail.contains("named twice") => {}
                _ => {
                    let read = decoded.as_ref().ok();
                    let read = read.map(|one| (one.device_id.as_str().to_owned(), one.timestamp, one.value));
                    prop_assert_eq!(read, expected);
                }
            }
        }
    }
}

#[test]
fn the_readings_of_a_series_point_into_its_body() {
    let item = r#"{"timestamp":"2026-01-31T12:00:00Z","value":1.25,"event_id":"e"}"#;
    let body = format!(r#"{{"readings":[{}],"device_id":"d"}}"#, vec![item; 500].join(","));
    let within = |text: &str| body.as_bytes().as_ptr_range().contains(&text.as_ptr());
    let mut visited = 0;
    let (device_id, readings) = visit_series(body.as_bytes(), |index, reading| {
        assert!(index == visited && within(reading.device_id) && reading.event_id.is_some_and(within));
        visited += 1;
    })
    .unwrap();
    assert_eq!((device_id.as_str(), readings, visited), ("d", 500, 500));
}
