//! Where the dead letters are: in a data directory, behind an endpoint, or in a queue on AWS.

use super::http::Http;
use super::on_aws::OnAws;
use crate::endpoint::{Pipeline, PipelineArgs};
use crate::output::say;
use anyhow::{Result, bail};
use embedded::{EmbeddedStorage, OpenError, Options};
use redrive::{
    DeadLetters, FailedRecords, FetchedRecords, Filter, LambdaFailure, Letter, Outgoing, Page, PageRequest,
    PayloadOnly, QueueError, RedriveError, Redriver, StreamRedriver, every_page,
};
use std::path::Path;

/// Letters of one page.
pub const PAGE: usize = 1000;

/// The queue: that of a running pipeline, with --data-dir alone that of a data directory which nobody uses, or with
/// --queue-url one on AWS
#[derive(clap::Args)]
pub struct QueueArgs {
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// The URL of the dead-letter queue on AWS
    #[arg(
        long,
        value_name = "URL",
        env = "STREAMGAUGE_QUEUE_URL",
        hide_env_values = true,
        conflicts_with_all = ["endpoint", "data_dir"]
    )]
    queue_url: Option<String>,
    /// With --queue-url: the stream on AWS that letters are sent to
    #[arg(long, value_name = "STREAM", env = "STREAMGAUGE_STREAM", hide_env_values = true)]
    stream: Option<String>,
    /// With --queue-url: the bucket that keeps a copy of every dead letter, and all readings as they came
    #[arg(long, value_name = "BUCKET", env = "STREAMGAUGE_ARCHIVE_BUCKET", hide_env_values = true)]
    archive_bucket: Option<String>,
}

impl QueueArgs {
    /// Opens it. An endpoint is not asked anything yet.
    pub async fn open(&self) -> Result<Queue> {
        // An empty variable is as good as none.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(queue_url) = given(&self.queue_url) {
            let on_aws = OnAws::open(queue_url, given(&self.stream), given(&self.archive_bucket)).await?;
            return Ok(Queue::Aws(Box::new(on_aws)));
        }
        match self.pipeline.pipeline() {
            Pipeline::Directory(directory) => Ok(Queue::Directory(open_directory(directory)?)),
            Pipeline::Running(endpoint) => Ok(Queue::Endpoint(Http(endpoint.client()?))),
        }
    }
}

/// Opens a data directory that no `up` uses.
pub fn open_directory(directory: &Path) -> Result<EmbeddedStorage> {
    if !["statistics.redb", "stream.redb"].iter().any(|file| directory.join(file).is_file()) {
        bail!("{} is not a data directory of `streamgauge up`, or may not be read", directory.display());
    }
    match EmbeddedStorage::open(directory, Options::default()) {
        Ok(storage) => {
            for warning in storage.warnings() {
                say(&warning.to_string());
            }
            Ok(storage)
        }
        Err(OpenError::Locked { .. }) => bail!(
            "another streamgauge is using the data directory {}: give its --endpoint instead",
            directory.display()
        ),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot open {}", directory.display()))),
    }
}

/// An open queue.
pub enum Queue {
    /// Of a data directory.
    Directory(EmbeddedStorage),
    /// Of a running pipeline.
    Endpoint(Http),
    /// On AWS.
    Aws(Box<OnAws>),
}

impl Queue {
    /// Frees the data directory, or gives back the messages that are held.
    pub async fn close(&self) {
        match self {
            Queue::Directory(storage) => storage.close().await,
            Queue::Endpoint(_) => {}
            Queue::Aws(on_aws) => on_aws.close().await,
        }
    }

    /// Deletes what a command that was ended has left of letters that went.
    pub async fn delete_leftovers(&self) -> Result<()> {
        match self {
            Queue::Aws(on_aws) => on_aws.delete_leftovers().await,
            Queue::Directory(_) | Queue::Endpoint(_) => Ok(()),
        }
    }

    /// Whether it holds what others cannot see meanwhile.
    pub fn holds(&self) -> bool {
        matches!(self, Queue::Aws(_))
    }

    /// Says what is missing for sending.
    pub fn check_sending(&self) -> Result<()> {
        match self {
            Queue::Aws(on_aws) => on_aws.check_sending(),
            Queue::Directory(_) | Queue::Endpoint(_) => Ok(()),
        }
    }

    /// How many letters match, by looking at each.
    pub async fn count(&self, filter: &Filter) -> Result<u64, QueueError> {
        let mut letters = 0;
        let request = PageRequest { filter: filter.clone(), limit: PAGE, ..PageRequest::default() };
        let look = |page: Vec<Letter>| -> Result<(), QueueError> {
            letters += page.len() as u64;
            Ok(())
        };
        every_page(self, request, look).await?;
        Ok(letters)
    }

    /// About how many letters there are, where that is known without looking at each.
    pub fn about(&self) -> Option<u64> {
        match self {
            Queue::Aws(on_aws) => Some(on_aws.about()),
            Queue::Directory(_) | Queue::Endpoint(_) => None,
        }
    }
}

impl DeadLetters for Queue {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        match self {
            Queue::Directory(storage) => storage.dead_letters().page(request).await,
            Queue::Endpoint(http) => http.page(request).await,
            Queue::Aws(on_aws) => on_aws.page(request).await,
        }
    }

    async fn release(&self, receipts: Vec<String>) -> Result<(), QueueError> {
        match self {
            Queue::Directory(storage) => storage.dead_letters().release(receipts).await,
            Queue::Endpoint(http) => http.release(receipts).await,
            Queue::Aws(on_aws) => on_aws.release(receipts).await,
        }
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        match self {
            Queue::Directory(storage) => storage.dead_letters().delete(receipts).await,
            Queue::Endpoint(http) => http.delete(receipts).await,
            Queue::Aws(on_aws) => on_aws.delete(receipts).await,
        }
    }
}

impl Redriver for Queue {
    async fn redrive(&self, letters: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        match self {
            Queue::Directory(storage) => {
                let (queue, stream) = (&storage.dead_letters(), &storage.stream());
                StreamRedriver { queue, stream }.redrive(letters).await
            }
            Queue::Endpoint(http) => http.redrive(letters).await,
            Queue::Aws(on_aws) => on_aws.redrive(letters).await,
        }
    }
}

impl FailedRecords for Queue {
    async fn fetch(&self, failure: &LambdaFailure) -> Result<FetchedRecords, QueueError> {
        match self {
            Queue::Directory(_) | Queue::Endpoint(_) => PayloadOnly.fetch(failure).await,
            Queue::Aws(on_aws) => on_aws.fetch(failure).await,
        }
    }
}
