//! The raw archive holds every record once, by its hour of arrival, whatever ends the process and when.

use embedded::{ArchiveLimits, EmbeddedStorage, Options};
use flate2::read::GzDecoder;
use ports::{Archive, Clock, EventStream, StreamEntry};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use telemetry::Timestamp;

/// A clock that the test sets, in milliseconds.
#[derive(Clone)]
struct SetClock(Arc<AtomicI64>);

impl SetClock {
    fn at(text: &str) -> Self {
        SetClock(Arc::new(AtomicI64::new(Timestamp::parse(text).expect("an instant").as_millisecond())))
    }

    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("an instant")
    }
}

fn open(folder: &Path, clock: &SetClock) -> EmbeddedStorage {
    let options = Options { shards: 1, clock: Arc::new(clock.clone()), ..Options::default() };
    EmbeddedStorage::open(folder, options).expect("opened")
}

async fn put(storage: &EmbeddedStorage, data: impl Into<Vec<u8>>) {
    let entry = StreamEntry::new("device-1".to_owned(), data.into());
    assert!(storage.stream().put_records(vec![entry]).await[0].is_ok());
}

/// Every object and the lines in it.
async fn objects(storage: &EmbeddedStorage) -> Vec<(String, Vec<String>)> {
    let archive = storage.archive();
    let mut objects = Vec::new();
    for key in archive.list("raw/", None, 10_000).await.expect("keys") {
        let bytes = archive.get(&key).await.expect("an answer").expect("an object");
        let mut text = String::new();
        GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("a whole gzip file");
        assert!(text.ends_with('\n'));
        objects.push((key, text.lines().map(str::to_owned).collect()));
    }
    objects
}

async fn lines(storage: &EmbeddedStorage) -> Vec<String> {
    objects(storage).await.into_iter().flat_map(|(_, lines)| lines).collect()
}

const LIMITS: ArchiveLimits = ArchiveLimits { max_bytes: 1000, max_age: Duration::from_secs(60) };

#[tokio::test]
async fn objects_end_by_size_by_age_and_by_hour() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:58:00Z");
    let storage = open(folder.path(), &clock);
    let idle = storage.archive_raw(LIMITS, false).await.expect("a run");
    assert_eq!((idle.objects, idle.next_call_in), (0, LIMITS.max_age));

    put(&storage, "young").await;
    assert_eq!(storage.archive_raw(LIMITS, false).await.expect("a run").objects, 0);
    clock.advance(Duration::from_secs(60));
    put(&storage, "old enough together").await;
    let run = storage.archive_raw(LIMITS, false).await.expect("a run");
    assert_eq!((run.objects, run.records), (1, 2));

    for n in 0..25 {
        put(&storage, format!("{n:0100}")).await;
    }
    let run = storage.archive_raw(LIMITS, false).await.expect("a run");
    assert_eq!((run.objects, run.records), (2, 20), "the last five are neither many nor old");

    clock.advance(Duration::from_secs(59));
    put(&storage, "12:59:59").await;
    clock.advance(Duration::from_secs(1));
    put(&storage, "13:00:00").await;
    let run = storage.archive_raw(LIMITS, false).await.expect("a run");
    assert_eq!((run.objects, run.records), (1, 6), "the hour has ended");
    let run = storage.archive_raw(LIMITS, true).await.expect("a run");
    assert_eq!((run.objects, run.records), (1, 1));

    let objects = objects(&storage).await;
    let hours: Vec<_> = objects.iter().map(|(key, lines)| (&key[..27], lines.len())).collect();
    let (twelve, thirteen) = ("raw/dt=2026-01-31/hour=12/s", "raw/dt=2026-01-31/hour=13/s");
    assert_eq!(hours, [(twelve, 2), (twelve, 10), (twelve, 10), (twelve, 6), (thirteen, 1)]);
    assert_eq!(objects.last().expect("an object").1, ["13:00:00"]);
}

#[tokio::test]
async fn a_crash_between_object_and_cursor_archives_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    for n in 0..30 {
        put(&storage, format!("{n}")).await;
    }
    storage.close().await;
    // The stream as it was before the object was written: its cursor stands at the beginning.
    std::fs::copy(folder.path().join("stream.redb"), copy.path().join("stream.redb")).expect("copied");
    let storage = open(folder.path(), &clock);
    let many = ArchiveLimits { max_bytes: 20, ..LIMITS };
    let run = storage.archive_raw(many, true).await.expect("a run");
    assert!(run.objects > 2);
    let before = objects(&storage).await;
    storage.close().await;
    std::fs::copy(copy.path().join("stream.redb"), folder.path().join("stream.redb")).expect("copied");
    // A write that did not end leaves its temporary file.
    std::fs::write(folder.path().join("archive/.tmp/0"), b"torn").expect("written");

    let storage = open(folder.path(), &clock);
    put(&storage, "30").await;
    let other_limits = ArchiveLimits { max_bytes: 1 << 20, ..LIMITS };
    storage.archive_raw(other_limits, true).await.expect("a run");
    let after = objects(&storage).await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(lines(&storage).await, (0..=30).map(|n| n.to_string()).collect::<Vec<_>>());
    let temporary = std::fs::read_dir(folder.path().join("archive/.tmp")).expect("a folder").count();
    assert_eq!(temporary, 0);
}

