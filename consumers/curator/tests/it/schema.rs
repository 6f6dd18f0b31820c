//! One schema, whatever the form.

use ports::{COLUMNS, ColumnKind, ConfidenceInterval, CuratedRow, MEMBERS, StatisticsAttributes};
use serde_json::{Value, json};
use std::collections::BTreeSet;
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
        statistics: StatisticsAttributes {
            count: 3,
            mean: Some(66.0),
            median: Some(40.0),
            standard_deviation: None,
            minimum: Some(-0.5),
            maximum: Some(1e100),
            mean_confidence_95: Some(ConfidenceInterval { low: -1.5, high: 0.1 + 0.2 }),
            anomaly_count: 1,
            first_timestamp: Some(at("0001-01-01T00:00:00Z")),
            last_timestamp: None,
            updated_at: at("2026-01-31T12:00:00.987654321Z"),
        },
    }
}

#[test]
fn the_columns_are_those_agreed_on() {
    let columns: Vec<(&str, &str)> =
        COLUMNS.iter().map(|column| (column.name.as_str(), name_of(column.kind))).collect();
    assert_eq!(columns, AGREED);
}

fn name_of(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "string",
        ColumnKind::Integer => "bigint",
        ColumnKind::Double => "double",
        ColumnKind::Timestamp => "timestamp",
    }
}

/// Terraform makes the Glue table of this file.
#[test]
fn glues_columns_are_those_of_the_record() {
    let schema: Value = serde_json::from_str(include_str!("../../../../dashboards/athena/schema.json")).expect("JSON");
    let columns: Vec<Value> = COLUMNS.iter().map(|column| json!([column.name, name_of(column.kind)])).collect();
    assert_eq!(schema["tables"]["device_statistics"]["columns"], Value::from(columns));
}

/// The tables of docs/configuration.md name every column, and every member of the answer of `GET /`.
#[test]
fn the_documents_tables_name_every_column_and_member() {
    let document = include_str!("../../../../docs/configuration.md");
    let names = |heading: &str| {
        let (_, section) = document.split_once(heading).expect("the heading");
        let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let first = |line: &str| line.split('|').nth(1).map(str::to_owned);
        let names: Vec<String> = rows.filter_map(first).collect();
        names.join(",").split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let columns = COLUMNS.iter().map(|column| column.name.clone()).chain(["dt".to_owned()]).collect();
    assert_eq!(names("## The curated table"), columns);
    let members = MEMBERS.iter().map(|member| member.name).chain(["device_id"]).map(str::to_owned).collect();
    assert_eq!(names("The answer of `GET /?device_id=…`"), members);
}

#[test]
fn the_json_of_firehose_has_the_columns_in_order_each_with_its_own_value() {
    let json = concat!(
        r#"{"device_id":"pump-1","revision":2,"count":3,"mean":66.0,"median":40.0,"standard_deviation":null,"#,
        r#""minimum":-0.5,"maximum":1e+100,"mean_confidence_95_low":-1.5,"mean_confidence_95_high":0.30000000000000004,"#,
        r#""anomaly_count":1,"first_timestamp":"0001-01-01 00:00:00.000","last_timestamp":null,"#,
        r#""updated_at":"2026-01-31 12:00:00.987"}"#
    );
    assert_eq!(serde_json::to_string(&row()).expect("JSON"), json);
}
