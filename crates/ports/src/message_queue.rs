//! A queue whose messages are held by whoever receives them: SQS, as an operator works on it.

use std::future::Future;
use std::time::Duration;

/// A message that is held until it is released, deleted, or the hold runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The message's name, the same whenever it is received.
    pub id: String,
    /// What releases or deletes it; each time it is received it has another, of which the newest counts.
    pub receipt: String,
    /// The body.
    pub body: String,
}

/// A queue that keeps no order, and may hand out a message more than once.
pub trait MessageQueue: Send + Sync {
    /// Some of the messages that nobody holds; none where there are none just now. They are held for so long.
    fn receive(&self, hold: Duration) -> impl Future<Output = Result<Vec<Message>, MessageQueueError>> + Send;

    /// Gives messages back at once. One that is not held any more is given back already.
    fn release(&self, receipts: Vec<String>) -> impl Future<Output = Result<(), MessageQueueError>> + Send;

    /// Deletes messages for good. One that is gone already is no failure.
    fn delete(&self, receipts: Vec<String>) -> impl Future<Output = Result<(), MessageQueueError>> + Send;
}

/// Why a queue did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum MessageQueueError {
    /// So many messages are held that no more are handed out, until some are deleted or released.
    #[error("so many messages are held that the queue hands out no more: send or purge some of them first")]
    TooManyHeld,
    /// Passing: try again.
    #[error("the queue is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
