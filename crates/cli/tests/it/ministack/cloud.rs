//! A stack on AWS without its front door: stream, table, queue and bucket, and the aggregator in this process.

use crate::support::runbook::Shell;
use crate::support::week::{Place, reading};
use aggregator::{Aggregator, Settings};
use aws::aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use aws::aws_sdk_kinesis::types::StreamStatus;
use aws::{DynamoDbStatisticsStore, KinesisEventStream, S3Archive, SqsDeadLetterQueue};
use aws::{aws_sdk_dynamodb, aws_sdk_kinesis, aws_sdk_s3, aws_sdk_sqs};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ports::{
    DeadLetter, DeadLetterOrigin, DeadLetterQueue as _, DeviceWrite, EventStream as _, Position, ShardId,
    StatisticsItem, StatisticsStore as _, StreamRecord, SystemClock,
};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};
use tokio::runtime::Runtime;

const REGION: &str = "us-east-1";

/// The configuration of a client of ministack.
macro_rules! client {
    ($sdk:ident) => {{
        use $sdk::config::{BehaviorVersion, Config, Credentials, Region};
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(endpoint())
            .build();
        $sdk::Client::from_conf(config)
    }};
}

fn endpoint() -> String {
    std::env::var("STREAMGAUGE_MINISTACK_ENDPOINT")
        .expect("STREAMGAUGE_MINISTACK_ENDPOINT is not set: run .ci/ministack-tests")
}

pub struct Cloud {
    pub runtime: Arc<Runtime>,
    pub kinesis: aws_sdk_kinesis::Client,
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub name: String,
    pub queue_url: String,
    table: DynamoDbStatisticsStore,
    /// Kept, because it keeps its iterators: ministack compares sequence numbers as texts, leading zeros and all.
    stream: KinesisEventStream,
    positions: HashMap<ShardId, Position>,
    /// Records that Lambda has given up.
    given_up: HashSet<String>,
    good: HashMap<String, StatisticsItem>,
    late: u32,
}

