//! A Kinesis data stream.

use crate::batch::{BatchLimits, send_all};
use crate::kinesis_put::{LIMITS, check, put_records, size};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use ports::{
    Clock as _, EventStream, Position, PutError, PutReceipt, RecordsPage, Shard, ShardId, StreamEntry, StreamError,
    StreamRecord, StreamShard, SystemClock,
};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use telemetry::Timestamp;

/// GetRecords' own limit.
const RECORDS_MAX: usize = 10_000;

/// How often Lambda polls a shard, and how often a shard may be read without its five reads a second running out.
const POLLING_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);

/// A Kinesis data stream. It needs `kinesis:PutRecords`, `ListShards`, `GetShardIterator` and `GetRecords`.
#[derive(Debug, Clone)]
pub struct KinesisEventStream {
    client: Client,
    stream: String,
    put_limits: BatchLimits,
    polling_interval: Duration,
    /// For each shard the iterator that goes on where its last page ended. It saves a call a page, and reads on
    /// exactly where an empty page has no sequence number to read on from.
    iterators: Arc<Mutex<HashMap<ShardId, (Position, String)>>>,
}

impl KinesisEventStream {
    /// The stream of this name.
    pub fn new(client: Client, stream: impl Into<String>) -> Self {
        KinesisEventStream {
            client,
            stream: stream.into(),
            put_limits: LIMITS,
            polling_interval: POLLING_INTERVAL_DEFAULT,
            iterators: Arc::default(),
        }
    }

    /// With another number of attempts at an entry that the stream refuses for a passing reason, at least 1: five where
    /// nothing is said. For a caller who tries again by itself, 1.
    pub fn with_put_attempts_max(self, attempts_max: u32) -> Self {
        KinesisEventStream { put_limits: BatchLimits { attempts_max, ..self.put_limits }, ..self }
    }

    /// With another wait between looks at a shard that had nothing.
    pub fn with_polling_interval(self, polling_interval: Duration) -> Self {
        KinesisEventStream { polling_interval, ..self }
    }

    /// The iterator kept for `position`, or a new one.
    async fn iterator(&self, shard: &ShardId, position: Position) -> Result<String, StreamError> {
        let kept = self.kept_iterators().get(shard).filter(|(at, _)| *at == position).map(|(_, next)| next.clone());
        match kept {
            Some(iterator) => Ok(iterator),
            None => self.new_iterator(shard, position).await,
        }
    }

