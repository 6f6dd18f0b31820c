//! What counts as success and failure of a batch.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>

use crate::driver::{Driver, config, failing_at, records, success};
use event_source_mapping::{DiscardCondition, Invocation, MappingConfig, Verdict, verdict};

fn verdict_of(answer: &str) -> Verdict {
    verdict(answer.as_bytes(), &records(4))
}

// "Lambda treats a batch as a complete success if you return any of the following: An empty batchItemFailure list. A
// null batchItemFailure list. An empty EventResponse. A null EventResponse."
#[test]
fn empty_and_null_answers_are_complete_successes() {
    for answer in [
        "{\"batchItemFailures\":[]}",
        "{\"batchItemFailures\":null}",
        "{}",
        "null",
        "",
        " \n",
        "\"\"",
        "[]",
        "{\"statusCode\":200}",
    ] {
        assert_eq!(verdict_of(answer), Verdict::Success, "{answer}");
    }
}

// "Lambda treats a batch as a complete failure if you return any of the following: An empty string itemIdentifier. A
// null itemIdentifier. An itemIdentifier with a bad key name."
#[test]
fn empty_null_unknown_and_malformed_identifiers_are_complete_failures() {
    for answer in [
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":null}]}",
        "{\"batchItemFailures\":[{\"foo\":\"3\"}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":3}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"99\"}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"three\"}]}",
        "{\"batchItemFailures\":[{\"itemIdentifier\":\"3\"},{\"itemIdentifier\":\"\"}]}",
        "{\"batchItemFailures\":[\"3\"]}",
        "{\"batchItemFailures\":{\"itemIdentifier\":\"3\"}}",
        "{\"batchItemFailures\":\"3\"}",
        "{\"batchItemFailures\":[",
        "true",
        "[{\"itemIdentifier\":\"3\"}]",
    ] {
        assert_eq!(verdict_of(answer), Verdict::Failure, "{answer}");
    }
}

// "If the batchItemFailures array contains multiple items, Lambda uses the record with the lowest sequence number as
// the checkpoint."
#[test]
fn the_lowest_sequence_number_counts_as_a_number_in_any_order() {
    let both = "{\"batchItemFailures\":[{\"itemIdentifier\":\"4\"},{\"itemIdentifier\":\"3\"}]}";
    assert_eq!(verdict_of(both), Verdict::PartialSuccess(2));
    let ten =
        verdict(b"{\"batchItemFailures\":[{\"itemIdentifier\":\"10\"},{\"itemIdentifier\":\"9\"}]}", &records(12));
    assert_eq!(ten, Verdict::PartialSuccess(8));
}

#[test]
fn a_failure_of_the_first_record_leaves_nothing_done() {
    assert_eq!(verdict_of("{\"batchItemFailures\":[{\"itemIdentifier\":\"1\"}]}"), Verdict::Failure);
}

// "Lambda then retries all records starting from that checkpoint": those that succeeded included.
#[test]
fn everything_from_the_lowest_failure_on_is_sent_again() {
    let mut driver = Driver::new(config(), records(5));
    assert_eq!(driver.invoke(failing_at(2)), [1, 2, 3, 4, 5]);
    assert_eq!(driver.invoke(success()), [3, 4, 5]);
    assert!(driver.finished());
    assert_eq!(driver.saved, [2, 5]);
}

// "Even when your function code returns partial batch failure responses, these responses will not be processed by
// Lambda unless the ReportBatchItemFailures feature is explicitly turned on for your event source mapping."
#[test]
fn answers_are_not_read_where_reporting_is_off() {
    let mut driver = Driver::new(MappingConfig { report_batch_item_failures: false, ..config() }, records(3));
    assert_eq!(driver.invoke(failing_at(1)), [1, 2, 3]);
    assert!(driver.finished());
    assert_eq!(driver.saved, [3]);
}

// "Lambda retries failures based on your retry strategy."
#[test]
fn partial_failures_use_up_retries_where_bisect_is_off() {
    let mut driver = Driver::new(MappingConfig { maximum_retry_attempts: Some(1), ..config() }, records(4));
    assert_eq!(driver.invoke(failing_at(1)), [1, 2, 3, 4]);
    assert_eq!(driver.invoke(failing_at(1)), [2, 3, 4]);
    let (discard, sequence_numbers) = driver.discard();
    assert_eq!(sequence_numbers, [3, 4]);
    assert_eq!(discard.condition, DiscardCondition::RetryAttemptsExhausted);
    assert!(!discard.function_error, "the function did answer");
    assert!(driver.finished());
    assert_eq!(driver.saved, [1, 2, 4]);
}

// "If your invocation fails and BisectBatchOnFunctionError is turned on, the batch is bisected regardless of your
// ReportBatchItemFailures setting."
#[test]
fn a_failed_invocation_is_bisected_whether_or_not_failures_are_reported() {
    for report_batch_item_failures in [true, false] {
        let config = MappingConfig { bisect_batch_on_function_error: true, report_batch_item_failures, ..config() };
        let mut driver = Driver::new(config, records(4));
        assert_eq!(driver.invoke(Invocation::Failed), [1, 2, 3, 4]);
        assert_eq!(driver.invoke(success()), [1, 2]);
        assert_eq!(driver.invoke(success()), [3, 4]);
        assert!(driver.finished());
    }
}

// "When a partial batch success response is received and both BisectBatchOnFunctionError and ReportBatchItemFailures
// are turned on, the batch is bisected at the returned sequence number and Lambda retries only the remaining records."
#[test]
fn with_bisect_a_partial_success_splits_at_the_returned_sequence_number() {
    let config = MappingConfig { bisect_batch_on_function_error: true, maximum_retry_attempts: Some(0), ..config() };
    let mut driver = Driver::new(config, records(8));
    assert_eq!(driver.invoke(failing_at(4)), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(driver.invoke(failing_at(2)), [5, 6, 7, 8]);
    assert_eq!(driver.invoke(failing_at(0)), [7, 8], "the split used up no retry");
    assert_eq!(driver.invoke(failing_at(0)), [7], "a first record that fails splits the batch in halves");
    assert_eq!(driver.discard().1, [7]);
    assert_eq!(driver.invoke(success()), [8]);
    assert!(driver.finished());
}
