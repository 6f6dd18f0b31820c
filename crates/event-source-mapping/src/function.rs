//! What a mapping invokes.

use std::future::Future;

/// A Lambda function: JSON in, JSON out.
pub trait Function: Send + Sync {
    /// Handles one event. The answer is `{"batchItemFailures":[{"itemIdentifier":"<sequence number>"}]}`; an empty list
    /// says that everything is done. Dropped where it takes longer than the mapping's `function_timeout`.
    fn invoke(&self, event: Vec<u8>) -> impl Future<Output = Result<Vec<u8>, FunctionError>> + Send;
}

/// Why a function gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// It was invoked, and failed. Uses up a retry, or splits the batch.
    #[error("the function failed")]
    Unhandled(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The event did not reach it. "This doesn't apply to service errors or throttles where the batch didn't reach the
    /// function": uses up no retry.
    #[error("the function was not invoked")]
    NotInvoked(#[source] Box<dyn std::error::Error + Send + Sync>),
}
