//! The messages of an SQS queue, as an operator works on them: received, held, given back, deleted.

use crate::BoxError;
use crate::call_failure::call_failure;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
};
use futures::{StreamExt as _, TryStreamExt as _};
use ports::{Message, MessageQueue, MessageQueueError};
use std::time::Duration;

/// SQS hands out, changes and deletes ten messages a call.
const MESSAGES_MAX: i32 = 10;
/// Calls under way at once.
const CONCURRENCY: usize = 16;
/// With a wait SQS asks all of its servers, and says that there are no messages only where there are none.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html>
const WAIT_SECONDS: i32 = 1;
/// How often what SQS refuses of a batch is tried.
const TRIES_MAX: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// About how many messages a queue has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageNumbers {
    /// Messages that nobody holds.
    pub visible: u64,
    /// Messages that somebody holds.
    pub held: u64,
}

/// A queue at a URL. It needs `sqs:ReceiveMessage`, `ChangeMessageVisibility`, `DeleteMessage` and
/// `GetQueueAttributes`.
#[derive(Debug, Clone)]
pub struct SqsMessages {
    client: Client,
    queue_url: String,
}

impl SqsMessages {
    /// The queue at `queue_url`.
    pub fn new(client: Client, queue_url: impl Into<String>) -> Self {
        SqsMessages { client, queue_url: queue_url.into() }
    }

    /// About how many messages there are.
    ///
    /// # Errors
    /// [`MessageQueueError::Unavailable`], where the queue is not there too.
    pub async fn numbers(&self) -> Result<MessageNumbers, MessageQueueError> {
        let (visible, held) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let request = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let answer = request.attribute_names(visible.clone()).attribute_names(held.clone()).send().await;
        let answer =
            answer.map_err(|error| unavailable(call_failure("sqs:GetQueueAttributes", self.resource(), error)))?;
        let attributes = answer.attributes.unwrap_or_default();
        let number = |name| attributes.get(&name).and_then(|text: &String| text.parse().ok()).unwrap_or(0);
        Ok(MessageNumbers { visible: number(visible), held: number(held) })
    }

    fn resource(&self) -> String {
        format!("queue {}", self.queue_url)
    }

    async fn receive_some(&self, hold: Duration) -> Result<Vec<Message>, MessageQueueError> {
        let request = self.client.receive_message().queue_url(&self.queue_url).max_number_of_messages(MESSAGES_MAX);
        // SQS holds for at most twelve hours.
        let seconds = hold.as_secs().min(43_200) as i32;
        let answer = request.wait_time_seconds(WAIT_SECONDS).visibility_timeout(seconds).send().await;
        let answer = answer.map_err(|error| match error.as_service_error() {
            Some(service_error) if service_error.is_over_limit() => MessageQueueError::TooManyHeld,
            _ => unavailable(call_failure("sqs:ReceiveMessage", self.resource(), error)),
        })?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| {
                Some(Message { id: message.message_id?, receipt: message.receipt_handle?, body: message.body? })
            })
            .collect())
    }

    /// Gives some back. What SQS says of single messages is not looked at: they come back by themselves later.
    async fn release_some(&self, receipts: Vec<String>) -> Result<(), MessageQueueError> {
        let entry = |(at, receipt): (usize, &String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(at.to_string());
            entry.receipt_handle(receipt).visibility_timeout(0).build()
        };
        let entries: Vec<_> = receipts.iter().enumerate().map(entry).collect::<Result<_, _>>().map_err(incomplete)?;
        let request = self.client.change_message_visibility_batch().queue_url(&self.queue_url);
        let answer = request.set_entries(Some(entries)).send().await;
        answer
            .map(drop)
            .map_err(|error| unavailable(call_failure("sqs:ChangeMessageVisibility", self.resource(), error)))
    }

    /// Deletes some; what SQS refuses for a fault of its own is tried again.
    async fn delete_some(&self, receipts: Vec<String>) -> Result<(), MessageQueueError> {
        let mut left: Vec<&String> = receipts.iter().collect();
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES_MAX {
            let entry = |(at, receipt): (usize, &&String)| {
                DeleteMessageBatchRequestEntry::builder().id(at.to_string()).receipt_handle(*receipt).build()
            };
            let entries: Vec<_> = left.iter().enumerate().map(entry).collect::<Result<_, _>>().map_err(incomplete)?;
            let request = self.client.delete_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
            let answer = request.send().await;
            let answer =
                answer.map_err(|error| unavailable(call_failure("sqs:DeleteMessage", self.resource(), error)))?;
            // A receipt that is not good any more belongs to a message that is gone, or that somebody else has met since.
            let failed = answer.failed().iter().filter(|entry| !entry.sender_fault());
            let failed: Vec<usize> = failed.filter_map(|entry| entry.id().parse().ok()).collect();
            left = failed.into_iter().filter_map(|at| left.get(at).copied()).collect();
            if left.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(unavailable(format!("the queue did not delete {} messages", left.len()).into()))
    }
}

impl MessageQueue for SqsMessages {
    /// Asks several times at once: one call brings ten messages at most.
    async fn receive(&self, hold: Duration) -> Result<Vec<Message>, MessageQueueError> {
        let calls =
            futures::stream::iter(0..CONCURRENCY).map(|_| self.receive_some(hold)).buffer_unordered(CONCURRENCY);
        let answers: Vec<_> = calls.collect().await;
        let mut messages = Vec::new();
        let mut failure = None;
        for answer in answers {
            match answer {
                Ok(received) => messages.extend(received),
                Err(error) => failure = Some(error),
            }
        }
        // What was received is held, whatever became of the other calls; the next call fails as well where it must.
        match failure {
            Some(error) if messages.is_empty() => Err(error),
            _ => Ok(messages),
        }
    }

    async fn release(&self, receipts: Vec<String>) -> Result<(), MessageQueueError> {
        let calls = futures::stream::iter(batches(&receipts)).map(|some| self.release_some(some));
        calls.buffer_unordered(CONCURRENCY).try_collect().await
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<(), MessageQueueError> {
        let calls = futures::stream::iter(batches(&receipts)).map(|some| self.delete_some(some));
        calls.buffer_unordered(CONCURRENCY).try_collect().await
    }
}

fn batches(receipts: &[String]) -> Vec<Vec<String>> {
    receipts.chunks(MESSAGES_MAX as usize).map(<[String]>::to_vec).collect()
}

fn unavailable(error: BoxError) -> MessageQueueError {
    MessageQueueError::Unavailable(error)
}

fn incomplete(error: BuildError) -> MessageQueueError {
    MessageQueueError::Unavailable(error.into())
}
