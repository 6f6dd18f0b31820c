//! What a stream record decodes to, and the payloads that dead letters carry.

use serde_json::{Value, json};
use telemetry::{RejectReason, count_readings, decode_record, one_line, parse_reading, reading_payloads};

fn series(readings: Value) -> Vec<u8> {
    json!({"device_id": "d", "readings": readings}).to_string().into_bytes()
}

#[test]
fn a_reading_and_a_series_decode_to_their_readings() {
    let reading = json!({"device_id": "d", "timestamp": "2026-01-31T12:00:00Z", "value": 1}).to_string();
    let decoded = decode_record(reading.as_bytes());
    assert_eq!((decoded.len(), decoded[0].index), (1, None));
    let item = |value| json!({"timestamp": "2026-01-31T12:00:00Z", "value": value});
    let decoded = decode_record(&series(json!([item(1), item(2)])));
    let values: Vec<_> = decoded.iter().map(|d| (d.index, d.outcome.as_ref().unwrap().value)).collect();
    assert_eq!(values, [(Some(0), 1.0), (Some(1), 2.0)]);
}

#[test]
fn the_good_readings_of_a_series_stand_beside_its_bad_ones() {
    let good = json!({"timestamp": "2026-01-31T12:00:00Z", "value": 1});
    let bad = json!({"timestamp": "never", "value": 2, "note": "mended by hand"});
    let record = series(json!([good, bad, 7, good]));
    let decoded = decode_record(&record);
    let taken: Vec<_> = decoded.iter().map(|d| d.outcome.is_ok()).collect();
    assert_eq!(taken, [true, false, false, true]);
    assert_eq!(decoded[1].outcome.as_ref().unwrap_err().reason, RejectReason::InvalidReading);
    assert_eq!(count_readings(&record), 4);

    let payloads = reading_payloads(&record);
    assert_eq!(payloads.len(), 4);
    let body: Value = serde_json::from_slice(&payloads[1]).unwrap();
    assert_eq!(body, json!({"device_id": "d", "timestamp": "never", "value": 2, "note": "mended by hand"}));
    assert_eq!(payloads[2], b"7");
}

#[test]
fn the_payload_of_a_good_reading_of_a_series_is_a_complete_body() {
    let record = series(json!([{"timestamp": "2026-01-31T12:00:00Z", "value": 1},
        {"device_id": "d", "timestamp": "2026-01-31T12:00:01Z", "value": 2}]));
    let decoded = decode_record(&record);
    for (payload, decoded) in reading_payloads(&record).iter().zip(&decoded) {
        assert_eq!(&parse_reading(payload).unwrap(), decoded.outcome.as_ref().unwrap());
    }
}

#[test]
fn what_is_no_record_is_one_rejection_with_the_whole_record_as_payload() {
    for (record, reason) in [
        (&b"not json"[..], RejectReason::MalformedJson),
        (b"\xff\xfe", RejectReason::MalformedJson),
        (b"", RejectReason::MalformedJson),
        (b"[]", RejectReason::InvalidReading),
        (b"{}", RejectReason::InvalidReading),
        (br#"{"device_id":"d","readings":[]}"#, RejectReason::InvalidReading),
        (br#"{"device_id":"!","readings":[{}]}"#, RejectReason::InvalidReading),
        (b"\xf3\x89\x9a\xc2damaged", RejectReason::BadAggregate),
    ] {
        let decoded = decode_record(record);
        assert_eq!(decoded.len(), 1, "{record:?}");
        assert_eq!(decoded[0].outcome.as_ref().unwrap_err().reason, reason, "{record:?}");
        assert_eq!(reading_payloads(record), [record.to_vec()]);
    }
}

#[test]
fn what_is_nested_too_deep_is_an_invalid_reading_beside_good_ones() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let reading =
        |depth| format!(r#"{{"device_id":"d","timestamp":"2026-01-31T12:00:00Z","value":1,"x":{}}}"#, nested(depth));
    let reasons = |record: &str| {
        let decoded = decode_record(record.as_bytes());
        decoded.into_iter().map(|each| each.outcome.err().map(|rejection| rejection.reason)).collect::<Vec<_>>()
    };
    let invalid = Some(RejectReason::InvalidReading);
    assert_eq!(reasons(&reading(127)), [None]);
    assert_eq!(reasons(&reading(128)), [invalid]);
    assert_eq!(reasons(&reading(100_000)), [invalid]);
    let series = format!(r#"{{"device_id":"d","readings":[{},{}]}}"#, reading(126), reading(125));
    assert_eq!(reasons(&series), [invalid, None]);
    let beside = format!(r#"{{"device_id":"d","x":{},"readings":[{}]}}"#, nested(128), reading(1));
    assert_eq!(reasons(&beside), [invalid]);
}

#[test]
fn one_line_changes_nothing_that_json_can_mean() {
    let body = b"{\r\n\"a\": \"x\\n\",\n\"b\": 1}";
    let line = one_line(body);
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(parse(&line), parse(body));
}

#[test]
fn the_archive_keeps_one_document_a_line_however_the_record_was_put() {
    let pretty = b"{\"device_id\":\"d\",\r\n\"timestamp\":\"2026-01-31T12:00:00Z\",\n\"value\":1}";
    let sub = |place| telemetry::kpl::SubRecord {
        partition_key: "d".to_owned(),
        explicit_hash_key: None,
        data: pretty.to_vec(),
        sub_sequence_number: place,
    };
    let packed = telemetry::kpl::aggregate(&[sub(0), sub(1)]);
    let mut lines = Vec::new();
    telemetry::push_lines(pretty, &mut lines);
    telemetry::push_lines(&packed, &mut lines);
    telemetry::push_lines(b"\xf3\x89\x9a\xc2\n", &mut lines);
    let lines: Vec<_> = lines.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), 5, "three documents, one damaged record, and nothing after the last line");
    for line in &lines[..3] {
        assert_eq!(parse_reading(line).unwrap(), parse_reading(pretty).unwrap());
    }
}

#[test]
fn a_small_aggregate_cannot_grow_into_much_memory() {
    // 43,000 empty records that share one long key: 258 KB that would be 49 MB.
    let sub = |place| telemetry::kpl::SubRecord {
        partition_key: "k".repeat(250),
        explicit_hash_key: None,
        data: Vec::new(),
        sub_sequence_number: place,
    };
    let packed = telemetry::kpl::aggregate(&(0..43_000).map(sub).collect::<Vec<_>>());
    assert!(packed.len() < 300_000, "{}", packed.len());
    let decoded = decode_record(&packed);
    assert_eq!(decoded.len(), 1);
    assert_eq!(decoded[0].outcome.as_ref().unwrap_err().reason, RejectReason::BadAggregate);
}

#[test]
fn an_aggregate_of_many_small_readings_is_taken_whole() {
    let data = |place: u64| {
        let timestamp = telemetry::Timestamp::from_millisecond(1_700_000_000_000 + place as i64).unwrap();
        json!({"device_id": "device-1", "timestamp": timestamp, "value": place}).to_string().into_bytes()
    };
    let sub = |place| telemetry::kpl::SubRecord {
        partition_key: "device-1".to_owned(),
        explicit_hash_key: None,
        data: data(place),
        sub_sequence_number: place,
    };
    let packed = telemetry::kpl::aggregate(&(0..100_000).map(sub).collect::<Vec<_>>());
    assert_eq!(decode_record(&packed).iter().filter(|decoded| decoded.outcome.is_ok()).count(), 100_000);
}
