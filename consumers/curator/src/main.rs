//! The Lambda: batches of the table's change stream in, batch responses out.

mod context;
mod metrics;

use aws::FirehoseCuratedDelivery;
use context::Context;
use curator::{ChangeBatch, Curator};
use lambda_runtime::{Error, LambdaEvent, Runtime, layers::TracingLayer, service_fn};
use ports::{Clock as _, SystemClock};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    lambda::run(&["aws", "curator", "telemetry"], Context::from_environment(), serve).await
}

async fn serve(context: Context) -> Result<(), Error> {
    let config = aws::load_sdk_config().await;
    let firehose = aws::aws_sdk_firehose::Client::new(&config);
    let curator = Curator::new(FirehoseCuratedDelivery::new(firehose, &context.curated_delivery_stream));

    let handle = service_fn(async |event: LambdaEvent<ChangeBatch>| {
        let received = metrics::Received::new(&event.payload, SystemClock.now());
        let handled = curator.handle(event.payload).await;
        let function = &event.context.env_config.function_name;
        println!("{}", received.document(&handled.report, SystemClock.now(), &context.metrics_namespace, function));
        Ok::<_, Error>(handled.response)
    });
    Runtime::new(handle).layer(TracingLayer::new()).run().await
}
