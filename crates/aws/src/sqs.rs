//! Dead letters in an SQS queue, and whole in the archive beside it.

use crate::BoxError;
use crate::batch::{ATTEMPTS_MAX_DEFAULT, BatchLimits, Sent, send_all};
use crate::call_failure::call_failure;
use crate::dead_letter_message::{Message, archive_line};
use crate::shared_error::SharedError;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
use ports::{Archive, DeadLetter, DeadLetterError, DeadLetterQueue};
use sha2::{Digest, Sha256};

/// The most bytes of a message. SQS takes 1 MiB since August 2025, but a queue may be set lower, and 256 KiB is what
/// older queues, and tools older than that, set.
pub const MESSAGE_BYTES_MAX_DEFAULT: usize = 256 * 1024;

/// SQS takes ten messages a call, together no larger than one message may be.
const ENTRIES_MAX: usize = 10;

/// Sends dead letters to an SQS queue. Before that, every call of [`DeadLetterQueue::send`] puts its letters, whole,
/// one a line, into one object of the archive: `dead-letters/dt=<UTC day>/<hash of their ids>.jsonl`, the day being
/// the first letter's arrival, so that what is delivered again lands on the same object. It needs `sqs:SendMessage`
/// on the queue.
#[derive(Debug, Clone)]
pub struct SqsDeadLetterQueue<A> {
    client: Client,
    queue_url: String,
    archive: A,
    message_bytes_max: usize,
}

impl<A: Archive> SqsDeadLetterQueue<A> {
    /// The queue at `queue_url`, beside `archive`.
    pub fn new(client: Client, queue_url: impl Into<String>, archive: A) -> Self {
        let message_bytes_max = MESSAGE_BYTES_MAX_DEFAULT;
        SqsDeadLetterQueue { client, queue_url: queue_url.into(), archive, message_bytes_max }
    }

    /// With another limit on messages, in bytes: the queue's `MaximumMessageSize`.
    pub fn with_message_bytes_max(self, message_bytes_max: usize) -> Self {
        SqsDeadLetterQueue { message_bytes_max, ..self }
    }

    /// Puts the letters into the archive, and makes their messages.
    async fn archive(&self, letters: &[DeadLetter]) -> Result<Vec<Message>, BoxError> {
        let key = archive_key(letters);
        let lines: String = letters.iter().map(archive_line).collect::<Result<_, _>>()?;
        self.archive.put(&key, lines.into_bytes()).await?;
        letters.iter().map(|letter| Ok(Message::new(letter, &key, self.message_bytes_max)?)).collect()
    }

    /// One call.
    async fn send_batch(&self, batch: Vec<&Message>) -> Vec<Sent<(), DeadLetterError>> {
        let entries: Result<Vec<_>, _> = batch.iter().enumerate().map(|(at, message)| message.entry(at)).collect();
        let answer = match entries {
            Ok(entries) => {
                let request = self.client.send_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
                let failure = |error| call_failure("sqs:SendMessage", format!("queue {}", self.queue_url), error);
                request.send().await.map_err(|error| SharedError::new(failure(error)))
            }
            Err(error) => Err(SharedError::new(error)),
        };
        match answer {
            Ok(answer) => (0..batch.len()).map(|at| outcome(&answer, &at.to_string())).collect(),
            // The SDK has tried this call again by itself, as often as it may.
            Err(error) => batch.iter().map(|_| Sent::Failed(unavailable(&error))).collect(),
        }
    }
}

impl<A: Archive> DeadLetterQueue for SqsDeadLetterQueue<A> {
    async fn send(&self, letters: Vec<DeadLetter>) -> Vec<Result<(), DeadLetterError>> {
        if letters.is_empty() {
            return Vec::new();
        }
        match self.archive(&letters).await {
            Ok(messages) => {
                let sizes: Vec<usize> = messages.iter().map(Message::size).collect();
                let limits = BatchLimits {
                    entries_max: ENTRIES_MAX,
                    bytes_max: self.message_bytes_max,
                    attempts_max: ATTEMPTS_MAX_DEFAULT,
                };
                send_all(&sizes, limits, |places| self.send_batch(places.into_iter().map(|at| &messages[at]).collect()))
                    .await
            }
            Err(error) => {
                let error = SharedError::new(error);
                letters.iter().map(|_| Err(unavailable(&error))).collect()
            }
        }
    }
}

/// What the answer of a call says of the entry called `id`.
fn outcome(answer: &SendMessageBatchOutput, id: &str) -> Sent<(), DeadLetterError> {
    if answer.successful().iter().any(|entry| entry.id() == id) {
        return Sent::Taken(());
    }
    let failed = answer.failed().iter().find(|entry| entry.id() == id);
    let code = failed.map_or("no answer for this message", |entry| entry.code());
    let error = DeadLetterError::Unavailable(Box::new(RefusedMessage(code.to_owned())));
    // What is the message's own fault would be refused again.
    if failed.is_some_and(|entry| entry.sender_fault()) { Sent::Failed(error) } else { Sent::Again(error) }
}

/// Where the letters of one call stand in the archive.
fn archive_key(letters: &[DeadLetter]) -> String {
    let mut hash = Sha256::new();
    for letter in letters {
        hash.update(letter.id.as_bytes());
        hash.update(b"\n");
    }
    let name: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    // Never called without letters.
    let day = letters.first().map_or_else(String::new, |letter| letter.arrived_at.utc_date());
    format!("dead-letters/dt={day}/{name}.jsonl")
}

/// SQS did not take one message of a batch.
#[derive(Debug, thiserror::Error)]
#[error("the queue refused the message: {0}")]
struct RefusedMessage(String);

fn unavailable(cause: &SharedError) -> DeadLetterError {
    DeadLetterError::Unavailable(Box::new(cause.clone()))
}
