//! Readings straight into a Kinesis stream.

use anyhow::{Context as _, Result};
use aws::aws_sdk_kinesis::Client;
use aws::aws_sdk_kinesis::config::Builder;
use aws::aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws::{KinesisEventStream, check_sdk_config, load_sdk_config, put_denial};
use ports::{EventStream as _, PutError, StreamEntry};
use producer::{PutFailure, PutRecords, Record};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A Kinesis stream, as a sender sees it.
pub struct KinesisStream {
    runtime: Runtime,
    stream: KinesisEventStream,
    name: String,
}

impl KinesisStream {
    /// The stream of this name, with region, credentials and endpoint as every AWS tool finds them; one attempt at a
    /// call takes at most `timeout`.
    pub fn open(name: &str, timeout: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let config = runtime.block_on(async {
            let config = load_sdk_config().await;
            check_sdk_config(&config).await.map(|()| config)
        })?;
        let timeouts = match config.timeout_config() {
            Some(timeouts) => timeouts.to_builder(),
            None => TimeoutConfig::builder(),
        };
        let timeouts = timeouts.operation_attempt_timeout(timeout).build();
        let client = Client::from_conf(Builder::from(&config).timeout_config(timeouts).build());
        // The sender itself puts again what was not stored, counts it, and stops when it is told to.
        let stream = KinesisEventStream::new(client, name).with_put_attempts_max(1);
        Ok(KinesisStream { runtime, stream, name: name.to_owned() })
    }

    fn failure(&self, error: &PutError) -> PutFailure {
        let name = &self.name;
        if let Some(denial) = put_denial(error) {
            return PutFailure::NothingTaken(format!("cannot put into the stream `{name}`: {denial}"));
        }
        match error {
            PutError::Throttled => PutFailure::Throttled,
            PutError::Refused(rule) => PutFailure::Refused(rule.clone()),
            PutError::Unavailable(source) => {
                PutFailure::Passing(format!("no answer from the stream `{name}`: {}", chain(source.as_ref())))
            }
        }
    }
}

impl PutRecords for KinesisStream {
    fn put_records(&self, records: &[&Record]) -> Vec<Result<(), PutFailure>> {
        let entries = records.iter().map(|record| StreamEntry::new(record.partition_key.clone(), record.data.clone()));
        let outcomes = self.runtime.block_on(self.stream.put_records(entries.collect()));
        outcomes.into_iter().map(|outcome| outcome.map(drop).map_err(|error| self.failure(&error))).collect()
    }
}

/// An error with its causes on one line: the SDK's own messages say little without them.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut messages: Vec<String> = causes.map(ToString::to_string).collect();
    messages.dedup();
    messages.join(": ")
}
