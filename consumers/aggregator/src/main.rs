//! The Lambda: batches of stream records in, batch responses out.

mod context;
mod metrics;

use aggregator::Aggregator;
use aggregator::lambda::{RecordBatch, response};
use aws::{DynamoDbStatisticsStore, S3Archive, SqsDeadLetterQueue};
use context::Context;
use lambda_runtime::{Error, LambdaEvent, Runtime, layers::TracingLayer, service_fn};
use ports::{Clock as _, SystemClock};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    lambda::run(&["aggregator", "aws", "statistics", "telemetry"], Context::from_environment(), serve).await
}

async fn serve(context: Context) -> Result<(), Error> {
    let config = aws::load_sdk_config().await;
    let archive = S3Archive::new(aws::aws_sdk_s3::Client::new(&config), &context.archive_bucket);
    let dead_letters =
        SqsDeadLetterQueue::new(aws::aws_sdk_sqs::Client::new(&config), &context.dead_letter_queue_url, archive)
            .with_message_bytes_max(context.dead_letter_bytes_max);
    let store = DynamoDbStatisticsStore::new(aws::aws_sdk_dynamodb::Client::new(&config), &context.statistics_table);
    let aggregator = Aggregator::new(store.clone(), dead_letters, SystemClock, context.settings);

    let handle = service_fn(async |event: LambdaEvent<RecordBatch>| {
        let RecordBatch(records) = event.payload;
        let received = metrics::Received::new(&records, SystemClock.now());
        // One environment handles one batch at a time, so what is consumed meanwhile is this batch's.
        let consumed_before = store.consumed_write_units();
        let result = aggregator.handle(&records).await;
        let write_units = store.consumed_write_units() - consumed_before;
        let batch = received.done(&result.report, write_units, SystemClock.now());
        println!("{}", batch.document(&context.metrics_namespace, &event.context.env_config.function_name));
        Ok::<_, Error>(response(&result.failed))
    });
    Runtime::new(handle).layer(TracingLayer::new()).run().await
}