    async fn new_iterator(&self, shard: &ShardId, position: Position) -> Result<String, StreamError> {
        let request = self.client.get_shard_iterator().stream_name(&self.stream).shard_id(&shard.0);
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => request.shard_iterator_type(ShardIteratorType::Latest),
            // Kinesis refuses a timestamp in the future.
            Position::AtTimestamp(timestamp) if timestamp >= SystemClock.now() => {
                request.shard_iterator_type(ShardIteratorType::Latest)
            }
            Position::AtTimestamp(timestamp) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(next_millisecond(timestamp))),
            Position::AtSequenceNumber(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number.to_string()),
            Position::AfterSequenceNumber(number) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number.to_string()),
        };
        let answer = request.send().await.map_err(|error| {
            // Kinesis gives the same answer where the whole stream is not there.
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) {
                StreamError::NoSuchShard(shard.clone())
            } else {
                StreamError::Unavailable(error.into())
            }
        })?;
        answer.shard_iterator.ok_or_else(|| StreamError::Unavailable("the answer has no iterator".into()))
    }

    /// Reads with the kept iterator, or, where that has expired after its five minutes, with a new one.
    async fn read(&self, shard: &ShardId, position: Position, limit: i32) -> Result<GetRecordsOutput, StreamError> {
        let mut iterator = self.iterator(shard, position).await?;
        let mut renewed = false;
        loop {
            match self.client.get_records().shard_iterator(iterator).limit(limit).send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => match error.as_service_error() {
                    Some(GetRecordsError::ExpiredIteratorException(_)) if !renewed => {
                        renewed = true;
                        iterator = self.new_iterator(shard, position).await?;
                    }
                    Some(GetRecordsError::ResourceNotFoundException(_)) => {
                        return Err(StreamError::NoSuchShard(shard.clone()));
                    }
                    _ => return Err(StreamError::Unavailable(error.into())),
                },
            }
        }
    }

    fn kept_iterators(&self) -> std::sync::MutexGuard<'_, HashMap<ShardId, (Position, String)>> {
        // A map of hints is whole whatever panicked beside it.
        self.iterators.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventStream for KinesisEventStream {
    async fn put_records(&self, entries: Vec<StreamEntry>) -> Vec<Result<PutReceipt, PutError>> {
        let mut results: Vec<Result<PutReceipt, PutError>> = Vec::with_capacity(entries.len());
        let checked: Vec<Result<(), PutError>> = entries.iter().map(check).collect();
        let good: Vec<&StreamEntry> =
            entries.iter().zip(&checked).filter(|(_, checked)| checked.is_ok()).map(|(entry, _)| entry).collect();
        let sizes: Vec<usize> = good.iter().map(|entry| size(entry)).collect();
        let sent = send_all(&sizes, self.put_limits, |places| {
            put_records(&self.client, &self.stream, places.into_iter().map(|at| good[at]).collect())
        })
        .await;
        let mut sent = sent.into_iter();
        for checked in checked {
            match checked {
                Ok(()) => results.extend(sent.next()),
                Err(refused) => results.push(Err(refused)),
            }
        }
        results
    }

    async fn list_shards(&self) -> Result<Vec<Shard>, StreamError> {
        let mut shards = Vec::new();
        let mut next_token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            // A token names the stream by itself, and Kinesis refuses both together.
            let request = match next_token.take() {
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.stream),
            };
            let answer = request.send().await.map_err(|error| StreamError::Unavailable(error.into()))?;
            shards.extend(answer.shards.unwrap_or_default().into_iter().map(|shard| Shard {
                id: ShardId(shard.shard_id),
                parent: shard.parent_shard_id.map(ShardId),
                adjacent_parent: shard.adjacent_parent_shard_id.map(ShardId),
            }));
            next_token = answer.next_token;
            if next_token.is_none() {
                return Ok(parents_first(shards));
            }
        }
    }

    async fn get_records(&self, shard: &ShardId, position: Position, limit: usize) -> Result<RecordsPage, StreamError> {
        let opened_at = SystemClock.now();
        // At most 10,000, which fits.
        let answer = self.read(shard, position, limit.clamp(1, RECORDS_MAX) as i32).await?;
        let of = Arc::new(StreamShard { stream: self.stream.clone(), shard_id: shard.clone() });
        let records = answer.records.into_iter().map(|each| record(&of, each));
        let records: Vec<StreamRecord> = records.collect::<Result<_, _>>().map_err(StreamError::Unavailable)?;
        let next = match (records.last(), position) {
            (Some(last), _) => Position::AfterSequenceNumber(last.sequence_number),
            // Should the kept iterator be lost, what arrived since the shard was opened must not be.
            (None, Position::Latest) => Position::AtTimestamp(opened_at),
            (None, position) => position,
        };
        let mut kept = self.kept_iterators();
        let next = match answer.next_shard_iterator {
            Some(iterator) => {
                kept.insert(shard.clone(), (next, iterator));
                Some(next)
            }
            None => {
                kept.remove(shard);
                None
            }
        };
        // Never negative.
        let behind_latest = Duration::from_millis(answer.millis_behind_latest.unwrap_or(0).max(0) as u64);
        Ok(RecordsPage { records, next, behind_latest })
    }

    async fn records_available(&self, _shard: &ShardId, _position: Position) {
        tokio::time::sleep(self.polling_interval).await;
    }
}

fn record(shard: &Arc<StreamShard>, record: Record) -> Result<StreamRecord, crate::BoxError> {
    let arrival = record.approximate_arrival_timestamp.ok_or("a record has no arrival timestamp")?;
    Ok(StreamRecord {
        shard: Arc::clone(shard),
        sequence_number: record.sequence_number.parse()?,
        partition_key: record.partition_key,
        data: record.data.into_inner(),
        arrived_at: nearest_millisecond(arrival).ok_or("a record arrived in no known year")?,
    })
}

