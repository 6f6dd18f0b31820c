//! How far the mapping remembers to be, where it starts, and how it stops.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>

use crate::driver::{Driver, Step, config, failing_at, number, record, records, success};
use event_source_mapping::{Action, Invocation, MappingConfig, StartingPosition};
use ports::Position;
use std::time::Duration;

// "By default Lambda checkpoints to the highest sequence number of a batch only when the batch is a complete success."
#[test]
fn the_checkpoint_moves_to_the_end_of_a_batch_that_succeeded() {
    let mut driver = Driver::new(MappingConfig { batch_size: 2, ..config() }, records(4));
    driver.invoke(Invocation::Failed);
    assert!(driver.due().is_none());
    assert_eq!(driver.saved, [0; 0]);
    driver.invoke(success());
    driver.invoke(success());
    assert!(driver.finished());
    assert_eq!(driver.saved, [2, 4]);
}

#[test]
fn the_next_batch_of_a_lane_waits_until_the_checkpoint_is_saved() {
    let mut driver = Driver::new(MappingConfig { batch_size: 2, ..config() }, records(4));
    driver.failing_saves = 3;
    driver.invoke(success());
    assert!(driver.due().is_none(), "the save failed");
    assert_eq!(driver.invoke(success()), [3, 4]);
    assert_eq!(driver.saved, [2]);
    assert!(driver.elapsed >= Duration::from_millis(100 + 200 + 400), "{:?}", driver.elapsed);
}

#[test]
fn with_lanes_the_checkpoint_is_the_lowest_unfinished_record() {
    let stream: Vec<_> = (1..=40).map(|sequence| record(sequence, &format!("device-{}", sequence % 7))).collect();
    let mut driver = Driver::new(MappingConfig { parallelization_factor: 4, batch_size: 3, ..config() }, stream);
    let mut out: Vec<(usize, Vec<u64>)> = vec![];
    let mut done = std::collections::BTreeSet::new();
    loop {
        while let Some(Step::Invoke(lane, sequence_numbers)) = driver.due() {
            out.push((lane, sequence_numbers));
        }
        // The newest first, so that lanes finish out of order.
        let Some((lane, sequence_numbers)) = out.pop() else { break };
        done.extend(sequence_numbers);
        driver.machine.invoked(lane, success(), driver.now());
        while let Some(Step::Invoke(lane, sequence_numbers)) = driver.due() {
            out.push((lane, sequence_numbers));
        }
        let lowest_unfinished = (1..=41).find(|sequence| !done.contains(sequence)).unwrap();
        assert_eq!(driver.saved.last().copied().unwrap_or(0), lowest_unfinished - 1);
    }
    assert_eq!(done.len(), 40);
    assert_eq!(driver.saved.last(), Some(&40));
}

#[test]
fn a_restart_reads_on_after_the_checkpoint() {
    let mut driver = Driver::from_checkpoint(config(), records(5), Some(3));
    assert_eq!(driver.invoke(success()), [4, 5]);
}

// "Trim horizon – Process all records in the stream." "Latest – Process new records that are added to the stream."
#[test]
fn a_shard_without_checkpoint_starts_at_the_starting_position() {
    let mut driver = Driver::new(config(), records(2));
    assert_eq!(driver.invoke(success()), [1, 2]);

    let mut driver = Driver::new(MappingConfig { starting_position: StartingPosition::Latest, ..config() }, records(2));
    assert!(driver.due().is_none());
    driver.stream.push(record(3, "device"));
    assert_eq!(driver.invoke(success()), [3]);
}

#[test]
fn latest_becomes_a_place_at_the_first_read_so_that_a_restart_misses_nothing() {
    let mut driver = Driver::new(MappingConfig { starting_position: StartingPosition::Latest, ..config() }, records(2));
    assert!(driver.due().is_none());
    assert_eq!(driver.saved, [2]);
}

#[test]
fn a_shard_is_drained_once_it_is_closed_and_all_of_it_is_done_and_saved() {
    let mut driver = Driver::new(config(), records(2));
    driver.closed = true;
    let Some(Step::Invoke(lane, _)) = driver.due() else { panic!("expected an invocation") };
    assert!(driver.due().is_none());
    assert!(!driver.machine.is_drained(), "a batch is out");
    driver.failing_saves = 1;
    driver.machine.invoked(lane, success(), driver.now());
    assert!(driver.due().is_none());
    assert!(!driver.machine.is_drained(), "the checkpoint is not saved");
    driver.pass(Duration::from_secs(1));
    assert!(driver.due().is_none());
    assert!(driver.machine.is_drained());
}

#[test]
fn records_read_twice_are_processed_once() {
    let mut driver = Driver::new(config(), records(3));
    let Some(Action::Read { .. }) = driver.machine.next_action(driver.now()) else { panic!("expected a read") };
    let next = Some(Position::AfterSequenceNumber(1.into()));
    driver
        .machine
        .read(ports::RecordsPage { records: records(3), next, behind_latest: Duration::from_secs(1) }, driver.now());
    assert_eq!(driver.invoke(success()), [1, 2, 3]);
    assert!(driver.finished());
}

#[test]
fn a_failed_read_is_tried_again_at_the_same_place_later() {
    let mut driver = Driver::from_checkpoint(config(), records(3), Some(1));
    for wait in [100, 200, 400] {
        let Some(Action::Read { position, .. }) = driver.machine.next_action(driver.now()) else {
            panic!("expected a read")
        };
        assert_eq!(position, Position::AfterSequenceNumber(1.into()));
        driver.machine.read_failed(driver.now());
        assert!(driver.machine.next_action(driver.now()).is_none());
        assert_eq!(driver.machine.deadline(), Some(driver.elapsed + Duration::from_millis(wait)));
        driver.pass(Duration::from_millis(wait));
    }
    assert_eq!(driver.invoke(success()), [2, 3]);
}

#[test]
fn a_stopped_machine_finishes_what_is_out_saves_and_starts_nothing() {
    let mut driver = Driver::new(MappingConfig { batch_size: 2, ..config() }, records(6));
    let Some(Step::Invoke(lane, _)) = driver.due() else { panic!("expected an invocation") };
    driver.machine.stop();
    assert!(!driver.machine.has_stopped());
    driver.machine.invoked(lane, failing_at(1), driver.now());
    assert!(!driver.machine.has_stopped(), "the checkpoint is not saved");
    assert!(driver.due().is_none());
    assert_eq!(driver.saved, [1]);
    assert!(driver.machine.has_stopped());
}

#[test]
fn a_stopped_machine_gives_up_saving_in_the_end() {
    let mut driver = Driver::new(config(), records(2));
    let Some(Step::Invoke(lane, _)) = driver.due() else { panic!("expected an invocation") };
    driver.machine.stop();
    driver.machine.invoked(lane, success(), driver.now());
    driver.failing_saves = usize::MAX;
    let mut saves = 0;
    while !driver.machine.has_stopped() {
        if let Some(Action::SaveCheckpoint(checkpoint)) = driver.machine.next_action(driver.now()) {
            assert_eq!(number(checkpoint), 2);
            saves += 1;
            driver.machine.saved(false, driver.now());
        }
        driver.elapsed = driver.machine.deadline().unwrap_or(driver.elapsed);
    }
    assert_eq!(saves, 5);
}
