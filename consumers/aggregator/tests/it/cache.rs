//! A warm instance plans from the states that it wrote last, and reads where no write would prove them.

use crate::support::{Fault, Memory, Record, Stopped, arrival, body, event};
use aggregator::{Aggregator, BatchResult, Settings};
use telemetry::{RejectReason, Timestamp};

type Instance = Aggregator<Memory, Memory, Stopped>;

fn instance(memory: &Memory, settings: Settings) -> Instance {
    Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), settings)
}

fn handle(instance: &Instance, records: &[Record]) -> BatchResult {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(instance.handle(&event(records)))
}

/// So little room that every few readings make a page.
fn tight() -> Settings {
    Settings { item_bytes_reserved: 740, ..Settings::default() }
}

/// The `n`th reading of a device, a second after the one before.
fn reading(device: &str, n: u64) -> Record {
    let timestamp =
        Timestamp::from_nanosecond(arrival().as_nanosecond() - 1_000_000_000_000 + i128::from(n) * 1_000_000_000);
    (n + 1, device.to_owned(), body(device, &timestamp.unwrap().to_string(), n as f64, None))
}

fn of_devices(devices: usize, n: u64) -> Vec<Record> {
    (0..devices).map(|device| reading(&format!("device-{device}"), n)).collect()
}

/// How many devices each call read since this was asked last.
fn reads(memory: &Memory) -> Vec<usize> {
    std::mem::take(&mut memory.table().reads).into_iter().map(|(devices, _)| devices).collect()
}

fn count(memory: &Memory) -> u64 {
    memory.table().items.values().map(|item| item.attributes.count).sum()
}

fn assert_counts(handled: &BatchResult, counted: u64, duplicates: u64) {
    assert_eq!((handled.report.counted, handled.report.duplicates), (counted, duplicates));
    assert!(handled.failed.is_empty());
}

#[test]
fn in_steady_state_nothing_is_read() {
    let memory = Memory::default();
    let aggregator = instance(&memory, tight());
    assert_counts(&handle(&aggregator, &of_devices(250, 0)), 250, 0);
    assert_eq!(reads(&memory), [100, 100, 50]);
    for n in 1..12 {
        assert_counts(&handle(&aggregator, &of_devices(250, n)), 250, 0);
    }
    assert!(memory.table().transactions > 250, "windows were spilled meanwhile");
    assert_eq!(reads(&memory), [0; 0]);
    // More than one write holds.
    let several: Vec<Record> = (12..200).map(|n| reading("device-0", n)).collect();
    assert_counts(&handle(&aggregator, &several), 188, 0);
    assert_eq!((reads(&memory), memory.table().ledger_reads), (vec![], 0));
    // What clones of it wrote, it wrote.
    assert_counts(&handle(&aggregator.clone(), &of_devices(250, 200)), 250, 0);
    assert_eq!(reads(&memory), [0; 0]);
}

#[test]
fn items_are_read_little_ahead_of_their_writes() {
    let memory = Memory::default();
    assert_counts(&handle(&instance(&memory, Settings::default()), &of_devices(3_000, 0)), 3_000, 0);
    let reads = std::mem::take(&mut memory.table().reads);
    assert_eq!(reads.len(), 30);
    for (at, (devices, written)) in reads.into_iter().enumerate() {
        assert!(devices == 100 && written + 300 >= at * 100, "read {at} after {written} writes");
    }
}

#[test]
fn a_batch_that_changes_nothing_is_decided_by_a_fresh_read() {
    let memory = Memory::default();
    let aggregator = instance(&memory, Settings::default());
    handle(&aggregator, &[reading("d", 0)]);
    reads(&memory);
    assert_counts(&handle(&aggregator, &[reading("d", 0)]), 0, 1);
    assert_eq!(reads(&memory), [1]);
    // Warm again; then the item goes behind its back.
    handle(&aggregator, &[reading("d", 1)]);
    memory.table().items.clear();
    assert_counts(&handle(&aggregator, &[reading("d", 0), reading("d", 1)]), 2, 0);
    assert_eq!(count(&memory), 2);
}

#[test]
fn a_dead_letter_is_decided_by_a_fresh_read() {
    let memory = Memory::default();
    let aggregator = instance(&memory, Settings::default());
    handle(&aggregator, &[reading("d", 0)]);
    reads(&memory);
    let (_, device, conflicting) = reading("d", 0);
    let conflicting = String::from_utf8(conflicting).unwrap().replace("0.0", "7.5").into_bytes();
    let handled = handle(&aggregator, &[(2, device.clone(), conflicting.clone()), reading("d", 1)]);
    assert_eq!(handled.report.dead_letters.get(&RejectReason::ConflictingDuplicate), Some(&1));
    assert_eq!((handled.report.counted, reads(&memory)), (1, vec![1]));
    // What it wrote is cached; then the item goes, and with it what the value conflicted with.
    memory.table().items.clear();
    assert_counts(&handle(&aggregator, &[(3, device, conflicting), reading("d", 2)]), 2, 0);
}

