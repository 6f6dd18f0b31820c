//! Closed days of curated files, merged: what stands in them before, after and between.
#![cfg(feature = "parquet")]

use curator::{CURATED_PREFIX, MergeError, MergedDay, Merger, open_day, parquet_file};
use embedded::FileArchive;
use ports::{ArchiveFolder, ConfidenceInterval, CuratedRow, StatisticsAttributes};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use telemetry::{DeviceId, Timestamp};
use tempfile::TempDir;

const DAYS: [&str; 3] = ["2026-01-30", "2026-01-31", "2026-02-01"];

/// The folder of an archive whose calls all fail once so many of them have changed something, as after a crash.
struct Crashing {
    archive: FileArchive,
    changes_left: Cell<usize>,
}

impl Crashing {
    fn change(&self) -> io::Result<()> {
        let left = self.changes_left.get().checked_sub(1).ok_or_else(|| io::Error::other("crashed"))?;
        self.changes_left.set(left);
        Ok(())
    }
}

impl ArchiveFolder for &Crashing {
    fn keys(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.archive.keys(prefix)
    }

    fn open(&self, key: &str) -> io::Result<File> {
        ArchiveFolder::open(&self.archive, key)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        self.change()?;
        ArchiveFolder::put(&self.archive, key, bytes)
    }

    fn sync(&self, key: &str) -> io::Result<()> {
        self.archive.sync(key)
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        self.change()?;
        self.archive.delete(key)
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

    fn put(&self, day: &str, minute: i64, rows: &[CuratedRow]) -> String {
        let key = format!("{CURATED_PREFIX}dt={day}/{}-0.parquet", 1_769_731_200_000 + 60_000 * minute);
        self.put_bytes(&key, &parquet_file::write(rows).expect("a file"));
        key
    }

    fn put_bytes(&self, key: &str, bytes: &[u8]) {
        ArchiveFolder::put(&self.archive, key, bytes).expect("a file");
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.archive.root().join(key)).expect("a file")
    }

    fn files(&self) -> Vec<String> {
        self.archive.keys(CURATED_PREFIX).expect("keys")
    }

    /// Every file's rows, by day.
    fn rows(&self) -> Vec<(String, Vec<CuratedRow>)> {
        let rows = |key: String| {
            let rows = parquet_file::read(self.bytes(&key)).unwrap_or_else(|error| panic!("{key}: {error}"));
            (key[CURATED_PREFIX.len()..][3..13].to_owned(), rows)
        };
        self.files().into_iter().map(rows).collect()
    }

    /// Every row once, as text, so that each column takes part.
    fn distinct(&self) -> BTreeSet<(String, String)> {
        self.rows()
            .into_iter()
            .flat_map(|(day, rows)| rows.into_iter().map(move |row| (day.clone(), format!("{row:?}"))))
            .collect()
    }

    /// One pass over all days.
    fn pass(&self, rows_max: u64) -> BTreeMap<&'static str, MergedDay> {
        let merger = Merger::new(self.archive.clone(), rows_max);
        DAYS.into_iter().map(|day| (day, merger.merge_day(day, &|| false).expect("a merged day"))).collect()
    }
}

fn row(device: &str, revision: i64) -> CuratedRow {
    let (noise, instant) =
        ((revision as f64).sqrt(), Timestamp::from_millisecond(1_769_731_200_000 + revision * 60_000));
    CuratedRow {
        device_id: DeviceId::parse(device).expect("a name"),
        revision: revision as u64,
        statistics: StatisticsAttributes {
            count: 1 + revision as u64,
            mean: Some(20.0 + noise),
            median: Some(20.5),
            standard_deviation: (revision > 1).then_some(noise),
            minimum: Some(-0.0),
            maximum: Some(99.25),
            mean_confidence_95: (revision > 1).then_some(ConfidenceInterval { low: 19.0 + noise, high: 21.0 + noise }),
            anomaly_count: revision as u64 / 7,
            first_timestamp: (revision != 3).then_some(instant).flatten(),
            last_timestamp: instant,
            updated_at: instant.expect("in range"),
        },
    }
}

