//! Curated rows as Parquet files in an archive on disk.
#![cfg(feature = "parquet")]

use curator::{CURATED_PREFIX, ParquetDelivery, parquet_file};
use embedded::FileArchive;
use ports::{
    Archive as _, Clock, ConfidenceInterval, CuratedDelivery, CuratedRow, DeliveryError, StatisticsAttributes,
};
use proptest::option;
use proptest::prelude::*;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use telemetry::{DeviceId, Timestamp};
use tempfile::TempDir;

/// A clock that stands, until it is set.
#[derive(Clone)]
struct SetClock(Arc<AtomicI64>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("in range")
    }
}

/// 2026-01-31T23:59:59.500Z
const NOW: i64 = 1_769_903_999_500;

struct Files {
    delivery: ParquetDelivery<FileArchive, SetClock>,
    archive: FileArchive,
    clock: SetClock,
}

impl Deref for Files {
    type Target = ParquetDelivery<FileArchive, SetClock>;

    fn deref(&self) -> &Self::Target {
        &self.delivery
    }
}

impl CuratedDelivery for Files {
    async fn deliver(&self, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
        self.delivery.deliver(rows).await
    }
}

async fn make() -> (Files, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = FileArchive::open(folder.path()).expect("an archive");
    let clock = SetClock(Arc::new(AtomicI64::new(NOW)));
    (Files { delivery: ParquetDelivery::new(archive.clone(), clock.clone()), archive, clock }, folder)
}

async fn keys(files: &Files) -> Vec<String> {
    files.archive.list("", None, 1000).await.expect("keys")
}

async fn received(files: &Files) -> Vec<CuratedRow> {
    let mut rows = Vec::new();
    for key in keys(files).await {
        let bytes = files.archive.get(&key).await.expect("an answer").expect("an object");
        rows.extend(parquet_file::read(bytes).expect("a file of curated rows"));
    }
    rows
}

ports::curated_delivery_contract!(make, received);

fn row(device: &str, revision: u64) -> CuratedRow {
    let instant = Timestamp::from_millisecond(NOW);
    CuratedRow {
        device_id: DeviceId::parse(device).expect("a name"),
        revision,
        statistics: StatisticsAttributes {
            count: 1,
            mean: Some(1.5),
            median: Some(1.5),
            standard_deviation: None,
            minimum: Some(1.5),
            maximum: Some(1.5),
            mean_confidence_95: None,
            anomaly_count: 0,
            first_timestamp: instant,
            last_timestamp: instant,
            updated_at: instant.expect("in range"),
        },
    }
}

#[tokio::test]
async fn a_delivery_is_one_file_under_the_utc_day_of_its_delivery() {
    let (files, _folder) = make().await;
    files.deliver(vec![row("a", 1), row("b", 1)]).await;
    files.clock.0.store(NOW + 500, Ordering::SeqCst);
    files.deliver(vec![row("a", 2)]).await;
    let keys = keys(&files).await;
    assert_eq!(keys.len(), 2);
    for (key, day) in keys.iter().zip(["2026-01-31", "2026-02-01"]) {
        assert!(key.starts_with(&format!("{CURATED_PREFIX}dt={day}/")) && key.ends_with(".parquet"), "{key}");
    }
}

#[tokio::test]
async fn deliveries_of_one_millisecond_or_under_a_clock_set_back_replace_no_other() {
    let (files, _folder) = make().await;
    for revision in 1..=5 {
        files.deliver(vec![row("a", revision)]).await;
    }
    files.deliver(vec![row("a", 5)]).await;
    let mut revisions: Vec<u64> = received(&files).await.iter().map(|row| row.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_row_of_an_archive_that_takes_nothing_was_not_delivered() {
    let (files, folder) = make().await;
    // A file stands where the folder would have to be.
    std::fs::write(folder.path().join("curated"), b"").expect("a file");
    let results = files.deliver(vec![row("a", 1), row("b", 1)]).await;
    assert_eq!(results.iter().map(Result::is_err).collect::<Vec<_>>(), [true, true]);
}

#[test]
fn a_file_that_is_damaged_or_of_another_table_is_not_read() {
    let rows: Vec<CuratedRow> = (0..500).map(|n| row(&format!("device-{n}"), n)).collect();
    let whole = parquet_file::write(&rows).expect("a file");
    assert_eq!(parquet_file::read(whole.clone()).expect("rows"), rows);
    for length in [0, 4, whole.len() / 2, whole.len() - 1] {
        assert!(parquet_file::read(whole[..length].to_vec()).is_err(), "cut to {length}");
    }
    // Every page ends in a checksum of gzip.
    let mut flipped = whole.clone();
    flipped[200] ^= 0x10;
    assert!(parquet_file::read(flipped).is_err());
    let name = whole.windows(13).position(|bytes| bytes == b"anomaly_count").expect("the column's name");
    let mut renamed = whole;
    renamed[name] = b'A';
    let error = parquet_file::read(renamed).expect_err("another table").to_string();
    assert!(error.contains("Anomaly_count"), "{error}");
}

fn double() -> impl Strategy<Value = f64> {
    prop::num::f64::ANY.prop_filter("no NaN", |number| !number.is_nan())
}

prop_compose! {
    fn instant()(milliseconds in -62_135_596_800_000i64..253_402_207_200_000) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).expect("within the years 1 to 9999")
    }
}

prop_compose! {
    fn any_row()(
        device_id in "[A-Za-z0-9][A-Za-z0-9._:-]{0,127}",
        [revision, count, anomaly_count] in prop::array::uniform3(0..=i64::MAX as u64),
        doubles in prop::array::uniform5(option::of(double())),
        ends in option::of((double(), double())),
        (first_timestamp, last_timestamp, updated_at) in (option::of(instant()), option::of(instant()), instant()),
    ) -> CuratedRow {
        let [mean, median, standard_deviation, minimum, maximum] = doubles;
        let mean_confidence_95 = ends.map(|(low, high)| ConfidenceInterval { low, high });
        let statistics = StatisticsAttributes {
            count, mean, median, standard_deviation, minimum, maximum, mean_confidence_95, anomaly_count, first_timestamp,
            last_timestamp, updated_at,
        };
        CuratedRow { device_id: DeviceId::parse(device_id).expect("a name"), revision, statistics }
    }
}

proptest! {
    #[test]
    fn rows_written_and_read_are_equal(rows in prop::collection::vec(any_row(), 0..200)) {
        prop_assert_eq!(parquet_file::read(parquet_file::write(&rows).expect("a file")).expect("rows"), rows);
    }
}
