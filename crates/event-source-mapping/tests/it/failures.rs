//! Retries, bisect, age, and what is given up.
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>

use crate::driver::{Driver, Step, config, record, records, success, wall};
use event_source_mapping::{Backoff, DiscardCondition, Invocation, MappingConfig};
use std::time::Duration;

// "By default, if your function returns an error, the event source mapping reprocesses the entire batch until the
// function succeeds, or the items in the batch expire."
#[test]
fn without_limits_a_batch_is_retried_until_it_succeeds() {
    let mut driver = Driver::new(config(), records(3));
    for _ in 0..1000 {
        assert_eq!(driver.invoke(Invocation::Failed), [1, 2, 3]);
    }
    assert_eq!(driver.saved, [0; 0]);
    assert_eq!(driver.invoke(success()), [1, 2, 3]);
    assert!(driver.finished());
    assert_eq!(driver.saved, [3]);
}

// "To ensure in-order processing, the event source mapping pauses processing for the affected shard until the error is
// resolved."
#[test]
fn nothing_of_the_lane_overtakes_a_batch_that_fails() {
    let mut driver = Driver::new(MappingConfig { batch_size: 2, ..config() }, records(4));
    assert_eq!(driver.invoke(Invocation::Failed), [1, 2]);
    assert_eq!(driver.invoke(Invocation::Failed), [1, 2]);
    assert_eq!(driver.invoke(success()), [1, 2]);
    assert_eq!(driver.invoke(success()), [3, 4]);
}

// "MaximumRetryAttempts: Discard records after the specified number of retries."
#[test]
fn a_batch_is_sent_once_and_then_retried_as_often_as_allowed() {
    let mut driver =
        Driver::new(MappingConfig { maximum_retry_attempts: Some(2), batch_size: 3, ..config() }, records(4));
    for _ in 0..3 {
        assert_eq!(driver.invoke(Invocation::Failed), [1, 2, 3]);
    }
    let (discard, sequence_numbers) = driver.discard();
    assert_eq!(sequence_numbers, [1, 2, 3]);
    assert_eq!(discard.condition, DiscardCondition::RetryAttemptsExhausted);
    assert_eq!(discard.approximate_invoke_count, 3);
    assert!(discard.function_error);
    // "Lambda discards the records and continues processing batches from the stream."
    assert_eq!(driver.invoke(success()), [4]);
}

// "Splitting batches doesn't consume the retry quota." "... which splits a failed batch into two smaller batches,
// isolating bad records and avoiding timeouts."
#[test]
fn bisect_isolates_the_bad_record_without_using_up_retries() {
    let config = MappingConfig { bisect_batch_on_function_error: true, maximum_retry_attempts: Some(1), ..config() };
    let mut driver = Driver::new(config, records(4));
    assert_eq!(driver.invoke(Invocation::Failed), [1, 2, 3, 4]);
    assert_eq!(driver.invoke(success()), [1, 2]);
    assert_eq!(driver.invoke(Invocation::Failed), [3, 4]);
    assert_eq!(driver.invoke(Invocation::Failed), [3]);
    assert_eq!(driver.invoke(Invocation::Failed), [3], "all splits left the one retry");
    let (discard, sequence_numbers) = driver.discard();
    assert_eq!((sequence_numbers, discard.approximate_invoke_count), (vec![3], 4));
    assert_eq!(driver.invoke(success()), [4]);
    assert!(driver.finished());
    assert_eq!(driver.saved, [2, 3, 4]);
}

// "Before invocation: If a Lambda event source mapping is unable to invoke the function due to throttling or other
// issues, it retries until the records expire or exceed the maximum age configured on the event source mapping."
#[test]
fn invocations_that_do_not_reach_the_function_use_up_no_retry_and_split_nothing() {
    let config = MappingConfig {
        bisect_batch_on_function_error: true,
        maximum_retry_attempts: Some(0),
        maximum_record_age: Some(Duration::from_secs(60)),
        ..config()
    };
    let mut driver = Driver::new(config, records(2));
    let mut attempts = 0;
    while let Some(Step::Invoke(lane, sequence_numbers)) = driver.due().or_else(|| driver.step()) {
        assert_eq!(sequence_numbers, [1, 2]);
        attempts += 1;
        driver.machine.invoked(lane, Invocation::NotInvoked, driver.now());
        if driver.elapsed > Duration::from_secs(20) {
            break;
        }
    }
    assert!(attempts > 5);
    driver.pass(Duration::from_secs(60));
    let (discard, sequence_numbers) = driver.discard();
    assert_eq!(sequence_numbers, [1, 2]);
    assert_eq!(discard.condition, DiscardCondition::RecordAgeExceeded);
    assert_eq!(discard.approximate_invoke_count, 0);
}