fn deliveries(curated: &Curated, day: &str, devices: i64, count: i64) {
    for minute in 0..count {
        let rows: Vec<CuratedRow> = (0..devices).map(|device| row(&format!("device-{device}"), minute)).collect();
        curated.put(day, minute, &rows);
    }
}

#[test]
fn a_days_files_become_one_sorted_by_device_and_revision() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 20, 12);
    deliveries(&curated, DAYS[1], 20, 3);
    let before = curated.distinct();
    let merger = Merger::new(curated.archive.clone(), 1000);
    let done = merger.merge_day(DAYS[0], &|| false).expect("a merged day");
    assert_eq!((done.written, done.deleted, done.unreadable.len()), (1, 12, 0));
    assert_eq!(curated.distinct(), before);
    let rows = curated.rows();
    assert_eq!(rows.iter().map(|(day, _)| day.as_str()).collect::<Vec<_>>(), [DAYS[0], DAYS[1], DAYS[1], DAYS[1]]);
    let keys: Vec<(&str, u64)> = rows[0].1.iter().map(|row| (row.device_id.as_str(), row.revision)).collect();
    assert_eq!(keys.len(), 20 * 12);
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
}

#[test]
fn a_large_day_becomes_files_of_bounded_size_in_the_order_of_time() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 30, 10);
    // Larger than any file may become: it stays as it is.
    let large: Vec<CuratedRow> = (0..150).map(|device| row(&format!("device-{device:03}"), 100)).collect();
    let large_key = curated.put(DAYS[0], 100, &large);
    let (before, bytes) = (curated.distinct(), curated.bytes(&large_key));
    curated.pass(100);
    assert_eq!(curated.distinct(), before);
    let rows = curated.rows();
    assert_eq!(rows.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [90, 90, 90, 30, 150]);
    let revisions = |at: usize| rows[at].1.iter().map(|row| row.revision).collect::<BTreeSet<_>>();
    assert_eq!((revisions(0), revisions(3)), (BTreeSet::from([0, 1, 2]), BTreeSet::from([9])));
    assert_eq!(curated.bytes(&large_key), bytes);
}

#[test]
fn a_second_pass_changes_nothing_even_where_repeats_have_made_room() {
    let curated = Curated::new();
    for minute in 0..9 {
        // Each file has the rows of the one before it once more.
        let rows: Vec<CuratedRow> =
            (0..20).map(|device| row(&format!("device-{}", device % 10), minute + device / 10)).collect();
        curated.put(DAYS[0], minute, &rows);
    }
    curated.pass(60);
    let files: Vec<(String, Vec<u8>)> =
        curated.files().into_iter().map(|key| (key.clone(), curated.bytes(&key))).collect();
    assert_eq!(files.len(), 3);
    for done in curated.pass(60).into_values() {
        assert_eq!((done.written, done.deleted), (0, 0));
    }
    assert_eq!(curated.files().into_iter().map(|key| (key.clone(), curated.bytes(&key))).collect::<Vec<_>>(), files);
}

#[test]
fn what_comes_after_a_merge_is_merged_by_the_next_pass() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 5, 4);
    curated.pass(1000);
    curated.put(DAYS[0], 50, &[row("late", 1), row("device-0", 3)]);
    let before = curated.distinct();
    let done = curated.pass(1000).remove(DAYS[0]).expect("a day");
    assert_eq!((done.written, done.deleted, curated.files().len()), (1, 2, 1));
    assert_eq!(curated.distinct(), before);
    assert_eq!(curated.rows()[0].1.len(), 21);
}

#[test]
fn rows_of_one_key_that_differ_are_both_kept() {
    let curated = Curated::new();
    let mut other = row("a", 1);
    other.statistics.mean = Some(-1.0);
    curated.put(DAYS[0], 0, &[row("a", 1), row("a", 2)]);
    curated.put(DAYS[0], 1, &[other, row("a", 2)]);
    let before = curated.distinct();
    curated.pass(1000);
    assert_eq!((curated.files().len(), curated.rows()[0].1.len()), (1, 3));
    assert_eq!(curated.distinct(), before);
}

