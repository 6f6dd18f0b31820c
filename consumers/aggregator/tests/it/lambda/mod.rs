//! The function's own binary under a Runtime API: from its cold start to its end, over services that may refuse it.

mod cloud;

use self::cloud::{Cloud, start};
use crate::testing::{Answer, TRACE_ID, errors, metrics};
use serde_json::{Value, json};

const GOOD: &str = include_str!("../../../events/good.json");
const POISON: &str = include_str!("../../../events/poison.json");
const TEN_THOUSAND: &str = include_str!("../../../events/10000-records.json");

/// A readable attribute of a device's item.
fn number(cloud: &Cloud, device: &str, name: &str) -> f64 {
    let contents = cloud.contents();
    let item = &contents.items[&(device.to_owned(), "statistics".to_owned())];
    item[name]["N"].as_str().unwrap_or_else(|| panic!("{device} has no {name}")).parse().expect("a number")
}

fn assert_statistics(cloud: &Cloud, device: &str, expected: &crate::oracle::Device) {
    let close = |name: &str, expected: f64| {
        let found = number(cloud, device, name);
        assert!((found - expected).abs() <= 1e-13 * expected.abs(), "{device}: {name} is {found}, not {expected}");
    };
    assert_eq!(number(cloud, device, "count"), expected.count() as f64, "{device}");
    assert_eq!(number(cloud, device, "minimum"), expected.minimum(), "{device}");
    assert_eq!(number(cloud, device, "maximum"), expected.maximum(), "{device}");
    assert_eq!(number(cloud, device, "median"), expected.median(), "{device}");
    close("mean", expected.mean());
    close("standard_deviation", expected.standard_deviation());
}

