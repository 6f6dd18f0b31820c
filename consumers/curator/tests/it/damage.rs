//! Curated files with flipped bits and lying footers: named, and in the way of no other file.
#![cfg(feature = "parquet")]

use bytes::Bytes;
use curator::parquet_file::{self, ReadError};
use curator::{CURATED_PREFIX, HistoryQuery, Merger, ParquetDelivery, device_history};
use embedded::FileArchive;
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaDataReader, ParquetMetaDataWriter, RowGroupMetaData, RowGroupMetaDataBuilder,
};
use ports::{ArchiveFolder, Clock, ConfidenceInterval, CuratedDelivery as _, CuratedRow, StatisticsAttributes};
use rand::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use telemetry::{DeviceId, Timestamp};
use tempfile::TempDir;

/// 2026-01-31T12:00:00Z
const NOON: i64 = 1_769_860_800_000;
const DAY: &str = "2026-01-31";

struct SetClock(i64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        instant(self.0)
    }
}

fn instant(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).expect("in range")
}

fn row(device: &str, revision: i64) -> CuratedRow {
    let noise = (revision as f64).sqrt();
    CuratedRow {
        device_id: DeviceId::parse(device).expect("a name"),
        revision: revision as u64,
        statistics: StatisticsAttributes {
            count: revision as u64,
            mean: Some(20.0 + noise),
            median: Some(20.5),
            standard_deviation: (revision > 1).then_some(noise),
            minimum: Some(-0.0),
            maximum: Some(99.25),
            mean_confidence_95: (revision > 1).then_some(ConfidenceInterval { low: 19.0 + noise, high: 21.0 + noise }),
            anomaly_count: revision as u64 / 7,
            first_timestamp: Some(instant(NOON)),
            last_timestamp: Some(instant(NOON + revision)),
            updated_at: instant(NOON + revision),
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

    /// Delivers 20 devices' rows of two revisions, as `up` does; the file's key.
    async fn deliver(&self, minute: i64) -> String {
        let before = self.keys();
        let rows = (0..40).map(|n| row(&format!("device-{}", n % 20), 2 * minute + n / 20)).collect();
        let delivery = ParquetDelivery::new(self.archive.clone(), SetClock(NOON + 60_000 * minute));
        assert!(delivery.deliver(rows).await.iter().all(Result::is_ok));
        self.keys().into_iter().find(|key| !before.contains(key)).expect("a file")
    }

    /// A file as another program may have written it, without a checksum in its name.
    fn put(&self, name: &str, bytes: &[u8]) -> String {
        let key = format!("{CURATED_PREFIX}dt={DAY}/{name}.parquet");
        ArchiveFolder::put(&self.archive, &key, bytes).expect("a file");
        key
    }

    fn merge(&self) -> curator::MergedDay {
        Merger::new(self.archive.clone(), 1000).merge_day(DAY, &|| false).expect("a merged day")
    }

    fn keys(&self) -> Vec<String> {
        self.archive.keys(CURATED_PREFIX).expect("keys")
    }

    fn path(&self, key: &str) -> PathBuf {
        self.archive.root().join(key)
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.path(key)).expect("a file")
    }

    fn verify(&self, key: &str) -> Result<u64, ReadError> {
        parquet_file::verify(key, ArchiveFolder::open(&self.archive, key).expect("a file"))
    }

    fn history(&self) -> curator::DeviceHistory {
        let device_id = DeviceId::parse("device-7").expect("a name");
        device_history(&self.archive, &HistoryQuery { device_id, from: None, to: None }).expect("a history")
    }
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn delivered_and_merged_names_have_their_bytes_checksum() {
    let curated = Curated::new();
    let delivered = [curated.deliver(0).await, curated.deliver(1).await];
    assert_eq!(curated.keys(), delivered, "names are in the order of time");
    for key in &delivered {
        assert!(key.ends_with(&format!("-sha256-{}.parquet", checksum(&curated.bytes(key)))), "{key}");
        assert_eq!(curated.verify(key).expect("a whole file"), 40);
    }
    assert_eq!(curated.merge().written, 1);
    let [merged] = &curated.keys()[..] else { panic!("{:?}", curated.keys()) };
    assert!(merged.ends_with(&format!("/{NOON}-sha256-{}.parquet", checksum(&curated.bytes(merged)))), "{merged}");
    assert_eq!(curated.verify(merged).expect("a whole file"), 80);
}

#[tokio::test]
async fn every_flipped_bit_is_found_and_holds_up_no_other_file() {
    let source = Curated::new();
    let delivered = (source.deliver(0).await, source.bytes(&source.keys()[0]));
    source.deliver(1).await;
    source.merge();
    let merged = (source.keys()[0].clone(), source.bytes(&source.keys()[0]));
    let others = [source.deliver(5).await, source.deliver(6).await].map(|key| (source.bytes(&key), key));
    let mut random = rand::rngs::StdRng::seed_from_u64(13);
    for (key, whole) in [&delivered, &merged].into_iter().cycle().take(200) {
        let curated = Curated::new();
        let (byte, bit) = (random.random_range(0..whole.len()), random.random_range(0..8));
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << bit;
        ArchiveFolder::put(&curated.archive, key, &flipped).expect("a file");
        let flip = format!("bit {bit} of byte {byte} of {key}");
        let found = curated.verify(key);
        assert!(matches!(found, Err(ReadError::ChecksumMismatch)), "{flip}: {found:?}");
        // What it holds can be right, missing or wrong here: the other files' rows are there.
        for (bytes, key) in &others {
            std::fs::write(curated.path(key), bytes).expect("a file");
        }
        let history = curated.history();
        let is_there = |revision| history.rows.iter().any(|found| *found == row("device-7", revision));
        assert!((10..14).all(is_there), "{flip}: {history:?}");
        let done = curated.merge();
        assert_eq!((done.written, done.deleted), (1, 2), "{flip}");
        assert_eq!(done.unreadable.keys().collect::<Vec<_>>(), [key], "{flip}");
        assert_eq!(curated.bytes(key), flipped, "{flip}: it stays as it is");
    }
}

#[tokio::test]
async fn a_damaged_file_whose_rows_can_be_read_is_not_merged() {
    let curated = Curated::new();
    let key = curated.deliver(0).await;
    curated.deliver(1).await;
    let mut bytes = curated.bytes(&key);
    let writer = bytes.windows(11).rposition(|bytes| bytes == b"streamgauge").expect("the writer's name");
    bytes[writer] ^= 0x20;
    std::fs::write(curated.path(&key), &bytes).expect("a file");
    assert_eq!(parquet_file::read(bytes).expect("rows").len(), 40);
    let done = curated.merge();
    assert!(matches!(done.unreadable.get(&key), Some(ReadError::ChecksumMismatch)), "{done:?}");
    assert_eq!((done.written, curated.keys().len()), (0, 2));
}

#[test]
fn a_file_without_a_checksum_in_its_name_is_read() {
    let curated = Curated::new();
    let bytes = parquet_file::write(&[row("a", 1)]).expect("a file");
    for name in ["1769860800000-0f4c1e1e00004000", "streamgauge-1-2026-01-31-07-00-00-0f4c1e1e"] {
        let key = curated.put(name, &bytes);
        assert_eq!(curated.verify(&key).expect("a whole file"), 1);
    }
}

/// The file with a footer whose row groups were changed.
fn lying(whole: &[u8], change: impl Fn(&RowGroupMetaData) -> RowGroupMetaDataBuilder) -> Vec<u8> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(whole)).expect("a footer");
    let group = |group: &RowGroupMetaData| change(group).build().expect("a row group");
    let groups = metadata.row_groups().iter().map(group).collect();
    let metadata = metadata.into_builder().set_row_groups(groups).build();
    let mut bytes = whole.to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().expect("another footer");
    bytes
}

