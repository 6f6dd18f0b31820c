use super::*;
use ports::{ConfidenceInterval, StatisticsAttributes};
use proptest::prelude::*;
use telemetry::{DeviceId, Timestamp};

fn row(device_id: &str, revision: u64) -> CuratedRow {
    CuratedRow {
        device_id: DeviceId::parse(device_id).expect("a name"),
        revision,
        statistics: StatisticsAttributes {
            count: 3,
            mean: Some(66.0),
            median: Some(40.0),
            standard_deviation: Some(49.426_713_424_505_53),
            minimum: Some(35.0),
            maximum: Some(123.0),
            mean_confidence_95: None,
            anomaly_count: 0,
            first_timestamp: None,
            last_timestamp: None,
            updated_at: Timestamp::UNIX_EPOCH,
        },
    }
}

fn lines(rows: &[CuratedRow]) -> Vec<String> {
    rows.iter().map(|row| serde_json::to_string(row).expect("JSON")).collect()
}

proptest! {
    #[test]
    fn rows_packed_and_unpacked_are_equal_and_no_record_is_over_the_limit_or_ends_too_early(
        devices in prop::collection::vec("[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", 0..60),
        bytes_max in 300usize..4000,
    ) {
        let rows: Vec<CuratedRow> = (1..).zip(&devices).map(|(revision, device)| row(device, revision)).collect();
        let expected = lines(&rows);
        let packed = pack(&rows, bytes_max).expect("packed");
        let mut unpacked = Vec::new();
        let mut next_start = 0;
        for record in &packed.records {
            prop_assert_eq!(record.bytes.start, next_start);
            next_start = record.bytes.end;
            let text = std::str::from_utf8(&packed.bytes[record.bytes.clone()]).expect("UTF-8");
            prop_assert!(text.ends_with('\n'));
            prop_assert_eq!(text.lines().count(), record.rows);
            prop_assert!(text.len() <= bytes_max || record.rows == 1);
            unpacked.extend(text.lines().map(str::to_owned));
        }
        prop_assert_eq!(next_start, packed.bytes.len());
        prop_assert_eq!(unpacked, expected.clone());
        let mut first_of_next = 0;
        for record in &packed.records {
            first_of_next += record.rows;
            let Some(line) = expected.get(first_of_next) else { break };
            prop_assert!(record.bytes.len() + line.len() + 1 > bytes_max, "a record ended too early");
        }
    }
}

#[test]
fn the_longest_row_is_far_below_a_records_limit() {
    let mut longest = row(&"d".repeat(128), i64::MAX as u64);
    longest.statistics = StatisticsAttributes {
        mean: Some(-1.234_567_890_123_456_7e-100),
        mean_confidence_95: Some(ConfidenceInterval { low: f64::MIN, high: f64::MIN_POSITIVE }),
        first_timestamp: Timestamp::parse("9999-12-30T21:59:59.999999999Z").ok(),
        last_timestamp: Timestamp::parse("9999-12-30T21:59:59.999999999Z").ok(),
        count: u64::MAX,
        anomaly_count: u64::MAX,
        ..longest.statistics
    };
    assert!(lines(&[longest])[0].len() < 1024);
}

#[test]
fn an_answer_without_id_or_error_is_not_taken_for_success() {
    let empty = PutRecordBatchResponseEntry::builder().build();
    assert!(matches!(outcome(&empty), Sent::Again(_)));
    let both = PutRecordBatchResponseEntry::builder().record_id("id").error_code("InternalFailure").build();
    assert!(matches!(outcome(&both), Sent::Again(_)));
    let taken = PutRecordBatchResponseEntry::builder().record_id("id").build();
    assert!(matches!(outcome(&taken), Sent::Taken(())));
}
