//! The Lambda: Kinesis batches in, batch responses out.

mod context;
mod log;
mod metrics;

use aggregator::{Aggregator, KinesisBatch};
use aws::{DynamoDbStatisticsStore, S3Archive, SqsDeadLetterQueue};
use context::Context;
use lambda_runtime::{Error, LambdaEvent, Runtime, layers::TracingLayer, service_fn};
use ports::{Clock as _, SystemClock};
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Error> {
    log::start();
    let context = Context::from_environment().inspect_err(|error| tracing::error!(%error, "cannot start"))?;
    let config = aws::load_sdk_config().await;
    let archive = S3Archive::new(aws::aws_sdk_s3::Client::new(&config), &context.archive_bucket);
    let dead_letters =
        SqsDeadLetterQueue::new(aws::aws_sdk_sqs::Client::new(&config), &context.dead_letter_queue_url, archive)
            .with_message_bytes_max(context.dead_letter_bytes_max);
    let store = DynamoDbStatisticsStore::new(aws::aws_sdk_dynamodb::Client::new(&config), &context.statistics_table);
    let aggregator = Aggregator::new(store, dead_letters, SystemClock, context.settings);

    let handle = service_fn(async |event: LambdaEvent<KinesisBatch>| {
        let started = Instant::now();
        let handled = aggregator.handle(&event.payload.0).await;
        let batch = metrics::Batch::of(&event.payload.0, &handled.report, started.elapsed(), SystemClock.now());
        println!("{}", batch.document(&context.metrics_namespace, &event.context.env_config.function_name));
        Ok::<_, Error>(handled.response)
    });
    // Between batches nothing is held that a shutdown could lose, and a batch that is cut off comes again.
    let mut shutdown = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = Runtime::new(handle).layer(TracingLayer::new()).run() => ended,
        _ = shutdown.recv() => Ok(()),
    }
}
