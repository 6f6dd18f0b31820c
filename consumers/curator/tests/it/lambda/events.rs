//! What is read of the event that Lambda sends.

use curator::lambda::{ChangeBatch, batch_response};
use curator::{Change, Content, Unreadable};
use ports::{ConfidenceInterval, CuratedRow, StatisticsAttributes};
use proptest::prelude::*;
use serde_json::{Value, json};
use telemetry::{DeviceId, Timestamp};

const MIXED: &str = include_str!("../../../events/mixed.json");

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a timestamp")
}

fn read(event: &Value) -> Vec<Change> {
    serde_json::from_str::<ChangeBatch>(&event.to_string()).expect("an event").0
}

/// The sample's events, the second record's image changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<Change> {
    let mut event: Value = serde_json::from_str(MIXED).expect("JSON");
    change(&mut event["Records"][1]["dynamodb"]);
    read(&event)
}

fn row(change: &Change) -> &CuratedRow {
    match &change.content {
        Content::Row(row) => row,
        other => panic!("{other:?} is no row"),
    }
}

fn is_row(change: &Change) -> bool {
    matches!(change.content, Content::Row(_))
}

#[test]
fn an_items_attributes_are_a_row() {
    let changes = read(&serde_json::from_str(MIXED).expect("JSON"));
    let device_id = DeviceId::parse("pump-1").expect("a name");
    let first = CuratedRow {
        device_id: device_id.clone(),
        revision: 1,
        statistics: StatisticsAttributes {
            count: 1,
            mean: Some(35.0),
            median: Some(35.0),
            standard_deviation: None,
            minimum: Some(35.0),
            maximum: Some(35.0),
            mean_confidence_95: None,
            anomaly_count: 0,
            first_timestamp: Some(at("2026-01-31T11:00:00Z")),
            last_timestamp: Some(at("2026-01-31T11:00:00Z")),
            updated_at: at("2026-01-31T12:00:00.123456789Z"),
        },
    };
    assert_eq!(row(&changes[0]), &first);
    let statistics = StatisticsAttributes {
        count: 3,
        mean: Some(66.0),
        median: Some(40.0),
        standard_deviation: Some(49.426_713_424_505_53),
        maximum: Some(123.0),
        mean_confidence_95: Some(ConfidenceInterval { low: -56.782_782_639_882_13, high: 188.782_782_639_882_13 }),
        last_timestamp: Some(at("2026-01-31T11:02:00Z")),
        updated_at: at("2026-01-31T12:00:00.5Z"),
        ..first.statistics
    };
    let second = CuratedRow { device_id, revision: 2, statistics };
    assert_eq!(row(&changes[1]), &second);
    assert_eq!(changes[1].sequence_number, "4421584500000000017450439002");
    assert_eq!(changes[1].created_at, Some(at("2026-01-31T12:00:00Z")));
}

#[test]
fn the_greatest_and_least_numbers_keep_every_digit() {
    let changes = read(&serde_json::from_str(MIXED).expect("JSON"));
    let CuratedRow { revision, statistics: row, .. } = row(&changes[4]);
    assert_eq!((*revision, row.count), (9_007_199_254_740_993, 9_007_199_254_740_993));
    assert_eq!((row.mean, row.median), (Some(0.1 + 0.2), Some(-1e100)));
    assert_eq!((row.standard_deviation, row.maximum), (Some(1.0 / 3.0), Some(5e-100)));
    let interval = ConfidenceInterval { low: -123_456_789.123_456_79, high: 1e22 };
    assert_eq!(row.mean_confidence_95, Some(interval));
}

#[test]
fn ledger_pages_and_deletions_are_no_rows() {
    let changes = read(&serde_json::from_str(MIXED).expect("JSON"));
    assert_eq!((&changes[2].content, &changes[3].content), (&Content::Nothing, &Content::Nothing));
}