#[test]
fn a_file_that_cannot_be_read_stays_and_holds_up_no_other() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 50, 6);
    let whole =
        parquet_file::write(&(0..500).map(|n| row(&format!("device-{n}"), n)).collect::<Vec<_>>()).expect("a file");
    // One without a footer, one of which a page is damaged, and one of another table.
    let mut flipped = whole.clone();
    flipped[200] ^= 0x10;
    let mut renamed = whole.clone();
    let name = whole.windows(13).position(|bytes| bytes == b"anomaly_count").expect("the column's name");
    renamed[name] = b'A';
    let damaged = [(2, &whole[..whole.len() / 2]), (4, &flipped[..]), (9, &renamed[..])].map(|(minute, bytes)| {
        let key = format!("{CURATED_PREFIX}dt={}/{}-d.parquet", DAYS[0], 1_769_731_200_001i64 + 60_000 * minute);
        curated.put_bytes(&key, bytes);
        (key, bytes.to_vec())
    });
    for _ in 0..2 {
        let done = curated.pass(10_000).remove(DAYS[0]).expect("a day");
        assert_eq!(done.unreadable.keys().collect::<Vec<_>>(), damaged.iter().map(|(key, _)| key).collect::<Vec<_>>());
        for (key, bytes) in &damaged {
            assert_eq!(&curated.bytes(key), bytes);
        }
        let others: Vec<String> =
            curated.files().into_iter().filter(|key| damaged.iter().all(|(damaged, _)| damaged != key)).collect();
        assert_eq!(others.len(), 1, "{others:?}");
        assert_eq!(parquet_file::read(curated.bytes(&others[0])).expect("rows").len(), 300);
    }
}

#[test]
fn a_file_that_may_not_be_opened_stays_and_holds_up_no_other() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 5, 4);
    // No key of the archive, and yet a file that is listed.
    let name = format!("{CURATED_PREFIX}dt={}/1769731260000-a\\b.parquet", DAYS[0]);
    std::fs::write(curated.archive.root().join(&name), b"no rows").expect("a file");
    let done = curated.pass(10_000).remove(DAYS[0]).expect("a day");
    assert_eq!(done.unreadable.keys().collect::<Vec<_>>(), [&name]);
    let files = curated.files();
    assert!(files.len() == 2 && files.contains(&name), "{files:?}");
}

#[test]
fn a_pass_that_is_stopped_leaves_the_rest_to_the_next() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 10, 12);
    let before = curated.distinct();
    let merger = Merger::new(curated.archive.clone(), 40);
    let looks = std::cell::Cell::new(0);
    let is_stopped = || {
        looks.set(looks.get() + 1);
        looks.get() > 13
    };
    let done = merger.merge_day(DAYS[0], &is_stopped).expect("a part of a day");
    assert_eq!((done.written, done.deleted), (1, 4));
    assert_eq!(curated.distinct(), before);
    curated.pass(40);
    assert_eq!((curated.files().len(), curated.distinct()), (3, before));
}

/// What `put` has answered is on the disk; what the disk gives back is what counts.
struct Forgetful(FileArchive);

impl ArchiveFolder for Forgetful {
    fn keys(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.0.keys(prefix)
    }

    fn open(&self, key: &str) -> io::Result<File> {
        ArchiveFolder::open(&self.0, key)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let mut rows = parquet_file::read(bytes.to_vec()).map_err(io::Error::other)?;
        rows[3].statistics.standard_deviation = Some(0.5);
        ArchiveFolder::put(&self.0, key, &parquet_file::write(&rows).map_err(io::Error::other)?)
    }

    fn sync(&self, key: &str) -> io::Result<()> {
        self.0.sync(key)
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        self.0.delete(key)
    }
}

