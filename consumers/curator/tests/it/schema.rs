//! One schema, whatever the form.

use curator::{COLUMNS, Values};
use ports::CuratedRow;
use serde_json::Value;
use telemetry::{DeviceId, Timestamp};

/// The table as it was agreed on; what analysts' queries rest on.
const AGREED: [(&str, &str); 14] = [
    ("device_id", "string"),
    ("revision", "bigint"),
    ("count", "bigint"),
    ("mean", "double"),
    ("median", "double"),
    ("standard_deviation", "double"),
    ("minimum", "double"),
    ("maximum", "double"),
    ("mean_confidence_95_low", "double"),
    ("mean_confidence_95_high", "double"),
    ("anomaly_count", "bigint"),
    ("first_timestamp", "timestamp"),
    ("last_timestamp", "timestamp"),
    ("updated_at", "timestamp"),
];

fn row() -> CuratedRow {
    let at = |text: &str| Timestamp::parse(text).expect("a timestamp");
    CuratedRow {
        device_id: DeviceId::parse("pump-1").expect("a name"),
        revision: 2,
        count: 3,
        mean: Some(66.0),
        median: Some(40.0),
        standard_deviation: None,
        minimum: Some(-0.5),
        maximum: Some(1e100),
        mean_confidence_95_low: None,
        mean_confidence_95_high: Some(0.1 + 0.2),
        anomaly_count: 1,
        first_timestamp: Some(at("0001-01-01T00:00:00Z")),
        last_timestamp: None,
        updated_at: at("2026-01-31T12:00:00.987654321Z"),
    }
}

#[test]
fn the_columns_are_those_agreed_on() {
    let columns = COLUMNS.map(|column| {
        let kind = match column.values {
            Values::Text(_) => "string",
            Values::Integer(_) => "bigint",
            Values::Double(_) => "double",
            Values::Timestamp(_) => "timestamp",
        };
        (column.name, kind)
    });
    assert_eq!(columns, AGREED);
}

#[test]
fn the_json_of_firehose_has_the_columns_in_order_each_with_its_own_value() {
    let json = concat!(
        r#"{"device_id":"pump-1","revision":2,"count":3,"mean":66.0,"median":40.0,"standard_deviation":null,"#,
        r#""minimum":-0.5,"maximum":1e+100,"mean_confidence_95_low":null,"mean_confidence_95_high":0.30000000000000004,"#,
        r#""anomaly_count":1,"first_timestamp":"0001-01-01 00:00:00.000","last_timestamp":null,"#,
        r#""updated_at":"2026-01-31 12:00:00.987"}"#
    );
    assert_eq!(serde_json::to_string(&row()).expect("JSON"), json);
    let document: Value = serde_json::from_str(json).expect("JSON");
    let row = row();
    for column in &COLUMNS {
        let found = match column.values {
            Values::Text(value) => Value::from(value(&row)),
            Values::Integer(value) => Value::from(value(&row)),
            Values::Double(value) => Value::from(value(&row)),
            Values::Timestamp(value) => Value::from(value(&row).map(|instant| instant.utc_millisecond())),
        };
        assert_eq!(document[column.name], found, "{}", column.name);
    }
}
