//! How records become batches.
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html>, "Batching behavior".

use crate::driver::{Driver, Step, config, record, records, success};
use event_source_mapping::{EventSource, MappingConfig};
use std::time::Duration;

// "Batch size – The number of records to send to the function in each batch, up to 10,000. Lambda passes all of the
// records in the batch to the function in a single call."
#[test]
fn a_batch_holds_at_most_batch_size_records() {
    let mut driver = Driver::new(MappingConfig { batch_size: 4, ..config() }, records(9));
    assert_eq!(driver.invoke(success()), [1, 2, 3, 4]);
    assert_eq!(driver.invoke(success()), [5, 6, 7, 8]);
    assert_eq!(driver.invoke(success()), [9]);
}

// "By default, Lambda invokes your function as soon as records are available. If the batch that Lambda reads from the
// event source has only one record in it, Lambda sends only one record to the function."
#[test]
fn without_a_window_one_record_is_sent_at_once() {
    let mut driver = Driver::new(config(), records(1));
    assert!(matches!(driver.due(), Some(Step::Invoke(_, sequence_numbers)) if sequence_numbers == [1]));
    assert_eq!(driver.elapsed, Duration::ZERO);
}

// "... as long as the total size of the events doesn't exceed the payload limit for synchronous invocation (6 MB)."
#[test]
fn the_events_json_stays_within_the_payload_limit() {
    let source = EventSource::on_one_machine("readings", "aggregator");
    let mut stream = records(200);
    for (index, record) in stream.iter_mut().enumerate() {
        record.data = vec![b'x'; (index * 37) % 1000];
        record.partition_key = "\"\u{1}µ".repeat(index % 5);
    }
    let limit = 10_000;
    let mut driver = Driver::new(
        MappingConfig { maximum_batch_bytes: limit, maximum_batching_window: Duration::from_secs(1), ..config() },
        stream.clone(),
    );
    let mut sent = 0;
    while sent < stream.len() {
        let batch = driver.invoke(success());
        let records = &stream[sent..sent + batch.len()];
        let bytes = source.event(records).len();
        assert!(bytes <= limit, "{bytes}");
        // Nearly full: the next record would have gone over, but for what the estimate leaves to spare.
        let spare = 160 * batch.len() + 2500;
        assert!(bytes + spare > limit || sent + batch.len() == stream.len(), "{bytes} in {} records", batch.len());
        sent += batch.len();
    }
}

#[test]
fn a_record_over_the_limit_by_itself_goes_alone() {
    let mut stream = records(3);
    stream[1].data = vec![0; 5000];
    let mut driver = Driver::new(MappingConfig { maximum_batch_bytes: 2000, ..config() }, stream);
    assert_eq!(driver.invoke(success()), [1]);
    assert_eq!(driver.invoke(success()), [2]);
    assert_eq!(driver.invoke(success()), [3]);
}

// "Lambda continues to read records from the event source until it has gathered a full batch, the batching window
// expires, or the batch reaches the payload limit of 6 MB."
#[test]
fn a_batch_gathers_until_its_window_ends() {
    let window = Duration::from_secs(40);
    let mut driver = Driver::new(MappingConfig { maximum_batching_window: window, ..config() }, records(2));
    assert!(driver.due().is_none());
    driver.pass(Duration::from_secs(39));
    driver.stream.push(record(3, "device"));
    assert!(driver.due().is_none());
    driver.pass(Duration::from_secs(1));
    assert!(matches!(driver.due(), Some(Step::Invoke(_, sequence_numbers)) if sequence_numbers == [1, 2, 3]));
}

#[test]
fn a_full_batch_does_not_wait_for_its_window() {
    let config = MappingConfig { maximum_batching_window: Duration::from_secs(40), batch_size: 2, ..config() };
    let mut driver = Driver::new(config, records(3));
    assert_eq!(driver.invoke(success()), [1, 2]);
    assert_eq!(driver.elapsed, Duration::ZERO);
    assert!(driver.due().is_none());
}

#[test]
fn a_batch_at_the_payload_limit_does_not_wait_for_its_window() {
    let config =
        MappingConfig { maximum_batching_window: Duration::from_secs(40), maximum_batch_bytes: 1500, ..config() };
    let mut driver = Driver::new(config, records(5));
    assert!(!driver.invoke(success()).is_empty());
    assert_eq!(driver.elapsed, Duration::ZERO);
}

// "The next batching window begins as soon as the previous function invocation completes."
#[test]
fn the_next_window_begins_when_the_previous_invocation_completes() {
    let config = MappingConfig { maximum_batching_window: Duration::from_secs(40), batch_size: 2, ..config() };
    let mut driver = Driver::new(config, records(3));
    let Some(Step::Invoke(lane, _)) = driver.due() else { panic!("expected an invocation") };
    driver.pass(Duration::from_secs(100));
    driver.machine.invoked(lane, success(), driver.now());
    assert!(driver.due().is_none(), "the window has only begun");
    assert_eq!(driver.invoke(success()), [3]);
    assert_eq!(driver.elapsed, Duration::from_secs(140));
}

#[test]
fn windows_that_end_empty_follow_one_another() {
    let config = MappingConfig { maximum_batching_window: Duration::from_secs(40), ..config() };
    let mut driver = Driver::new(config, vec![]);
    driver.pass(Duration::from_secs(90));
    driver.stream = records(1);
    assert_eq!(driver.invoke(success()), [1]);
    assert_eq!(driver.elapsed, Duration::from_secs(120));
}

#[test]
fn a_closed_shard_gathers_no_longer() {
    let config = MappingConfig { maximum_batching_window: Duration::from_secs(40), ..config() };
    let mut driver = Driver::new(config, records(2));
    driver.closed = true;
    assert_eq!(driver.invoke(success()), [1, 2]);
    assert_eq!(driver.elapsed, Duration::ZERO);
}

// "If you increase the number of concurrent batches per shard, Lambda still ensures in-order processing at the
// partition-key level."
#[test]
fn lanes_share_no_partition_key() {
    let stream: Vec<_> = (1..=200).map(|sequence| record(sequence, &format!("device-{}", sequence % 40))).collect();
    let config = MappingConfig { parallelization_factor: 10, batch_size: 10, ..config() };
    let mut driver = Driver::new(config, stream);
    let mut lane_of_key = std::collections::BTreeMap::new();
    let mut sent = 0;
    while let Some(Step::Invoke(lane, sequence_numbers)) = driver.due() {
        for sequence in &sequence_numbers {
            assert_eq!(*lane_of_key.entry(sequence % 40).or_insert(lane), lane);
        }
        sent += sequence_numbers.len();
        driver.machine.invoked(lane, success(), driver.now());
    }
    assert_eq!(sent, 200);
    let lanes: std::collections::BTreeSet<_> = lane_of_key.values().collect();
    assert!(lanes.len() >= 8, "40 keys use most of ten lanes: {lanes:?}");
}

#[test]
fn read_ahead_ends_at_one_batch_a_lane() {
    let mut driver = Driver::new(MappingConfig { batch_size: 10, ..config() }, records(1000));
    let Some(Step::Invoke(..)) = driver.due() else { panic!("expected an invocation") };
    assert!(driver.due().is_none());
    assert!(driver.machine.records_held() <= 20, "{}", driver.machine.records_held());
}