#[tokio::test]
async fn a_new_stream_beside_an_old_archive_is_archived_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    for stream in ["first", "second"] {
        let storage = open(folder.path(), &clock);
        put(&storage, stream).await;
        storage.archive_raw(LIMITS, true).await.expect("a run");
        storage.close().await;
        std::fs::remove_file(folder.path().join("stream.redb")).expect("removed");
        clock.advance(Duration::from_millis(1));
    }
    let storage = open(folder.path(), &clock);
    assert_eq!(lines(&storage).await, ["first", "second"]);
}

#[tokio::test]
async fn objects_larger_than_one_read_are_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    let records: Vec<String> = (0..12).map(|n| n.to_string() + &" ".repeat(500_000)).collect();
    for record in &records {
        put(&storage, record.as_bytes()).await;
    }
    let run = storage.archive_raw(ArchiveLimits::default(), true).await.expect("a run");
    assert_eq!((run.objects, run.records), (2, 12), "5 MiB are reached with the eleventh");
    assert_eq!(lines(&storage).await, records);
}

#[tokio::test]
async fn a_flush_succeeds_after_the_archive_was_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    put(&storage, "first").await;
    storage.archive_raw(LIMITS, true).await.expect("a run");
    std::fs::remove_dir_all(folder.path().join("archive")).expect("removed");
    put(&storage, "second").await;
    let run = storage.archive_raw(LIMITS, true).await.expect("a run");
    assert_eq!((run.objects, run.records), (1, 1));
    assert_eq!(lines(&storage).await, ["second"]);
}

#[tokio::test]
async fn a_call_that_is_given_up_archives_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    for n in 0..100 {
        put(&storage, format!("{n}")).await;
        let _ = tokio::time::timeout(Duration::from_micros(50 * (n % 20)), storage.archive_raw(LIMITS, true)).await;
    }
    storage.archive_raw(LIMITS, true).await.expect("a run");
    assert_eq!(lines(&storage).await, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn records_are_kept_until_they_are_old_processed_and_archived() {
    use ports::{Checkpoints, Position};
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    let entry = |n: usize| StreamEntry::new("device-1".to_owned(), n.to_string().into_bytes());
    let results = storage.stream().put_records((0..2500).map(entry).collect()).await;
    assert!(results.iter().all(Result::is_ok));
    clock.advance(Duration::from_secs(24 * 3600));
    put(&storage, "young").await;
    assert_eq!(storage.trim().await.expect("trimmed"), 0, "neither processed nor archived");
    storage.checkpoints().save(&shard, 2400.into()).await.expect("saved");
    assert_eq!(storage.trim().await.expect("trimmed"), 0, "not archived");
    storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
    clock.advance(Duration::from_millis(1));
    assert_eq!(storage.trim().await.expect("trimmed"), 2400, "the others are not processed");
    storage.checkpoints().save(&shard, 2501.into()).await.expect("saved");
    assert_eq!(storage.trim().await.expect("trimmed"), 100, "the last is young");
    let page = storage.stream().get_records(&shard, Position::TrimHorizon, 10).await.expect("a page");
    let data: Vec<_> = page.records.into_iter().map(|record| record.data).collect();
    assert_eq!(data, [b"young".to_vec()]);
    // A position that was trimmed goes on with the oldest that is kept.
    let page = storage.stream().get_records(&shard, Position::AfterSequenceNumber(7.into()), 10).await.expect("a page");
    assert_eq!(page.records.len(), 1);
}

#[tokio::test]
async fn one_wrong_clock_reading_dates_no_later_record() {
    use ports::Checkpoints;
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    put(&storage, "before").await;
    clock.advance(4000 * DAY);
    put(&storage, "ahead").await;
    clock.0.fetch_sub(4000 * DAY.as_millis() as i64, Ordering::SeqCst);
    for n in 0..3 {
        put(&storage, format!("{n}")).await;
    }
    storage.archive_raw(LIMITS, true).await.expect("a run");
    let archived = objects(&storage).await;
    let folders: Vec<_> = archived.iter().map(|(key, lines)| (&key[..25], lines.len())).collect();
    assert_eq!(
        folders,
        [("raw/dt=2026-01-31/hour=12/", 1), ("raw/dt=2026-01-31/hour=12/", 3), ("raw/dt=2037-01-13/hour=12/", 1)]
            .map(|(key, lines)| (&key[..25], lines))
    );

    storage.checkpoints().save(&shard, 5.into()).await.expect("saved");
    assert_eq!(storage.trim().await.expect("trimmed"), 0, "all are young");
    clock.advance(DAY + Duration::from_millis(1));
    assert_eq!(storage.trim().await.expect("trimmed"), 5, "the record of the wrong clock keeps none behind it");
}

#[tokio::test]
async fn a_clock_that_was_behind_costs_no_record_before_it_its_retention() {
    use ports::Checkpoints;
    let folder = tempfile::tempdir().expect("a folder");
    let clock = SetClock::at("2026-01-31T12:00:00Z");
    let storage = open(folder.path(), &clock);
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    put(&storage, "young").await;
    let behind = Duration::from_secs(400 * 24 * 3600).as_millis() as i64;
    clock.0.fetch_sub(behind, Ordering::SeqCst);
    put(&storage, "behind").await;
    clock.0.fetch_add(behind, Ordering::SeqCst);
    storage.archive_raw(LIMITS, true).await.expect("a run");
    storage.checkpoints().save(&shard, 2.into()).await.expect("saved");
    assert_eq!(storage.trim().await.expect("trimmed"), 0);
}
