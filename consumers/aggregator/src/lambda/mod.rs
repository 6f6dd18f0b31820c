//! Lambda's side of the handler: its event for a batch of stream records, and the batch response.

mod event;

pub use event::RecordBatch;

use aws_lambda_events::event::streams::KinesisEventResponse;
use ports::SequenceNumber;

/// The response that names the records which Lambda must deliver again.
pub fn response(failed: &[SequenceNumber]) -> KinesisEventResponse {
    let mut response = KinesisEventResponse::default();
    response.set_failures(failed.iter().map(SequenceNumber::to_string));
    response
}