#[test]
fn an_item_that_cannot_be_read_fails_alone_and_says_what_is_wrong_without_its_value() {
    let cases = [
        ("mean", json!({"S": "secret-7310"}), "`mean` is not a finite number or NULL"),
        ("mean", json!({"N": "secret-7310"}), "`mean` is not a finite number or NULL"),
        ("mean", json!({"N": "inf"}), "`mean` is not a finite number or NULL"),
        ("mean", json!({"N": "1e999"}), "`mean` is not a finite number or NULL"),
        ("mean", json!({"N": 7}), "`mean` is not a finite number or NULL"),
        ("mean", json!({"Q": "secret-7310"}), "`mean` is not a finite number or NULL"),
        ("mean", json!({"N": "1", "S": "2"}), "`mean` is not a finite number or NULL"),
        ("mean", json!({}), "`mean` is not a finite number or NULL"),
        ("mean", json!("secret-7310"), "`mean` is not a finite number or NULL"),
        ("mean", json!([1, {"N": "1"}]), "`mean` is not a finite number or NULL"),
        ("mean", json!(null), "`mean` is not a finite number or NULL"),
        ("count", json!({"N": "-1"}), "`count` is not an integer from 0 to 2^63-1"),
        ("count", json!({"N": "1.5"}), "`count` is not an integer from 0 to 2^63-1"),
        ("count", json!({"NULL": true}), "`count` is not an integer from 0 to 2^63-1"),
        ("revision", json!({"N": "9223372036854775808"}), "`revision` is not an integer from 0 to 2^63-1"),
        ("updated_at", json!({"S": "yesterday"}), "`updated_at` is not a timestamp"),
        ("updated_at", json!({"NULL": true}), "`updated_at` is not a timestamp"),
        ("last_timestamp", json!({"N": "1"}), "`last_timestamp` is not a timestamp or NULL"),
        ("mean_confidence_95", json!({"M": {"low": {"N": "1"}}}), "`mean_confidence_95.high` is not a finite number"),
        ("mean_confidence_95", json!({"M": []}), "`mean_confidence_95` is not a map of numbers or NULL"),
        ("mean_confidence_95", json!({"M": "low"}), "`mean_confidence_95` is not a map of numbers or NULL"),
    ];
    for (name, value, expected) in cases {
        let changes = changed(|change| change["NewImage"][name] = value.clone());
        let Content::Unreadable(Unreadable { device_id, why }) = &changes[1].content else { panic!("{name}: {value}") };
        assert_eq!(device_id.as_ref().map(DeviceId::as_str), Some("pump-1"));
        assert!(why.starts_with(expected), "{name}: {value}: {why}");
        assert!(is_row(&changes[0]) && is_row(&changes[4]));
    }
}

#[test]
fn an_item_without_an_attribute_image_or_key_is_unreadable_and_never_nothing() {
    let unreadable = |changes: Vec<Change>| match &changes[1].content {
        Content::Unreadable(item) => item.why.clone(),
        other => panic!("{other:?}"),
    };
    let members = |value: &mut Value, name: &str| value.as_object_mut().expect("an object").remove(name);
    let no_median = changed(|change| drop(members(&mut change["NewImage"], "median")));
    assert!(unreadable(no_median).starts_with("`median`"));
    let no_image = changed(|change| drop(members(change, "NewImage")));
    assert!(unreadable(no_image).contains("NEW_IMAGE"));
    let no_item = changed(|change| drop(members(&mut change["Keys"], "item")));
    assert!(unreadable(no_item).contains("`item`"));
    let bad_device = changed(|change| change["Keys"]["device_id"]["S"] = json!("not a name"));
    assert!(unreadable(bad_device).contains("`device_id`"));
}

#[test]
fn half_an_interval_is_none() {
    let changes = changed(|change| change["NewImage"]["mean_confidence_95"]["M"]["low"] = json!({"NULL": true}));
    assert_eq!(row(&changes[1]).statistics.mean_confidence_95, None);
}

#[test]
fn an_item_that_others_have_added_to_reads_as_before() {
    let changes = changed(|change| {
        change["NewImage"]["aws:rep:updateregion"] = json!({"S": "eu-central-1"});
        change["NewImage"]["a list"] = json!({"L": [{"M": {"x": {"NS": ["1"]}}}]});
    });
    assert!(changes.iter().enumerate().all(|(at, change)| is_row(change) == [0, 1, 4].contains(&at)));
}

#[test]
fn the_response_names_the_failed_change_or_none() {
    let text = |failed: Option<&str>| serde_json::to_string(&batch_response(failed.map(str::to_owned))).expect("JSON");
    assert_eq!(text(None), r#"{"batchItemFailures":[]}"#);
    assert_eq!(text(Some("4421")), r#"{"batchItemFailures":[{"itemIdentifier":"4421"}]}"#);
}

/// DynamoDB gives numbers without an exponent as long as 38 digits reach, and with one beyond.
fn as_dynamodb_has_it(value: f64) -> [String; 2] {
    [format!("{value}"), format!("{value:E}")]
}

proptest! {
    #[test]
    fn every_double_comes_through_to_the_bit(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.abs() >= 1e-130 && value.abs() < 1e126);
        for text in as_dynamodb_has_it(value) {
            let changes = changed(|change| change["NewImage"]["mean"] = json!({"N": text}));
            prop_assert_eq!(row(&changes[1]).statistics.mean.map(f64::to_bits), Some(bits));
        }
    }

    #[test]
    fn every_millisecond_of_a_change_is_read(milliseconds in 0i64..4_102_444_800_000) {
        let seconds = milliseconds as f64 / 1000.0;
        let changes = changed(|change| change["ApproximateCreationDateTime"] = json!(seconds));
        prop_assert_eq!(changes[1].created_at.map(Timestamp::as_millisecond), Some(milliseconds));
    }
}
