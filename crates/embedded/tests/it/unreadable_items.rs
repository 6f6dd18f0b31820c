//! Items and pages that cannot be read: damaged ones, and those of a newer version.

use embedded::{EmbeddedStatisticsStore, EmbeddedStorage, Options};
use ports::contract::statistics_store::bare_attributes;
use ports::contract::statistics_store::keys_starting_with;
use ports::{
    DeadLetter, DeadLetterOrigin, DeadLetterQueue as _, DeviceWrite, LedgerPageItem, StatisticsAttributes,
    StatisticsItem, StatisticsStore as _, StoreError, WriteError,
};
use redb::{ReadableTable as _, TableDefinition};
use redrive::{DeadLetters as _, Filter, PageRequest};
use std::path::Path;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

const ITEMS: TableDefinition<&str, &[u8]> = TableDefinition::new("items");
const PAGES: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("ledger_pages");
const LETTERS: TableDefinition<(i64, &str), &[u8]> = TableDefinition::new("dead_letters");
const PAGE: &str = "ledger#2026-01-31#1";

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).expect("a name")
}

fn write_of(name: &str, expected_revision: Option<u64>) -> DeviceWrite {
    let attributes = StatisticsAttributes { mean: Some(35.0), ..bare_attributes(1) };
    let item = StatisticsItem { revision: expected_revision.unwrap_or(0) + 1, attributes, state: vec![1] };
    let pages = vec![LedgerPageItem { key: PAGE.to_owned(), page: vec![1], expires_at: None }];
    DeviceWrite { device_id: device(name), expected_revision, item, pages }
}

/// A directory with these devices, of which some have an item and a page of another version.
async fn storage_with(folder: &Path, devices: &[&str], versions: &[(&str, u8)]) -> EmbeddedStorage {
    let storage = EmbeddedStorage::open(folder, Options::default()).expect("a new directory");
    for name in devices {
        storage.statistics().write(write_of(name, None)).await.expect("written");
    }
    storage.close().await;
    drop(storage);
    let database = redb::Database::open(folder.join("statistics.redb")).expect("the database");
    let transaction = database.begin_write().expect("a transaction");
    for (name, version) in versions {
        let of_version = |bytes: &[u8]| [&[*version], &bytes[1..]].concat();
        let mut items = transaction.open_table(ITEMS).expect("items");
        let item = of_version(items.get(name).expect("a read").expect("an item").value());
        items.insert(name, item.as_slice()).expect("stored");
        let mut pages = transaction.open_table(PAGES).expect("pages");
        let page = of_version(pages.get((*name, PAGE)).expect("a read").expect("a page").value());
        pages.insert((*name, PAGE), page.as_slice()).expect("stored");
    }
    transaction.commit().expect("committed");
    drop(database);
    EmbeddedStorage::open(folder, Options::default()).expect("the directory")
}

async fn refused(store: &EmbeddedStatisticsStore, name: &str) -> [StoreError; 2] {
    let item = store.read_device(&device(name)).await.expect_err("an item that cannot be read");
    let keys = keys_starting_with("ledger#2026-01-31#");
    let pages = store.read_ledger(&device(name), &keys, None).await.expect_err("a page that cannot be read");
    [item, pages]
}

