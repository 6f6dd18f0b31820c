//! Curated rows into Firehose, against a service that keeps its limits, takes what it wants, and answers in its forms.

use crate::scripted_service::{Answer, Call, ScriptedService};
use aws::{FirehoseCuratedDelivery, aws_sdk_firehose};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{ConfidenceInterval, CuratedDelivery, CuratedRow, DeliveryError, StatisticsAttributes, with_causes};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use telemetry::{DeviceId, Timestamp};

/// A record before base64, a call's records, and a call's bytes, which are counted as they are sent, to be on the safe side.
const RECORD_BYTES_MAX: usize = 1000 * 1024;
const RECORDS_MAX: usize = 500;
const CALL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The rows that the service took, and what it was asked to take.
#[derive(Default)]
struct Taken {
    rows: Vec<Value>,
    /// Each call's records.
    calls: Vec<Vec<Vec<u8>>>,
}

/// What the service does with a record, the how-manieth of all that ever came.
type Verdict = dyn Fn(usize, &[u8]) -> Result<(), &'static str> + Send + Sync;

fn firehose(verdict: Box<Verdict>, taken: &Arc<Mutex<Taken>>) -> ScriptedService {
    let taken = Arc::clone(taken);
    ScriptedService::new(move |call, _| put_record_batch(&call, &verdict, &mut taken.lock().expect("no panic")))
}

fn put_record_batch(call: &Call, verdict: &Verdict, taken: &mut Taken) -> Answer {
    let before: usize = taken.calls.iter().map(Vec::len).sum();
    let body = &call.body;
    assert_eq!((call.operation.as_str(), &body["DeliveryStreamName"]), ("PutRecordBatch", &json!("curated")));
    let encoded: Vec<&str> =
        body["Records"].as_array().expect("records").iter().map(|r| r["Data"].as_str().expect("data")).collect();
    assert!((1..=RECORDS_MAX).contains(&encoded.len()));
    assert!(encoded.iter().map(|data| data.len()).sum::<usize>() <= CALL_BYTES_MAX);
    let records: Vec<Vec<u8>> = encoded.iter().map(|data| STANDARD.decode(data).expect("base64")).collect();
    let mut answers = Vec::new();
    for (at, record) in records.iter().enumerate() {
        assert!(record.len() <= RECORD_BYTES_MAX, "{} bytes", record.len());
        answers.push(match verdict(before + at, record) {
            Ok(()) => {
                let lines = record.split_inclusive(|byte| *byte == b'\n');
                taken.rows.extend(lines.map(|line| serde_json::from_slice::<Value>(line).expect("a document a line")));
                json!({ "RecordId": format!("{}", before + at) })
            }
            Err(code) => json!({ "ErrorCode": code, "ErrorMessage": "Slow down." }),
        });
    }
    taken.calls.push(records);
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    Answer::Ok(json!({ "FailedPutCount": failed, "Encrypted": true, "RequestResponses": answers }))
}

fn rows(count: usize) -> Vec<CuratedRow> {
    let row = |n: usize| CuratedRow {
        device_id: DeviceId::parse(format!("{}-{n}", "d".repeat(100))).expect("a name"),
        revision: n as u64,
        statistics: StatisticsAttributes {
            count: 3,
            mean: Some(0.1 + 0.2 + n as f64),
            median: Some(40.0),
            standard_deviation: Some(49.426_713_424_505_53),
            minimum: Some(35.0),
            maximum: Some(123.0),
            mean_confidence_95: Some(ConfidenceInterval { low: -56.782_782_639_882_13, high: 188.782_782_639_882_13 }),
            anomaly_count: 0,
            first_timestamp: Some(Timestamp::UNIX_EPOCH),
            last_timestamp: Some(Timestamp::UNIX_EPOCH),
            updated_at: Timestamp::UNIX_EPOCH,
        },
    };
    (0..count).map(row).collect()
}

async fn deliver(service: &ScriptedService, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
    let client = aws_sdk_firehose::Client::new(&service.config().await);
    FirehoseCuratedDelivery::new(client, "curated").deliver(rows).await
}

