//! Where the dead letters are: in a data directory, or behind an endpoint.

use super::http::Http;
use super::on_disk::OnDisk;
use crate::endpoint::EndpointArgs;
use anyhow::{Result, bail};
use embedded::{EmbeddedStorage, OpenError, Options};
use redrive::{DeadLetters, Outgoing, Page, PageRequest, QueueError, RedriveError, Redriver, StreamRedriver};
use std::path::{Path, PathBuf};

/// The queue: that of a running pipeline or, with --data-dir alone, that of a data directory which nobody uses
#[derive(clap::Args)]
pub struct QueueArgs {
    /// The address of a running pipeline; without it and without --data-dir, http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The API key; without it, the one that `up` keeps in its data directory
    #[arg(long, value_name = "KEY", env = "STREAMGAUGE_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The data directory to work on while no `up` does; with --endpoint, where its key is
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl QueueArgs {
    /// Opens it. An endpoint is not asked anything yet.
    pub fn open(&self) -> Result<Queue> {
        match (&self.endpoint, &self.data_dir) {
            (None, Some(directory)) => open_directory(directory),
            _ => {
                let endpoint = EndpointArgs::new(self.endpoint.clone(), self.api_key.clone(), self.data_dir.clone());
                Ok(Queue::Endpoint(Http(endpoint.client()?)))
            }
        }
    }
}

fn open_directory(directory: &Path) -> Result<Queue> {
    if !directory.join("statistics.redb").is_file() {
        bail!("{} is no data directory of streamgauge", directory.display());
    }
    match EmbeddedStorage::open(directory, Options::default()) {
        Ok(storage) => Ok(Queue::Directory(storage)),
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
}

impl Queue {
    /// Frees the data directory.
    pub async fn close(&self) {
        if let Queue::Directory(storage) = self {
            storage.close().await;
        }
    }
}

impl DeadLetters for Queue {
    async fn page(&self, request: &PageRequest) -> Result<Page, QueueError> {
        match self {
            Queue::Directory(storage) => OnDisk(storage.dead_letters()).page(request).await,
            Queue::Endpoint(http) => http.page(request).await,
        }
    }

    async fn release(&self, receipts: Vec<String>) -> Result<(), QueueError> {
        match self {
            Queue::Directory(storage) => OnDisk(storage.dead_letters()).release(receipts).await,
            Queue::Endpoint(http) => http.release(receipts).await,
        }
    }

    async fn delete(&self, receipts: Vec<String>) -> Result<u64, QueueError> {
        match self {
            Queue::Directory(storage) => OnDisk(storage.dead_letters()).delete(receipts).await,
            Queue::Endpoint(http) => http.delete(receipts).await,
        }
    }
}

impl Redriver for Queue {
    async fn redrive(&self, letters: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        match self {
            Queue::Directory(storage) => {
                let redriver = StreamRedriver { queue: OnDisk(storage.dead_letters()), stream: storage.stream() };
                redriver.redrive(letters).await
            }
            Queue::Endpoint(http) => http.redrive(letters).await,
        }
    }
}
