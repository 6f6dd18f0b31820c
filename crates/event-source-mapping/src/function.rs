//! What a mapping invokes.

use crate::batch::Batch;
use crate::response::Verdict;
use std::future::Future;

/// A function that handles batches.
pub trait Function: Send + Sync {
    /// Handles a batch of one shard's records, and says which of them are done. Dropped where it takes longer than the
    /// mapping's `function_timeout`.
    fn invoke(&self, batch: &Batch) -> impl Future<Output = Result<Verdict, FunctionError>> + Send;
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
