//! Curated rows into a Firehose stream, which makes Parquet of them.
//!
//! Rows are JSON documents, one a line, as many in a record as fit: Firehose bills each record up to the next 5 KB, and
//! takes several documents of one record apart by itself.
//! <https://docs.aws.amazon.com/firehose/latest/dev/record-format-conversion.html>

use crate::BoxError;
use crate::batch::{ATTEMPTS_MAX_DEFAULT, BatchLimits, Sent, send_all};
use crate::call_failure::call_failure;
use crate::shared_error::SharedError;
use aws_sdk_firehose::Client;
use aws_sdk_firehose::error::SdkError;
use aws_sdk_firehose::operation::put_record_batch::PutRecordBatchError;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{PutRecordBatchResponseEntry, Record};
use ports::{CuratedDelivery, CuratedRow, DeliveryError};
use std::ops::Range;

/// The largest record, before it is encoded as base64: 1,000 KiB.
/// <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>
const RECORD_BYTES_MAX: usize = 1000 * 1024;

/// PutRecordBatch takes 500 records and 4 MiB. That may be meant of the request, in which base64 makes four bytes of three.
const LIMITS: BatchLimits =
    BatchLimits { entries_max: 500, bytes_max: 3 * 1024 * 1024, attempts_max: ATTEMPTS_MAX_DEFAULT };

/// Delivers rows to a Firehose stream. It needs `firehose:PutRecordBatch` on it.
#[derive(Debug, Clone)]
pub struct FirehoseCuratedDelivery {
    client: Client,
    stream: String,
}

impl FirehoseCuratedDelivery {
    /// To the Firehose stream of this name.
    pub fn new(client: Client, stream: impl Into<String>) -> Self {
        FirehoseCuratedDelivery { client, stream: stream.into() }
    }

    /// One call.
    async fn put_records(&self, records: Vec<&[u8]>) -> Vec<Sent<(), SharedError>> {
        let count = records.len();
        let failed = |error: BoxError| {
            let error = SharedError::new(error);
            (0..count).map(|_| Sent::Failed(error.clone())).collect()
        };
        let records: Result<Vec<_>, _> =
            records.into_iter().map(|record| Record::builder().data(Blob::new(record)).build()).collect();
        let records = match records {
            Ok(records) => records,
            Err(error) => return failed(error.into()),
        };
        let request = self.client.put_record_batch().delivery_stream_name(&self.stream).set_records(Some(records));
        match request.send().await {
            Ok(answer) if answer.request_responses().len() == count => {
                answer.request_responses().iter().map(outcome).collect()
            }
            Ok(_) => failed("the answer has not one result a record".into()),
            // The SDK has tried this call again by itself, as often as it may.
            Err(error) => failed(self.failure(error)),
        }
    }

    fn failure(&self, error: SdkError<PutRecordBatchError>) -> BoxError {
        if error.as_service_error().is_some_and(|error| error.is_invalid_argument_exception()) {
            // The service's own message may repeat what it refuses, which is not for logs.
            return Box::new(RefusedRecord("InvalidArgumentException".to_owned()));
        }
        call_failure("firehose:PutRecordBatch", format!("delivery stream {}", self.stream), error)
    }
}

impl CuratedDelivery for FirehoseCuratedDelivery {
    async fn deliver(&self, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
        let Packed { bytes, records } = match pack(&rows, RECORD_BYTES_MAX) {
            Ok(packed) => packed,
            Err(error) => {
                let error = SharedError::new(error);
                return rows.iter().map(|_| Err(DeliveryError::Unavailable(Box::new(error.clone())))).collect();
            }
        };
        drop(rows);
        let sizes: Vec<usize> = records.iter().map(|record| record.bytes.len()).collect();
        let put = |places: Vec<usize>| {
            self.put_records(places.into_iter().map(|at| &bytes[records[at].bytes.clone()]).collect())
        };
        let results = send_all(&sizes, LIMITS, put).await;
        let of_row = |(record, result): (&PackedRecord, Result<(), SharedError>)| {
            let result = move || match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(DeliveryError::Unavailable(Box::new(error.clone()))),
            };
            (0..record.rows).map(move |_| result()).collect::<Vec<_>>()
        };
        records.iter().zip(results).flat_map(of_row).collect()
    }
}

/// Rows as lines, cut into records.
struct Packed {
    bytes: Vec<u8>,
    records: Vec<PackedRecord>,
}

struct PackedRecord {
    bytes: Range<usize>,
    rows: usize,
}

/// As few records as the limit allows, the rows in their order. A line that is over the limit by itself, which none is,
/// would stand alone: the service is to judge it.
fn pack(rows: &[CuratedRow], bytes_max: usize) -> Result<Packed, serde_json::Error> {
    let mut packed = Packed { bytes: Vec::with_capacity(rows.len() * 448), records: Vec::new() };
    for row in rows {
        let start = packed.bytes.len();
        serde_json::to_writer(&mut packed.bytes, row)?;
        packed.bytes.push(b'\n');
        let end = packed.bytes.len();
        match packed.records.last_mut() {
            Some(record) if end - record.bytes.start <= bytes_max => {
                record.bytes.end = end;
                record.rows += 1;
            }
            _ => packed.records.push(PackedRecord { bytes: start..end, rows: 1 }),
        }
    }
    Ok(packed)
}

/// Firehose fails record by record, with HTTP 200.
fn outcome(result: &PutRecordBatchResponseEntry) -> Sent<(), SharedError> {
    match (result.error_code(), result.record_id()) {
        (None, Some(_)) => Sent::Taken(()),
        (code, _) => {
            let code = code.unwrap_or("neither an id nor an error code").to_owned();
            Sent::Again(SharedError::new(RefusedRecord(code)))
        }
    }
}

/// Firehose did not take a record.
#[derive(Debug, thiserror::Error)]
#[error("firehose:PutRecordBatch did not take the record: {0}")]
struct RefusedRecord(String);

#[cfg(test)]
#[path = "firehose_tests.rs"]
mod tests;
