//! One device's rows of the curated files, whatever files have them.
#![cfg(feature = "parquet")]

use curator::{CURATED_PREFIX, HistoryQuery, Merger, device_history, parquet_file};
use embedded::FileArchive;
use ports::{ArchiveFolder, ConfidenceInterval, CuratedRow, StatisticsAttributes};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use telemetry::{DeviceId, Timestamp};
use tempfile::TempDir;

/// 2026-01-30T00:00:00Z
const START: i64 = 1_769_731_200_000;
const HOUR: i64 = 3_600_000;

fn instant(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).expect("in range")
}

/// A revision is an hour after the one before it.
fn row(device: &str, revision: i64) -> CuratedRow {
    let noise = (revision as f64 * 7.0 + device.len() as f64).sqrt();
    CuratedRow {
        device_id: DeviceId::parse(device).expect("a name"),
        revision: revision as u64,
        statistics: StatisticsAttributes {
            count: 1 + revision as u64,
            mean: Some(20.0 + noise),
            median: Some(noise),
            standard_deviation: (revision % 3 > 0).then_some(noise),
            minimum: Some(-0.0),
            maximum: Some(99.25),
            mean_confidence_95: (revision % 3 > 0)
                .then_some(ConfidenceInterval { low: 19.0 + noise, high: 21.0 + noise }),
            anomaly_count: revision as u64 / 7,
            first_timestamp: (revision % 5 > 0).then_some(instant(START)),
            last_timestamp: Some(instant(START + revision)),
            updated_at: instant(START + HOUR * revision),
        },
    }
}

struct Curated {
    archive: FileArchive,
    _folder: TempDir,
}

impl Curated {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Curated { archive: FileArchive::open(folder.path()).expect("an archive"), _folder: folder }
    }

    /// Rows of revisions of one day, as they were delivered.
    fn put(&self, number: usize, rows: &[CuratedRow]) -> String {
        let at = rows.iter().map(|row| row.statistics.updated_at).max().expect("a row");
        let key = format!("{CURATED_PREFIX}dt={}/{}-{number}.parquet", at.utc_date(), at.as_millisecond());
        self.put_bytes(&key, &parquet_file::write(rows).expect("a file"));
        key
    }

    fn put_bytes(&self, key: &str, bytes: &[u8]) {
        ArchiveFolder::put(&self.archive, key, bytes).expect("a file");
    }

    fn merge(&self, rows_max: u64) {
        let merger = Merger::new(self.archive.clone(), rows_max);
        for day in merger.closed_days(instant(START + 1000 * HOUR)).expect("days") {
            merger.merge_day(&day, &|| false).expect("a merged day");
        }
    }

    fn history(&self, device: &str, from: Option<i64>, to: Option<i64>) -> Vec<CuratedRow> {
        let history = device_history(&self.archive, &query(device, from, to)).expect("a history");
        assert!(history.unreadable.is_empty(), "{history:?}");
        history.rows
    }
}

fn query(device: &str, from: Option<i64>, to: Option<i64>) -> HistoryQuery {
    HistoryQuery { device_id: DeviceId::parse(device).expect("a name"), from: from.map(instant), to: to.map(instant) }
}

#[test]
fn a_device_is_found_in_a_file_of_several_row_groups_and_pages() {
    let curated = Curated::new();
    // Names that end where others go on, and 40,000 rows of them.
    let devices: Vec<String> = (0..2000).map(|number| format!("d-{number}")).collect();
    for revision in 0..20 {
        let mut rows: Vec<CuratedRow> = devices.iter().map(|device| row(device, revision)).collect();
        // Who writes files by another hand may put them in any order.
        rows.rotate_left(revision as usize * 77);
        curated.put(0, &rows);
    }
    let expected = |device: &str| (0..20).map(|revision| row(device, revision)).collect::<Vec<_>>();
    let all = ["d-0", "d-1", "d-10", "d-999", "d-1999"];
    all.iter().for_each(|device| assert_eq!(curated.history(device, None, None), expected(device), "{device}"));
    curated.merge(1 << 20);
    assert_eq!(curated.archive.keys(CURATED_PREFIX).expect("keys").len(), 1);
    for device in devices.iter().step_by(97).map(String::as_str).chain(all) {
        assert_eq!(curated.history(device, None, None), expected(device), "{device}");
    }
    for stranger in ["d", "d-", "d-00", "d-2000", "a", "z"] {
        assert_eq!(curated.history(stranger, None, None), [], "{stranger}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_holds_up_no_other() {
    let curated = Curated::new();
    curated.put(0, &[row("d", 1), row("e", 1)]);
    let damaged = curated.put(0, &[row("d", 2)]);
    curated.put_bytes(&damaged, b"damaged");
    let history = device_history(&curated.archive, &query("d", None, None)).expect("a history");
    assert_eq!(history.rows, [row("d", 1)]);
    assert_eq!(history.unreadable.keys().collect::<Vec<_>>(), [&damaged]);
}

/// An archive whose day is merged between the listing and the first file.
struct Overtaken<'a> {
    curated: &'a Curated,
    is_to_come: Cell<bool>,
}

impl ArchiveFolder for Overtaken<'_> {
    fn keys(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.curated.archive.keys(prefix)
    }

    fn open(&self, key: &str) -> io::Result<File> {
        if self.is_to_come.replace(false) {
            self.curated.merge(1000);
        }
        ArchiveFolder::open(&self.curated.archive, key)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        ArchiveFolder::put(&self.curated.archive, key, bytes)
    }

    fn sync(&self, key: &str) -> io::Result<()> {
        self.curated.archive.sync(key)
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        self.curated.archive.delete(key)
    }
}

#[test]
fn files_that_are_merged_while_they_are_read_are_missing_nothing() {
    let curated = Curated::new();
    for revision in 0..6 {
        curated.put(0, &[row("d", revision), row("e", revision)]);
    }
    let folder = Overtaken { curated: &curated, is_to_come: Cell::new(true) };
    let history = device_history(&folder, &query("d", None, None)).expect("a history");
    assert_eq!(history.rows, (0..6).map(|revision| row("d", revision)).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_history_is_the_devices_rows_of_that_time_each_once(
        files in prop::collection::vec(prop::collection::vec((0u8..5, 0i64..24), 1..10), 1..10),
        from in proptest::option::of(-2i64..26),
        to in proptest::option::of(-2i64..26),
        merge in proptest::option::of(1u64..40),
    ) {
        let curated = Curated::new();
        let mut expected: BTreeMap<(u8, i64), CuratedRow> = BTreeMap::new();
        for (number, keys) in files.iter().enumerate() {
            let rows: Vec<CuratedRow> = keys.iter().map(|(device, revision)| row(&format!("d{device}"), *revision)).collect();
            curated.put(number, &rows);
            expected.extend(keys.iter().copied().zip(rows));
        }
        if let Some(rows_max) = merge {
            curated.merge(rows_max);
        }
        let is_asked = |revision: i64| from.is_none_or(|from| from <= revision) && to.is_none_or(|to| revision <= to);
        for device in 0u8..6 {
            let at = |hour: Option<i64>| hour.map(|hour| START + HOUR * hour);
            let found = curated.history(&format!("d{device}"), at(from), at(to));
            let rows = expected.iter().filter(|((of, revision), _)| *of == device && is_asked(*revision));
            prop_assert_eq!(found, rows.map(|(_, row)| row.clone()).collect::<Vec<_>>());
        }
    }
}
