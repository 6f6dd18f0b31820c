//! The sample events are what they say they are: fed to the handler, as `cargo lambda invoke` feeds them.

use crate::support::{Memory, Stopped, timestamp};
use aggregator::lambda::RecordBatch;
use aggregator::{Aggregator, BatchReport, Settings};

async fn handle(event: &str) -> (Memory, BatchReport) {
    let RecordBatch(records) = serde_json::from_str(event).expect("a Kinesis event");
    let memory = Memory::default();
    let clock = Stopped(timestamp("2026-01-31T12:00:02Z"));
    let aggregator = Aggregator::new(memory.clone(), memory.clone(), clock, Settings::default());
    let handled = aggregator.handle(&records).await;
    assert!(handled.failed.is_empty());
    (memory, handled.report)
}

fn mean_and_deviation(memory: &Memory, device: &str) -> (u64, Option<f64>, Option<f64>) {
    let table = memory.table();
    let (_, item) = table.items.iter().find(|(id, _)| id.as_str() == device).expect("the device's item");
    (item.attributes.count, item.attributes.mean, item.attributes.standard_deviation)
}

#[tokio::test]
async fn the_good_event_is_counted_whole_but_for_its_duplicate() {
    let (memory, report) = handle(include_str!("../../events/good.json")).await;
    assert_eq!((report.counted, report.duplicates, report.dead_letters.len()), (5, 1, 0));
    let (count, mean, deviation) = mean_and_deviation(&memory, "pump-1");
    assert_eq!((count, mean), (3, Some(66.0)));
    assert!((deviation.expect("a deviation") - 49.426_713_424_505_3).abs() < 1e-9);
}

#[tokio::test]
async fn nothing_of_the_poison_event_is_counted_and_all_of_it_becomes_dead_letters() {
    let (memory, report) = handle(include_str!("../../events/poison.json")).await;
    assert_eq!((report.counted, report.duplicates), (0, 0));
    assert_eq!(report.dead_letters.values().sum::<u64>(), 7);
    assert_eq!(memory.table().letters.len(), 7);
    assert!(memory.table().items.is_empty());
}

#[tokio::test]
async fn the_good_readings_of_the_mixed_event_are_counted_and_the_others_are_not() {
    let (memory, report) = handle(include_str!("../../events/mixed.json")).await;
    let dead: Vec<_> = report.dead_letters.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(dead, [("invalid_reading", 2), ("conflicting_duplicate", 1)]);
    assert_eq!((report.counted, report.duplicates), (4, 1));
    assert_eq!(mean_and_deviation(&memory, "pump-1").1, Some(66.0));
}

/// The aggregates of this event were made by AWS's own library for Python, aws-kinesis-agg 1.2.3.
#[tokio::test]
async fn the_records_of_kpl_aggregates_are_counted_each_under_its_own_device() {
    let (memory, report) = handle(include_str!("../../events/kpl.json")).await;
    let dead: Vec<_> = report.dead_letters.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(dead, [("invalid_reading", 1), ("partition_key_mismatch", 1), ("bad_aggregate", 1)]);
    assert_eq!((report.counted, report.duplicates), (6, 1));
    let (count, mean, deviation) = mean_and_deviation(&memory, "pump-1");
    assert_eq!((count, mean), (3, Some(66.0)));
    assert!((deviation.expect("a deviation") - 49.426_713_424_505_3).abs() < 1e-9);
    assert_eq!(mean_and_deviation(&memory, "fan-2"), (3, Some(11.5), Some(1.0)));
    let table = memory.table();
    let mut places: Vec<_> = table.letters.values().map(|letter| (letter.reason, letter.sub_sequence_number)).collect();
    places.sort_unstable();
    use telemetry::RejectReason::{BadAggregate, InvalidReading, PartitionKeyMismatch};
    assert_eq!(places, [(InvalidReading, Some(3)), (PartitionKeyMismatch, Some(5)), (BadAggregate, None)]);
}

#[tokio::test]
async fn ten_thousand_records_come_to_the_oracles_statistics() {
    let event = include_str!("../../events/10000-records.json");
    let (devices, duplicates) = crate::oracle::devices(event);
    let (memory, report) = handle(event).await;
    let counted: usize = devices.values().map(crate::oracle::Device::count).sum();
    assert_eq!((counted, duplicates), (9_950, 50));
    assert_eq!((report.counted, report.duplicates, report.dead_letters.len()), (9_950, 50, 0));
    let table = memory.table();
    assert_eq!(table.writes, devices.len(), "one write a device");
    for (device, item) in &table.items {
        let (expected, found) = (&devices[device.as_str()], &item.attributes);
        assert_eq!(found.count, expected.count() as u64);
        assert_eq!((found.minimum, found.maximum), (Some(expected.minimum()), Some(expected.maximum())));
        assert_eq!(found.median, Some(expected.median()));
        let near = |found: Option<f64>, expected: f64| (found.expect("a value") - expected).abs() <= 1e-13 * expected;
        assert!(near(found.mean, expected.mean()), "{device}: {found:?}");
        assert!(near(found.standard_deviation, expected.standard_deviation()), "{device}: {found:?}");
    }
}