fn revisions(taken: &Taken) -> BTreeSet<i64> {
    taken.rows.iter().map(|row| row["revision"].as_i64().expect("an integer")).collect()
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_rows_are_as_few_records_as_hold_them_and_every_row_arrives_once_and_whole() {
    let taken = Arc::default();
    let rows = rows(20_000);
    let results = deliver(&firehose(Box::new(|_, _| Ok(())), &taken), rows.clone()).await;
    assert!(results.len() == rows.len() && results.iter().all(Result::is_ok));
    let taken = taken.lock().expect("no panic");
    let expected: Vec<Value> = rows.iter().map(|row| serde_json::to_value(row).expect("JSON")).collect();
    let mut arrived = taken.rows.clone();
    arrived.sort_by_key(|row| row["revision"].as_i64());
    assert_eq!(arrived, expected);
    // As few as hold them.
    let bytes: usize = taken.calls.iter().flatten().map(Vec::len).sum();
    let records: usize = taken.calls.iter().map(Vec::len).sum();
    assert_eq!(records, bytes.div_ceil(RECORD_BYTES_MAX), "{bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn only_the_record_that_failed_is_put_again() {
    let taken = Arc::default();
    let throttled_once = |n, _: &[u8]| if n == 1 { Err("ServiceUnavailableException") } else { Ok(()) };
    let results = deliver(&firehose(Box::new(throttled_once), &taken), rows(5_000)).await;
    assert!(results.iter().all(Result::is_ok));
    let taken = taken.lock().expect("no panic");
    assert!(taken.calls.len() >= 2);
    assert_eq!(taken.calls.last().expect("a call"), &vec![taken.calls[0][1].clone()]);
    assert_eq!(taken.rows.len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_record_that_is_throttled_for_ever_are_given_up_and_the_others_are_delivered() {
    let taken = Arc::new(Mutex::new(Taken::default()));
    let first_row = br#""revision":0,"#;
    let never_the_first = move |_, record: &[u8]| {
        let is_first = record.windows(first_row.len()).any(|bytes| bytes == first_row);
        if is_first { Err("ServiceUnavailableException") } else { Ok(()) }
    };
    let results = deliver(&firehose(Box::new(never_the_first), &taken), rows(5_000)).await;
    let taken = taken.lock().expect("no panic");
    let in_first = taken.calls[0][0].iter().filter(|byte| **byte == b'\n').count();
    assert!((1..5_000).contains(&in_first));
    let expected: Vec<bool> = (0..5_000).map(|row| row >= in_first).collect();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), expected);
    assert!(taken.calls.len() > 2 && taken.calls[1..].iter().all(|call| call == &vec![taken.calls[0][0].clone()]));
    let error = with_causes(results[0].as_ref().expect_err("given up"));
    assert!(error.contains("ServiceUnavailableException"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_stream_or_permission_is_named_and_no_row_is_said_to_be_delivered() {
    for kind in ["ResourceNotFoundException", "AccessDeniedException", "InvalidArgumentException"] {
        let service = ScriptedService::new(move |_, _| Answer::ClientError(kind));
        let results = deliver(&service, rows(3)).await;
        assert_eq!(results.len(), 3);
        for result in results {
            let error = with_causes(&result.expect_err("nothing was taken"));
            assert!(error.contains(kind) && error.contains("firehose:PutRecordBatch"), "{error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_too_few_results_is_not_taken_for_success() {
    let service = ScriptedService::new(|_, _| Answer::Ok(json!({ "FailedPutCount": 0, "RequestResponses": [] })));
    assert!(deliver(&service, rows(2)).await.iter().all(Result::is_err));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_for_a_moment_is_made_again() {
    let taken = Arc::new(Mutex::new(Taken::default()));
    let kept = Arc::clone(&taken);
    let service = ScriptedService::new(move |call, before| match before {
        0 | 1 => Answer::ServerError,
        _ => put_record_batch(&call, &|_, _| Ok(()), &mut kept.lock().expect("no panic")),
    });
    assert!(deliver(&service, rows(3)).await.iter().all(Result::is_ok));
    assert_eq!(taken.lock().expect("no panic").rows.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_row_that_is_said_to_be_delivered_has_arrived_whatever_fails(
        count in 1usize..9_000,
        failures in prop::collection::vec(0usize..4, 0..40),
    ) {
        let taken = Arc::new(Mutex::new(Taken::default()));
        let verdict = move |n: usize, _: &[u8]| match failures.get(n) {
            Some(0) => Err("ServiceUnavailableException"),
            Some(1) => Err("InternalFailure"),
            _ => Ok(()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let results = runtime.block_on(async { deliver(&firehose(Box::new(verdict), &taken), rows(count)).await });
        prop_assert_eq!(results.len(), count);
        let arrived = revisions(&taken.lock().unwrap());
        let delivered: BTreeSet<i64> =
            results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(at, _)| at as i64).collect();
        prop_assert_eq!(arrived, delivered);
    }
}