impl Cloud {
    pub fn start() -> Self {
        let runtime = Arc::new(Runtime::new().unwrap());
        let (kinesis, s3, sqs) = (client!(aws_sdk_kinesis), client!(aws_sdk_s3), client!(aws_sdk_sqs));
        let dynamodb = client!(aws_sdk_dynamodb);
        let name = format!("redrive-{:016x}", rand::random::<u64>());
        let queue_url = runtime.block_on(async {
            kinesis.create_stream().stream_name(&name).shard_count(2).send().await.unwrap();
            s3.create_bucket().bucket(&name).send().await.unwrap();
            create_table(&dynamodb, &name).await;
            loop {
                let answer = kinesis.describe_stream_summary().stream_name(&name).send().await.unwrap();
                if answer.stream_description_summary.unwrap().stream_status == StreamStatus::Active {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            sqs.create_queue().queue_name(&name).send().await.unwrap().queue_url.unwrap()
        });
        let table = DynamoDbStatisticsStore::new(dynamodb, &name);
        let stream = KinesisEventStream::new(kinesis.clone(), &name);
        let (positions, given_up, good) = (HashMap::new(), HashSet::new(), HashMap::new());
        Cloud { runtime, kinesis, s3, sqs, name, queue_url, table, stream, positions, given_up, good, late: 0 }
    }

    /// The environment of an operator of this stack, and nothing of this machine's own AWS settings.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = endpoint();
        let environment = [
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("STREAMGAUGE_QUEUE_URL", &self.queue_url),
            ("STREAMGAUGE_STREAM", &self.name),
            ("STREAMGAUGE_ARCHIVE_BUCKET", &self.name),
        ];
        environment.map(|(name, value): (_, &str)| (name, value.to_owned())).to_vec()
    }

    /// A shell in that environment.
    pub fn shell(&self) -> Shell {
        let environment = self.environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Shell::new(&environment, "")
    }

    fn archive(&self) -> S3Archive {
        S3Archive::new(self.s3.clone(), &self.name)
    }

    pub fn dead_letters(&self) -> SqsDeadLetterQueue<S3Archive> {
        SqsDeadLetterQueue::new(self.sqs.clone(), &self.queue_url, self.archive())
    }

    pub fn stream_arn(&self) -> String {
        format!("arn:aws:kinesis:{REGION}:000000000000:stream/{}", self.name)
    }

    pub fn message(&self, body: &str) {
        let send = self.sqs.send_message().queue_url(&self.queue_url).message_body(body);
        self.runtime.block_on(send.send()).unwrap();
    }

    pub fn object(&self, key: &str, bytes: Vec<u8>) {
        let put = self.s3.put_object().bucket(&self.name).key(key).body(bytes.into());
        self.runtime.block_on(put.send()).unwrap();
    }

    /// Every record that was not read before.
    async fn new_records(&mut self) -> Vec<(ShardId, StreamRecord)> {
        let stream = self.stream.clone();
        let mut records = Vec::new();
        for shard in stream.list_shards().await.unwrap() {
            let mut position = self.positions.get(&shard.id).copied().unwrap_or(Position::TrimHorizon);
            loop {
                let page = stream.get_records(&shard.id, position, 10_000).await.unwrap();
                let is_last = page.records.is_empty() && page.behind_latest.is_zero();
                position = page.next.unwrap();
                records.extend(page.records.into_iter().map(|record| (shard.id.clone(), record)));
                if is_last {
                    break;
                }
            }
            self.positions.insert(shard.id, position);
        }
        records
    }

    /// Puts records that Lambda will have given up: nobody counts them. Where they stand, in their order.
    pub fn put_given_up(&mut self, bodies: &[String]) -> Vec<(ShardId, StreamRecord)> {
        self.settle();
        bodies.iter().for_each(|body| self.put("lambda", body.as_bytes()));
        let records = self.runtime.clone().block_on(self.new_records());
        assert_eq!(records.len(), bodies.len());
        self.given_up.extend(records.iter().map(|(_, record)| record.sequence_number.to_string()));
        records
    }

    async fn count(&self, records: &[(ShardId, StreamRecord)]) {
        let aggregator = Aggregator::new(self.table.clone(), self.dead_letters(), SystemClock, Settings::default());
        for batch in records.chunk_by(|a, b| a.0 == b.0) {
            let records = batch.iter().map(|(_, record)| record.clone());
            let counted = |record: &StreamRecord| !self.given_up.contains(&record.sequence_number.to_string());
            let records: Vec<_> = records.filter(counted).collect();
            let handled = aggregator.handle(&records).await;
            assert!(handled.failed.is_empty());
        }
    }

    fn item(&self, device: &str) -> StatisticsItem {
        let device_id = DeviceId::parse(device).unwrap();
        self.runtime.block_on(self.table.read_device(&device_id)).unwrap().expect("the device has statistics")
    }

    fn replace(&self, device: &str, before: &StatisticsItem, item: StatisticsItem) {
        let item = StatisticsItem { revision: before.revision + 1, ..item };
        let device_id = DeviceId::parse(device).unwrap();
        let write = DeviceWrite { device_id, expected_revision: Some(before.revision), item, pages: Vec::new() };
        self.runtime.block_on(self.table.write(write)).unwrap();
    }

    /// What Lambda says of records of one shard that it gave up.
    pub fn metadata(&self, records: &[(ShardId, StreamRecord)]) -> Value {
        let (shard, first) = records.first().unwrap();
        let (_, last) = records.last().unwrap();
        json!({
            "requestContext": {"requestId": "c9b8fa9f", "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
                "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 4},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0", "timestamp": Timestamp::from_millisecond(last.arrived_at.as_millisecond()).unwrap().to_string(),
            "KinesisBatchInfo": {"shardId": shard.0, "startSequenceNumber": first.sequence_number.to_string(),
                "endSequenceNumber": last.sequence_number.to_string(),
                "approximateArrivalOfFirstRecord": first.arrived_at.to_string(),
                "approximateArrivalOfLastRecord": last.arrived_at.to_string(),
                "batchSize": records.len(), "streamArn": self.stream_arn()}
        })
    }

    /// The object that Lambda writes of them, and S3's message of it.
    pub fn failure_object(&self, records: &[(ShardId, StreamRecord)]) {
        let event: Vec<Value> = records
            .iter()
            .map(|(_, record)| {
                json!({"kinesis": {"partitionKey": record.partition_key, "data": STANDARD.encode(&record.data),
                    "sequenceNumber": record.sequence_number.to_string()}, "eventSource": "aws:kinesis"})
            })
            .collect();
        let mut whole = self.metadata(records);
        whole["payload"] = json!({ "Records": event }).to_string().into();
        let shard = &records[0].0;
        let key = format!("aws/lambda/7b1d0c5e-mapping/{shard}/2026/01/31/2026-01-31T12.00.00-a b");
        self.object(&key, whole.to_string().into_bytes());
        let s3 = json!({"bucket": {"name": self.name}, "object": {"key": key.replace(' ', "+"), "size": 1}});
        let record =
            json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3});
        self.message(&json!({ "Records": [record] }).to_string());
    }
}

