//! Files that were lost, restored or copied: no record is skipped, none is overwritten, and the operator is warned.

use embedded::{ArchiveLimits, EmbeddedStorage, OpenError, Options};
use flate2::read::GzDecoder;
use ports::{Archive, Checkpoints, EventStream, Position, StreamEntry};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

fn open(folder: &Path) -> EmbeddedStorage {
    EmbeddedStorage::open(folder, Options { shards: 1, ..Options::default() }).expect("opened")
}

fn body(number: u32) -> String {
    format!("{{\"device_id\":\"d-{number}\",\"timestamp\":\"2026-01-31T00:00:00Z\",\"value\":{number}}}")
}

/// Puts one record a number, and returns their sequence numbers.
async fn put(storage: &EmbeddedStorage, numbers: std::ops::Range<u32>) -> Vec<String> {
    let mut sequences = Vec::new();
    for number in numbers {
        let entry = StreamEntry::new("a".to_owned(), body(number).into_bytes());
        let receipt = storage.stream().put_records(vec![entry]).await.remove(0).expect("stored");
        sequences.push(receipt.sequence_number.to_string());
    }
    sequences
}

/// Reads what the checkpoint has not passed, and moves it: the numbers of the bodies.
async fn process(storage: &EmbeddedStorage) -> Vec<u32> {
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    let checkpoint = storage.checkpoints().load(&shard).await.expect("an answer");
    let position = checkpoint.map_or(Position::TrimHorizon, Position::AfterSequenceNumber);
    let page = storage.stream().get_records(&shard, position, 10_000).await.expect("a page");
    if let Some(last) = page.records.last() {
        storage.checkpoints().save(&shard, last.sequence_number).await.expect("saved");
    }
    page.records.iter().map(|record| number(&record.data)).collect()
}

fn number(body: &[u8]) -> u32 {
    let text = std::str::from_utf8(body).expect("text");
    text.rsplit_once(':').and_then(|(_, value)| value.trim_end_matches('}').parse().ok()).expect("a value")
}

/// The numbers of all archived bodies, in order.
async fn archived(storage: &EmbeddedStorage) -> Vec<u32> {
    storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
    let mut numbers = Vec::new();
    for key in storage.archive().list("raw/", None, usize::MAX).await.expect("keys") {
        let bytes = storage.archive().get(&key).await.expect("an answer").expect("an object");
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("a whole file");
        numbers.extend(text.lines().map(|line| number(line.as_bytes())));
    }
    numbers.sort_unstable();
    numbers
}

fn numbers(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

#[tokio::test]
async fn a_directory_in_order_has_no_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    for start in 0..3 {
        let storage = open(folder.path());
        assert_eq!(storage.warnings(), [] as [String; 0], "start {start}");
        put(&storage, start * 10..start * 10 + 10).await;
        assert_eq!(process(&storage).await.len(), 10);
        storage.close().await;
    }
}

#[tokio::test]
async fn a_lost_stream_starts_an_epoch_and_skips_no_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    let before = put(&storage, 0..20).await;
    assert_eq!(process(&storage).await, numbers(0..20));
    storage.close().await;
    fs::remove_file(folder.path().join("stream.redb")).expect("removed");

    let storage = open(folder.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("stream.redb was lost"), "{warning}");
    let after = put(&storage, 20..30).await;
    assert_eq!(process(&storage).await, numbers(20..30));
    assert!(before.iter().all(|sequence| !after.contains(sequence)));
    let account = storage.accounting().await.expect("an account");
    assert_eq!((account.accepted, account.pending), (30, 0));
}

#[tokio::test]
async fn a_lost_stream_may_come_back_with_fewer_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("opened");
    let shards = storage.stream().list_shards().await.expect("shards");
    for shard in &shards {
        storage.checkpoints().save(&shard.id, 0.into()).await.expect("saved");
    }
    storage.close().await;
    fs::remove_file(folder.path().join("stream.redb")).expect("removed");
    let storage = open(folder.path());
    put(&storage, 0..5).await;
    assert_eq!(process(&storage).await, numbers(0..5));
    storage.close().await;
    let verification = embedded::verify(folder.path(), &mut |_, _, _| Vec::new()).expect("verified");
    assert_eq!(verification.problems, []);
}

