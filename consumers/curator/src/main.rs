//! The Lambda: batches of the table's change stream in, batch responses out.

mod context;
mod metrics;

use aws::FirehoseCuratedDelivery;
use context::Context;
use curator::Curator;
use curator::lambda::{ChangeBatch, batch_response};
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
        let ChangeBatch(changes) = event.payload;
        let received = metrics::Received::new(&changes, SystemClock.now());
        let result = curator.handle(changes).await;
        let function = &event.context.env_config.function_name;
        println!("{}", received.document(&result.report, SystemClock.now(), &context.metrics_namespace, function));
        Ok::<_, Error>(batch_response(result.failed))
    });
    Runtime::new(handle).layer(TracingLayer::new()).run().await
}
