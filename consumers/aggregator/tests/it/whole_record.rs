//! Of a record with very many readings that cannot be counted there is one dead letter.

use crate::support::{Fault, Memory, Record, Stopped, arrival, body, event};
use aggregator::{Aggregator, BatchResult, Settings};
use base64::Engine as _;
use ports::DeadLetter;
use telemetry::RejectReason::{ConflictingDuplicate, InvalidReading, MalformedJson, PartitionKeyMismatch};
use telemetry::kpl::{SubRecord, aggregate};

fn handle(memory: &Memory, records: &[Record]) -> BatchResult {
    let settings = Settings { concurrency: 1, ..Settings::default() };
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), settings);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(aggregator.handle(&event(records)))
}

/// A KPL aggregate of these (partition key, data) records.
fn packed(sequence_number: u64, records: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Record {
    let record = |(key, data): (&str, Vec<u8>)| SubRecord {
        partition_key: key.to_owned(),
        explicit_hash_key: None,
        data,
        sub_sequence_number: 0,
    };
    let records: Vec<SubRecord> = records.into_iter().map(record).collect();
    (sequence_number, "packed".to_owned(), aggregate(&records))
}

fn bad(readings: usize) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    (0..readings).map(|_| ("d", b"x".to_vec()))
}

/// Readings of one device, a second apart, each of this value.
fn good(device: &'static str, readings: usize, value: f64) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let at = |n: usize| format!("2026-06-01T{:02}:{:02}:{:02}Z", n / 3600, n / 60 % 60, n % 60);
    (0..readings).map(move |n| (device, body(device, &at(n), value, None)))
}

fn letters(memory: &Memory) -> Vec<DeadLetter> {
    memory.table().letters.values().cloned().collect()
}

fn payload(letter: &DeadLetter) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap()
}

/// 224 KB became 32,000 dead letters of 54 MB.
#[test]
fn a_record_of_32000_bad_readings_is_one_letter() {
    let memory = Memory::default();
    let record = packed(1, bad(32_000));
    let handled = handle(&memory, std::slice::from_ref(&record));
    assert_eq!(handled.report.dead_letters, [(MalformedJson, 32_000)].into());
    assert!(handled.failed.is_empty());
    let sent = letters(&memory);
    assert_eq!(sent.len(), 1);
    let letter = &sent[0];
    assert_eq!((payload(letter), letter.partition_key.as_str()), (record.2.clone(), "packed"));
    assert_eq!(letter.readings_by_reason, Some([(MalformedJson, 32_000)].into()));
    assert_eq!((letter.reason, letter.sub_sequence_number, letter.index), (MalformedJson, None, None));
    let said =
        "32000 of the record's 32000 readings cannot be counted (32000 malformed_json); the first: the body is not";
    assert!(letter.detail.starts_with(said), "{}", letter.detail);

    handle(&memory, &[record]);
    assert_eq!(letters(&memory), sent, "delivered again, it has the same id");
}

#[test]
fn up_to_500_readings_have_a_letter_each() {
    let memory = Memory::default();
    let handled = handle(&memory, &[packed(1, bad(500))]);
    assert_eq!(handled.report.dead_letters, [(MalformedJson, 500)].into());
    let sent = letters(&memory);
    assert_eq!(sent.len(), 500);
    let is_as_ever = |letter: &DeadLetter| {
        payload(letter) == b"x" && serde_json::to_value(letter).unwrap().get("readings_by_reason").is_none()
    };
    assert!(sent.iter().all(is_as_ever));

    let memory = Memory::default();
    handle(&memory, &[packed(1, bad(501)), packed(2, bad(2))]);
    let mut readings: Vec<u64> = letters(&memory).iter().map(|letter| letter.readings().values().sum()).collect();
    readings.sort_unstable();
    assert_eq!(readings, [1, 1, 501]);
}

/// 999 KB of series whose readings are empty objects held 300,000 readings.
#[test]
fn a_record_of_series_of_empty_readings_is_one_letter() {
    let memory = Memory::default();
    let series = format!("{{\"device_id\":\"d\",\"readings\":[{}]}}", ["{}"; 500].join(","));
    let handled = handle(&memory, &[packed(1, (0..10).map(|_| ("d", series.clone().into_bytes())))]);
    assert_eq!(handled.report.dead_letters, [(InvalidReading, 5_000)].into());
    let sent = letters(&memory);
    assert_eq!((sent.len(), sent[0].device_id.as_deref()), (1, Some("d")));
}

/// A redrive puts the record again under another sequence number.
#[test]
fn good_readings_of_the_record_count_once_and_stay_so_when_it_is_redriven() {
    let memory = Memory::default();
    handle(&memory, &[packed(1, good("d", 20, 1.0))]);
    let conflicts = good("d", 20, 2.0);
    let foreign = good("other", 30, 1.0).map(|(_, data)| ("d", data));
    let mixed = packed(2, good("e", 600, 3.0).chain(bad(500)).chain(conflicts).chain(foreign));
    let handled = handle(&memory, std::slice::from_ref(&mixed));
    let by_reason = [(MalformedJson, 500), (ConflictingDuplicate, 20), (PartitionKeyMismatch, 30)].into();
    assert_eq!((handled.report.counted, &handled.report.dead_letters), (600, &by_reason));
    assert_eq!(letters(&memory).len(), 1);
    assert_eq!(letters(&memory)[0].readings_by_reason.as_ref(), Some(&by_reason));
    assert_eq!(letters(&memory)[0].device_id, None, "they name several devices or none");
    let before = memory.table().items.clone();

    let redriven = handle(&memory, &[(3, mixed.1, mixed.2)]);
    assert_eq!((redriven.report.counted, redriven.report.duplicates), (0, 600));
    assert_eq!(redriven.report.dead_letters, by_reason);
    assert_eq!(letters(&memory).len(), 2, "again one letter");
    assert_eq!(memory.table().items, before);
}

/// Letters of its single readings and then one of the whole record would hold for some readings twice.
#[test]
fn letters_of_a_long_record_wait_until_all_its_readings_are_decided() {
    let memory = Memory::default();
    let counted = [packed(1, good("a", 300, 1.0).chain(good("b", 300, 1.0)))];
    let long = [packed(2, good("a", 300, 2.0).chain(good("b", 300, 2.0)))];
    handle(&memory, &counted);
    memory.table().faults = vec![Fault::Before];
    let handled = handle(&memory, &long);
    assert_eq!((handled.report.failed_groups, handled.failed.len()), (1, 1));
    assert_eq!(letters(&memory), []);
    let again = handle(&memory, &long);
    assert_eq!(again.report.dead_letters, [(ConflictingDuplicate, 600)].into());
    assert_eq!(letters(&memory).len(), 1);

    // A record that can't have more letters than are allowed is not held up.
    let short = [packed(3, good("a", 3, 2.0).chain(good("b", 3, 2.0)))];
    memory.table().faults = vec![Fault::Before];
    assert_eq!(handle(&memory, &short).report.dead_letters, [(ConflictingDuplicate, 3)].into());
}