#[tokio::test]
async fn an_older_stream_overwrites_nothing_in_the_archive() {
    let folder = tempfile::tempdir().expect("a folder");
    let (stream, copy) = (folder.path().join("stream.redb"), folder.path().join("copy"));
    let storage = open(folder.path());
    put(&storage, 0..10).await;
    storage.close().await;
    fs::copy(&stream, &copy).expect("copied");
    let storage = open(folder.path());
    put(&storage, 10..25).await;
    assert_eq!(process(&storage).await, numbers(0..25));
    assert_eq!(archived(&storage).await, numbers(0..25));
    storage.close().await;
    fs::copy(&copy, &stream).expect("restored");

    let storage = open(folder.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("stream.redb is older than statistics.redb"), "{warning}");
    put(&storage, 25..50).await;
    let again: BTreeSet<u32> = process(&storage).await.into_iter().collect();
    assert_eq!(again, (0..10).chain(25..50).collect::<BTreeSet<u32>>());
    assert_eq!(archived(&storage).await, numbers(0..50));
    let account = storage.accounting().await.expect("an account");
    assert_eq!((account.accepted, account.pending), (50, 0));
}

#[tokio::test]
async fn lost_statistics_read_the_stream_again_and_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    put(&storage, 0..20).await;
    assert_eq!(process(&storage).await, numbers(0..20));
    storage.close().await;
    fs::remove_file(folder.path().join("statistics.redb")).expect("removed");
    let storage = open(folder.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("statistics.redb was lost") && warning.contains("archive rebuild"), "{warning}");
    assert_eq!(process(&storage).await, numbers(0..20));
}

#[tokio::test]
async fn older_statistics_read_the_stream_again_and_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (statistics, copy) = (folder.path().join("statistics.redb"), folder.path().join("copy"));
    let storage = open(folder.path());
    put(&storage, 0..10).await;
    process(&storage).await;
    storage.close().await;
    fs::copy(&statistics, &copy).expect("copied");
    let storage = open(folder.path());
    put(&storage, 10..20).await;
    process(&storage).await;
    storage.close().await;
    fs::copy(&copy, &statistics).expect("restored");
    let storage = open(folder.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("statistics.redb is older than stream.redb"), "{warning}");
    assert!(warning.contains("archive rebuild"), "{warning}");
    assert_eq!(process(&storage).await, numbers(0..20));
    let account = storage.accounting().await.expect("an account");
    assert_eq!((account.accepted, account.pending), (20, 0));
}

#[tokio::test]
async fn curated_files_of_later_statistics_are_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    storage.archive().put("curated/device_statistics/dt=2026-01-31/a.parquet", vec![1]).await.expect("put");
    storage.close().await;
    fs::remove_file(folder.path().join("statistics.redb")).expect("removed");
    let storage = open(folder.path());
    let warning = storage.warnings().last().expect("a warning");
    assert!(warning.contains("archive/curated-before-2"), "{warning}");
    assert_eq!(storage.archive().list("curated/", None, 10).await.expect("keys"), [] as [String; 0]);
    let kept = folder.path().join("archive/curated-before-2/device_statistics/dt=2026-01-31/a.parquet");
    assert_eq!(fs::read(kept).expect("kept"), [1]);
}

#[tokio::test]
async fn databases_older_than_the_archive_reuse_no_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["stream.redb", "statistics.redb"];
    let storage = open(folder.path());
    put(&storage, 0..10).await;
    assert_eq!(archived(&storage).await, numbers(0..10));
    storage.close().await;
    for file in files {
        fs::copy(folder.path().join(file), folder.path().join(format!("{file}.copy"))).expect("copied");
    }
    let storage = open(folder.path());
    put(&storage, 10..20).await;
    assert_eq!(archived(&storage).await, numbers(0..20));
    storage.close().await;
    for file in files {
        fs::copy(folder.path().join(format!("{file}.copy")), folder.path().join(file)).expect("restored");
    }
    let storage = open(folder.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("are older than the archive"), "{warning}");
    put(&storage, 20..30).await;
    assert_eq!(archived(&storage).await, numbers(0..30));
}

