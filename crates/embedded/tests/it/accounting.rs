//! With nothing pending, accepted = counted + duplicates + distinct dead letters, across restarts too.

use embedded::{ArchiveLimits, EmbeddedStorage, OpenError, Options};
use ports::contract::statistics_store::bare_attributes;
use ports::{
    Checkpoints, DeadLetter, DeadLetterOrigin, DeadLetterQueue, DeviceWrite, EventStream, Position, SequenceNumber,
    StatisticsAttributes, StatisticsItem, StatisticsStore, StreamEntry,
};
use redrive::{DeadLetters as _, PageRequest};
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

fn reading(device: &str, second: u32) -> Vec<u8> {
    format!(r#"{{"device_id":"{device}","timestamp":"2026-01-31T12:00:{second:02}Z","value":1}}"#).into_bytes()
}

fn series(device: &str, readings: usize) -> Vec<u8> {
    let reading = |n: usize| format!(r#"{{"timestamp":"2026-01-31T13:{:02}:{:02}Z","value":{n}}}"#, n / 60, n % 60);
    let readings = (0..readings).map(reading).collect::<Vec<_>>().join(",");
    format!(r#"{{"device_id":"{device}","readings":[{readings}]}}"#).into_bytes()
}

fn item(revision: u64, count: u64) -> StatisticsItem {
    let attributes = StatisticsAttributes { mean: Some(0.1), ..bare_attributes(count) };
    StatisticsItem { revision, attributes, state: vec![1, 2, 3] }
}

fn write(device: &str, expected_revision: Option<u64>, revision: u64, count: u64) -> DeviceWrite {
    let device_id = DeviceId::parse(device).expect("a valid name");
    DeviceWrite { device_id, expected_revision, item: item(revision, count), pages: Vec::new() }
}

fn letter(sequence: u64) -> DeadLetter {
    let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number: &sequence.to_string(),
        sub_sequence_number: None,
        index: None,
        partition_key: "a",
        arrived_at: now,
    };
    DeadLetter::new(&Rejection::new(RejectReason::MalformedJson, "not JSON"), b"{", origin, now)
}

#[tokio::test]
async fn what_is_accepted_is_pending_then_counted_duplicate_or_dead_through_restarts() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || Options { shards: 1, ..Options::default() };
    let storage = EmbeddedStorage::open(folder.path(), options()).expect("a new directory");
    let stream = storage.stream();
    let entries = [reading("a", 1), reading("a", 2), series("a", 100), b"{".to_vec()];
    let entry = |data: Vec<u8>| StreamEntry::new("a".to_owned(), data);
    let receipts = stream.put_records(entries.map(entry).to_vec()).await;
    assert!(receipts.iter().all(Result::is_ok), "{receipts:?}");
    let shard = receipts[0].as_ref().expect("stored").shard_id.clone();

    let account = storage.accounting().await.expect("an account");
    assert_eq!((account.accepted, account.pending, account.counted, account.duplicates), (103, 103, 0, 0));

    let statistics = storage.statistics();
    statistics.write(write("a", None, 1, 60)).await.expect("the first write");
    statistics.write(write("a", Some(1), 2, 99)).await.expect("the second write");
    assert!(statistics.write(write("a", Some(1), 2, 500)).await.is_err(), "a stale revision");
    // The batch is delivered again: its letter too.
    for _ in 0..2 {
        assert!(storage.dead_letters().send(vec![letter(4)]).await.iter().all(Result::is_ok));
    }
    storage.checkpoints().save(&shard, SequenceNumber::from(4)).await.expect("a checkpoint");
    let expected = storage.accounting().await.expect("an account");
    assert_eq!((expected.pending, expected.counted, expected.duplicates), (0, 99, 3));
    assert_eq!(expected.dead_letters.get(&RejectReason::MalformedJson), Some(&1));
    assert_eq!(expected.backlog_age, Duration::ZERO);

    assert_eq!(storage.dead_letters().delete(vec![letter(4).id]).await.expect("deleted"), 1);
    drop((stream, statistics, storage));
    let storage = EmbeddedStorage::open(folder.path(), options()).expect("the same directory");
    assert!(storage.dead_letters().send(vec![letter(4)]).await.iter().all(Result::is_ok));
    let one = PageRequest { limit: 1, ..PageRequest::default() };
    assert_eq!(storage.dead_letters().page(&one).await.expect("a page").letters, []);
    assert_eq!(storage.accounting().await.expect("an account"), expected);

    // Trimmed records stay in the account.
    storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
    storage.close().await;
    let no_retention = Options { retention: Duration::ZERO, ..options() };
    let storage = EmbeddedStorage::open(folder.path(), no_retention).expect("the same directory");
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(storage.trim().await.expect("trimmed"), 4);
    assert_eq!(storage.accounting().await.expect("an account"), expected);
    let page = storage.stream().get_records(&shard, Position::TrimHorizon, 10).await.expect("a page");
    assert_eq!(page.records, []);
}

#[tokio::test]
async fn a_second_opener_is_told_which_directory_is_locked() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    match EmbeddedStorage::open(folder.path(), Options::default()).map(|_| ()) {
        Err(error @ OpenError::Locked { .. }) => {
            assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    storage.close().await;
    EmbeddedStorage::open(folder.path(), Options::default()).expect("free again");
}

#[tokio::test]
async fn the_number_of_shards_is_the_directorys_own() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(EmbeddedStorage::open(folder.path(), Options { shards: 3, ..Options::default() }).expect("a new directory"));
    let storage = EmbeddedStorage::open(folder.path(), Options { shards: 8, ..Options::default() }).expect("reopened");
    assert_eq!(storage.shard_count(), 3);
    assert_eq!(storage.stream().list_shards().await.expect("shards").len(), 3);
}

/// As many readings as it holds for are accounted for, and the directory stays sound.
#[tokio::test]
async fn a_letter_of_a_whole_record_accounts_for_its_readings() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = || Options { shards: 1, ..Options::default() };
    let storage = EmbeddedStorage::open(folder.path(), options()).expect("a new directory");
    let entry = StreamEntry::new("a".to_owned(), series("a", 10));
    let shard = storage.stream().put_records(vec![entry]).await.remove(0).expect("stored").shard_id;
    let readings = [(RejectReason::Late, 6), (RejectReason::InvalidReading, 3)].into();
    let whole = DeadLetter { readings_by_reason: Some(readings), reason: RejectReason::Late, ..letter(1) };
    for letter in [whole.clone(), whole.clone(), letter(2)] {
        storage.dead_letters().send(vec![letter]).await.remove(0).expect("sent");
    }
    storage.checkpoints().save(&shard, SequenceNumber::from(1)).await.expect("a checkpoint");
    let account = storage.accounting().await.expect("an account");
    let expected =
        [(RejectReason::MalformedJson, 1), (RejectReason::InvalidReading, 3), (RejectReason::Late, 6)].into();
    assert_eq!((account.accepted, account.duplicates, &account.dead_letters), (10, 0, &expected));
    assert_eq!(storage.dead_letters().delete(vec![whole.id]).await.expect("deleted"), 1);
    assert_eq!(storage.accounting().await.expect("an account"), account);
    storage.close().await;
    let checked = embedded::verify(folder.path(), &mut |_, _, _| Vec::new()).expect("checked");
    assert_eq!((checked.problems, checked.totals.dead_letters), (Vec::new(), 10));
}
