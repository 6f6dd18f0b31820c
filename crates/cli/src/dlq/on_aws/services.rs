//! The services themselves.

use crate::output::say;
use anyhow::{Context as _, Result, bail};
use aws::aws_sdk_kinesis::Client as KinesisClient;
use aws::{KinesisEventStream, MessageNumbers, S3Archive, SqsMessages, check_sdk_config, load_sdk_config};
use aws::{aws_sdk_s3, aws_sdk_sqs};
use ports::SystemClock;
use redrive::{
    DeadLetters, FailedRecords, FetchedRecords, HOLD, LambdaFailure, MessageLetters, Outgoing, Page, PageRequest,
    PayloadStreamArchive, QueueError, RedriveError, Redriver, StreamRedriver,
};

/// A queue, with the stream and the archive that belong to it.
pub struct OnAws {
    letters: MessageLetters<SqsMessages, S3Archive, SystemClock>,
    kinesis: KinesisClient,
    stream: Option<String>,
    archive: Option<S3Archive>,
    numbers: MessageNumbers,
}

impl OnAws {
    /// Opens it with region, credentials and endpoint as every AWS tool finds them, and asks the queue whether it is
    /// there.
    pub async fn open(queue_url: String, stream: Option<String>, bucket: Option<String>) -> Result<Self> {
        let config = load_sdk_config().await;
        check_sdk_config(&config).await?;
        let messages = SqsMessages::new(aws_sdk_sqs::Client::new(&config), queue_url);
        let numbers = messages.numbers().await.context("cannot look into the queue")?;
        if numbers.held > 0 {
            say(&format!(
                "about {} messages are held by another command, or by one that was killed, and not seen; \
                 they are back after {} s at most",
                numbers.held,
                HOLD.as_secs()
            ));
        }
        let s3 = aws_sdk_s3::Client::new(&config);
        let archive = bucket.map(|bucket| (bucket.clone(), S3Archive::new(s3, bucket)));
        let kept = archive.as_ref().map(|(_, archive)| archive.clone());
        let letters = MessageLetters::new(messages, archive, SystemClock);
        Ok(OnAws { letters, kinesis: KinesisClient::new(&config), stream, archive: kept, numbers })
    }

    /// Deletes what a command that was ended has left of letters that went.
    pub async fn delete_leftovers(&self) -> Result<()> {
        Ok(self.letters.delete_leftovers().await?)
    }

    /// Gives back what is held; what cannot be given back is there again later.
    pub async fn close(&self) {
        if let Err(error) = self.letters.close().await {
            let error = redrive::printable_line(&format!("{:#}", anyhow::Error::new(error)));
            say(&format!("messages are held for {} s more: {error}", HOLD.as_secs()));
        }
    }

    /// Says what is missing for sending.
    pub fn check_sending(&self) -> Result<()> {
        if self.stream.is_none() {
            bail!("--apply sends to a stream: give --stream or STREAMGAUGE_STREAM");
        }
        if self.archive.is_none() {
            bail!(
                "--apply notes in the archive what it sends, so that it can be stopped at any moment: give \
                 --archive-bucket or STREAMGAUGE_ARCHIVE_BUCKET"
            );
        }
        Ok(())
    }

    /// About how many messages there were when it was opened.
    pub fn about(&self) -> u64 {
        self.numbers.visible
    }

    fn stream(&self, name: &str) -> KinesisEventStream {
        KinesisEventStream::new(self.kinesis.clone(), name)
    }
}

impl DeadLetters for OnAws {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        self.letters.page(request).await
    }

    async fn release(&self, receipts: Vec<String>) -> Result<(), QueueError> {
        self.letters.release(receipts).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        self.letters.delete(receipts).await
    }
}

impl Redriver for OnAws {
    async fn redrive(&self, letters: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        match &self.stream {
            Some(stream) => {
                StreamRedriver { queue: &self.letters, stream: &self.stream(stream) }.redrive(letters).await
            }
            None => letters.iter().map(|_| Err(RedriveError::Refused("there is no --stream".to_owned()))).collect(),
        }
    }
}

impl FailedRecords for OnAws {
    async fn fetch(&self, failure: &LambdaFailure) -> Result<FetchedRecords, QueueError> {
        let stream = |name: &str| self.stream(name);
        PayloadStreamArchive { stream, archive: self.archive.clone() }.fetch(failure).await
    }
}
