//! Which states are still to be curated, through writes, crashes and directories of older versions.

use embedded::{EmbeddedStatisticsStore, EmbeddedStorage, Options};
use ports::contract::statistics_store::bare_attributes;
use ports::{DeviceWrite, StatisticsAttributes, StatisticsItem, StatisticsStore as _};
use redb::{ReadableDatabase as _, ReadableTable as _};
use std::path::Path;
use telemetry::DeviceId;

fn open(folder: &Path) -> EmbeddedStorage {
    EmbeddedStorage::open(folder, Options::default()).expect("a data directory")
}

async fn write(store: &EmbeddedStatisticsStore, device: &str, expected_revision: Option<u64>) {
    let attributes = StatisticsAttributes { mean: Some(35.0), ..bare_attributes(1) };
    let item = StatisticsItem { revision: expected_revision.unwrap_or(0) + 1, attributes, state: vec![1] };
    let device_id = DeviceId::parse(device).expect("a name");
    let write = DeviceWrite { device_id, expected_revision, item, pages: Vec::new() };
    store.write(write).await.expect("written");
}

/// Every device and revision that is to be curated, in pages of two.
async fn uncurated(store: &EmbeddedStatisticsStore) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.uncurated(after.as_deref(), 2).await.expect("a page");
        assert!(page.states.len() <= 2 && page.unreadable.is_empty());
        all.extend(page.states.into_iter().map(|state| (state.device_id.as_str().to_owned(), state.revision)));
        let Some(next) = page.next else { return all };
        after = Some(next);
    }
}

fn named(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(device, revision)| ((*device).to_owned(), *revision)).collect()
}

#[tokio::test]
async fn a_written_device_is_to_be_curated_until_its_newest_revision_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    let store = storage.statistics();
    assert_eq!(uncurated(&store).await, []);
    for device in ["c", "a", "b", "e", "d"] {
        write(&store, device, None).await;
    }
    write(&store, "a", Some(1)).await;
    assert_eq!(uncurated(&store).await, named(&[("a", 2), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]));
    // `a` is written again while its revision 2 goes into a file, and of `b` an older revision is noted.
    write(&store, "a", Some(2)).await;
    write(&store, "b", Some(1)).await;
    store.note_curated(named(&[("a", 2), ("b", 1), ("c", 1), ("nobody", 7)])).await.expect("noted");
    assert_eq!(uncurated(&store).await, named(&[("a", 3), ("b", 2), ("d", 1), ("e", 1)]));
    store.note_curated(named(&[("a", 3), ("b", 2), ("d", 1), ("e", 1)])).await.expect("noted");
    assert_eq!(uncurated(&store).await, []);
    write(&store, "d", Some(1)).await;
    assert_eq!(uncurated(&store).await, named(&[("d", 2)]));
}

#[tokio::test]
async fn what_is_to_be_curated_survives_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    write(&storage.statistics(), "a", None).await;
    write(&storage.statistics(), "b", None).await;
    storage.statistics().note_curated(named(&[("a", 1)])).await.expect("noted");
    storage.close().await;
    drop(storage);
    assert_eq!(uncurated(&open(folder.path()).statistics()).await, named(&[("b", 1)]));
}

#[tokio::test]
async fn a_write_that_fails_its_condition_leaves_nothing_to_be_curated() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).statistics();
    write(&store, "a", None).await;
    store.note_curated(named(&[("a", 1)])).await.expect("noted");
    let item = store.read_device(&DeviceId::parse("a").expect("a name")).await.expect("read").expect("an item");
    let device_id = DeviceId::parse("a").expect("a name");
    let stale = DeviceWrite {
        device_id,
        expected_revision: Some(7),
        item: StatisticsItem { revision: 8, ..item },
        pages: vec![],
    };
    store.write(stale).await.expect_err("the condition");
    assert_eq!(uncurated(&store).await, []);
}

/// Directories of before had no such table.
#[tokio::test]
async fn in_a_directory_of_an_older_version_every_device_is_to_be_curated_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = open(folder.path());
    for device in ["a", "b", "c"] {
        write(&storage.statistics(), device, None).await;
    }
    storage.close().await;
    drop(storage);
    let table: redb::TableDefinition<&str, ()> = redb::TableDefinition::new("uncurated_devices");
    let database = redb::Database::open(folder.path().join("statistics.redb")).expect("the database");
    assert_eq!(database.begin_read().unwrap().open_table(table).unwrap().iter().unwrap().count(), 3);
    let transaction = database.begin_write().expect("a transaction");
    assert!(transaction.delete_table(table).expect("the table"));
    transaction.commit().expect("committed");
    drop(database);
    let storage = open(folder.path());
    assert_eq!(uncurated(&storage.statistics()).await, named(&[("a", 1), ("b", 1), ("c", 1)]));
    storage.statistics().note_curated(named(&[("a", 1), ("b", 1), ("c", 1)])).await.expect("noted");
    storage.close().await;
    drop(storage);
    assert_eq!(uncurated(&open(folder.path()).statistics()).await, []);
}