#[tokio::test]
async fn databases_copied_before_the_archive_reuse_no_name() {
    let (folder, copy) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    put(&storage, 0..10).await;
    process(&storage).await;
    for file in ["stream.redb", "statistics.redb"] {
        fs::copy(folder.path().join(file), copy.path().join(file)).expect("copied");
    }
    put(&storage, 10..20).await;
    assert_eq!(archived(&storage).await, numbers(0..20));
    storage.close().await;
    fs::rename(folder.path().join("archive"), copy.path().join("archive")).expect("moved");

    let storage = open(copy.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("are older than the archive"), "{warning}");
    put(&storage, 20..30).await;
    assert_eq!(process(&storage).await, numbers(20..30));
    assert_eq!(archived(&storage).await, numbers(0..30));
}

#[tokio::test]
async fn a_lost_archive_gets_back_what_the_stream_still_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    put(&storage, 0..10).await;
    assert_eq!(archived(&storage).await, numbers(0..10));
    storage.close().await;
    fs::remove_dir_all(folder.path().join("archive")).expect("removed");
    let storage = open(folder.path());
    let [warning] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert!(warning.contains("the archive was lost"), "{warning}");
    assert_eq!(archived(&storage).await, numbers(0..10));
}

#[tokio::test]
async fn a_torn_copy_of_a_file_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    put(&storage, 0..500).await;
    for file in ["stream.redb", "statistics.redb"] {
        fs::copy(folder.path().join(file), copy.path().join(file)).expect("copied");
    }
    // Copied between two commits, it is whole.
    let whole = open(copy.path());
    assert_eq!(process(&whole).await, numbers(0..500));
    whole.close().await;

    // Half of its pages are of another moment.
    let stream = copy.path().join("stream.redb");
    let mut bytes = fs::read(folder.path().join("stream.redb")).expect("read");
    let half = bytes.len() / 2;
    let start = bytes.windows(8).position(|window| window == b"device_i").expect("records").min(half);
    bytes[start..start + 2000].fill(0);
    fs::write(&stream, bytes).expect("written");
    let error = EmbeddedStorage::open(copy.path(), Options::default()).map(drop).expect_err("refused");
    assert!(matches!(&error, OpenError::Damaged { path, .. } if *path == stream), "{error:?}");
    assert!(error.to_string().contains("streamgauge backup"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).close().await;
    for file in ["stream.redb", "statistics.redb"] {
        let path = folder.path().join(file);
        let good = fs::read(&path).expect("read");
        for bytes in [&b"ten bytes!"[..], &[0; 8192], b"text ".repeat(2000).as_slice(), &good[..good.len() / 2]] {
            fs::write(&path, bytes).expect("written");
            let error = EmbeddedStorage::open(folder.path(), Options::default()).map(drop).expect_err("refused");
            assert!(matches!(&error, OpenError::Damaged { path: named, .. } if *named == path), "{file}: {error:?}");
        }
        fs::write(&path, good).expect("restored");
    }
    assert_eq!(open(folder.path()).warnings(), [] as [String; 0]);
}

#[tokio::test]
async fn a_second_opener_without_the_lock_file_leaves_the_first_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    let unfinished = folder.path().join("archive/.tmp/unfinished");
    fs::write(&unfinished, b"half").expect("written");
    fs::remove_file(folder.path().join("lock")).expect("removed");
    let second = EmbeddedStorage::open(folder.path(), Options::default());
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{:?}", second.map(drop));
    assert!(unfinished.exists());
    put(&storage, 0..3).await;
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let storage = open(&data);
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in ["lock", "stream.redb", "statistics.redb"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    drop(storage);
}
