//! What Lambda gives up is had again from its payload, the stream or the archive, counts only where it was not counted, and
//! is said to be lost where it is.

use crate::cloud::{BUCKET, Cloud, End, STREAM_ARN, counted, dead_letter};
use crate::support::{Memory, Stopped, arrival, body, event, timestamp};
use aggregator::{Aggregator, Settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{SequenceNumber, ShardId, StreamRecord, StreamShard};
use proptest::prelude::*;
use redrive::DeadLetters as _;
use redrive::{Assignment, Filter, Letter, Order, Outcome, PageRequest, Repairs};
use serde_json::{Value, json};
use std::sync::Arc;
use telemetry::RejectReason;

/// The hour in which the records arrived.
const HOUR: &str = "dt=2026-06-01/hour=12";

fn record(number: u64) -> StreamRecord {
    let data = body("d", &format!("2026-06-01T10:00:{number:02}Z"), number as f64, None);
    let arrived_at = timestamp(&format!("2026-06-01T12:00:{number:02}Z"));
    let shard = StreamShard { stream: "readings".to_owned(), shard_id: ShardId("shardId-000000000000".to_owned()) };
    let (shard, sequence_number) = (Arc::new(shard), SequenceNumber::from(number));
    StreamRecord { shard, sequence_number, partition_key: "d".to_owned(), data, arrived_at }
}

/// What Lambda says of the records from `first` to `last`.
fn metadata(first: u64, last: u64) -> Value {
    json!({
        "requestContext": {"requestId": "r", "functionArn": "f", "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0", "timestamp": "2026-06-01T12:00:00.000Z",
        "KinesisBatchInfo": {"shardId": "shardId-000000000000", "startSequenceNumber": first.to_string(),
            "endSequenceNumber": last.to_string(), "approximateArrivalOfFirstRecord": record(first).arrived_at.to_string(),
            "approximateArrivalOfLastRecord": record(last).arrived_at.to_string(), "batchSize": last - first + 1,
            "streamArn": STREAM_ARN}
    })
}

/// The object that Lambda writes, and the message by which S3 tells of it.
fn object(cloud: &Cloud, first: u64, last: u64) {
    let records: Vec<Value> = (first..=last)
        .map(|number| json!({"kinesis": {"partitionKey": "d", "data": STANDARD.encode(record(number).data)}}))
        .collect();
    let mut whole = metadata(first, last);
    whole["payload"] = json!({"Records": records}).to_string().into();
    let key = format!("aws/lambda/7b1d/shardId-000000000000/2026/06/01/2026-06-01T12.00.00-{first}");
    cloud.world().objects.insert(key.clone(), whole.to_string().into_bytes());
    let s3 = json!({"bucket": {"name": BUCKET}, "object": {"key": key, "size": 1}});
    cloud.message(
        "n",
        json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]}).to_string(),
    );
}

/// What was counted of the records before Lambda gave their batch up.
fn counted_before(numbers: &[u64]) -> Memory {
    let memory = Memory::default();
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), Settings::default());
    let records: Vec<_> = numbers.iter().map(|number| (*number, "d".to_owned(), record(*number).data)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(aggregator.handle(&event(&records)));
    memory
}

fn redrive(cloud: &Cloud) -> (redrive::Tally, Vec<Outcome>) {
    cloud.run(Repairs::default(), Filter::default(), None).unwrap()
}

proptest! {
    #[test]
    fn only_what_was_not_counted_has_an_effect_wherever_the_records_come_from(
        first in 1u64..6, count in 1u64..8, expired in 0u64..16, is_archived: bool, has_object: bool,
        before in prop::collection::btree_set(1u64..13, 0..8),
        ends in prop::collection::vec((0usize..30, prop_oneof![Just(End::Before), Just(End::After)]), 0..4),
    ) {
        let last = first + count - 1;
        let cloud = Cloud::default();
        // The stream goes on after the batch; what is oldest expires.
        cloud.world().kept = (expired + 1..=15).map(record).collect();
        if has_object {
            object(&cloud, first, last);
        } else {
            cloud.message("m", metadata(first, last).to_string());
        }
        if is_archived {
            let lines: Vec<Vec<u8>> = (1..=15).map(|number| record(number).data).collect();
            cloud.archived(HOUR, &lines);
        }
        let before: Vec<u64> = before.into_iter().collect();
        for end in ends {
            cloud.run(Repairs::default(), Filter::default(), Some(end));
            cloud.holds_run_out();
        }
        let is_whole = has_object || is_archived || expired < first;
        let gone_already = cloud.world().messages.is_empty();
        let (tally, outcomes) = redrive(&cloud);
        prop_assert!(is_whole || !gone_already, "nothing is deleted whose records are lost");
        prop_assert_eq!(tally.is_complete(), is_whole, "{:?}", &outcomes);
        let memory = cloud.count_after(counted_before(&before));
        // Whichever went in, each is counted once: those from before, and of the batch what could be had.
        let from_stream = (first..=last).filter(|number| *number > expired);
        let mut expected: std::collections::BTreeSet<u64> = before.iter().copied().collect();
        match (has_object, is_archived && expired >= first) {
            (true, _) => expected.extend(first..=last),
            // The archive tells no sequence number: all of its hour goes.
            (false, true) => expected.extend(1..=15),
            (false, false) => expected.extend(from_stream),
        }
        prop_assert_eq!(counted(&memory, "d"), expected.len() as u64);
        prop_assert_eq!(memory.table().letters.len(), 0, "identities are kept: nothing is in conflict");
        if !is_whole {
            let lost = outcomes.iter().find_map(|outcome| match outcome {
                Outcome::Refused(why) | Outcome::Lost(_, why) => Some(why.clone()),
                _ => None,
            }).unwrap();
            for said in ["are lost", "shardId-000000000000", &format!("{first} to {last}"), &record(first).arrived_at.to_string()] {
                prop_assert!(lost.contains(said), "{}", lost);
            }
            prop_assert_eq!(cloud.world().messages.len(), 1, "what is lost is never silently dropped");
        }
    }
}

