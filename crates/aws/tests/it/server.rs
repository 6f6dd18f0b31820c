//! A Kinesis in this process, in memory.

use aws::aws_sdk_kinesis::Client;
use aws::aws_sdk_kinesis::config::retry::RetryConfig;
use aws::aws_sdk_kinesis::config::{BehaviorVersion, Config, Credentials, Region};
use aws::aws_sdk_kinesis::types::StreamStatus;
use ferrokinesis::store::StoreOptions;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The one stream.
pub const STREAM: &str = "readings";

/// Ends the server with the test.
pub struct Server {
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A stream of two shards.
pub async fn kinesis(options: StoreOptions) -> (Client, Server) {
    let options = StoreOptions { create_stream_ms: 0, delete_stream_ms: 0, update_stream_ms: 0, ..options };
    let (app, _store) = ferrokinesis::create_app(options);
    // A call of five megabytes is seven in base64.
    let app = app.layer(axum::extract::DefaultBodyLimit::max(16 * 1024 * 1024));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves until it is ended") });
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::standard())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .build();
    let client = Client::from_conf(config);
    client.create_stream().stream_name(STREAM).shard_count(2).send().await.expect("a stream");
    active(&client).await;
    (client, Server { task })
}

/// Waits until the stream is no longer being changed.
pub async fn active(client: &Client) {
    let wait = async {
        loop {
            let answer = client.describe_stream_summary().stream_name(STREAM).send().await.expect("the stream");
            let summary = answer.stream_description_summary.expect("a summary");
            if summary.stream_status == StreamStatus::Active {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("an active stream");
}
