//! The handler's answers, fact by fact.

use crate::support::{Fault, Memory, Record, Stopped, arrival, body, event};
use aggregator::{Aggregator, BatchResult, Settings};
use serde_json::{Value, json};
use telemetry::RejectReason;

fn handle(memory: &Memory, records: &[Record]) -> BatchResult {
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(aggregator.handle(&event(records)))
}

fn reading(sequence_number: u64, device: &str, second: u32, value: f64) -> Record {
    (sequence_number, device.to_owned(), body(device, &format!("2026-06-01T11:00:{second:02}Z"), value, None))
}

#[test]
fn the_worked_example_gives_its_statistics() {
    let memory = Memory::default();
    let records = [reading(1, "d", 0, 35.0), reading(2, "d", 1, 40.0), reading(3, "d", 2, 123.0)];
    assert_eq!(handle(&memory, &records).failed.len(), 0);
    let table = memory.table();
    let attributes = &table.items.values().next().unwrap().attributes;
    assert_eq!((attributes.mean, attributes.median, attributes.count), (Some(66.0), Some(40.0), 3));
    assert!((attributes.standard_deviation.unwrap() - 2443f64.sqrt()).abs() < 1e-13);
    assert_eq!((attributes.minimum, attributes.maximum), (Some(35.0), Some(123.0)));
    assert_eq!(attributes.first_timestamp.unwrap().to_string(), "2026-06-01T11:00:00Z");
    assert_eq!(attributes.last_timestamp.unwrap().to_string(), "2026-06-01T11:00:02Z");
}

#[test]
fn one_batch_makes_one_write_a_device() {
    let memory = Memory::default();
    let records: Vec<_> = (0..40).map(|i| reading(i + 1, ["a", "b"][i as usize % 2], i as u32, 1.0)).collect();
    handle(&memory, &records);
    assert_eq!(memory.table().writes, 2);
}

#[test]
fn a_batch_of_duplicates_writes_nothing() {
    let memory = Memory::default();
    handle(&memory, &[reading(1, "d", 0, 1.0)]);
    let handled = handle(&memory, &[reading(2, "d", 0, 1.0), reading(3, "d", 0, 1.0)]);
    assert_eq!((handled.report.duplicates, memory.table().writes), (2, 1));
}

#[test]
fn a_failed_device_is_reported_by_its_first_record_and_the_others_stand() {
    let memory = Memory::default();
    memory.table().faults = vec![Fault::Before];
    let handled = handle(&memory, &[reading(7, "a", 0, 1.0), reading(8, "b", 0, 1.0), reading(9, "a", 1, 1.0)]);
    assert_eq!(handled.failed, [7.into()]);
    assert_eq!(memory.table().items.keys().map(|device| device.as_str()).collect::<Vec<_>>(), ["b"]);
}

/// The last day of 9999 was `invalid_reading`: its year was said to be out of range.
#[test]
fn a_future_timestamp_is_told_both_times_to_the_end_of_9999() {
    let memory = Memory::default();
    let timestamps = ["2026-06-01T12:05:00.001Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999999Z"];
    let records: Vec<Record> =
        (1..).zip(timestamps).map(|(number, at)| (number, "d".to_owned(), body("d", at, 1.0, None))).collect();
    handle(&memory, &records);
    let table = memory.table();
    let mut letters: Vec<_> = table.letters.values().collect();
    letters.sort_by(|a, b| a.sequence_number.cmp(&b.sequence_number));
    assert_eq!(letters.len(), timestamps.len());
    for (letter, at) in letters.iter().zip(timestamps) {
        let both = format!("but {at} arrived at 2026-06-01T12:00:00Z");
        let detail = format!("`timestamp`: must be at most 300 seconds after its arrival, {both}");
        assert_eq!((letter.reason, letter.detail.as_str()), (RejectReason::FutureTimestamp, detail.as_str()));
    }
}

