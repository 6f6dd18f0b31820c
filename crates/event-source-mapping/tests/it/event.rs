//! The event's JSON. The aggregator's tests compare it with what functions read of it.

use crate::driver::shard;
use event_source_mapping::EventSource;
use ports::StreamRecord;
use proptest::prelude::*;
use serde_json::{Value, json};
use telemetry::Timestamp;

fn source() -> EventSource {
    EventSource {
        stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream".into(),
        function_arn: "arn:aws:lambda:us-east-2:123456789012:function:my-function".into(),
        invoke_identity_arn: "arn:aws:iam::123456789012:role/lambda-role".into(),
        aws_region: "us-east-2".into(),
        mapping_uuid: "2b733aaa-8ac3-cdf5-af3a-1827b3b11284".into(),
    }
}

fn record(sequence_number: &str, partition_key: &str, data: &[u8], milliseconds: i64) -> StreamRecord {
    StreamRecord {
        shard: shard("shardId-000000000006"),
        sequence_number: sequence_number.parse().unwrap(),
        partition_key: partition_key.into(),
        data: data.into(),
        arrived_at: Timestamp::from_millisecond(milliseconds).unwrap(),
    }
}

// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html, "Example event": the two records of the example.
#[test]
fn the_event_is_the_one_of_the_documentation() {
    let first = "49590338271490256608559692538361571095921575989136588898";
    let second = "49590338271490256608559692540925702759324208523137515618";
    let records = [
        record(first, "1", b"Hello, this is a test.", 1_545_084_650_987),
        record(second, "1", b"This is only a test.", 1_545_084_711_166),
    ];
    let event: Value = serde_json::from_slice(&source().event(&records)).unwrap();
    let expected = |sequence: &str, data: &str, arrival: f64| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": sequence,
                "data": data,
                "approximateArrivalTimestamp": arrival
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000006:{sequence}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "us-east-2",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
        })
    };
    assert_eq!(
        event,
        json!({"Records": [
            expected(first, "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==", 1545084650.987),
            expected(second, "VGhpcyBpcyBvbmx5IGEgdGVzdC4=", 1545084711.166),
        ]})
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_arrival_stands_in_seconds_to_the_millisecond(milliseconds in 0..253_402_300_799_999_i64) {
        let event = source().event(&[record("1", "key", b"", milliseconds)]);
        let event: Value = serde_json::from_slice(&event).unwrap();
        let seconds = event["Records"][0]["kinesis"]["approximateArrivalTimestamp"].as_f64().unwrap();
        prop_assert_eq!((seconds * 1000.0).round() as i64, milliseconds);
    }
}