/// > A reading is counted at most once, however often it is posted, delivered, redriven or replayed.
#[test]
fn a_stale_cache_is_overtaken_and_counts_nothing_twice() {
    let memory = Memory::default();
    // A failed condition over a cached state is no replan that other writers cause.
    let settings = Settings { replans_max: 0, ..Settings::default() };
    let (one, other) = (instance(&memory, settings.clone()), instance(&memory, settings));
    handle(&one, &[reading("d", 0)]);
    handle(&other, &[reading("d", 1)]);
    reads(&memory);
    assert_counts(&handle(&one, &[reading("d", 1), reading("d", 2)]), 1, 1);
    assert_eq!(reads(&memory), [1], "the entry was taken out, and the item read");
    assert_counts(&handle(&one, &[reading("d", 3)]), 1, 0);
    assert_eq!((reads(&memory), count(&memory)), (vec![], 4), "what it wrote is cached again");
}

/// > A reading is counted at most once, however often it is posted, delivered, redriven or replayed.
#[test]
fn two_warm_instances_in_turn_count_each_reading_once() {
    let memory = Memory::default();
    let instances = [instance(&memory, tight()), instance(&memory, tight())];
    for n in 0..60 {
        let batch = [reading("d", n), reading("e", n)];
        let (first, second) = (&instances[n as usize % 2], &instances[(n / 2) as usize % 2]);
        assert_counts(&handle(first, &batch), 2, 0);
        assert_counts(&handle(second, &batch), 0, 2);
    }
    // Whose cache was stale all the while.
    let all: Vec<Record> = (0..60).map(|n| reading("d", n)).collect();
    for instance in &instances {
        assert_counts(&handle(instance, &all), 0, 60);
    }
    assert_eq!(count(&memory), 120);
}

/// > A reading is counted at most once, however often it is posted, delivered, redriven or replayed.
#[test]
fn a_write_of_unknown_outcome_is_not_cached() {
    for (fault, counted) in [(Fault::ReplyLost, 0), (Fault::Before, 1)] {
        let memory = Memory::default();
        let aggregator = instance(&memory, Settings::default());
        handle(&aggregator, &[reading("d", 0)]);
        memory.table().faults = vec![fault];
        assert_eq!(handle(&aggregator, &[reading("d", 1)]).report.failed_groups, 1);
        reads(&memory);
        assert_counts(&handle(&aggregator, &[reading("d", 1), reading("d", 2)]), counted + 1, 1 - counted);
        assert_eq!((reads(&memory), count(&memory)), (vec![1], 3));
    }
}

/// > A state or ledger page that cannot be read is never overwritten and never taken for empty: its readings become the
/// > dead letter `corrupt_state`, and count when they are redriven after it was repaired.
#[test]
fn an_item_that_cannot_be_read_is_never_cached() {
    let memory = Memory::default();
    handle(&instance(&memory, Settings::default()), &[reading("d", 0)]);
    let sound = memory.table().items.clone();
    memory.table().items.values_mut().next().unwrap().state.pop();
    let damaged = memory.table().items.clone();
    let aggregator = instance(&memory, Settings::default());
    reads(&memory);
    for n in [1, 2] {
        let handled = handle(&aggregator, &[reading("d", n)]);
        assert_eq!(handled.report.dead_letters.get(&RejectReason::CorruptState), Some(&1));
        assert_eq!((reads(&memory), &memory.table().items), (vec![1], &damaged));
    }
    memory.table().items = sound;
    assert_counts(&handle(&aggregator, &[reading("d", 1)]), 1, 0);
    assert_eq!(reads(&memory), [1]);
}

#[test]
fn what_an_instance_wrote_last_outlives_damage_to_the_item() {
    let memory = Memory::default();
    let aggregator = instance(&memory, Settings::default());
    handle(&aggregator, &[reading("d", 0)]);
    memory.table().items.values_mut().next().unwrap().state.pop();
    assert_counts(&handle(&aggregator, &[reading("d", 1)]), 1, 0);
    // Another instance reads whole statistics.
    assert_counts(&handle(&instance(&memory, Settings::default()), &[reading("d", 0), reading("d", 2)]), 1, 1);
    assert_eq!(count(&memory), 3);
}

#[test]
fn a_cache_of_few_bytes_holds_the_states_written_last() {
    let reads_of_the_second_batch = |cache_bytes_max: usize| {
        let memory = Memory::default();
        let aggregator = instance(&memory, Settings { cache_bytes_max, ..Settings::default() });
        handle(&aggregator, &of_devices(60, 0));
        reads(&memory);
        assert_counts(&handle(&aggregator, &of_devices(60, 1)), 60, 0);
        reads(&memory).into_iter().sum::<usize>()
    };
    assert_eq!((reads_of_the_second_batch(0), reads_of_the_second_batch(1 << 20)), (60, 0));
    let some = reads_of_the_second_batch(20_000);
    assert!((30..60).contains(&some), "{some} devices were read");
}
