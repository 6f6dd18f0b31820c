//! The guarantees of docs/semantics.md that a few records can show; the others stand in crates/simulation.

use crate::support::{Fault, Memory, Record, Stopped, arrival, body, event};
use aggregator::{Aggregator, BatchResult, LedgerMode, Settings};
use ports::DeadLetter;
use serde_json::{Value, json};
use telemetry::{RejectReason, Timestamp};

const DAY_NS: i128 = 86_400_000_000_000;

fn handle(memory: &Memory, records: &[Record], settings: Settings) -> BatchResult {
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), Stopped(arrival()), settings);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(aggregator.handle(&event(records)))
}

/// So little room that every few readings make a page.
fn tight(ledger: LedgerMode) -> Settings {
    Settings { ledger, item_bytes_reserved: 740, ..Settings::default() }
}

const FULL: LedgerMode = LedgerMode::Full { retention: None };

fn reading(sequence_number: u64, device: &str, before_ns: i128, value: f64) -> Record {
    let timestamp = Timestamp::from_nanosecond(arrival().as_nanosecond() - before_ns).unwrap();
    (sequence_number, device.to_owned(), body(device, &timestamp.to_string(), value, None))
}

fn count(memory: &Memory) -> u64 {
    memory.table().items.values().map(|item| item.attributes.count).sum()
}

fn reasons(handled: &BatchResult) -> Vec<(RejectReason, u64)> {
    handled.report.dead_letters.iter().map(|(reason, count)| (*reason, *count)).collect()
}

/// > Of two readings of one identity with different values the first to be counted stands, and the other becomes a
/// > dead letter.
#[test]
fn the_first_value_of_an_identity_stands() {
    let memory = Memory::default();
    let handled = handle(&memory, &[reading(1, "d", 0, 1.0), reading(2, "d", 0, 2.0)], Settings::default());
    assert_eq!(reasons(&handled), [(RejectReason::ConflictingDuplicate, 1)]);
    let table = memory.table();
    assert_eq!(table.items.values().next().unwrap().attributes.mean, Some(1.0));
    assert_eq!(table.letters.values().next().unwrap().sequence_number, "2");
}

/// > A reading that comes late is judged like any other, however late, where the ledger is full and nothing expires.
#[test]
fn a_reading_that_comes_years_late_is_counted_once() {
    let memory = Memory::default();
    for n in 0..40 {
        handle(&memory, &[reading(n + 1, "d", i128::from(40 - n) * DAY_NS / 10, n as f64)], tight(FULL));
    }
    assert!(memory.table().pages.len() > 3);
    let old = |sequence_number| reading(sequence_number, "d", 3_000 * DAY_NS, 7.0);
    assert_eq!(handle(&memory, &[old(50)], tight(FULL)).report.counted, 1);
    for n in 0..40 {
        handle(&memory, &[reading(60 + n, "d", -i128::from(n), n as f64)], tight(FULL));
    }
    let again = handle(&memory, &[old(100)], tight(FULL));
    assert_eq!((again.report.counted, again.report.duplicates, count(&memory)), (0, 1, 81));
}

/// > A reading too old to be judged becomes the dead letter `late`: it is never counted on a guess, whatever the
/// > ledger's settings were before.
#[test]
fn what_left_the_window_without_a_page_is_late_for_ever() {
    let memory = Memory::default();
    for n in 0..40 {
        handle(&memory, &[reading(n + 1, "d", i128::from(40 - n) * DAY_NS, n as f64)], tight(LedgerMode::Window));
    }
    for ledger in [LedgerMode::Window, FULL, LedgerMode::Window, FULL] {
        let handled = handle(&memory, &[reading(50, "d", 40 * DAY_NS, 0.0)], tight(ledger));
        assert_eq!(reasons(&handled), [(RejectReason::Late, 1)]);
        let never_seen = handle(&memory, &[reading(51, "d", 40 * DAY_NS + 1, 0.0)], tight(ledger));
        assert_eq!(reasons(&never_seen), [(RejectReason::Late, 1)]);
    }
    assert_eq!(count(&memory), 40);
}

/// > A state or ledger page that cannot be read is never overwritten and never taken for empty: its readings become the
/// > dead letter `corrupt_state`, and count when they are redriven after it was repaired.
#[test]
fn what_cannot_be_read_waits_for_its_mending() {
    let memory = Memory::default();
    handle(&memory, &[reading(1, "d", DAY_NS, 1.0)], Settings::default());
    let sound = memory.table().items.clone();
    memory.table().items.values_mut().next().unwrap().state.pop();
    let damaged = memory.table().items.clone();
    let handled = handle(&memory, &[reading(2, "d", 0, 2.0)], Settings::default());
    assert_eq!(reasons(&handled), [(RejectReason::CorruptState, 1)]);
    assert_eq!(memory.table().items, damaged);
    let letter: DeadLetter = memory.table().letters.values().next().unwrap().clone();
    memory.table().items = sound;
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.decode(letter.payload_base64).unwrap();
    handle(&memory, &[(3, letter.device_id.unwrap(), payload)], Settings::default());
    assert_eq!(count(&memory), 2);
}