fn device_names(cloud: &Cloud) -> Vec<String> {
    let contents = cloud.contents();
    contents.items.keys().filter(|(_, item)| item == "statistics").map(|(device, _)| device.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_batch_after_a_cold_start_is_counted_answered_and_measured() {
    let cloud = Cloud::start().await;
    let mut function = start(&cloud, &[]).await;
    let answer = function.invoke("request-1", GOOD).await;
    assert_eq!(answer.failures(), [] as [&str; 0]);
    assert_eq!(device_names(&cloud), ["boiler:7", "pump-1"]);
    assert_eq!((number(&cloud, "pump-1", "count"), number(&cloud, "pump-1", "mean")), (3.0, 66.0));
    let log = function.log();
    let metrics = metrics(&log);
    assert_eq!(metrics.len(), 1);
    assert_eq!((&metrics[0]["ReadingsCounted"], &metrics[0]["Duplicates"]), (&json!(5), &json!(1)));
    // As many as the service told.
    assert_eq!(metrics[0]["WriteUnits"].as_f64(), Some(cloud.contents().write_units as f64));
    assert_eq!(metrics[0]["WriteUnits"], 2.0);
    assert_eq!(errors(&log), [] as [&Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_come_to_the_oracles_statistics() {
    let cloud = Cloud::start().await;
    let function = start(&cloud, &[]).await;
    let answer = function.invoke("request-1", TEN_THOUSAND).await;
    assert_eq!(answer.failures(), [] as [&str; 0]);
    let (devices, duplicates) = crate::oracle::devices(TEN_THOUSAND);
    assert_eq!((devices.len(), duplicates), (20, 50));
    assert_eq!(device_names(&cloud), devices.keys().cloned().collect::<Vec<_>>());
    for (device, expected) in &devices {
        assert_statistics(&cloud, device, expected);
    }
    // The same batch again, by an environment that has never seen it.
    let mut other = start(&cloud, &[]).await;
    let before = cloud.contents().items.clone();
    assert_eq!(other.invoke("request-2", TEN_THOUSAND).await.failures(), [] as [&str; 0]);
    assert_eq!(cloud.contents().items, before);
    assert_eq!(metrics(&other.log())[0]["Duplicates"], 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_function_reads_nothing() {
    let cloud = Cloud::start().await;
    let function = start(&cloud, &[]).await;
    for second in 10..15 {
        let body =
            |device| format!(r#"{{"device_id":"{device}","timestamp":"2026-01-31T11:00:{second}Z","value":{second}}}"#);
        let (a, b, c) = (body("a"), body("b"), body("c"));
        let answer = function.invoke(&second.to_string(), &event(&[("a", &a), ("b", &b), ("c", &c)])).await;
        assert_eq!(answer.failures(), [] as [&str; 0]);
    }
    assert_eq!(cloud.contents().reads, [3], "one call for the first batch's three devices");
    assert_eq!(number(&cloud, "a", "count"), 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_counted_is_in_the_queue_and_the_archive_before_the_answer() {
    let cloud = Cloud::start().await;
    let mut function = start(&cloud, &[]).await;
    let answer = function.invoke("request-1", POISON).await;
    assert_eq!(answer.failures(), [] as [&str; 0]);
    let (messages, archived) = {
        let contents = cloud.contents();
        let archived: Vec<u8> = contents.objects.values().flatten().copied().collect();
        assert!(contents.objects.keys().all(|key| key.starts_with("dead-letters/dt%3D2026-01-31/")));
        (contents.messages.clone(), String::from_utf8(archived).expect("UTF-8"))
    };
    assert_eq!(messages.len(), 7);
    for message in &messages {
        let id = message["id"].as_str().expect("an id");
        assert!(archived.contains(id), "{id} is not in the archive");
    }
    let log = function.log();
    assert_eq!(metrics(&log)[0]["DeadLetters"], 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_level_logs_payloads_or_keys() {
    let cloud = Cloud::start().await;
    let mut function = start(&cloud, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    let reading = r#"{"device_id":"d","timestamp":"2026-01-31T11:00:00Z","value":7310.75}"#;
    let poison = r#"{"device_id":"d","timestamp":"2026-01-31T11:00:00Z","value":"secret-7310"}"#;
    let answer = function.invoke("request-1", &event(&[("d", reading), ("d", poison)])).await;
    assert_eq!(answer.failures(), [] as [&str; 0]);
    let log = json!(function.log()).to_string();
    for secret in ["7310.75", "secret-7310", &base64(reading), &base64(poison), "test-secret"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named_in_the_log_and_the_batch_is_counted_once_it_is_there() {
    for action in ["dynamodb:BatchGetItem", "dynamodb:PutItem"] {
        let cloud = Cloud::start().await;
        cloud.contents().denied.push(action);
        let mut function = start(&cloud, &[]).await;
        let refused = function.invoke("request-1", TEN_THOUSAND).await.failures();
        // The first record of each of the 20 devices.
        let first: Vec<String> = (1..=20).map(|record| record.to_string()).collect();
        assert_eq!(refused, first, "{action}");
        assert!(cloud.contents().items.is_empty());

        cloud.contents().denied.clear();
        let again = function.invoke("request-2", TEN_THOUSAND).await;
        assert_eq!(again.failures(), [] as [&str; 0]);
        for (device, expected) in &crate::oracle::devices(TEN_THOUSAND).0 {
            assert_statistics(&cloud, device, expected);
        }
        let log = function.log();
        let errors = errors(&log);
        assert_eq!(errors.len(), 1, "one cause is logged once a batch: {errors:#?}");
        let error = errors[0]["fields"]["error"].as_str().expect("text");
        for part in [action, "table device-statistics", "AccessDeniedException", "assumed-role/aggregator"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert_eq!(errors[0]["fields"]["devices"], 20);
        assert_eq!(errors[0]["span"]["requestId"], "request-1");
        assert_eq!(errors[0]["span"]["xrayTraceId"], TRACE_ID);
        assert_eq!(metrics(&log)[0]["FailedGroups"], 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_table_is_named_in_the_log_and_the_batch_comes_again() {
    let cloud = Cloud::start().await;
    let mut function = start(&cloud, &[("STATISTICS_TABLE", "never-made")]).await;
    let failures = function.invoke("request-1", GOOD).await.failures();
    assert_eq!(failures.len(), 2, "each device's first record: {failures:?}");
    let log = function.log();
    let error = errors(&log)[0]["fields"]["error"].as_str().expect("text");
    for part in
        ["dynamodb:BatchGetItem", "table never-made", "ResourceNotFoundException", "Requested resource not found"]
    {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_of_newer_versions_are_one_log_line_and_a_metric() {
    let cloud = Cloud::start().await;
    let first = start(&cloud, &[]).await;
    assert_eq!(first.invoke("request-1", GOOD).await.failures(), [] as [&str; 0]);
    // Two devices, each with a version of its own, and what a newer program keeps beside the state.
    let known = cloud.contents().items.clone();
    for (version, item) in (3..).zip(cloud.contents().items.values_mut()) {
        item["state"] = json!({ "B": base64(&char::from(version).to_string()) });
        item["mean"] = json!({ "BOOL": true });
    }
    let newer = cloud.contents().items.clone();
    let mut rolled_back = start(&cloud, &[]).await;
    assert_eq!(rolled_back.invoke("request-2", GOOD).await.failures().len(), 2, "each device's first record");
    let log = rolled_back.log();
    let errors = errors(&log);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let fields = &errors[0]["fields"];
    assert_eq!(fields["message"], "stored state is of a newer version than this program");
    assert_eq!(fields["devices"], 2);
    assert!(["boiler:7", "pump-1"].map(Value::from).contains(&fields["device_id"]), "{fields}");
    assert!(fields["error"].as_str().expect("text").contains("is newer than 2"), "{fields}");
    let metrics = &metrics(&log)[0];
    assert_eq!((&metrics["NewerVersion"], &metrics["FailedGroups"]), (&json!(2), &json!(2)));
    assert_eq!(metrics["DeadLetters"], 0);
    assert_eq!(cloud.contents().items, newer);

    cloud.contents().items = known;
    let upgraded = start(&cloud, &[]).await;
    assert_eq!(upgraded.invoke("request-3", GOOD).await.failures(), [] as [&str; 0]);
    assert_eq!(number(&cloud, "pump-1", "count"), 3.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_may_not_be_stored_makes_its_record_come_again() {
    for (action, resource) in [("sqs:SendMessage", "dead-letters"), ("s3:PutObject", "bucket archive")] {
        let cloud = Cloud::start().await;
        cloud.contents().denied.push(action);
        let mut function = start(&cloud, &[]).await;
        let poison = event(&[("d", "not JSON"), ("d", "nor this")]);
        let failures = function.invoke("request-1", &poison).await.failures();
        assert_eq!(failures, ["1", "2"], "{action}");
        let log = function.log();
        let errors = errors(&log);
        assert_eq!(errors.len(), 1, "{errors:#?}");
        let error = errors[0]["fields"]["error"].as_str().expect("text");
        for part in [action, resource, "AccessDenied"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert!(cloud.contents().messages.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_wrong_with_the_configuration_is_told_to_lambda_at_once() {
    let cloud = Cloud::start().await;
    let wrong = [("STATISTICS_TABLE", ""), ("LEDGER_MODE", "fill"), ("CONCURRENCY", "many"), ("ARCHIVE_BUCKET", "")];
    let mut function = start(&cloud, &wrong).await;
    let (status, lines) = function.ended();
    assert_eq!(status.code(), Some(1));
    assert!(!function.runtime_api.was_asked_for_work());
    let told = function.runtime_api.init_errors();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind.as_str(), &told[0].body["errorType"]), ("Configuration.Invalid", &json!(told[0].kind)));
    let message = told[0].body["errorMessage"].as_str().expect("text");
    let log: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(log["fields"]["error"], message);
    for (name, value) in wrong {
        assert!(message.contains(name), "{name} is not in {message}");
        assert!(value.is_empty() || !message.contains(value), "{value} is in {message}");
    }
    assert!(!message.contains("DEAD_LETTER_QUEUE_URL"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_none_of_kinesis_is_an_error_and_the_next_one_is_handled() {
    let cloud = Cloud::start().await;
    let mut function = start(&cloud, &[]).await;
    let answer = function.invoke("request-1", r#"{"detail":"secret-7310"}"#).await;
    let Answer::Error(error) = answer else { panic!("{answer:?} is no error") };
    assert!(error["errorMessage"].as_str().expect("text").contains("Records"), "{error}");
    let answer = function.invoke("request-2", GOOD).await;
    assert_eq!(answer.failures(), [] as [&str; 0]);
    assert!(!json!(function.log()).to_string().contains("secret-7310"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_is_told_to_end_ends_well_and_leaves_its_batch_to_the_next() {
    let cloud = Cloud::start().await;
    let mut idle = start(&cloud, &[]).await;
    idle.runtime_api.asked_for_work().await;
    idle.log();

    let mut cut_off = start(&cloud, &[]).await;
    let held = cloud.hold();
    let unanswered = cut_off.runtime_api.invoke("request-1", GOOD);
    cloud.held().await;
    cut_off.log();
    drop(held);
    drop(cut_off);
    assert!(unanswered.await.is_err(), "a batch that was cut off was answered");

    let next = start(&cloud, &[]).await;
    assert_eq!(next.invoke("request-2", GOOD).await.failures(), [] as [&str; 0]);
    assert_eq!(number(&cloud, "pump-1", "count"), 3.0);
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A batch of these records: partition key and data.
fn event(records: &[(&str, &str)]) -> String {
    let records: Vec<Value> = (1..)
        .zip(records)
        .map(|(sequence_number, (partition_key, data))| {
            json!({
                "kinesis": {
                    "partitionKey": partition_key,
                    "sequenceNumber": sequence_number.to_string(),
                    "data": base64(data),
                    "approximateArrivalTimestamp": 1_769_860_800.0,
                },
                "eventID": format!("shardId-000000000000:{sequence_number}"),
                "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/readings",
            })
        })
        .collect();
    json!({ "Records": records }).to_string()
}
