//! What this stream does beyond the contract.

use embedded::{EmbeddedStorage, Options, RECORD_BYTES_MAX};
use ports::{Clock, EventStream, Position, PutError, StreamEntry};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use telemetry::Timestamp;

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).expect("an instant")
    }
}

fn entry(data: Vec<u8>) -> StreamEntry {
    StreamEntry::new("a".to_owned(), data)
}

#[tokio::test]
async fn arrival_follows_the_clock_and_numbers_keep_the_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(SetClock(AtomicI64::new(1000)));
    let open = || {
        let clock: Arc<dyn Clock> = clock.clone();
        EmbeddedStorage::open(folder.path(), Options { shards: 1, clock, ..Options::default() }).expect("opened")
    };
    let mut storage = open();
    for now in [1000, 400, 500, 2000, 0] {
        clock.0.store(now, Ordering::SeqCst);
        assert!(storage.stream().put_records(vec![entry(vec![1])]).await[0].is_ok());
        storage.close().await;
        storage = open();
    }
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    let page = storage.stream().get_records(&shard, Position::TrimHorizon, 10).await.expect("a page");
    let arrivals: Vec<_> = page.records.iter().map(|record| record.arrived_at.as_millisecond()).collect();
    assert_eq!(arrivals, [1000, 400, 500, 2000, 0]);
    let numbers: Vec<_> = page.records.iter().map(|record| record.sequence_number.to_string()).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    // The first of them that arrived then or later, though the newest arrived before.
    let at = Timestamp::from_millisecond(1500).expect("an instant");
    storage.stream().records_available(&shard, Position::AtTimestamp(at)).await;
    let page = storage.stream().get_records(&shard, Position::AtTimestamp(at), 10).await.expect("a page");
    assert_eq!(page.records.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_throttles_and_what_is_throttled_is_not_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { shards: 1, queue_bytes: 10_000, ..Options::default() };
    let storage = EmbeddedStorage::open(folder.path(), options).expect("opened");
    let mut puts = tokio::task::JoinSet::new();
    for n in 0..200u8 {
        let stream = storage.stream();
        puts.spawn(async move { (n, stream.put_records(vec![entry(vec![n; 4000])]).await.remove(0)) });
    }
    let (mut stored, mut throttled) = (Vec::new(), 0);
    for (n, result) in puts.join_all().await {
        match result {
            Ok(_) => stored.push(n),
            Err(PutError::Throttled) => throttled += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(throttled > 0 && !stored.is_empty(), "{throttled} throttled, {} stored", stored.len());
    let shard = storage.stream().list_shards().await.expect("shards").remove(0).id;
    let page = storage.stream().get_records(&shard, Position::TrimHorizon, 1000).await.expect("a page");
    let mut found: Vec<_> = page.records.iter().map(|record| record.data[0]).collect();
    found.sort_unstable();
    stored.sort_unstable();
    assert_eq!(found, stored);
    // The room comes back, and one entry larger than it all still passes.
    assert!(storage.stream().put_records(vec![entry(vec![1; 20_000])]).await[0].is_ok());
}

#[tokio::test]
async fn a_record_has_at_most_one_mebibyte_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("opened");
    let results = storage
        .stream()
        .put_records(vec![entry(vec![0; RECORD_BYTES_MAX - 1]), entry(vec![0; RECORD_BYTES_MAX])])
        .await;
    assert!(results[0].is_ok());
    assert!(matches!(results[1], Err(PutError::Refused(_))));
}

#[tokio::test]
async fn after_closing_every_operation_fails_and_none_hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("opened");
    let (stream, again) = (storage.stream(), storage.clone());
    let shard = stream.list_shards().await.expect("shards").remove(0).id;
    storage.close().await;
    assert!(matches!(stream.put_records(vec![entry(vec![1])]).await[0], Err(PutError::Unavailable(_))));
    assert!(stream.get_records(&shard, Position::TrimHorizon, 1).await.is_err());
    stream.records_available(&shard, Position::TrimHorizon).await;
    assert!(storage.accounting().await.is_err());
    again.close().await;
}