/// > A dead letter is stored before its batch is answered, with its reason, its origin and a payload that can be posted
/// > again; redelivered, it has the same id.
#[test]
fn a_dead_letter_can_be_posted_again_and_keeps_its_id() {
    let memory = Memory::default();
    let items = json!([{"timestamp": "2026-06-01T11:00:00Z", "value": 1}, {"timestamp": "soon", "value": 2}]);
    let series = json!({"device_id": "d", "readings": items}).to_string().into_bytes();
    memory.table().faults = vec![Fault::ReplyLost, Fault::None, Fault::None];
    let first = handle(&memory, &[(1, "d".to_owned(), series.clone())], Settings::default());
    assert_eq!(first.failed.len(), 1, "its send was not confirmed");
    let second = handle(&memory, &[(1, "d".to_owned(), series)], Settings::default());
    assert_eq!((second.failed.len(), second.report.duplicates), (0, 1));
    let table = memory.table();
    assert_eq!(table.letters.len(), 1, "one id");
    let letter = table.letters.values().next().unwrap();
    assert_eq!(
        (letter.reason, letter.index, letter.sequence_number.as_str()),
        (RejectReason::InvalidReading, Some(1), "1")
    );
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::STANDARD.decode(&letter.payload_base64).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload, json!({"device_id": "d", "timestamp": "soon", "value": 2}));
}

/// > A device whose write fails holds up no other device's readings in the batch.
#[test]
fn a_failing_device_holds_up_no_other() {
    let memory = Memory::default();
    memory.table().faults = vec![Fault::Before];
    let records: Vec<Record> =
        (0..20).map(|n| reading(n + 1, ["a", "b", "c"][n as usize % 3], i128::from(n), 1.0)).collect();
    let handled = handle(&memory, &records, Settings::default());
    assert_eq!((handled.report.failed_groups, count(&memory)), (1, 13));
    assert_eq!(handle(&memory, &records, Settings::default()).report.counted, 7);
}

/// > A state or ledger page of a newer version than the program's is never overwritten and makes no dead letter: its
/// > readings are delivered again until a program that knows the version counts them.
#[test]
fn a_reading_of_a_newer_state_waits_and_is_counted_once() {
    let memory = Memory::default();
    handle(&memory, &[reading(1, "d", DAY_NS, 1.0)], Settings::default());
    let known = memory.table().items.clone();
    // What is known of a newer form is its version; it may be longer than any state of today.
    memory.table().items.values_mut().next().unwrap().state = vec![200; 500 * 1_024];
    let newer = memory.table().items.clone();
    let records = [reading(2, "d", 0, 2.0), reading(3, "other", 0, 1.0), reading(4, "d", 1, 3.0)];
    for counted in [1, 0] {
        let handled = handle(&memory, &records, Settings::default());
        assert_eq!((handled.report.newer_version, handled.report.failed_groups), (1, 1));
        assert_eq!((handled.report.counted, reasons(&handled)), (counted, vec![]));
        assert_eq!(handled.failed[0], 2.into());
    }
    let mut table = memory.table();
    assert_eq!(table.items.iter().next(), newer.iter().next());
    table.items.extend(known);
    drop(table);
    let upgraded = handle(&memory, &records, Settings::default());
    assert_eq!((upgraded.report.counted, upgraded.report.newer_version), (2, 0));
    assert_eq!(count(&memory), 4);
    assert!(memory.table().letters.is_empty());
}

/// > A state or ledger page of a newer version than the program's is never overwritten and makes no dead letter: its
/// > readings are delivered again until a program that knows the version counts them.
#[test]
fn a_reading_of_a_newer_page_waits_and_is_counted_once() {
    let memory = Memory::default();
    for n in 0..40 {
        handle(&memory, &[reading(n + 1, "d", i128::from(40 - n) * DAY_NS / 10, n as f64)], tight(FULL));
    }
    let known = memory.table().pages.clone();
    memory.table().pages.values_mut().for_each(|page| page.page[0] = 2);
    let newer = memory.table().pages.clone();
    // The first is on a page, the second would be beside it, and the third is above the floor.
    let records = [reading(50, "d", 4 * DAY_NS, 0.0), reading(51, "d", 4 * DAY_NS + 1, 1.0), reading(52, "d", -1, 2.0)];
    for _ in 0..2 {
        let handled = handle(&memory, &records, tight(FULL));
        assert_eq!((handled.report.newer_version, handled.report.failed_groups), (1, 1));
        assert_eq!((handled.report.counted, handled.report.duplicates, reasons(&handled)), (0, 0, vec![]));
        assert_eq!(handled.failed[0], 50.into());
    }
    assert_eq!(count(&memory), 40);
    assert_eq!(std::mem::replace(&mut memory.table().pages, known), newer);
    let upgraded = handle(&memory, &records, tight(FULL));
    assert_eq!((upgraded.report.counted, upgraded.report.duplicates, upgraded.report.newer_version), (2, 1, 0));
    assert_eq!(count(&memory), 42);
    assert!(memory.table().letters.is_empty());
}
