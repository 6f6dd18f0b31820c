//! The records of a batch that Lambda gave up: from its payload, the stream or the archive.

use crate::archived::{archived_records, hours};
use crate::lambda_failure::{FetchedRecords, LambdaFailure};
use crate::queue::{FailedRecords, QueueError};
use ports::{Archive, EventStream, Position, SequenceNumber, ShardId, StreamEntry, StreamError, StreamRecord};
use std::time::Duration;
use telemetry::Timestamp;

/// Records read at once: Kinesis gives at most this many, or 10 MB.
const RECORDS_MAX: usize = 10_000;
/// Arrivals are approximate: reading begins so long before the first, and what lies outside the range is left out.
const ARRIVAL_MARGIN: Duration = Duration::from_secs(60);
/// How often a read is tried, and the first pause; each is twice the one before.
const TRIES_MAX: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Looks for a batch's records in its payload, then in the stream that it names, then in the archive.
///
/// Records keep their identities, so that those which were counted have no second effect. Nothing in the archive tells a
/// record's sequence number: from there comes everything that arrived in the hours in question.
#[derive(Debug, Clone)]
pub struct PayloadStreamArchive<F, A> {
    /// Opens the stream of a name.
    pub stream: F,
    /// The archive, where there is one.
    pub archive: Option<A>,
}

impl<F, S, A> FailedRecords for PayloadStreamArchive<F, A>
where
    F: Fn(&str) -> S + Send + Sync,
    S: EventStream,
    A: Archive,
{
    async fn fetch(&self, failure: &LambdaFailure) -> Result<FetchedRecords, QueueError> {
        let (mut records, missing) = match &failure.records {
            Some(records) => (records.clone(), failure.batch_size.saturating_sub(records.len() as u64)),
            None => self.fetched_from_stream(failure).await?,
        };
        if missing == 0 {
            return Ok(FetchedRecords { records, ..FetchedRecords::default() });
        }
        let (Some(archive), Some((first, last))) = (&self.archive, arrivals(failure)) else {
            let note = "give --archive-bucket to look for them in the archive".to_owned();
            let note = self.archive.is_none().then_some(note);
            return Ok(FetchedRecords { records, lost: missing, note });
        };
        let archived = archived_records(archive, first, last).await?;
        let lost = missing.saturating_sub(archived.records.len() as u64);
        let where_from = hours(first, last);
        let (from, to) = (where_from.first(), where_from.last());
        let note = format!(
            "{missing} are not in the stream any more; the archive's {} to {} hold {} records that may be among them",
            from.map_or("", String::as_str),
            to.map_or("", String::as_str),
            archived.lines,
        );
        records.extend(archived.records);
        Ok(FetchedRecords { records, lost, note: Some(note) })
    }
}

impl<F, S, A> PayloadStreamArchive<F, A>
where
    F: Fn(&str) -> S + Send + Sync,
    S: EventStream,
{
    /// What the stream still has of the range, and how many at least are missing.
    async fn fetched_from_stream(&self, failure: &LambdaFailure) -> Result<(Vec<StreamEntry>, u64), QueueError> {
        let range = (failure.start_sequence_number.parse(), failure.end_sequence_number.parse());
        let (Ok(start), Ok(end)) = range else { return Ok((Vec::new(), failure.batch_size.max(1))) };
        let stream = (self.stream)(failure.stream_name());
        let found = read_range(&stream, failure, start, end).await?;
        // Of a stream the oldest records expire first: whatever is there from the first one on is whole.
        let is_whole = found.first().is_some_and(|record| record.sequence_number == start)
            && found.last().is_some_and(|record| record.sequence_number == end);
        let missing = failure.batch_size.saturating_sub(found.len() as u64).max(u64::from(!is_whole));
        let entry = |record: StreamRecord| StreamEntry::new(record.partition_key, record.data);
        Ok((found.into_iter().map(entry).collect(), missing))
    }
}

async fn read_range<S: EventStream>(
    stream: &S,
    failure: &LambdaFailure,
    start: SequenceNumber,
    end: SequenceNumber,
) -> Result<Vec<StreamRecord>, QueueError> {
    let shard = ShardId(failure.shard_id.clone());
    // Where a record has expired, its sequence number may be refused; an instant before the oldest record is not.
    let mut position = failure.first_arrival.map_or(Position::TrimHorizon, |at| Position::AtTimestamp(before(at)));
    let mut found: Vec<StreamRecord> = Vec::new();
    loop {
        let page = match read(stream, &shard, position).await {
            Ok(page) => page,
            Err(StreamError::NoSuchShard(_)) => return Ok(found),
            Err(StreamError::Unavailable(error)) => return Err(QueueError::Unavailable(error)),
        };
        let is_past = page.records.last().is_some_and(|record| record.sequence_number >= end);
        let is_at_end = page.records.is_empty() && page.behind_latest.is_zero();
        let in_range = |record: &StreamRecord| (start..=end).contains(&record.sequence_number);
        found.extend(page.records.into_iter().filter(in_range));
        match page.next {
            Some(next) if !is_past && !is_at_end => position = next,
            _ => return Ok(found),
        }
    }
}

/// Reads, and again for a while: a shard takes five reads a second, and its own readers use them too.
async fn read<S: EventStream>(
    stream: &S,
    shard: &ShardId,
    position: Position,
) -> Result<ports::RecordsPage, StreamError> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES_MAX {
        match stream.get_records(shard, position, RECORDS_MAX).await {
            Err(StreamError::Unavailable(_)) => tokio::time::sleep(pause).await,
            answer => return answer,
        }
        pause *= 2;
    }
    stream.get_records(shard, position, RECORDS_MAX).await
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp::from_nanosecond(at.as_nanosecond() - ARRIVAL_MARGIN.as_nanos() as i128).unwrap_or(at)
}

fn arrivals(failure: &LambdaFailure) -> Option<(Timestamp, Timestamp)> {
    let first = failure.first_arrival?;
    Some((first, failure.last_arrival.map_or(first, |last| last.max(first))))
}