fn five_hundred_rows() -> Vec<u8> {
    let rows: Vec<CuratedRow> = (0..500).map(|n| row(&format!("device-{}", n % 20), n)).collect();
    parquet_file::write(&rows).expect("a file")
}

#[test]
fn a_panic_of_the_parquet_reader_is_the_files_error() {
    let (curated, whole) = (Curated::new(), five_hundred_rows());
    let before_the_file = |column: &ColumnChunkMetaData| {
        let column = column.clone().into_builder().set_dictionary_page_offset(None).set_data_page_offset(-1);
        column.build().expect("a column")
    };
    let damaged = lying(&whole, |group| {
        group.clone().into_builder().set_column_metadata(group.columns().iter().map(before_the_file).collect())
    });
    let damaged = curated.put("1-0", &damaged);
    curated.put("2-0", &whole);
    curated.put("3-0", &whole);
    let found = curated.verify(&damaged);
    assert!(matches!(found, Err(ReadError::Panicked(_))), "{found:?}");
    let history = curated.history();
    assert_eq!((history.rows.len(), history.unreadable.into_keys().collect::<Vec<_>>()), (25, vec![damaged.clone()]));
    let done = Merger::new(curated.archive.clone(), 2000).merge_day(DAY, &|| false).expect("a merged day");
    assert_eq!((done.written, done.unreadable.into_keys().collect::<Vec<_>>()), (1, vec![damaged]));
}

#[test]
fn rows_that_only_the_footer_promises_take_no_memory() {
    let (curated, whole) = (Curated::new(), five_hundred_rows());
    let promising = |rows| lying(&whole, |group| group.clone().into_builder().set_num_rows(rows));
    // If memory were taken for them, the process would end.
    let damaged = [curated.put("1-0", &promising(1 << 50)), curated.put("2-0", &promising(501))];
    curated.put("3-0", &whole);
    curated.put("4-0", &whole);
    assert!(damaged.iter().all(|key| curated.verify(key).is_err()));
    let history = curated.history();
    assert_eq!((history.rows.len(), history.unreadable.into_keys().collect::<Vec<_>>()), (25, damaged.to_vec()));
    let done = Merger::new(curated.archive.clone(), 2000).merge_day(DAY, &|| false).expect("a merged day");
    // The first would be too large to be merged, so it isn't even read.
    assert_eq!((done.written, done.unreadable.into_keys().collect::<Vec<_>>()), (1, vec![damaged[1].clone()]));
}
