//! The reader of Lambda's event, judged by the type of `aws_lambda_events` and by what the mapping of this project writes.

use crate::support::timestamp;
use aggregator::lambda::{RecordBatch, response};
use aws_lambda_events::event::kinesis::KinesisEvent;
use event_source_mapping::EventSource;
use ports::{SequenceNumber, ShardId, StreamRecord, StreamShard};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use telemetry::Timestamp;

fn shard(id: &str) -> Arc<StreamShard> {
    Arc::new(StreamShard { stream: "readings".to_owned(), shard_id: ShardId(id.to_owned()) })
}

/// Compares what is read of an event with what its own type reads of it.
fn assert_reads_as_kinesis_event(event: &[u8]) -> Vec<StreamRecord> {
    let RecordBatch(records) = serde_json::from_slice(event).unwrap();
    let judge: KinesisEvent = serde_json::from_slice(event).unwrap();
    assert_eq!(records.len(), judge.records.len());
    for (record, expected) in records.iter().zip(&judge.records) {
        assert_eq!(record.partition_key, expected.kinesis.partition_key);
        assert_eq!(record.sequence_number.to_string(), expected.kinesis.sequence_number);
        assert_eq!(record.data, expected.kinesis.data.0);
        let shard = expected.event_id.as_ref().map_or("", |id| id.split(':').next().unwrap());
        assert_eq!(record.shard.shard_id.0, shard);
        let stream = expected.event_source_arn.as_ref().map_or("", |arn| arn.rsplit('/').next().unwrap());
        assert_eq!(record.shard.stream, stream);
        // Its seconds alone: the crate takes the fraction's digits for a number of milliseconds, .48 for 48 ms.
        let seconds = expected.kinesis.approximate_arrival_timestamp.timestamp();
        assert_eq!(record.arrived_at.as_millisecond().div_euclid(1000), seconds);
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_comes_back_from_the_event(
        contents in prop::collection::vec(
            (any::<[u8; 23]>(), "\\PC{0,20}|[\\x00-\\x7f]{0,20}", prop::collection::vec(any::<u8>(), 0..100), 0..4_000_000_000_000_i64),
            0..10,
        ),
    ) {
        let shard = shard("shardId-000000000000");
        let record = |(sequence, partition_key, data, arrival): ([u8; 23], String, Vec<u8>, i64)| {
            let mut bytes = [0; 24];
            bytes[1..].copy_from_slice(&sequence);
            StreamRecord {
                shard: Arc::clone(&shard),
                sequence_number: SequenceNumber::from_be_bytes(bytes),
                partition_key,
                data,
                arrived_at: Timestamp::from_millisecond(arrival).unwrap(),
            }
        };
        let records: Vec<_> = contents.into_iter().map(record).collect();
        let event = EventSource::on_one_machine("readings", "aggregator").event(&records);
        prop_assert_eq!(assert_reads_as_kinesis_event(&event), records);
    }
}

#[test]
fn the_sample_events_read_as_the_kinesis_event_type_reads_them() {
    for event in [
        include_str!("../../events/good.json"),
        include_str!("../../events/poison.json"),
        include_str!("../../events/mixed.json"),
        include_str!("../../events/kpl.json"),
        include_str!("../../events/10000-records.json"),
    ] {
        assert!(!assert_reads_as_kinesis_event(event.as_bytes()).is_empty());
    }
}

#[test]
fn the_response_names_the_failed_records() {
    let named = serde_json::to_value(response(&[7.into(), 9.into()])).unwrap();
    assert_eq!(named, json!({"batchItemFailures": [{"itemIdentifier": "7"}, {"itemIdentifier": "9"}]}));
    assert_eq!(serde_json::to_value(response(&[])).unwrap(), json!({"batchItemFailures": []}));
}

fn read(member: &str, value: Value) -> Result<StreamRecord, String> {
    let mut kinesis = json!({
        "partitionKey": "d", "sequenceNumber": "1", "data": "e30=", "approximateArrivalTimestamp": 1_545_084_650.5,
    });
    kinesis[member] = value;
    let event = json!({"Records": [{"kinesis": kinesis}]}).to_string();
    let batch: Result<RecordBatch, _> = serde_json::from_str(&event);
    batch.map(|RecordBatch(mut records)| records.remove(0)).map_err(|error| error.to_string())
}

#[test]
fn a_fraction_of_a_second_is_read_as_a_fraction() {
    for (text, expected) in [
        ("1545084650.987", "2018-12-17T22:10:50.987Z"),
        ("1545084650.05", "2018-12-17T22:10:50.05Z"),
        ("1545084650.5", "2018-12-17T22:10:50.5Z"),
        ("1545084650.050", "2018-12-17T22:10:50.05Z"),
        ("1545084650", "2018-12-17T22:10:50Z"),
        ("1.545084650987E9", "2018-12-17T22:10:50.987Z"),
        ("1545084650.98749", "2018-12-17T22:10:50.987Z"),
    ] {
        let record = read("approximateArrivalTimestamp", serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(record.arrived_at, timestamp(expected), "{text}");
    }
}

#[test]
fn every_millisecond_of_a_second_comes_through() {
    for millisecond in 0..1_000 {
        let seconds = format!("1780272000.{millisecond:03}");
        let record = read("approximateArrivalTimestamp", serde_json::from_str(&seconds).unwrap()).unwrap();
        assert_eq!(record.arrived_at.as_millisecond(), 1_780_272_000_000 + millisecond);
    }
}

#[test]
fn what_is_no_record_is_an_error_that_names_the_member() {
    for (member, value) in
        [("approximateArrivalTimestamp", json!(1e30)), ("sequenceNumber", json!("x")), ("data", json!("not base64!"))]
    {
        let error = read(member, value).unwrap_err();
        assert!(error.contains(member), "{error}");
    }
}

#[test]
fn what_is_no_event_is_an_error_that_says_what_is_missing() {
    for (event, named) in [
        ("{}", "`Records`"),
        ("[]", "`Records`"),
        (r#"{"Records":{}}"#, "`Records`"),
        (r#"{"Records":[1]}"#, "`Records`"),
        (r#"{"Records":[{"kinesis":[]}]}"#, "`Records`"),
        (r#"{"Records":[{}]}"#, "`partitionKey`: is missing"),
        (r#"{"Records":[{"kinesis":{"partitionKey":null}}]}"#, "`partitionKey`: must be a string"),
        (r#"{"Records":[],"#, "EOF"),
    ] {
        let error = serde_json::from_str::<RecordBatch>(event).unwrap_err().to_string();
        assert!(error.contains(named), "{event}: {error}");
    }
    let RecordBatch(records) = serde_json::from_str(r#"{"x":[{"y":"\"]"}],"Records":[]}"#).unwrap();
    assert_eq!(records, []);
}
