//! The event's JSON, judged by the type that functions deserialise it with.

use aws_lambda_events::event::kinesis::KinesisEvent;
use event_source_mapping::EventSource;
use ports::{SequenceNumber, ShardId, StreamRecord};
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
    let event: Value =
        serde_json::from_slice(&source().event(&ShardId("shardId-000000000006".into()), &records)).unwrap();
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
    fn every_record_comes_back_from_the_lambda_event_type(
        contents in prop::collection::vec(
            (any::<[u8; 23]>(), "\\PC{0,20}|[\\x00-\\x7f]{0,20}", prop::collection::vec(any::<u8>(), 0..100), 0..4_000_000_000_000_i64),
            0..10,
        ),
    ) {
        let records: Vec<_> = contents
            .into_iter()
            .map(|(sequence, partition_key, data, arrival)| {
                let mut bytes = [0; 24];
                bytes[1..].copy_from_slice(&sequence);
                StreamRecord {
                    sequence_number: SequenceNumber::from_be_bytes(bytes),
                    partition_key,
                    data,
                    arrived_at: Timestamp::from_millisecond(arrival).unwrap(),
                }
            })
            .collect();
        let shard = ShardId("shardId-000000000000".into());
        let event: KinesisEvent = serde_json::from_slice(&source().event(&shard, &records)).unwrap();
        prop_assert_eq!(event.records.len(), records.len());
        for (sent, record) in event.records.iter().zip(&records) {
            prop_assert_eq!(&sent.kinesis.partition_key, &record.partition_key);
            prop_assert_eq!(&sent.kinesis.sequence_number, &record.sequence_number.to_string());
            prop_assert_eq!(&sent.kinesis.data.0, &record.data);
            let (sent_id, id) = (sent.event_id.as_deref(), format!("{shard}:{}", record.sequence_number));
            prop_assert_eq!(sent_id, Some(id.as_str()));
            // The seconds alone: aws_lambda_events 1.2.1 takes the fraction's digits for a number of milliseconds, so
            // that it reads .480 as 48 ms. The JSON's milliseconds are compared in the next test.
            let arrival = sent.kinesis.approximate_arrival_timestamp.timestamp();
            prop_assert_eq!(arrival, record.arrived_at.as_millisecond() / 1000);
        }
    }

    #[test]
    fn the_arrival_stands_in_seconds_to_the_millisecond(milliseconds in 0..253_402_300_799_999_i64) {
        let event = source().event(&ShardId("shard".into()), &[record("1", "key", b"", milliseconds)]);
        let event: Value = serde_json::from_slice(&event).unwrap();
        let seconds = event["Records"][0]["kinesis"]["approximateArrivalTimestamp"].as_f64().unwrap();
        prop_assert_eq!((seconds * 1000.0).round() as i64, milliseconds);
    }
}
