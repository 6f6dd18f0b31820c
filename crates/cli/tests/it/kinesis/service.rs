//! A Kinesis in this process, and the command that puts into it.

use aggregator::{Aggregator, Settings};
use aws::KinesisEventStream;
use aws::aws_sdk_kinesis::Client;
use aws::aws_sdk_kinesis::config::retry::RetryConfig;
use aws::aws_sdk_kinesis::config::{BehaviorVersion, Config, Credentials, Region};
use aws::aws_sdk_kinesis::types::StreamStatus;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use embedded::EmbeddedStorage;
use ferrokinesis::store::StoreOptions;
use ports::{
    EventStream as _, Position, ShardId, StatisticsAttributes, StatisticsStore as _, StreamEntry, StreamRecord,
    SystemClock,
};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use telemetry::DeviceId;
use tokio::runtime::Runtime;

pub const STREAM: &str = "readings";

/// What becomes of a call of PutRecords before or after Kinesis sees it.
#[derive(Debug, Clone)]
pub enum Fault {
    None,
    /// Kinesis stores it, and the answer is lost: a gateway's 500 comes instead.
    StoredAndLost,
    /// Kinesis never sees it; the answer is this status and error.
    Answer(StatusCode, &'static str, &'static str),
}

/// A Kinesis in memory with one stream; ends with the test.
pub struct Service {
    runtime: Runtime,
    client: Client,
    endpoint: String,
}

impl Service {
    pub fn start(shards: i32) -> Self {
        Service::start_with(shards, StoreOptions::default(), |_| Fault::None)
    }

    /// `fault` says of each call of PutRecords, numbered from 0, what becomes of it.
    pub fn start_with(
        shards: i32,
        options: StoreOptions,
        fault: impl Fn(usize) -> Fault + Clone + Send + Sync + 'static,
    ) -> Self {
        let options =
            StoreOptions { create_stream_ms: 0, delete_stream_ms: 0, update_stream_ms: 0, shard_limit: 100, ..options };
        let runtime = Runtime::new().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let (app, _store) = ferrokinesis::create_app(options);
        let app: Router =
            app.layer(DefaultBodyLimit::max(16 * 1024 * 1024)).layer(from_fn(move |request: Request, next: Next| {
                let (count, fault) = (count.clone(), fault.clone());
                async move { answer(request, next, &count, fault).await }
            }));
        let endpoint = serve(&runtime, app);
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::standard())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(&endpoint)
            .build();
        let service = Service { runtime, client: Client::from_conf(config), endpoint };
        service.runtime.block_on(async {
            service.client.create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
            service.active().await;
        });
        service
    }

    async fn active(&self) {
        for _ in 0..6_000 {
            let answer = self.client.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
            if answer.stream_description_summary.unwrap().stream_status == StreamStatus::Active {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the stream never became active");
    }

    /// Splits a shard of a stream of two in the middle.
    pub fn split(&self, shard: &str) {
        let first = shard.ends_with('0');
        let middle = if first { u128::MAX / 4 } else { u128::MAX / 4 * 3 };
        self.runtime.block_on(async {
            let split = self.client.split_shard().stream_name(STREAM).shard_to_split(shard);
            split.new_starting_hash_key(middle.to_string()).send().await.unwrap();
            self.active().await;
        });
    }

    /// `streamgauge send --kinesis readings` with these arguments, and nothing of this machine's own AWS settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sender(&self.endpoint);
        command.args(["--kinesis", STREAM]).args(arguments);
        command
    }

    /// Serves something else beside Kinesis: its address.
    pub fn serve(&self, router: Router) -> String {
        serve(&self.runtime, router)
    }

    /// Puts a record under each of these partition keys, in order.
    pub fn put(&self, partition_keys: &[&str]) {
        let stream = KinesisEventStream::new(self.client.clone(), STREAM);
        for key in partition_keys {
            let entry = StreamEntry::new((*key).to_owned(), b"{}".to_vec());
            self.runtime.block_on(stream.put_records(vec![entry])).remove(0).unwrap();
        }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn send(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Sends, and asserts that all was accepted; the summary.
    pub fn send_all(&self, arguments: &[&str]) -> Value {
        let output = self.send(&[arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Every record, shard by shard, parents before children.
    pub fn records(&self) -> Vec<(ShardId, StreamRecord)> {
        self.runtime.block_on(async {
            let stream = KinesisEventStream::new(self.client.clone(), STREAM);
            let mut records = Vec::new();
            for shard in stream.list_shards().await.unwrap() {
                let mut position = Some(Position::TrimHorizon);
                while let Some(at) = position {
                    let page = stream.get_records(&shard.id, at, 10_000).await.unwrap();
                    let last = page.records.is_empty() && page.behind_latest.is_zero();
                    position = page.next.filter(|_| !last);
                    records.extend(page.records.into_iter().map(|record| (shard.id.clone(), record)));
                }
            }
            records
        })
    }

    /// What the aggregator makes of all that is in the stream, shard by shard, for each of these devices.
    pub fn count(&self, data_dir: &Path, devices: &[&str]) -> Vec<Option<StatisticsAttributes>> {
        let storage = EmbeddedStorage::open(data_dir, embedded::Options::default()).unwrap();
        let aggregator =
            Aggregator::new(storage.statistics(), storage.dead_letters(), SystemClock, Settings::default());
        let records = self.records();
        self.runtime.block_on(async {
            for batch in records.chunk_by(|a, b| a.0 == b.0) {
                let records: Vec<_> = batch.iter().map(|(_, record)| record.clone()).collect();
                let handled = aggregator.handle(&records).await;
                assert!(handled.failed.is_empty());
            }
            let mut statistics = Vec::new();
            for device in devices {
                let device = DeviceId::parse(*device).unwrap();
                let item = storage.statistics().read_device(&device).await.unwrap();
                statistics.push(item.map(|item| item.attributes));
            }
            statistics
        })
    }
}

/// `streamgauge send` towards an endpoint of AWS, with credentials.
pub fn sender(endpoint: &str) -> Command {
    let mut command = command(endpoint);
    command.arg("send");
    command
}

/// `streamgauge` towards an endpoint of AWS, with credentials.
pub fn command(endpoint: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_ENDPOINT_URL", endpoint)
        .stdin(Stdio::null());
    command
}

fn serve(runtime: &Runtime, router: Router) -> String {
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    endpoint
}

async fn answer(request: Request, next: Next, count: &AtomicUsize, fault: impl Fn(usize) -> Fault) -> Response {
    let is_put = request.headers().get("x-amz-target").is_some_and(|target| target == "Kinesis_20131202.PutRecords");
    let fault = if is_put { fault(count.fetch_add(1, Ordering::SeqCst)) } else { Fault::None };
    match fault {
        Fault::None => next.run(request).await,
        Fault::StoredAndLost => {
            next.run(request).await;
            error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "the answer was lost")
        }
        Fault::Answer(status, code, message) => error(status, code, message),
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    let body = serde_json::json!({ "__type": code, "message": message }).to_string();
    (status, [("content-type", "application/x-amz-json-1.1")], Body::from(body)).into_response()
}
