//! Lambda's side: the event with a batch of the table's change stream, and the batch response.

mod attribute;
mod event;

use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
pub use event::ChangeBatch;

/// The batch response: the change from which Lambda must deliver again, or that all is done.
pub fn batch_response(failed: Option<String>) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures.extend(failed.map(|sequence_number| {
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier = Some(sequence_number);
        failure
    }));
    response
}
