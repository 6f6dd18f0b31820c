//! What the SDK's retries can find done by an attempt whose answer was lost, and what a batch takes only in part:
//! against a service that answers as each test tells it.

use crate::scripted_service::{Answer, ScriptedService};
use aws::{DynamoDbStatisticsStore, SqsDeadLetterQueue, aws_sdk_dynamodb, aws_sdk_sqs};
use ports::{
    Archive, ArchiveError, DeadLetter, DeadLetterOrigin, DeadLetterQueue as _, DeviceWrite, LedgerPageItem,
    StatisticsAttributes, StatisticsItem, StatisticsStore as _, StoreError, WriteError,
};
use serde_json::{Value, json};
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

/// An answer of BatchGetItem.
fn found(items: &[&Value]) -> Value {
    json!({ "Responses": { "device-statistics": items }, "UnprocessedKeys": {} })
}

const CONDITION_FAILED: &str = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";

#[tokio::test]
async fn a_condition_that_fails_over_our_own_first_attempt_is_success() {
    let service = ScriptedService::new(|call, before| match call.operation.as_str() {
        "PutItem" if before == 0 => Answer::ServerError,
        "PutItem" => Answer::ClientError(CONDITION_FAILED),
        "BatchGetItem" => Answer::Ok(found(&[&call.earlier[0]["Item"]])),
        other => panic!("unexpected call {other}"),
    });
    store(&service).await.write(write(Vec::new())).await.expect("written by the first attempt");
}

#[tokio::test]
async fn a_condition_that_fails_after_a_retry_over_another_writers_item_is_failed() {
    let service = ScriptedService::new(|call, before| match call.operation.as_str() {
        "PutItem" if before == 0 => Answer::ServerError,
        "PutItem" => Answer::ClientError(CONDITION_FAILED),
        "BatchGetItem" => {
            let mut item = call.earlier[0]["Item"].clone();
            item["state"] = json!({ "B": "BAUG" });
            Answer::Ok(found(&[&item]))
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

/// A table in which the devices of even numbers have an item; it answers no more than this many keys a call.
fn half_a_table(keys_max: usize) -> ScriptedService {
    ScriptedService::new(move |call, _| {
        assert_eq!(call.operation, "BatchGetItem");
        let asked = &call.body["RequestItems"]["device-statistics"];
        assert_eq!(asked["ConsistentRead"], true);
        let keys = asked["Keys"].as_array().expect("keys");
        let (read, unread) = keys.split_at(keys_max.min(keys.len()));
        let has_item =
            |key: &&Value| key["device_id"]["S"].as_str().is_some_and(|name| name.ends_with(['0', '2', '4', '6', '8']));
        let items = read.iter().rev().filter(has_item).map(|key| {
            let mut item = json!({ "revision": { "N": "8" }, "count": { "N": "1" }, "state": { "B": "AQID" } });
            let numbers = ["mean", "median", "standard_deviation", "minimum", "maximum", "mean_confidence_95"];
            for name in numbers.into_iter().chain(["first_timestamp", "last_timestamp"]) {
                item[name] = json!({ "NULL": true });
            }
            item["anomaly_count"] = json!({ "N": "0" });
            item["updated_at"] = json!({ "S": "2026-01-31T12:00:00Z" });
            if key["device_id"]["S"] == "device-4" {
                item["mean"] = json!({ "S": "damaged" });
            }
            item["device_id"] = key["device_id"].clone();
            item["item"] = key["item"].clone();
            item
        });
        let unread = json!({ "device-statistics": { "Keys": unread, "ConsistentRead": true } });
        let unread = if keys.len() > keys_max { unread } else { json!({}) };
        Answer::Ok(
            json!({ "Responses": { "device-statistics": items.collect::<Vec<_>>() }, "UnprocessedKeys": unread }),
        )
    })
}

fn devices(count: usize) -> Vec<DeviceId> {
    (0..count).map(|n| DeviceId::parse(format!("device-{n}")).expect("a valid name")).collect()
}

/// Device 4's item is damaged; those of odd numbers are absent.
fn assert_half(items: &[Result<Option<StatisticsItem>, StoreError>]) {
    for (n, item) in items.iter().enumerate() {
        match item {
            Err(StoreError::Corrupt(_)) => assert_eq!(n, 4),
            item => assert_eq!(item.as_ref().expect("a read").is_some(), n.is_multiple_of(2), "device {n}"),
        }
    }
}

#[tokio::test]
async fn items_are_read_a_hundred_a_call_and_a_damaged_one_fails_alone() {
    let service = half_a_table(100);
    assert_half(&store(&service).await.read_statistics(&devices(250)).await);
    assert_eq!(service.operations().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_that_a_read_left_over_are_read_again_alone() {
    let service = half_a_table(30);
    assert_half(&store(&service).await.read_statistics(&devices(100)).await);
    let keys = |body: &Value| body["RequestItems"]["device-statistics"]["Keys"].as_array().map_or(0, Vec::len);
    assert_eq!(service.bodies().iter().map(keys).collect::<Vec<_>>(), [100, 70, 40, 10]);
}

#[tokio::test(start_paused = true)]
async fn items_that_are_never_read_are_unavailable_and_not_absent() {
    let items = store(&half_a_table(0)).await.read_statistics(&devices(3)).await;
    assert!(items.iter().all(|item| matches!(item, Err(StoreError::Unavailable(_)))), "{items:?}");
    assert_eq!(items.len(), 3);
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
