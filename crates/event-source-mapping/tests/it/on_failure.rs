//! The record of a discarded batch.
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use crate::driver::{Driver, config, failing_at};
use event_source_mapping::{
    DiscardCondition, DiscardedBatch, EventSource, Invocation, InvocationRecord, MappingConfig,
};
use ports::{ShardId, StreamRecord};
use serde_json::{Value, json};
use std::time::Duration;
use telemetry::Timestamp;

fn source() -> EventSource {
    EventSource {
        stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/mystream".into(),
        function_arn: "arn:aws:lambda:us-east-2:123456789012:function:myfunction".into(),
        invoke_identity_arn: "arn:aws:iam::123456789012:role/lambda-role".into(),
        aws_region: "us-east-2".into(),
        mapping_uuid: "2b733aaa-8ac3-cdf5-af3a-1827b3b11284".into(),
    }
}

fn stream() -> Vec<StreamRecord> {
    [(1, "2019-11-14T00:38:04.835Z"), (2, "2019-11-14T00:38:05.000Z"), (3, "2019-11-14T00:38:05.580Z")]
        .map(|(sequence_number, arrived_at)| StreamRecord {
            arrived_at: Timestamp::parse(arrived_at).unwrap(),
            ..crate::driver::record(sequence_number, "device")
        })
        .into()
}

fn discarded(config: MappingConfig, invocation: Invocation, wait: Duration) -> DiscardedBatch {
    let mut driver = Driver::new(MappingConfig { source: source(), ..config }, stream());
    driver.pass(wait);
    if wait.is_zero() {
        driver.invoke(invocation);
    }
    let (discard, _) = driver.discard();
    let now = Timestamp::parse("2019-11-14T00:38:06.021Z").unwrap();
    let shard = ShardId("shardId-000000000001".into());
    DiscardedBatch::new(&source(), &shard, &discard, now, "c9b8fa9f-5a7f-4afc-af9c-0c604cde93a5", "0-random")
}

fn exhausted(invocation: Invocation) -> DiscardedBatch {
    discarded(MappingConfig { maximum_retry_attempts: Some(0), ..config() }, invocation, Duration::ZERO)
}

// "The following example shows what Lambda sends to an SQS queue or SNS topic for a failed Kinesis event source
// invocation."
#[test]
fn the_record_for_a_queue_is_the_one_of_the_documentation() {
    let metadata: Value = serde_json::from_slice(&exhausted(Invocation::Failed).metadata_json()).unwrap();
    assert_eq!(
        metadata,
        json!({
            "requestContext": {
                "requestId": "c9b8fa9f-5a7f-4afc-af9c-0c604cde93a5",
                "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 1
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled"
            },
            "version": "1.0",
            "timestamp": "2019-11-14T00:38:06.021Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000001",
                "startSequenceNumber": "1",
                "endSequenceNumber": "3",
                "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
                "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
                "batchSize": 3,
                "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream"
            }
        })
    );
}

#[test]
fn a_function_that_answered_made_no_function_error() {
    let batch = exhausted(failing_at(1));
    let metadata: Value = serde_json::from_slice(&batch.metadata_json()).unwrap();
    assert_eq!(metadata["responseContext"]["functionError"], Value::Null);
    assert_eq!(metadata["KinesisBatchInfo"]["startSequenceNumber"], "2");
    assert_eq!(metadata["KinesisBatchInfo"]["batchSize"], 2);
}

// As AWS answers: a batch that was never sent has no responseContext.
#[test]
fn records_too_old_to_be_sent_have_no_response() {
    let config = MappingConfig { maximum_record_age: Some(Duration::from_secs(60)), ..config() };
    let batch = discarded(config, Invocation::Failed, Duration::from_secs(1));
    let metadata: Value = serde_json::from_slice(&batch.metadata_json()).unwrap();
    assert_eq!(metadata["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(metadata["requestContext"]["approximateInvokeCount"], 0);
    assert!(metadata.get("responseContext").is_none());
}

// "For Amazon S3 destinations, Lambda also sends the entire invocation record along with the metadata."
// "payload": "<Whole Event>" // Only available in S3
#[test]
fn the_record_for_s3_has_the_whole_event_as_payload_in_addition() {
    let batch = exhausted(Invocation::Failed);
    let mut whole: Value = serde_json::from_slice(&batch.json_with_payload()).unwrap();
    let payload = whole.as_object_mut().unwrap().remove("payload").unwrap();
    assert_eq!(whole, serde_json::from_slice::<Value>(&batch.metadata_json()).unwrap());
    assert_eq!(payload, serde_json::from_slice::<Value>(&batch.event).unwrap());
    assert_eq!(payload["Records"].as_array().unwrap().len(), 3);
}

// "The S3 object containing the invocation record uses the following naming convention:
// aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>"
#[test]
fn the_key_in_s3_follows_lambdas_naming_convention() {
    assert_eq!(
        exhausted(Invocation::Failed).object_key,
        "aws/lambda/2b733aaa-8ac3-cdf5-af3a-1827b3b11284/shardId-000000000001/2019/11/14/\
         2019-11-14T00.38.06-0-random"
    );
}

#[test]
fn records_are_read_back_with_and_without_payload() {
    let batch = exhausted(Invocation::Failed);
    let metadata: InvocationRecord = serde_json::from_slice(&batch.metadata_json()).unwrap();
    assert_eq!(metadata.kinesis_batch_info, batch.record.kinesis_batch_info);
    assert!(metadata.payload.is_none());
    let whole: InvocationRecord = serde_json::from_slice(&batch.json_with_payload()).unwrap();
    assert_eq!(whole.payload.unwrap().get().as_bytes(), batch.event);
    let longer = String::from_utf8(batch.metadata_json()).unwrap();
    let longer = longer.replace("RetryAttemptsExhausted", "MaximumRecordAgeExceeded");
    let read: InvocationRecord = serde_json::from_str(&longer).unwrap();
    assert_eq!(read.request_context.condition, DiscardCondition::RecordAgeExceeded);
}