#[test]
fn what_can_never_be_counted_is_a_dead_letter_with_its_reason_and_whole_payload() {
    let memory = Memory::default();
    let records: Vec<Record> = vec![
        (1, "d".into(), b"not json".to_vec()),
        (2, "d".into(), b"{\"device_id\":\"d\"}".to_vec()),
        (3, "d".into(), body("d", "2026-06-01T12:05:00.001Z", 1.0, None)),
        (4, "other".into(), body("d", "2026-06-01T11:00:00Z", 1.0, None)),
        (5, "d".into(), body("d", "2026-06-01T12:05:00Z", 1.0, None)),
        (6, "d".into(), body("d", "2026-06-01T12:05:00Z", 2.0, None)),
    ];
    let handled = handle(&memory, &records);
    assert_eq!((handled.report.counted, handled.failed.len()), (1, 0));
    let table = memory.table();
    let mut letters: Vec<_> = table.letters.values().collect();
    letters.sort_by(|a, b| a.sequence_number.cmp(&b.sequence_number));
    let reasons: Vec<_> = letters.iter().map(|letter| letter.reason).collect();
    assert_eq!(
        reasons,
        [
            RejectReason::MalformedJson,
            RejectReason::InvalidReading,
            RejectReason::FutureTimestamp,
            RejectReason::PartitionKeyMismatch,
            RejectReason::ConflictingDuplicate,
        ]
    );
    let wire: Value = serde_json::to_value(letters[3]).unwrap();
    assert_eq!(wire["partition_key"], "other");
    assert_eq!(wire["stream"], "streamgauge");
    assert_eq!(wire["shard_id"], "shardId-000000000000");
    assert_eq!(wire["device_id"], "d");
    assert_eq!(wire["arrived_at"], "2026-06-01T12:00:00Z");
    assert_eq!(wire["sub_sequence_number"], Value::Null);
}

#[test]
fn a_bad_reading_of_a_series_is_a_dead_letter_by_itself() {
    let memory = Memory::default();
    let good = |second: u32| json!({"timestamp": format!("2026-06-01T11:00:{second:02}Z"), "value": second});
    let series = json!({"device_id": "d", "readings": [good(0), {"timestamp": "x", "value": 1}, good(2)]});
    let handled = handle(&memory, &[(1, "d".into(), series.to_string().into_bytes())]);
    assert_eq!(handled.report.counted, 2);
    let table = memory.table();
    let letter = table.letters.values().next().unwrap();
    assert_eq!((letter.index, table.letters.len()), (Some(1), 1));
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload, json!({"device_id": "d", "timestamp": "x", "value": 1}));
}

#[test]
fn a_dead_letter_that_is_not_taken_makes_its_record_come_again() {
    let memory = Memory::default();
    memory.table().faults = vec![Fault::Before];
    let handled = handle(&memory, &[(4, "d".into(), b"?".to_vec())]);
    assert_eq!(handled.failed[0], 4.into());
    let again = handle(&memory, &[(4, "d".into(), b"?".to_vec())]);
    assert_eq!((again.failed.len(), memory.table().letters.len()), (0, 1));
}

#[test]
fn a_state_that_does_not_decode_is_never_overwritten() {
    let memory = Memory::default();
    handle(&memory, &[reading(1, "d", 0, 1.0)]);
    memory.table().items.values_mut().next().unwrap().state[0] = 0;
    let before = memory.table().items.clone();
    let handled = handle(&memory, &[reading(2, "d", 1, 1.0)]);
    assert_eq!(handled.report.dead_letters.get(&RejectReason::CorruptState), Some(&1));
    assert_eq!(memory.table().items, before);
}

#[test]
fn an_overtaken_write_is_planned_again_on_what_the_other_wrote() {
    let memory = Memory::default();
    handle(&memory, &[reading(1, "d", 0, 1.0)]);
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), Settings::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Two handlers take turns on one thread: both read revision 1 before either writes.
    let (first, second) = (event(&[reading(2, "d", 1, 2.0)]), event(&[reading(3, "d", 2, 3.0)]));
    runtime.block_on(async { tokio::join!(aggregator.handle(&first), aggregator.handle(&second)) });
    let table = memory.table();
    let item = table.items.values().next().unwrap();
    assert_eq!((item.attributes.count, item.revision), (3, 3));
}