#[test]
fn nothing_is_deleted_when_the_merged_file_does_not_hold_every_row_the_same() {
    let curated = Curated::new();
    deliveries(&curated, DAYS[0], 4, 4);
    let (files, before) = (curated.files(), curated.distinct());
    let error = Merger::new(Forgetful(curated.archive.clone()), 1000)
        .merge_day(DAYS[0], &|| false)
        .expect_err("a row is missing");
    assert!(matches!(error, MergeError::NotHeld { .. }), "{error}");
    assert!(files.iter().all(|key| curated.files().contains(key)));
    assert!(curated.distinct().is_superset(&before));
}

#[test]
fn a_day_is_over_a_quarter_of_an_hour_after_its_end() {
    let curated = Curated::new();
    for day in DAYS {
        curated.put(day, 0, &[row("a", 1)]);
    }
    curated.put_bytes(&format!("{CURATED_PREFIX}dt=2026-01-30/notes.txt"), b"not ours");
    curated.put_bytes(&format!("{CURATED_PREFIX}dt=yesterday/0-0.parquet"), b"not ours");
    let merger = Merger::new(curated.archive.clone(), 1000);
    let closed = |now: &str| merger.closed_days(Timestamp::parse(now).expect("an instant")).expect("days");
    assert_eq!(closed("2026-02-01T00:14:59Z").into_iter().collect::<Vec<_>>(), [DAYS[0]]);
    assert_eq!(closed("2026-02-01T00:15:00Z").into_iter().collect::<Vec<_>>(), [DAYS[0], DAYS[1]]);
    assert_eq!(open_day(Timestamp::parse("2026-02-01T00:15:00Z").expect("an instant")), DAYS[2]);
}

/// Files of several days: which day, and which devices' rows at which revisions; much is there twice.
fn any_files() -> impl Strategy<Value = Vec<(usize, Vec<(u8, i64)>)>> {
    let rows = prop::collection::vec((0u8..6, 0i64..8), 1..12);
    prop::collection::vec((0usize..3, rows), 1..14)
}

fn put_all(curated: &Curated, files: &[(usize, Vec<(u8, i64)>)]) {
    for (minute, (day, rows)) in (0..).zip(files) {
        let rows: Vec<CuratedRow> =
            rows.iter().map(|(device, revision)| row(&format!("device-{device}"), *revision)).collect();
        curated.put(DAYS[*day], minute, &rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_keeps_every_row_and_a_second_pass_changes_nothing(files in any_files(), rows_max in 1u64..60) {
        let curated = Curated::new();
        put_all(&curated, &files);
        let before = curated.distinct();
        curated.pass(rows_max);
        prop_assert_eq!(&curated.distinct(), &before);
        for (_, rows) in curated.rows() {
            prop_assert!(rows.len() as u64 <= rows_max || rows.len() < 12);
        }
        for done in curated.pass(rows_max).into_values() {
            prop_assert_eq!((done.written, done.deleted), (0, 0));
        }
        prop_assert_eq!(curated.distinct(), before);
    }
}

proptest! {
    // Each is as many passes as it has steps, and each step waits for the disk.
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_crash_at_any_step_loses_nothing_and_the_next_pass_ends_the_work(files in any_files(), rows_max in 1u64..60) {
        let whole = Curated::new();
        put_all(&whole, &files);
        let before = whole.distinct();
        whole.pass(rows_max);
        let mut changes = 0;
        loop {
            let curated = Curated::new();
            put_all(&curated, &files);
            let folder = Crashing { archive: curated.archive.clone(), changes_left: Cell::new(changes) };
            let merger = Merger::new(&folder, rows_max);
            let crashed = DAYS.into_iter().any(|day| merger.merge_day(day, &|| false).is_err());
            prop_assert_eq!(&curated.distinct(), &before, "after {} changes", changes);
            curated.pass(rows_max);
            prop_assert_eq!(&curated.distinct(), &before, "after {} changes and another pass", changes);
            prop_assert_eq!(curated.files(), whole.files(), "after {} changes and another pass", changes);
            if !crashed {
                break;
            }
            changes += 1;
        }
    }
}
