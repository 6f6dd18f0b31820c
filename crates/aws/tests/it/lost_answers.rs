//! What the SDK's retries can find done by an attempt whose answer was lost, and what a batch takes only in part:
//! against a service that answers as each test tells it.

use crate::scripted_service::{Answer, ScriptedService};
use aws::{DynamoDbStatisticsStore, SqsDeadLetterQueue, aws_sdk_dynamodb, aws_sdk_sqs};
use ports::{
    Archive, ArchiveError, DeadLetter, DeadLetterOrigin, DeadLetterQueue as _, DeviceWrite, LedgerPageItem,
    StatisticsAttributes, StatisticsItem, StatisticsStore as _, WriteError,
};
use serde_json::json;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

fn write(pages: Vec<LedgerPageItem>) -> DeviceWrite {
    let attributes = StatisticsAttributes {
        count: 1,
        mean: Some(35.0),
        median: Some(35.0),
        standard_deviation: None,
        minimum: Some(35.0),
        maximum: Some(35.0),
        mean_confidence_95: None,
        anomaly_count: 0,
        first_timestamp: None,
        last_timestamp: None,
        updated_at: at("2026-01-31T12:00:00Z"),
    };
    let device_id = DeviceId::parse("device-1").expect("a valid name");
    let item = StatisticsItem { revision: 8, attributes, state: vec![1, 2, 3] };
    DeviceWrite { device_id, expected_revision: Some(7), item, pages }
}

async fn store(service: &ScriptedService) -> DynamoDbStatisticsStore {
    DynamoDbStatisticsStore::new(aws_sdk_dynamodb::Client::new(&service.config().await), "device-statistics")
}

const CONDITION_FAILED: &str = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";

#[tokio::test]
async fn a_condition_that_fails_over_our_own_first_attempt_is_success() {
    let service = ScriptedService::new(|call, before| match call.operation.as_str() {
        "PutItem" if before == 0 => Answer::ServerError,
        "PutItem" => Answer::ClientError(CONDITION_FAILED),
        "GetItem" => Answer::Ok(json!({ "Item": call.earlier[0]["Item"] })),
        other => panic!("unexpected call {other}"),
    });
    store(&service).await.write(write(Vec::new())).await.expect("written by the first attempt");
}

#[tokio::test]
async fn a_condition_that_fails_after_a_retry_over_another_writers_item_is_failed() {
    let service = ScriptedService::new(|call, before| match call.operation.as_str() {
        "PutItem" if before == 0 => Answer::ServerError,
        "PutItem" => Answer::ClientError(CONDITION_FAILED),
        "GetItem" => {
            let mut item = call.earlier[0]["Item"].clone();
            item["state"] = json!({ "B": "BAUG" });
            Answer::Ok(json!({ "Item": item }))
        }
        other => panic!("unexpected call {other}"),
    });
    let result = store(&service).await.write(write(Vec::new())).await;
    assert!(matches!(result, Err(WriteError::ConditionFailed)), "{result:?}");
}

#[tokio::test]
async fn a_condition_that_fails_at_the_first_attempt_is_failed_without_another_look() {
    let service = ScriptedService::new(|call, _| match call.operation.as_str() {
        "PutItem" => Answer::ClientError(CONDITION_FAILED),
        other => panic!("unexpected call {other}"),
    });
    let result = store(&service).await.write(write(Vec::new())).await;
    assert!(matches!(result, Err(WriteError::ConditionFailed)), "{result:?}");
    assert_eq!(service.operations(), ["PutItem"]);
}

#[tokio::test]
async fn every_attempt_at_a_transaction_carries_the_same_token() {
    let service =
        ScriptedService::new(|_, before| if before < 2 { Answer::ServerError } else { Answer::Ok(json!({})) });
    let page = LedgerPageItem { key: "ledger#2026-01-31#8".to_owned(), page: vec![1], expires_at: None };
    store(&service).await.write(write(vec![page])).await.expect("written");
    let tokens: Vec<_> = service.bodies().iter().map(|body| body["ClientRequestToken"].clone()).collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens[0].is_string() && tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[tokio::test]
async fn a_store_that_keeps_failing_is_unavailable() {
    let service = ScriptedService::new(|_, _| Answer::ServerError);
    let result = store(&service).await.write(write(Vec::new())).await;
    assert!(matches!(result, Err(WriteError::Unavailable(_))), "{result:?}");
}

/// Holds everything, and tells nothing.
struct Nowhere;

impl Archive for Nowhere {
    async fn put(&self, _key: &str, _bytes: Vec<u8>) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        Ok(None)
    }

    async fn list(&self, _prefix: &str, _after: Option<&str>, _limit: usize) -> Result<Vec<String>, ArchiveError> {
        Ok(Vec::new())
    }
}

/// An archive that is not there.
struct Gone;

impl Archive for Gone {
    async fn put(&self, _key: &str, _bytes: Vec<u8>) -> Result<(), ArchiveError> {
        Err(ArchiveError::Unavailable("gone".into()))
    }

    async fn get(&self, _key: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        Err(ArchiveError::Unavailable("gone".into()))
    }

    async fn list(&self, _prefix: &str, _after: Option<&str>, _limit: usize) -> Result<Vec<String>, ArchiveError> {
        Err(ArchiveError::Unavailable("gone".into()))
    }
}

fn letter(sequence_number: &str) -> DeadLetter {
    let origin = DeadLetterOrigin {
        stream: "readings",
        shard_id: "shardId-000000000000",
        sequence_number,
        sub_sequence_number: None,
        index: None,
        partition_key: "device-1",
        arrived_at: at("2026-01-31T12:00:00Z"),
    };
    let rejection = Rejection::new(RejectReason::MalformedJson, "is not JSON");
    DeadLetter::new(&rejection, b"{", origin, at("2026-01-31T12:00:01Z"))
}

/// SQS takes message 0, fails message 1 at first, and will never take message 2.
#[tokio::test]
async fn a_message_that_the_queue_failed_is_sent_again_alone() {
    let service = ScriptedService::new(|_, before| {
        let sent = |id: &str| json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "" });
        let failed = |id: &str, own| json!({ "Id": id, "SenderFault": own, "Code": "InternalError" });
        match before {
            0 => Answer::Ok(json!({ "Successful": [sent("0")], "Failed": [failed("1", false), failed("2", true)] })),
            _ => Answer::Ok(json!({ "Successful": [sent("0")], "Failed": [] })),
        }
    });
    let client = aws_sdk_sqs::Client::new(&service.config().await);
    let queue = SqsDeadLetterQueue::new(client, "http://localhost/queue", Nowhere);
    let results = queue.send(vec![letter("1"), letter("2"), letter("3")]).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
    let bodies = service.bodies();
    assert_eq!(bodies.len(), 2);
    let resent = bodies[1]["Entries"].as_array().expect("entries");
    assert_eq!(resent.len(), 1);
    assert_eq!(resent[0]["MessageBody"], bodies[0]["Entries"][1]["MessageBody"]);
}

#[tokio::test]
async fn nothing_is_sent_that_the_archive_did_not_take() {
    let service = ScriptedService::new(|call, _| panic!("unexpected call {}", call.operation));
    let client = aws_sdk_sqs::Client::new(&service.config().await);
    let queue = SqsDeadLetterQueue::new(client, "http://localhost/queue", Gone);
    let results = queue.send(vec![letter("1"), letter("2")]).await;
    assert_eq!(results.iter().map(Result::is_err).collect::<Vec<_>>(), [true, true]);
    assert_eq!(service.operations(), [] as [&str; 0]);
}
