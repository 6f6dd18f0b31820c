//! A full disk costs the operations that met it, and nothing that was acknowledged.

use crate::faulty_disk::Disk;
use crate::{EmbeddedStorage, Options};
use ports::contract::statistics_store::{bare_attributes, keys_starting_with, whole_ledger};
use ports::{
    Checkpoints, DeviceWrite, EventStream, LedgerPageItem, Position, PutError, ShardId, StatisticsItem,
    StatisticsStore, StreamEntry, WriteError,
};
use std::path::Path;
use std::sync::Arc;
use telemetry::DeviceId;

fn open(folder: &Path, disk: &Disk) -> EmbeddedStorage {
    let options = Options { shards: 1, ..Options::default() };
    EmbeddedStorage::open_with(folder, options, disk.open_file(), Arc::new(disk.clone())).expect("opened")
}

/// Three entries that one transaction stores.
async fn put(storage: &EmbeddedStorage, number: usize) -> Result<(), PutError> {
    let data = |n| format!("{number}/{n}/{}", "x".repeat(5000)).into_bytes();
    let entries = (0..3).map(|n| StreamEntry::new("a".to_owned(), data(n))).collect();
    let results = storage.stream().put_records(entries).await;
    results.into_iter().try_for_each(|result| result.map(|_| ()))
}

async fn write(storage: &EmbeddedStorage, revision: u64) -> Result<(), WriteError> {
    let attributes = bare_attributes(revision * 10);
    let page = LedgerPageItem { key: format!("ledger#{revision:05}"), page: vec![7; 3000], expires_at: None };
    let write = DeviceWrite {
        device_id: DeviceId::parse("a").expect("a valid name"),
        expected_revision: (revision > 1).then(|| revision - 1),
        item: StatisticsItem { revision, attributes, state: vec![1; 500] },
        pages: vec![page],
    };
    storage.statistics().write(write).await
}

/// The numbers of the puts that are stored, which must be there whole and without a gap in the sequence.
async fn stored(storage: &EmbeddedStorage, shard: &ShardId) -> Vec<usize> {
    let page = storage.stream().get_records(shard, Position::TrimHorizon, 1000).await.expect("a page");
    let sequence = page.records.iter().map(|record| record.sequence_number);
    assert!(sequence.eq((1..=page.records.len() as u64).map(Into::into)), "a gap in the sequence");
    let mut puts = Vec::new();
    for triple in page.records.chunks(3) {
        let texts: Vec<_> = triple.iter().map(|record| String::from_utf8_lossy(&record.data)).collect();
        let number: usize = texts[0].split('/').next().expect("a number").parse().expect("a number");
        let expected: Vec<_> = (0..3).map(|n| format!("{number}/{n}/{}", "x".repeat(5000))).collect();
        assert_eq!(texts, expected, "a put is stored whole or not at all");
        puts.push(number);
    }
    puts
}

/// What stands after the disk was full, before and after a restart.
async fn check(storage: &EmbeddedStorage, shard: &ShardId, acknowledged: &[usize], least_revision: u64) -> u64 {
    let puts = stored(storage, shard).await;
    let missing: Vec<_> = acknowledged.iter().filter(|number| !puts.contains(number)).collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?} of {puts:?}");
    let device = DeviceId::parse("a").expect("a valid name");
    let item = storage.statistics().read_device(&device).await.expect("a read").expect("an item");
    assert!(item.revision >= least_revision, "revision {} where {least_revision} was acknowledged", item.revision);
    let pages = whole_ledger(&storage.statistics(), &device, &keys_starting_with("ledger#")).await.expect("a read");
    assert_eq!(pages.len() as u64, item.revision, "an item with the pages of each of its revisions");
    let account = storage.accounting().await.expect("an account");
    assert_eq!(account.accepted, 3 * puts.len() as u64);
    assert_eq!(account.counted, item.attributes.count);
    item.revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_disk_is_full_nothing_acknowledged_is_lost_and_nothing_half_applied() {
    let mut failed = 0;
    // Every point of the first commits, then some of those after.
    for operations in (0..24).chain((24..120).step_by(8)) {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::new(folder.path());
        let storage = open(folder.path(), &disk);
        let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
        let mut acknowledged = Vec::new();
        let mut revision = 0;
        disk.full_after(operations);
        for number in 0..6 {
            match put(&storage, number).await {
                Ok(()) => acknowledged.push(number),
                Err(PutError::Unavailable(_)) => failed += 1,
                Err(other) => panic!("{other:?}"),
            }
            match write(&storage, revision + 1).await {
                Ok(()) => revision += 1,
                Err(WriteError::Unavailable(_)) => failed += 1,
                // The write before failed at its very end, and stands.
                Err(WriteError::ConditionFailed) => revision += 1,
            }
            // What is acknowledged can be read while the disk is full, or the read says that it cannot.
            if let Ok(page) = storage.stream().get_records(&shard, Position::TrimHorizon, 1000).await {
                assert!(page.records.len() >= 3 * acknowledged.len());
            }
        }
        assert!(operations > 20 || put(&storage, 6).await.is_err(), "the disk is full");

        disk.works_again();
        put(&storage, 7).await.expect("stored, without a restart");
        acknowledged.push(7);
        if revision == 0 {
            // The first write may stand all the same.
            let _ = write(&storage, 1).await;
        }
        let standing = check(&storage, &shard, &acknowledged, revision).await;
        write(&storage, standing + 1).await.expect("written, without a restart");
        storage.checkpoints().save(&shard, 1.into()).await.expect("saved, without a restart");
        drop(storage);
        let storage = open(folder.path(), &disk);
        assert_eq!(check(&storage, &shard, &acknowledged, standing + 1).await, standing + 1);
    }
    assert!(failed > 50, "only {failed} operations met the full disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_readers_hear_of_records_put_after_the_disk_was_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(folder.path());
    let storage = open(folder.path(), &disk);
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    disk.full_after(0);
    assert!(put(&storage, 0).await.is_err());
    disk.works_again();
    let stream = storage.stream();
    let (page, ()) = tokio::join!(
        async {
            stream.records_available(&shard, Position::TrimHorizon).await;
            stream.get_records(&shard, Position::TrimHorizon, 10).await.expect("a page")
        },
        // A put that failed would leave the reader waiting: it is checked here.
        async { put(&storage, 1).await.expect("stored") },
    );
    assert!(page.records.len() >= 3);
}

#[tokio::test]
async fn a_database_removed_while_in_use_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = Disk::new(folder.path());
    let storage = open(folder.path(), &disk);
    put(&storage, 0).await.expect("stored");
    disk.full_after(0);
    assert!(put(&storage, 1).await.is_err());
    let (path, aside) = (folder.path().join("stream.redb"), folder.path().join("aside"));
    std::fs::rename(&path, &aside).expect("moved");
    disk.works_again();
    let error = put(&storage, 2).await.expect_err("no file");
    assert!(ports::with_causes(&error).contains("stream.redb was removed or replaced"), "{error:?}");
    assert!(!path.exists());
    // Another file in its place takes nothing either.
    std::fs::copy(&aside, &path).expect("copied");
    assert!(put(&storage, 3).await.is_err());
    std::fs::rename(&aside, &path).expect("put back");
    put(&storage, 4).await.expect("stored, without a restart");
}
