//! Wires the mapping to Kinesis, Lambda and S3, and runs it.

use super::Args;
use super::checkpoint_file::{CheckpointFile, StreamIdentity};
use super::invoked_function::{InvokedFunction, why};
use super::on_failure_bucket::OnFailureBucket;
use crate::signals::Signals;
use anyhow::{Context as _, Result, anyhow};
use aws::{KinesisEventStream, S3Archive, aws_sdk_kinesis, aws_sdk_s3, check_sdk_config, load_sdk_config};
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use event_source_mapping::{EventSource, EventSourceMapping, MappingConfig, Metrics, MetricsSnapshot};
use ports::SystemClock;
use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How much longer than the function may take an answer is awaited.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

/// What a run came to.
#[derive(serde::Serialize)]
pub struct Summary {
    #[serde(flatten)]
    counters: MetricsSnapshot,
    /// Answers that named records which failed.
    partial_answers: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MetricsSnapshot { invocations, function_errors, records_invoked, records_discarded, .. } = self.counters;
        let partial = self.partial_answers;
        write!(
            f,
            "{records_invoked} records in {invocations} invocations: {function_errors} failed, {partial} in part; \
             {records_discarded} records given up"
        )
    }
}

/// Runs the mapping until Ctrl-C, SIGTERM or SIGHUP, which lets what is in flight come to its end; a second one does not.
pub fn until_a_signal(args: &Args) -> Result<Summary> {
    let filter = crate::up::logging::filter("info")?;
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let stopped = CancellationToken::new();
        tokio::spawn(stop_at_a_signal(Signals::new()?, stopped.clone()));
        let metrics = Arc::new(Metrics::default());
        let partial_answers = Arc::new(AtomicU64::new(0));
        let mapping = mapping(args, metrics.clone(), partial_answers.clone()).await?;
        event_source_mapping::run(mapping, stopped.cancelled_owned()).await?;
        Ok(Summary { counters: metrics.snapshot(), partial_answers: partial_answers.load(Relaxed) })
    })
}

async fn stop_at_a_signal(mut signals: Signals, stopped: CancellationToken) {
    signals.first().await;
    stopped.cancel();
    signals.second().await;
    std::process::exit(1);
}

type Mapping = EventSourceMapping<KinesisEventStream, CheckpointFile, InvokedFunction, OnFailureBucket, SystemClock>;

async fn mapping(args: &Args, metrics: Arc<Metrics>, partial_answers: Arc<AtomicU64>) -> Result<Mapping> {
    let sdk = load_sdk_config().await;
    check_sdk_config(&sdk).await?;
    let kinesis = aws_sdk_kinesis::Client::new(&sdk);
    let stream = stream_identity(&kinesis, &args.kinesis).await?;
    let (source, function_timeout) = function_settings(&aws_sdk_lambda::Client::new(&sdk), args, &stream).await?;
    let mut config = MappingConfig::new(source);
    config.batch_size = usize::from(args.batch_size);
    config.parallelization_factor = usize::from(args.parallelization_factor);
    config.bisect_batch_on_function_error = args.bisect_batch_on_function_error;
    config.maximum_retry_attempts = args.maximum_retry_attempts;
    config.function_timeout = function_timeout + ANSWER_MARGIN;
    // The mapping tries again by itself, and would not know of an attempt that the SDK made in its place.
    let invoking = aws_sdk_lambda::config::Builder::from(&sdk)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(2)).build())
        .build();
    let bucket = args.on_failure.as_ref().map(|name| S3Archive::new(aws_sdk_s3::Client::new(&sdk), name));
    Ok(EventSourceMapping {
        stream: Arc::new(KinesisEventStream::new(kinesis, &args.kinesis)),
        checkpoints: Arc::new(CheckpointFile::open(&args.checkpoints, stream)?),
        function: Arc::new(InvokedFunction {
            client: aws_sdk_lambda::Client::from_conf(invoking),
            name: args.function.clone(),
            source: config.source.clone(),
            partial_answers,
        }),
        on_failure: Arc::new(OnFailureBucket(bucket)),
        clock: Arc::new(SystemClock),
        config,
        metrics,
    })
}

async fn stream_identity(kinesis: &aws_sdk_kinesis::Client, name: &str) -> Result<StreamIdentity> {
    let answer = kinesis.describe_stream_summary().stream_name(name).send().await;
    let answer = answer.map_err(|error| anyhow!("--kinesis {name}: {}", why(&error)))?;
    let summary = answer.stream_description_summary.context("--kinesis: the answer describes no stream")?;
    let created_at_ms = summary.stream_creation_timestamp.to_millis().context("--kinesis: no time of creation")?;
    Ok(StreamIdentity { arn: summary.stream_arn, created_at_ms })
}

/// What events say of the function, and how long it may take.
async fn function_settings(
    lambda: &aws_sdk_lambda::Client,
    args: &Args,
    stream: &StreamIdentity,
) -> Result<(EventSource, Duration)> {
    let name = &args.function;
    let answer = lambda.get_function_configuration().function_name(name).send().await;
    let function = answer.map_err(|error| anyhow!("--function {name}: {}", why(&error)))?;
    let source = EventSource {
        stream_arn: stream.arn.clone(),
        function_arn: function.function_arn.unwrap_or_default(),
        invoke_identity_arn: function.role.unwrap_or_default(),
        aws_region: stream.arn.split(':').nth(3).unwrap_or_default().to_owned(),
        ..EventSource::on_one_machine("", "")
    };
    // Lambda's own default, where nothing is said.
    let seconds = function.timeout.unwrap_or(3).clamp(1, 895);
    Ok((source, Duration::from_secs(seconds as u64)))
}
