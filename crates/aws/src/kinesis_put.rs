//! Puts into a Kinesis stream: which entries it takes, and what its answer says of each.

use crate::batch::{ATTEMPTS_MAX_DEFAULT, BatchLimits, Sent};
use crate::shared_error::SharedError;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::put_records::PutRecordsError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use ports::{PutError, PutReceipt, ShardId, StreamEntry};

/// PutRecords takes 500 records. It takes 10 MiB since 2025 and took 5 MiB before, which fills a shard's second five
/// times over; a record that is larger by itself goes alone.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>
pub(crate) const LIMITS: BatchLimits =
    BatchLimits { entries_max: 500, bytes_max: 5 * 1024 * 1024, attempts_max: ATTEMPTS_MAX_DEFAULT };

/// The largest record of a stream whose limit was not raised (it can be, to 10 MiB).
const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// What the limits count of an entry: data and partition key.
pub(crate) fn size(entry: &StreamEntry) -> usize {
    entry.data.len() + entry.partition_key.len()
}

/// Refuses what the stream would refuse, because it would refuse the whole call for it.
pub(crate) fn check(entry: &StreamEntry) -> Result<(), PutError> {
    if !(1..=256).contains(&entry.partition_key.chars().count()) {
        return Err(PutError::Refused("the partition key must have 1 to 256 characters".to_owned()));
    }
    let bytes = size(entry);
    if bytes > RECORD_BYTES_MAX {
        let limit = format!("the record has {bytes} bytes with its partition key, and the limit is {RECORD_BYTES_MAX}");
        return Err(PutError::Refused(limit));
    }
    Ok(())
}

/// One call; where the service refuses it whole for what one of its entries is, one call an entry.
pub(crate) async fn put_records(
    client: &Client,
    stream: &str,
    batch: Vec<&StreamEntry>,
) -> Vec<Sent<PutReceipt, PutError>> {
    let sent = put_batch(client, stream, &batch).await;
    if batch.len() == 1 || !sent.iter().all(|sent| matches!(sent, Sent::Failed(PutError::Refused(_)))) {
        return sent;
    }
    let mut sent = Vec::with_capacity(batch.len());
    for entry in batch {
        sent.extend(put_batch(client, stream, &[entry]).await);
    }
    sent
}

async fn put_batch(client: &Client, stream: &str, batch: &[&StreamEntry]) -> Vec<Sent<PutReceipt, PutError>> {
    let count = batch.len();
    let records: Result<Vec<_>, _> = batch.iter().map(|entry| request_entry(entry)).collect();
    let records = match records {
        Ok(records) => records,
        Err(error) => return failed(count, || PutError::Unavailable(Box::new(SharedError::new(error.to_string())))),
    };
    match client.put_records().stream_name(stream).set_records(Some(records)).send().await {
        Ok(answer) if answer.records().len() == count => answer.records().iter().map(outcome).collect(),
        Ok(_) => failed(count, || PutError::Unavailable("the answer has not one result a record".into())),
        // The SDK has tried this call again by itself, as often as it may.
        Err(error) if is_throttling(&error) => failed(count, || PutError::Throttled),
        Err(error) if is_invalid(&error) => {
            // The service's own message repeats what it refuses, which is not for logs.
            failed(count, || PutError::Refused("the stream refuses the record's size or partition key".to_owned()))
        }
        Err(error) => {
            let cause = SharedError::new(error);
            failed(count, || PutError::Unavailable(Box::new(cause.clone())))
        }
    }
}

fn request_entry(entry: &StreamEntry) -> Result<PutRecordsRequestEntry, aws_sdk_kinesis::error::BuildError> {
    let data = Blob::new(entry.data.clone());
    PutRecordsRequestEntry::builder().partition_key(&entry.partition_key).data(data).build()
}

fn failed(count: usize, error: impl Fn() -> PutError) -> Vec<Sent<PutReceipt, PutError>> {
    (0..count).map(|_| Sent::Failed(error())).collect()
}

/// Kinesis fails record by record, with HTTP 200.
fn outcome(result: &PutRecordsResultEntry) -> Sent<PutReceipt, PutError> {
    match (result.error_code(), result.shard_id(), result.sequence_number()) {
        (None, Some(shard_id), Some(sequence_number)) => match sequence_number.parse() {
            Ok(sequence_number) => Sent::Taken(PutReceipt { shard_id: ShardId(shard_id.to_owned()), sequence_number }),
            // It is stored, but nobody could say where: better twice in the stream than unsure.
            Err(error) => Sent::Again(PutError::Unavailable(Box::new(error))),
        },
        (Some("ProvisionedThroughputExceededException"), _, _) => Sent::Again(PutError::Throttled),
        (code, _, _) => {
            let code = code.unwrap_or("neither a receipt nor an error code").to_owned();
            Sent::Again(PutError::Unavailable(Box::new(FailedRecord(code))))
        }
    }
}

fn is_throttling(error: &SdkError<PutRecordsError>) -> bool {
    error.as_service_error().is_some_and(|error| {
        error.is_provisioned_throughput_exceeded_exception()
            || error.is_kms_throttling_exception()
            || matches!(error.meta().code(), Some("ThrottlingException" | "LimitExceededException"))
    })
}

/// The call breaks a rule of the service: a record over the stream's limit is `InvalidArgument` or `Validation`.
fn is_invalid(error: &SdkError<PutRecordsError>) -> bool {
    error.as_service_error().is_some_and(|error| {
        error.is_invalid_argument_exception() || error.meta().code() == Some("ValidationException")
    })
}

/// Kinesis did not store one record of a call.
#[derive(Debug, thiserror::Error)]
#[error("the record was not stored: {0}")]
struct FailedRecord(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(partition_key: String, data_bytes: usize) -> StreamEntry {
        StreamEntry::new(partition_key, vec![b'x'; data_bytes])
    }

    #[test]
    fn a_record_that_the_stream_would_refuse_is_refused_alone() {
        let refused = |entry| matches!(check(&entry), Err(PutError::Refused(_)));
        assert!(refused(entry(String::new(), 1)));
        assert!(refused(entry("k".repeat(257), 1)));
        assert!(!refused(entry("ü".repeat(256), 1)));
        assert!(!refused(entry("k".to_owned(), RECORD_BYTES_MAX - 1)));
        assert!(refused(entry("k".to_owned(), RECORD_BYTES_MAX)));
    }

    #[test]
    fn a_throttled_record_and_a_failed_one_are_sent_again() {
        let result = |code: &str| PutRecordsResultEntry::builder().error_code(code).error_message("…").build();
        let throttled = outcome(&result("ProvisionedThroughputExceededException"));
        assert!(matches!(throttled, Sent::Again(PutError::Throttled)));
        assert!(matches!(outcome(&result("InternalFailure")), Sent::Again(PutError::Unavailable(_))));
    }

    #[test]
    fn an_answer_without_receipt_or_error_is_not_taken_for_success() {
        let empty = PutRecordsResultEntry::builder().build();
        assert!(matches!(outcome(&empty), Sent::Again(PutError::Unavailable(_))));
    }
}