/// The millisecond at or after an instant: arrivals are to the millisecond, and none lies between two.
fn next_millisecond(instant: Timestamp) -> i64 {
    let within = instant.as_nanosecond().rem_euclid(1_000_000) != 0;
    instant.as_millisecond() + i64::from(within)
}

/// Kinesis writes arrivals as decimal seconds with three digits, which pass through a double here and may come out a
/// little under the millisecond they name.
fn nearest_millisecond(instant: DateTime) -> Option<Timestamp> {
    let milliseconds = (instant.as_nanos() + 500_000).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(milliseconds).ok()?)
}

/// Sorts shards so that each stands after those it was split or merged from, as far as they are still there.
fn parents_first(shards: Vec<Shard>) -> Vec<Shard> {
    let mut waiting: HashSet<ShardId> = shards.iter().map(|shard| shard.id.clone()).collect();
    let mut rest = shards;
    let mut sorted = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let waits = |shard: &Shard| {
            let parents = [&shard.parent, &shard.adjacent_parent];
            parents.into_iter().flatten().any(|parent| waiting.contains(parent))
        };
        let (blocked, ready): (Vec<Shard>, Vec<Shard>) = rest.into_iter().partition(waits);
        if ready.is_empty() {
            // No shard is its own ancestor; should an answer say so, its order is as good as any.
            sorted.extend(blocked);
            break;
        }
        for shard in &ready {
            waiting.remove(&shard.id);
        }
        sorted.extend(ready);
        rest = blocked;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn shard(id: usize, parents: &[usize]) -> Shard {
        let name = |id: &usize| ShardId(format!("shardId-{id:012}"));
        Shard { id: name(&id), parent: parents.first().map(name), adjacent_parent: parents.get(1).map(name) }
    }

    proptest! {
        #[test]
        fn parents_stand_before_children_whatever_the_order_of_the_answer(
            parents in prop::collection::vec(prop::collection::vec(any::<Index>(), 0..3), 1..30),
            seed in any::<u64>(),
        ) {
            use rand::seq::SliceRandom as _;
            use rand::SeedableRng as _;
            let mut shards: Vec<Shard> = parents.iter().enumerate().map(|(id, chosen)| {
                let older: Vec<usize> = chosen.iter().filter(|_| id > 0).map(|index| index.index(id)).collect();
                shard(id, &older)
            }).collect();
            shards.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
            let sorted = parents_first(shards.clone());
            prop_assert_eq!(sorted.len(), shards.len());
            let place: HashMap<&ShardId, usize> = sorted.iter().enumerate().map(|(at, shard)| (&shard.id, at)).collect();
            prop_assert_eq!(place.len(), shards.len());
            for (at, shard) in sorted.iter().enumerate() {
                for parent in [&shard.parent, &shard.adjacent_parent].into_iter().flatten() {
                    prop_assert!(place[parent] < at);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_millisecond_that_came_as_a_decimal_number_is_that_millisecond(milliseconds in 0i64..4_102_444_800_000) {
            let seconds: f64 = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000).parse().expect("a number");
            let arrived_at = nearest_millisecond(DateTime::from_secs_f64(seconds)).expect("a known year");
            prop_assert_eq!(arrived_at.as_millisecond(), milliseconds);
        }
    }

    #[test]
    fn an_instant_within_a_millisecond_is_read_from_the_next_one() {
        let millisecond = |text: &str| next_millisecond(Timestamp::parse(text).expect("an instant"));
        assert_eq!(millisecond("1970-01-01T00:00:00.001Z"), 1);
        assert_eq!(millisecond("1970-01-01T00:00:00.001000001Z"), 2);
        assert_eq!(millisecond("1969-12-31T23:59:59.999999999Z"), 0);
    }

    #[test]
    fn a_parent_that_has_expired_holds_nobody_up() {
        assert_eq!(parents_first(vec![shard(7, &[3]), shard(8, &[7])]), [shard(7, &[3]), shard(8, &[7])]);
    }
}