async fn create_table(client: &aws_sdk_dynamodb::Client, table: &str) {
    let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, key_type) in [("device_id", KeyType::Hash), ("item", KeyType::Range)] {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(name).key_type(key_type);
        request = request.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
    }
    request.send().await.unwrap();
}

impl Place for Cloud {
    fn put(&mut self, partition_key: &str, record: &[u8]) {
        let put = self.kinesis.put_record().stream_name(&self.name).partition_key(partition_key);
        self.runtime.block_on(put.data(record.to_vec().into()).send()).unwrap();
    }

    fn settle(&mut self) {
        self.runtime.clone().block_on(async {
            loop {
                let records = self.new_records().await;
                if records.is_empty() {
                    break;
                }
                self.count(&records).await;
            }
        });
    }

    fn corrupt(&mut self, device: &str) {
        let good = self.item(device);
        self.replace(device, &good, StatisticsItem { state: b"\0garbage".to_vec(), ..good.clone() });
        self.good.insert(device.to_owned(), good);
    }

    fn restore(&mut self, device: &str) {
        let good = self.good.remove(device).unwrap();
        self.replace(device, &self.item(device), good);
    }

    fn send_late(&mut self, payload: &[u8]) {
        self.late += 1;
        let device_id = telemetry::parse_reading(payload).unwrap().device_id;
        let arrived_at = Timestamp::parse("2026-11-01T00:00:00Z").unwrap();
        let origin = DeadLetterOrigin {
            stream: &self.name,
            shard_id: "shardId-000000000000",
            sequence_number: &self.late.to_string(),
            sub_sequence_number: None,
            index: None,
            partition_key: device_id.as_str(),
            arrived_at,
        };
        let rejection = Rejection::new(RejectReason::Late, "`timestamp`: lies before what the ledger decides");
        let rejection = Rejection { device_id: Some(device_id.clone()), ..rejection };
        let letter = DeadLetter::new(&rejection, payload, origin, ports::Clock::now(&SystemClock));
        let sent = self.runtime.block_on(self.dead_letters().send(vec![letter]));
        assert!(sent[0].is_ok());
    }

    fn give_up(&mut self) -> bool {
        let bodies: Vec<String> = (0..6).map(|second| reading("lambda", second, &second.to_string())).collect();
        let records = self.put_given_up(&bodies);
        // The first two were counted before their batch failed.
        for body in &bodies[..2] {
            self.put("lambda", body.as_bytes());
        }
        self.failure_object(&records[..4]);
        self.message(&self.metadata(&records[4..]).to_string());
        self.message(
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-01-31T12:00:00.000Z","Bucket":"b"}"#,
        );
        self.settle();
        true
    }

    fn statistics(&mut self, device: &str) -> Value {
        let attributes = self.item(device).attributes;
        json!({"count": attributes.count, "mean": attributes.mean, "median": attributes.median, "minimum": attributes.minimum,
            "maximum": attributes.maximum, "standard_deviation": attributes.standard_deviation})
    }
}