#[test]
fn a_repair_of_what_lambda_gave_up_is_refused() {
    let cloud = Cloud::default();
    object(&cloud, 1, 3);
    let repairs = Repairs { assignments: vec![Assignment::parse("event_id=x").unwrap()], ..Repairs::default() };
    let (tally, outcomes) = cloud.run(repairs, Filter::default(), None).unwrap();
    assert_eq!((tally.refused, cloud.world().stream.len()), (1, 0));
    assert!(matches!(&outcomes[..], [Outcome::Refused(why)] if why.contains("count twice")), "{outcomes:?}");
}

#[test]
fn an_object_whose_notification_was_dropped_is_found_in_the_archive_until_it_went() {
    let cloud = Cloud::default();
    object(&cloud, 1, 3);
    cloud.world().messages.clear();
    let (tally, _) = redrive(&cloud);
    assert_eq!((tally.sent, tally.readings), (1, 3));
    assert_eq!(redrive(&cloud).0.letters, 0);
    assert_eq!(counted(&cloud.count(), "d"), 3);
}

#[test]
fn a_bad_record_of_a_lost_batch_becomes_one_dead_letter_and_a_known_one_none() {
    let cloud = Cloud::default();
    cloud.message("m", metadata(1, 4).to_string());
    let bad = |value: &str| format!(r#"{{"device_id":"d","timestamp":"2026-06-01T09:00:00Z","value":{value}}}"#);
    let series =
        r#"{"device_id":"d","readings":[{"timestamp":"2026-06-01T08:00:00Z","value":1},{"timestamp":"x","value":2}]}"#;
    let known_of_series = r#"{"device_id":"d","timestamp":"x","value":2}"#;
    let lines = [record(1).data, record(2).data, bad("\"new\"").into(), bad("\"known\"").into(), series.into()];
    cloud.archived(HOUR, &lines);
    cloud.letter(&dead_letter(7, RejectReason::InvalidReading, bad("\"known\"").as_bytes()), 0);
    cloud.letter(&dead_letter(8, RejectReason::InvalidReading, known_of_series.as_bytes()), 0);
    let (_, outcomes) = redrive(&cloud);
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Sent(4))), "{outcomes:?}");
    let memory = cloud.count();
    let letters: Vec<String> = memory.table().letters.values().map(|letter| letter.payload_base64.clone()).collect();
    assert_eq!(letters, [STANDARD.encode(bad("\"new\""))]);
    assert_eq!(counted(&memory, "d"), 3);
}

#[test]
fn the_archive_is_looked_up_from_the_hour_in_which_the_object_may_have_begun() {
    // Firehose names an object by its oldest record, up to a quarter of an hour before.
    let cloud = Cloud::default();
    cloud.message("m", metadata(1, 2).to_string());
    cloud.archived("dt=2026-06-01/hour=11", &[record(1).data, record(2).data]);
    assert_eq!(redrive(&cloud).0.sent, 1);
    assert_eq!(counted(&cloud.count(), "d"), 2);
}

#[test]
fn what_else_stands_in_the_queue_says_what_it_is_and_stays() {
    let cloud = Cloud::default();
    let notified = |bucket: &str, key: &str| {
        let s3 = json!({"bucket": {"name": bucket}, "object": {"key": key}});
        json!({"eventSource": "aws:s3", "s3": s3})
    };
    let one = |record: Value| json!({ "Records": [record] }).to_string();
    cloud.message("1", r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"archive"}"#);
    cloud.message("2", one(notified("another", "aws/lambda/x")));
    cloud.message("3", one(notified(BUCKET, "aws/lambda/gone")));
    cloud.message("4", json!({"Records": [notified(BUCKET, "a"), notified(BUCKET, "b")]}).to_string());
    cloud.message("5", "\u{1b}[31mhello");
    let changes = br#"{"requestContext":{},"DDBStreamBatchInfo":{"shardId":"s","batchSize":3},"payload":"{}"}"#;
    cloud.world().objects.insert("aws/lambda/curator".to_owned(), changes.to_vec());
    cloud.message("6", one(notified(BUCKET, "aws/lambda/curator")));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let page = runtime.block_on(async {
        let letters = cloud.letters();
        let request = PageRequest { limit: 9, order: Order::NewestFirst, ..PageRequest::default() };
        let page = letters.page(&request).await.unwrap();
        letters.close().await.unwrap();
        page
    });
    let details: Vec<String> = page.letters.iter().map(|held| held.letter.detail()).collect();
    for said in [
        "S3 tried the queue",
        "the bucket another",
        "aws/lambda/gone",
        "several objects",
        "neither a dead letter",
        "no reading is missing",
    ] {
        assert_eq!(details.iter().filter(|detail| detail.contains(said)).count(), 1, "{said}: {details:?}");
    }
    assert!(page.letters.iter().all(|held| matches!(held.letter, Letter::Unreadable { .. })));
    let (tally, _) = redrive(&cloud);
    assert_eq!((tally.letters, tally.refused), (6, 6));
    assert_eq!(cloud.world().messages.len(), 6);
}