// "Maximum age of record – The maximum age of a record that Lambda sends to your function."
#[test]
fn records_too_old_are_never_sent_and_the_others_are() {
    let mut stream = records(4);
    for (index, age) in [70, 10, 61, 60].into_iter().enumerate() {
        stream[index].arrived_at = wall(Duration::from_secs(100 - age));
    }
    let mut driver =
        Driver::new(MappingConfig { maximum_record_age: Some(Duration::from_secs(60)), ..config() }, stream);
    driver.pass(Duration::from_secs(100));
    let (discard, sequence_numbers) = driver.discard();
    assert_eq!(sequence_numbers, [1]);
    assert_eq!((discard.condition, discard.approximate_invoke_count), (DiscardCondition::RecordAgeExceeded, 0));
    assert_eq!(driver.invoke(success()), [2]);
    assert_eq!(driver.discard().1, [3]);
    assert_eq!(driver.invoke(success()), [4], "at the limit is not over it");
}

// "During invocation: If the function is invoked but returns an error, Lambda retries until the records expire, exceed
// the maximum age, or reach the configured retry quota."
#[test]
fn records_that_grow_too_old_while_they_are_retried_are_given_up() {
    let mut driver =
        Driver::new(MappingConfig { maximum_record_age: Some(Duration::from_secs(60)), ..config() }, records(2));
    assert_eq!(driver.invoke(Invocation::Failed), [1, 2]);
    driver.pass(Duration::from_secs(61));
    let (discard, sequence_numbers) = driver.discard();
    assert_eq!(sequence_numbers, [1, 2]);
    assert_eq!((discard.condition, discard.approximate_invoke_count), (DiscardCondition::RecordAgeExceeded, 1));
}

#[test]
fn the_waits_between_retries_double_and_start_anew_after_a_success() {
    let retry_backoff = Backoff { initial: Duration::from_secs(1), maximum: Duration::from_secs(4) };
    let mut driver = Driver::new(MappingConfig { retry_backoff, batch_size: 1, ..config() }, records(2));
    let mut at = vec![];
    for _ in 0..5 {
        driver.invoke(Invocation::Failed);
        at.push(driver.elapsed.as_secs());
    }
    assert_eq!(at, [0, 1, 3, 7, 11]);
    driver.invoke(success());
    assert_eq!(driver.elapsed.as_secs(), 15);
    driver.invoke(Invocation::Failed);
    driver.invoke(success());
    assert_eq!(driver.elapsed.as_secs(), 16);
}

#[test]
fn the_checkpoint_waits_until_the_destination_has_taken_what_is_given_up() {
    let mut driver = Driver::new(MappingConfig { maximum_retry_attempts: Some(0), ..config() }, records(2));
    driver.invoke(Invocation::Failed);
    for _ in 0..3 {
        let Some(Step::Discard(lane, _)) = driver.step() else { panic!("expected a discard") };
        driver.machine.recorded(lane, false, driver.now());
        assert!(driver.due().is_none());
        assert_eq!(driver.saved, [0; 0]);
    }
    assert_eq!(driver.discard().1, [1, 2]);
    assert!(driver.finished());
    assert_eq!(driver.saved, [2]);
}

#[test]
fn a_poison_record_holds_up_no_other_lane() {
    let keys: Vec<_> = (0..20).map(|key| format!("device-{key}")).collect();
    let stream = (1..=20).map(|sequence| record(sequence, &keys[sequence as usize - 1])).collect();
    let mut driver = Driver::new(MappingConfig { parallelization_factor: 2, ..config() }, stream);
    let Some(Step::Invoke(first, held)) = driver.due() else { panic!("expected an invocation") };
    let Some(Step::Invoke(second, others)) = driver.due() else { panic!("expected a second invocation") };
    assert_ne!(first, second);
    assert!(held.iter().all(|sequence| !others.contains(sequence)));
    driver.machine.invoked(first, Invocation::Failed, driver.now());
    driver.machine.invoked(second, success(), driver.now());
    assert!(driver.due().is_none());
    assert!(driver.saved.iter().all(|saved| *saved < held[0]));
}
