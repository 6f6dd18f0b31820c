//! DynamoDB, SQS, S3 and Firehose against ministack, at the endpoint in `STREAMGAUGE_MINISTACK_ENDPOINT`: `.ci/ministack-tests`
//! starts it, runs these tests and ends it. Each test has a table, queue and bucket of its own.

mod archive;
mod curated_delivery;
mod curated_faults;
mod dead_letters;
mod faults;
mod messages;
mod statistics;

use aws::aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_config::SdkConfig;

/// The configuration of every client here.
async fn config() -> SdkConfig {
    let endpoint = std::env::var("STREAMGAUGE_MINISTACK_ENDPOINT")
        .expect("STREAMGAUGE_MINISTACK_ENDPOINT is not set: run .ci/ministack-tests");
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .load()
        .await
}

/// A name that no other test has.
fn unique_name(kind: &str) -> String {
    format!("{kind}-{:016x}", rand::random::<u64>())
}
