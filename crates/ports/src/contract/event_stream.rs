//! What every [`EventStream`] does. `make` gives a stream without records, of any number of shards.

use crate::{
    EventStream, Position, PutError, PutReceipt, RecordsPage, SequenceNumber, ShardId, StreamEntry, StreamError,
    StreamRecord,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Timestamp;

/// How long a read may lag behind a put.
const PATIENCE: Duration = Duration::from_secs(30);

fn entry(partition_key: &str, data: impl Into<Vec<u8>>) -> StreamEntry {
    StreamEntry::new(partition_key.to_owned(), data.into())
}

/// Entries with keys enough to reach several shards.
fn entries(count: usize) -> Vec<StreamEntry> {
    (0..count).map(|n| entry(&format!("device-{}", n % 23), format!("record {n}"))).collect()
}

async fn put<S: EventStream>(stream: &S, entries: Vec<StreamEntry>) -> Vec<PutReceipt> {
    stream.put_records(entries).await.into_iter().map(|result| result.expect("stored")).collect()
}

async fn page<S: EventStream>(stream: &S, shard: &ShardId, position: Position, limit: usize) -> RecordsPage {
    stream.get_records(shard, position, limit).await.expect("a page")
}

/// Reads a shard from `position` on until `count` records are there.
async fn read<S: EventStream>(
    stream: &S,
    shard: &ShardId,
    mut position: Position,
    count: usize,
    limit: usize,
) -> Vec<StreamRecord> {
    let mut records = Vec::new();
    let read = async {
        while records.len() < count {
            let page = page(stream, shard, position, limit).await;
            assert!(page.records.len() <= limit, "{} records where {limit} were asked for", page.records.len());
            if page.records.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            records.extend(page.records);
            position = page.next.expect("an open shard can be read on");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the records appear");
    records
}

/// Everything that was put, shard by shard, as its receipts have it.
async fn read_all<S: EventStream>(
    stream: &S,
    receipts: &[PutReceipt],
    limit: usize,
) -> BTreeMap<ShardId, Vec<StreamRecord>> {
    let mut counts: BTreeMap<ShardId, usize> = BTreeMap::new();
    for receipt in receipts {
        *counts.entry(receipt.shard_id.clone()).or_default() += 1;
    }
    let mut shards = BTreeMap::new();
    for (shard, count) in counts {
        let records = read(stream, &shard, Position::TrimHorizon, count, limit).await;
        shards.insert(shard, records);
    }
    shards
}

/// There are shards, each listed once, parents before their children.
pub async fn shards_are_listed_once_and_after_their_parents<S: EventStream>(stream: &S) {
    let shards = stream.list_shards().await.expect("shards");
    assert!(!shards.is_empty());
    let mut seen = BTreeSet::new();
    let all: BTreeSet<_> = shards.iter().map(|shard| shard.id.clone()).collect();
    for shard in shards {
        for parent in [&shard.parent, &shard.adjacent_parent].into_iter().flatten() {
            assert!(seen.contains(parent) || !all.contains(parent), "{parent} comes after its child");
        }
        assert!(seen.insert(shard.id.clone()), "{} is listed twice", shard.id);
    }
}

/// What is put is read back once, whole, where its receipt says.
pub async fn every_record_is_read_once_where_its_receipt_says<S: EventStream>(stream: &S) {
    let entries = entries(200);
    let receipts = put(stream, entries.clone()).await;
    assert_eq!(receipts.len(), entries.len());
    let shards = read_all(stream, &receipts, 1000).await;
    let mut found = BTreeMap::new();
    for (shard, records) in shards {
        for record in records {
            let place = (shard.clone(), record.sequence_number);
            assert!(found.insert(place, (record.partition_key, record.data)).is_none(), "a record is read twice");
        }
    }
    assert_eq!(found.len(), entries.len());
    for (entry, receipt) in entries.into_iter().zip(receipts) {
        let record = found.remove(&(receipt.shard_id, receipt.sequence_number));
        assert_eq!(record, Some((entry.partition_key, entry.data)));
    }
}

/// Data are bytes, not text, and keys are any characters.
pub async fn data_and_keys_come_back_to_the_byte<S: EventStream>(stream: &S) {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let entries = vec![entry("a", all_bytes), entry("", "refused"), entry(&"ü".repeat(256), "x"), entry(" \"\\", "\n")];
    let mut results = stream.put_records(entries.clone()).await;
    assert!(matches!(results.remove(1), Err(PutError::Refused(_))));
    for (entry, result) in [&entries[0], &entries[2], &entries[3]].into_iter().zip(results) {
        let receipt = result.expect("stored");
        let at = Position::AtSequenceNumber(receipt.sequence_number);
        let records = read(stream, &receipt.shard_id, at, 1, 1).await;
        assert_eq!((&records[0].partition_key, &records[0].data), (&entry.partition_key, &entry.data));
    }
}

/// An entry that is refused does not spoil those beside it, and is stored nowhere.
pub async fn a_refused_entry_spoils_no_other<S: EventStream>(stream: &S) {
    let too_long = "k".repeat(257);
    let batch = vec![entry("a", "first"), entry(&too_long, "refused"), entry("a", "second"), entry("", "refused")];
    let results = stream.put_records(batch).await;
    let stored: Vec<_> = results.iter().map(Result::is_ok).collect();
    assert_eq!(stored, [true, false, true, false]);
    for result in [&results[1], &results[3]] {
        assert!(matches!(result, Err(PutError::Refused(_))), "{result:?}");
    }
    let receipts: Vec<_> = results.into_iter().flatten().collect();
    let shards = read_all(stream, &receipts, 10).await;
    let data: Vec<_> = shards.values().flatten().map(|record| record.data.as_slice()).collect();
    assert_eq!(data, [b"first".as_slice(), b"second"]);
}

/// No entries, no results.
pub async fn an_empty_put_has_no_results<S: EventStream>(stream: &S) {
    assert!(stream.put_records(Vec::new()).await.is_empty());
}

/// A partition key stays in its shard, and its records keep the order in which they were acknowledged.
pub async fn records_of_one_key_keep_their_order_in_one_shard<S: EventStream>(stream: &S) {
    let mut receipts = Vec::new();
    for n in 0..30 {
        receipts.extend(put(stream, vec![entry("device-1", format!("{n}"))]).await);
    }
    let shard = &receipts[0].shard_id;
    assert!(receipts.iter().all(|receipt| receipt.shard_id == *shard));
    assert!(receipts.is_sorted_by(|a, b| a.sequence_number < b.sequence_number), "sequence numbers rise");
    let records = read(stream, shard, Position::TrimHorizon, 30, 7).await;
    let expected: Vec<_> = (0..30).map(|n| format!("{n}").into_bytes()).collect();
    assert_eq!(records.into_iter().map(|record| record.data).collect::<Vec<_>>(), expected);
}

/// Keys spread over the shards.
pub async fn keys_reach_every_open_shard<S: EventStream>(stream: &S) {
    let shards = stream.list_shards().await.expect("shards");
    if shards.iter().any(|shard| shard.parent.is_some()) || shards.len() > 8 {
        return;
    }
    let keys = (0..400).map(|n| entry(&format!("device-{n}"), "x")).collect();
    let reached: BTreeSet<_> = put(stream, keys).await.into_iter().map(|receipt| receipt.shard_id).collect();
    assert_eq!(reached, shards.into_iter().map(|shard| shard.id).collect());
}

/// However small the pages, reading on from `next` brings every record once and in order.
pub async fn pages_of_any_size_bring_the_same_records<S: EventStream>(stream: &S) {
    let receipts = put(stream, entries(120)).await;
    let whole = read_all(stream, &receipts, 10_000).await;
    for limit in [1, 7] {
        assert_eq!(read_all(stream, &receipts, limit).await, whole);
    }
    for records in whole.values() {
        assert!(records.is_sorted_by(|a, b| a.sequence_number < b.sequence_number));
    }
}

/// Large records come in pages, all of them.
pub async fn large_records_come_back_page_by_page<S: EventStream>(stream: &S) {
    let mut receipts = Vec::new();
    for n in 0..8u8 {
        receipts.extend(put(stream, vec![entry("device-1", vec![n; 700_000])]).await);
    }
    let records = read(stream, &receipts[0].shard_id, Position::TrimHorizon, 8, 10_000).await;
    for (n, record) in records.into_iter().enumerate() {
        assert!(record.data.len() == 700_000 && record.data.iter().all(|byte| usize::from(*byte) == n));
    }
}

/// `AtSequenceNumber` begins with the record, `AfterSequenceNumber` with the one that follows.
pub async fn positions_by_sequence_number_are_exact<S: EventStream>(stream: &S) {
    let mut receipts = Vec::new();
    for n in 0..5 {
        receipts.extend(put(stream, vec![entry("device-1", format!("{n}"))]).await);
    }
    let shard = &receipts[0].shard_id;
    for (n, receipt) in receipts.iter().enumerate() {
        let at = read(stream, shard, Position::AtSequenceNumber(receipt.sequence_number), 5 - n, 10).await;
        assert_eq!(at[0].sequence_number, receipt.sequence_number);
        let after = Position::AfterSequenceNumber(receipt.sequence_number);
        let after = read(stream, shard, after, 4 - n, 10).await;
        assert_eq!(after, at[1..]);
    }
}

/// `Latest` brings what is put afterwards, and nothing before, wherever its reader pauses.
pub async fn latest_begins_with_what_is_put_afterwards<S: EventStream>(stream: &S) {
    let receipts = put(stream, vec![entry("device-1", "before")]).await;
    let shard = &receipts[0].shard_id;
    read(stream, shard, Position::TrimHorizon, 1, 10).await;
    let empty = page(stream, shard, Position::Latest, 10).await;
    assert_eq!(empty.records, []);
    put(stream, vec![entry("device-1", "after")]).await;
    let records = read(stream, shard, empty.next.expect("an open shard"), 1, 10).await;
    assert_eq!(records[0].data, b"after");
}

/// `AtTimestamp` begins with the first record that arrived at that instant or later.
pub async fn a_timestamp_begins_with_the_first_record_from_then_on<S: EventStream>(stream: &S) {
    let mut receipts = Vec::new();
    for n in 0..4 {
        receipts.extend(put(stream, vec![entry("device-1", format!("{n}"))]).await);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let shard = &receipts[0].shard_id;
    let all = read(stream, shard, Position::TrimHorizon, 4, 10).await;
    for (n, record) in all.iter().enumerate() {
        let from = read(stream, shard, Position::AtTimestamp(record.arrived_at), 4 - n, 10).await;
        assert_eq!(from, all[n..]);
    }
    let from = read(stream, shard, Position::AtTimestamp(Timestamp::UNIX_EPOCH), 4, 10).await;
    assert_eq!(from, all);
}

/// Arrival is now, and never falls within a shard.
pub async fn arrival_is_now_and_never_falls<S: EventStream>(stream: &S) {
    let receipts = put(stream, entries(100)).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    for records in read_all(stream, &receipts, 1000).await.into_values() {
        assert!(records.is_sorted_by_key(|record| record.arrived_at));
        for record in records {
            let distance = (record.arrived_at.as_millisecond() - now).abs();
            assert!(distance < 300_000, "arrived {distance} ms from now");
        }
    }
}

/// A page that reaches the end says that nothing is behind it; the pages before say how much is.
pub async fn the_last_page_is_not_behind<S: EventStream>(stream: &S) {
    let first = put(stream, vec![entry("device-1", "first")]).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    put(stream, vec![entry("device-1", "second")]).await;
    let shard = &first[0].shard_id;
    read(stream, shard, Position::TrimHorizon, 2, 10).await;
    assert!(page(stream, shard, Position::TrimHorizon, 1).await.behind_latest > Duration::ZERO);
    let after_all = page(stream, shard, Position::TrimHorizon, 2).await;
    if after_all.records.len() == 2 {
        assert_eq!(after_all.behind_latest, Duration::ZERO);
    }
}

/// A shard that is not there is named.
pub async fn an_unknown_shard_is_refused<S: EventStream>(stream: &S) {
    let unknown = ShardId("shardId-000000099999".to_owned());
    match stream.get_records(&unknown, Position::TrimHorizon, 1).await {
        Err(StreamError::NoSuchShard(shard)) => assert_eq!(shard, unknown),
        other => panic!("{other:?}"),
    }
}

/// Whoever waits for records is woken by one that is already there, and by one that comes.
pub async fn waiting_ends_when_a_record_is_there<S: EventStream>(stream: &S) {
    let receipts = put(stream, vec![entry("device-1", "first")]).await;
    let shard = &receipts[0].shard_id;
    let there = stream.records_available(shard, Position::TrimHorizon);
    tokio::time::timeout(PATIENCE, there).await.expect("woken by the record that is there");
    let position = Position::AfterSequenceNumber(receipts[0].sequence_number);
    let (record, _) = tokio::join!(
        async {
            // A hint may be early: a caller looks again.
            loop {
                stream.records_available(shard, position).await;
                if let Some(record) = page(stream, shard, position, 1).await.records.pop() {
                    return record;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        },
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            put(stream, vec![entry("device-1", "second")]).await
        },
    );
    assert_eq!(record.data, b"second");
}

/// Puts at the same time are all stored, each once, and no two share a place.
pub async fn puts_at_the_same_time_are_all_stored_once<S: EventStream>(stream: &S) {
    let batch = |writer: usize| (0..20).map(move |n| entry(&format!("device-{writer}"), format!("{writer}/{n}")));
    let puts = (0..8).map(|writer| async move {
        let mut receipts = Vec::new();
        for entry in batch(writer) {
            receipts.extend(put(stream, vec![entry]).await);
        }
        receipts
    });
    let receipts: Vec<_> = super::join_all(puts).await.into_iter().flatten().collect();
    let places: BTreeSet<_> = receipts.iter().map(|r| (r.shard_id.clone(), r.sequence_number)).collect();
    assert_eq!(places.len(), 160);
    let shards = read_all(stream, &receipts, 50).await;
    let data: BTreeSet<_> = shards.into_values().flatten().map(|record| record.data).collect();
    assert_eq!(data, (0..8).flat_map(batch).map(|entry| entry.data).collect());
}

/// A sequence number beyond every record brings nothing, and does not fail.
pub async fn beyond_the_newest_record_is_nothing<S: EventStream>(stream: &S) {
    let receipts = put(stream, vec![entry("device-1", "only")]).await;
    let PutReceipt { shard_id, sequence_number } = &receipts[0];
    read(stream, shard_id, Position::TrimHorizon, 1, 10).await;
    let after = Position::AfterSequenceNumber(SequenceNumber::from_be_bytes(sequence_number.to_be_bytes()));
    assert_eq!(page(stream, shard_id, after, 10).await.records, []);
}

/// Makes one test of each fact; `$make` gives `(stream, guard)`.
#[macro_export]
macro_rules! event_stream_contract {
    ($make:path) => {
        $crate::contract_tests!(
            event_stream,
            $make,
            [
                shards_are_listed_once_and_after_their_parents,
                every_record_is_read_once_where_its_receipt_says,
                data_and_keys_come_back_to_the_byte,
                a_refused_entry_spoils_no_other,
                an_empty_put_has_no_results,
                records_of_one_key_keep_their_order_in_one_shard,
                keys_reach_every_open_shard,
                pages_of_any_size_bring_the_same_records,
                large_records_come_back_page_by_page,
                positions_by_sequence_number_are_exact,
                latest_begins_with_what_is_put_afterwards,
                a_timestamp_begins_with_the_first_record_from_then_on,
                arrival_is_now_and_never_falls,
                the_last_page_is_not_behind,
                an_unknown_shard_is_refused,
                waiting_ends_when_a_record_is_there,
                puts_at_the_same_time_are_all_stored_once,
                beyond_the_newest_record_is_nothing,
            ]
        );
    };
}
