//! What a build without feature `aws` says.

use anyhow::{Result, bail};
use redrive::{
    DeadLetters, FailedRecords, FetchedRecords, LambdaFailure, Outgoing, Page, PageRequest, QueueError, RedriveError,
    Redriver,
};
use std::convert::Infallible;

/// Never there.
pub struct OnAws(Infallible);

impl OnAws {
    pub async fn open(_: String, _: Option<String>, _: Option<String>) -> Result<Self> {
        bail!(
            "this streamgauge was built without AWS; one that has --queue-url: \
             `cargo build --release --features aws`, or `cargo run --release --features aws -- dlq …`"
        )
    }

    pub async fn close(&self) {
        match self.0 {}
    }

    pub async fn delete_leftovers(&self) -> Result<()> {
        match self.0 {}
    }

    pub fn check_sending(&self) -> Result<()> {
        match self.0 {}
    }

    pub fn about(&self) -> u64 {
        match self.0 {}
    }
}

impl DeadLetters for OnAws {
    async fn page(&self, _: &PageRequest) -> Result<Page, QueueError> {
        match self.0 {}
    }

    async fn release(&self, _: Vec<String>) -> Result<(), QueueError> {
        match self.0 {}
    }

    async fn delete(&self, _: Vec<String>) -> Result<u64, QueueError> {
        match self.0 {}
    }
}

impl Redriver for OnAws {
    async fn redrive(&self, _: Vec<Outgoing>) -> Vec<Result<(), RedriveError>> {
        match self.0 {}
    }
}

impl FailedRecords for OnAws {
    async fn fetch(&self, _: &LambdaFailure) -> Result<FetchedRecords, QueueError> {
        match self.0 {}
    }
}
