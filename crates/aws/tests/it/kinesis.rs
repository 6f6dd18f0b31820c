//! `KinesisEventStream` against `ferrokinesis`, a Kinesis in this process, in memory.

use crate::server::{STREAM, Server, active, kinesis};
use aws::KinesisEventStream;
use aws::aws_sdk_kinesis::Client;
use aws::aws_sdk_kinesis::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws::aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws::aws_sdk_kinesis::error::BoxError;
use ferrokinesis::store::StoreOptions;
use ports::{
    Clock as _, EventStream, Position, PutError, PutReceipt, Shard, ShardId, StreamEntry, StreamRecord, SystemClock,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn stream(client: &Client) -> KinesisEventStream {
    KinesisEventStream::new(client.clone(), STREAM).with_polling_interval(Duration::from_millis(10))
}

async fn make() -> (KinesisEventStream, Server) {
    let (client, server) = kinesis(StoreOptions::default()).await;
    (stream(&client), server)
}

// The contract but for three facts that ferrokinesis 0.7 has not: it counts a partition key's bytes where Kinesis counts
// characters (`data_and_keys_come_back_to_the_byte`), it is never behind (`the_last_page_is_not_behind`), and it gives
// arrivals in whole seconds (`a_timestamp_begins_with_the_first_record_from_then_on`).
ports::contract_tests!(
    event_stream,
    make,
    [
        shards_are_listed_once_and_after_their_parents,
        every_record_is_read_once_where_its_receipt_says,
        a_refused_entry_spoils_no_other,
        an_empty_put_has_no_results,
        records_of_one_key_keep_their_order_in_one_shard,
        keys_reach_every_open_shard,
        pages_of_any_size_bring_the_same_records,
        large_records_come_back_page_by_page,
        positions_by_sequence_number_are_exact,
        latest_begins_with_what_is_put_afterwards,
        arrival_is_now_and_never_falls,
        an_unknown_shard_is_refused,
        waiting_ends_when_a_record_is_there,
        puts_at_the_same_time_are_all_stored_once,
        beyond_the_newest_record_is_nothing,
    ]
);

fn entry(key: usize, data: impl Into<Vec<u8>>) -> StreamEntry {
    StreamEntry::new(format!("device-{key}"), data.into())
}

async fn put(stream: &KinesisEventStream, entries: Vec<StreamEntry>) -> Vec<PutReceipt> {
    stream.put_records(entries).await.into_iter().map(|result| result.expect("stored")).collect()
}

/// A closed shard's records, to its end.
async fn read_to_the_end(stream: &KinesisEventStream, shard: &ShardId) -> Vec<StreamRecord> {
    let mut records = Vec::new();
    let mut position = Some(Position::TrimHorizon);
    while let Some(at) = position {
        let page = stream.get_records(shard, at, 3).await.expect("a page");
        records.extend(page.records);
        position = page.next;
    }
    records
}

fn find<'a>(shards: &'a [Shard], id: &str) -> &'a Shard {
    shards.iter().find(|shard| shard.id.0 == id).expect("the shard is listed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_shard_is_read_to_its_end_and_its_children_hold_what_follows() {
    let (client, _server) = kinesis(StoreOptions::default()).await;
    let stream = stream(&client);
    let before = put(&stream, (0..40).map(|n| entry(n, format!("before {n}"))).collect()).await;

    let half = (u128::MAX / 4).to_string();
    let split = client.split_shard().stream_name(STREAM).shard_to_split("shardId-000000000000");
    split.new_starting_hash_key(half).send().await.expect("a split");
    active(&client).await;
    let after = put(&stream, (0..40).map(|n| entry(n, format!("after {n}"))).collect()).await;

    let shards = stream.list_shards().await.expect("shards");
    for child in ["shardId-000000000002", "shardId-000000000003"] {
        assert_eq!(find(&shards, child).parent, Some(ShardId("shardId-000000000000".to_owned())));
    }
    let closed = ShardId("shardId-000000000000".to_owned());
    let in_closed: BTreeSet<_> =
        before.iter().filter(|receipt| receipt.shard_id == closed).map(|receipt| receipt.sequence_number).collect();
    let read: BTreeSet<_> =
        read_to_the_end(&stream, &closed).await.into_iter().map(|record| record.sequence_number).collect();
    assert!(!in_closed.is_empty());
    assert_eq!(read, in_closed);
    assert!(after.iter().all(|receipt| receipt.shard_id != closed));
    assert!(after.iter().any(|receipt| receipt.shard_id.0 == "shardId-000000000002"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_shards_are_both_parents_of_their_child() {
    let (client, _server) = kinesis(StoreOptions::default()).await;
    let stream = stream(&client);
    let merge = client.merge_shards().stream_name(STREAM).shard_to_merge("shardId-000000000000");
    merge.adjacent_shard_to_merge("shardId-000000000001").send().await.expect("a merge");
    active(&client).await;
    let shards = stream.list_shards().await.expect("shards");
    let child = shards.last().expect("shards");
    let parents = BTreeSet::from([child.parent.clone(), child.adjacent_parent.clone()]);
    let expected = ["shardId-000000000000", "shardId-000000000001"].map(|id| Some(ShardId(id.to_owned())));
    assert_eq!(parents, BTreeSet::from(expected));
    assert_eq!(child.id.0, "shardId-000000000002");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_iterator_that_expired_is_renewed_where_it_stood() {
    let (client, _server) = kinesis(StoreOptions { iterator_ttl_seconds: 1, ..StoreOptions::default() }).await;
    let stream = stream(&client);
    let receipts = put(&stream, vec![entry(1, "first"), entry(1, "second")]).await;
    let shard = &receipts[0].shard_id;
    let first = stream.get_records(shard, Position::TrimHorizon, 1).await.expect("a page");
    assert_eq!(first.records[0].data, b"first");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let second = stream.get_records(shard, first.next.expect("an open shard"), 1).await.expect("a page");
    assert_eq!(second.records[0].data, b"second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timestamp_between_two_records_begins_with_the_second() {
    // ferrokinesis compares whole seconds.
    let (stream, _server) = make().await;
    let receipts = put(&stream, vec![entry(1, "first")]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let between = SystemClock.now();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    put(&stream, vec![entry(1, "second")]).await;
    let page = stream.get_records(&receipts[0].shard_id, Position::AtTimestamp(between), 10).await.expect("a page");
    assert_eq!(page.records.into_iter().map(|record| record.data).collect::<Vec<_>>(), [b"second"]);
}

/// Counts the calls that reach the service.
#[derive(Debug, Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "count calls"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A shard takes a megabyte a second: of four seconds' worth in one call, part must be sent again, and what is still
/// refused in the end is told apart from what was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_throttling_stream_refuses_is_sent_again_alone_or_reported() {
    let (client, _server) = kinesis(StoreOptions { enforce_limits: true, ..StoreOptions::default() }).await;
    let calls = Calls::default();
    let counted = client.config().to_builder().interceptor(calls.clone()).build();
    let stream = stream(&Client::from_conf(counted));
    let results = stream.put_records((0..40).map(|n| entry(1, vec![n; 100_000])).collect()).await;
    assert_eq!(results.len(), 40);
    assert!(calls.0.load(Ordering::Relaxed) > 1, "nothing was sent again: {results:?}");
    let stored: Vec<(usize, PutReceipt)> =
        results.iter().enumerate().filter_map(|(n, result)| Some((n, result.as_ref().ok()?.clone()))).collect();
    let throttled = results.iter().filter(|result| matches!(result, Err(PutError::Throttled))).count();
    assert_eq!(stored.len() + throttled, 40);

    let shard = &stored[0].1.shard_id;
    let mut found = Vec::new();
    let mut position = Position::TrimHorizon;
    loop {
        let page = stream.get_records(shard, position, 1000).await.expect("a page");
        position = page.next.expect("an open shard");
        let done = page.records.is_empty() && page.behind_latest.is_zero();
        found.extend(page.records.into_iter().map(|record| (usize::from(record.data[0]), record.sequence_number)));
        if done {
            break;
        }
    }
    let mut expected: Vec<_> = stored.into_iter().map(|(n, receipt)| (n, receipt.sequence_number)).collect();
    expected.sort_by_key(|(_, sequence_number)| *sequence_number);
    assert_eq!(found, expected, "what is in the stream is what was reported as stored, each once");
}

/// ferrokinesis refuses a whole call for a partition key of 256 characters that are more than 256 bytes, as Kinesis does
/// for a record over the limit of a stream that this side does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_for_which_the_whole_call_is_refused_spoils_no_other() {
    let (stream, _server) = make().await;
    let unusual = StreamEntry::new("ü".repeat(256), b"x".to_vec());
    let results = stream.put_records(vec![entry(1, "first"), unusual, entry(1, "second")]).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    assert!(matches!(results[1], Err(PutError::Refused(_))), "{:?}", results[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_entries_than_one_call_takes_are_all_stored() {
    let (stream, _server) = make().await;
    let receipts = put(&stream, (0..1201).map(|n| entry(n, "x")).collect()).await;
    let places: BTreeSet<_> = receipts.into_iter().map(|receipt| (receipt.shard_id, receipt.sequence_number)).collect();
    assert_eq!(places.len(), 1201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_is_an_error_with_its_source() {
    let (client, _server) = kinesis(StoreOptions::default()).await;
    let stream = KinesisEventStream::new(client, "another");
    assert!(stream.list_shards().await.is_err());
    let results = stream.put_records(vec![entry(1, "x")]).await;
    let Err(PutError::Unavailable(source)) = &results[0] else { panic!("{results:?}") };
    let chain: Vec<String> =
        std::iter::successors(Some(source.as_ref() as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
    assert!(
        chain.iter().any(|message| message.contains("ResourceNotFound") || message.contains("not found")),
        "{chain:?}"
    );
}