#[tokio::test]
async fn an_item_of_a_newer_version_is_not_corrupt() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = storage_with(folder.path(), &["damaged", "newer"], &[("damaged", 0), ("newer", 2)]).await;
    let store = storage.statistics();
    for error in refused(&store, "newer").await {
        assert!(matches!(error, StoreError::NewerVersion { found: 2, known: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("device `newer`: version 2 is newer than 1"), "{error}");
    }
    for error in refused(&store, "damaged").await {
        assert!(matches!(&error, StoreError::Corrupt(what) if what.contains("device `damaged`")), "{error:?}");
    }
    let uncurated = store.uncurated(None, 10).await.expect("a page");
    let unreadable: Vec<&str> = uncurated.unreadable.iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!((unreadable, uncurated.states.len()), (vec!["damaged", "newer"], 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let versions = [("damaged", 0), ("newer", 2)];
    let storage = storage_with(folder.path(), &["damaged", "newer"], &versions).await;
    let store = storage.statistics();
    for (name, _) in versions {
        for expected_revision in [None, Some(1)] {
            let write = DeviceWrite { pages: Vec::new(), ..write_of(name, expected_revision) };
            let error = store.write(write).await.expect_err("a condition that fails");
            assert!(matches!(error, WriteError::ConditionFailed), "{error:?}");
        }
    }
    storage.close().await;
    drop((storage, store));
    let database = redb::Database::open(folder.path().join("statistics.redb")).expect("the database");
    let items = database.begin_write().expect("a transaction");
    for (name, version) in versions {
        let table = items.open_table(ITEMS).expect("items");
        assert_eq!(table.get(name).expect("a read").expect("an item").value()[0], version);
    }
}

#[tokio::test]
async fn an_unreadable_item_fails_no_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let versions = [("a", 0), ("c", 2), ("e", 9)];
    let storage = storage_with(folder.path(), &["a", "b", "c", "d", "e"], &versions).await;
    let store = storage.statistics();
    // As many as were asked for, whatever lies between them: fewer are the end.
    for (after, limit, expected, unreadable) in [
        (None, 10, vec!["b", "d"], 3),
        (None, 2, vec!["b", "d"], 2),
        (None, 1, vec!["b"], 1),
        (Some("d"), 10, vec![], 1),
    ] {
        let after = after.map(device);
        let list = store.list(after.as_ref(), limit).await.expect("a list");
        let listed: Vec<&str> = list.devices.iter().map(|(device, _)| device.as_str()).collect();
        assert_eq!(listed, expected);
        assert_eq!(list.unreadable.map(|(devices, _)| devices), Some(unreadable), "{after:?} {limit}");
    }
    let (_, first) = store.list(None, 10).await.expect("a list").unreadable.expect("three");
    assert!(first.to_string().contains("device `a`"), "{first}");
}

fn letter(sequence_number: &str) -> DeadLetter {
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: "shardId-000000000000",
        sequence_number,
        sub_sequence_number: None,
        index: None,
        partition_key: "a",
        arrived_at: Timestamp::UNIX_EPOCH,
    };
    DeadLetter::new(&Rejection::new(RejectReason::MalformedJson, "bad"), b"{", origin, Timestamp::UNIX_EPOCH)
}

#[tokio::test]
async fn an_unreadable_dead_letter_fails_no_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = storage_with(folder.path(), &[], &[]).await;
    let letters: Vec<DeadLetter> = ["1", "2", "3"].map(letter).into();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    assert!(storage.dead_letters().send(letters).await.iter().all(Result::is_ok));
    storage.close().await;
    drop(storage);
    let database = redb::Database::open(folder.path().join("statistics.redb")).expect("the database");
    let transaction = database.begin_write().expect("a transaction");
    transaction.open_table(LETTERS).expect("letters").insert((0, ids[1].as_str()), &b"{"[..]).expect("stored");
    transaction.commit().expect("committed");
    drop(database);

    let storage = storage_with(folder.path(), &[], &[]).await;
    let ten = PageRequest { limit: 10, ..PageRequest::default() };
    let page = storage.dead_letters().page(&ten).await.expect("a page");
    let mut listed: Vec<String> = page.letters.into_iter().map(|held| held.receipt).collect();
    listed.sort_unstable();
    let mut expected = vec![ids[0].clone(), ids[2].clone()];
    expected.sort_unstable();
    assert_eq!((listed, page.next), (expected, None));
    let filter = Filter { ids: vec![ids[1].clone()], ..Filter::default() };
    let by_id = PageRequest { filter, ..ten };
    assert!(storage.dead_letters().page(&by_id).await.is_err(), "asked for by its id, it is an error");
}
