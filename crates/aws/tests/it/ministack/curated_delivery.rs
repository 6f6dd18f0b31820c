//! Curated rows through Firehose, and a table's changes through the curator: from DynamoDB's stream to S3.

use crate::ministack::{archive, config, statistics, unique_name};
use aws::aws_sdk_dynamodb::types::{StreamSpecification, StreamViewType};
use aws::aws_sdk_firehose::types::ExtendedS3DestinationConfiguration;
use aws::{DynamoDbStatisticsStore, FirehoseCuratedDelivery, S3Archive, aws_sdk_dynamodb, aws_sdk_firehose};
use curator::lambda::ChangeBatch;
use curator::{Change, Curator};
use ports::{
    Archive as _, CuratedDelivery, CuratedRow, DeliveryError, DeviceWrite, LedgerPageItem, StatisticsItem,
    StatisticsStore as _,
};
use serde_json::{Value, json};
use std::ops::Deref;
use telemetry::{DeviceId, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A Firehose stream into a bucket, without conversion: what it took lies there as it came.
pub(crate) struct Delivery {
    pub(crate) firehose: FirehoseCuratedDelivery,
    archive: S3Archive,
}

impl Deref for Delivery {
    type Target = FirehoseCuratedDelivery;

    fn deref(&self) -> &Self::Target {
        &self.firehose
    }
}

impl CuratedDelivery for Delivery {
    async fn deliver(&self, rows: Vec<CuratedRow>) -> Vec<Result<(), DeliveryError>> {
        self.firehose.deliver(rows).await
    }
}

async fn make() -> (Delivery, ()) {
    (delivery_by(aws_sdk_firehose::Client::new(&config().await)).await, ())
}

/// To a stream of its own, by this client.
pub(crate) async fn delivery_by(client: aws_sdk_firehose::Client) -> Delivery {
    let s3 = archive::client().await;
    let bucket = archive::create_bucket(&s3).await;
    let name = unique_name("curated");
    let destination = ExtendedS3DestinationConfiguration::builder()
        .role_arn("arn:aws:iam::123456789012:role/firehose")
        .bucket_arn(format!("arn:aws:s3:::{bucket}"))
        .prefix("curated/")
        .build()
        .expect("a destination");
    let create = client.create_delivery_stream().delivery_stream_name(&name);
    create.extended_s3_destination_configuration(destination).send().await.expect("a Firehose stream");
    Delivery { firehose: FirehoseCuratedDelivery::new(client, name), archive: S3Archive::new(s3, bucket) }
}

fn row(line: &[u8]) -> CuratedRow {
    let document: Value = serde_json::from_slice(line).expect("a document a line");
    let integer = |name: &str| document[name].as_u64().expect("an integer");
    let instant = |name: &str| {
        let text = document[name].as_str()?.replace(' ', "T");
        Some(Timestamp::parse(&format!("{text}Z")).expect("an instant"))
    };
    let [low, high] = ["low", "high"].map(|end| document[format!("mean_confidence_95_{end}")].as_f64());
    CuratedRow {
        device_id: DeviceId::parse(document["device_id"].as_str().expect("text")).expect("a name"),
        revision: integer("revision"),
        statistics: ports::StatisticsAttributes {
            count: integer("count"),
            mean: document["mean"].as_f64(),
            median: document["median"].as_f64(),
            standard_deviation: document["standard_deviation"].as_f64(),
            minimum: document["minimum"].as_f64(),
            maximum: document["maximum"].as_f64(),
            mean_confidence_95: low.zip(high).map(|(low, high)| ports::ConfidenceInterval { low, high }),
            anomaly_count: integer("anomaly_count"),
            first_timestamp: instant("first_timestamp"),
            last_timestamp: instant("last_timestamp"),
            updated_at: instant("updated_at").expect("an instant"),
        },
    }
}

pub(crate) async fn received(delivery: &Delivery) -> Vec<CuratedRow> {
    let mut rows = Vec::new();
    for key in delivery.archive.list("curated/", None, 1000).await.expect("keys") {
        let object = delivery.archive.get(&key).await.expect("an answer").expect("an object");
        rows.extend(object.split_inclusive(|byte| *byte == b'\n').map(row));
    }
    rows
}

ports::curated_delivery_contract!(make, received);

/// A table that keeps its changes, by its name.
pub(crate) async fn table_with_changes(client: &aws_sdk_dynamodb::Client) -> String {
    let table = statistics::create_table(client).await;
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let update = client.update_table().table_name(&table);
    update.stream_specification(stream.build().expect("a stream")).send().await.expect("a change stream");
    table
}

/// Everything in the table's change stream, as the records of the event in which Lambda hands it over.
pub(crate) async fn changes(client: &aws_sdk_dynamodb::Client, table: &str) -> Vec<Value> {
    let answer = client.describe_table().table_name(table).send().await.expect("the table");
    let arn = answer.table.and_then(|table| table.latest_stream_arn).expect("a change stream");
    let described = call("DescribeStream", json!({ "StreamArn": arn })).await;
    let mut records = Vec::new();
    for shard in described["StreamDescription"]["Shards"].as_array().expect("shards") {
        let from = json!({ "StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON" });
        let mut iterator = call("GetShardIterator", from).await["ShardIterator"].clone();
        loop {
            let answer = call("GetRecords", json!({ "ShardIterator": iterator })).await;
            let page = answer["Records"].as_array().expect("records");
            if page.is_empty() {
                break;
            }
            records.extend_from_slice(page);
            iterator = answer["NextShardIterator"].clone();
        }
    }
    records
}

/// What the curator's Lambda reads of the event of these records.
pub(crate) fn batch(records: &[Value]) -> Vec<Change> {
    serde_json::from_value::<ChangeBatch>(json!({ "Records": records })).expect("an event").0
}

/// A call of DynamoDB Streams, which no SDK here knows; ministack checks no signature.
async fn call(operation: &str, body: Value) -> Value {
    let endpoint = std::env::var("STREAMGAUGE_MINISTACK_ENDPOINT").expect("checked by `config`");
    let address = endpoint.strip_prefix("http://").expect("an address").trim_end_matches('/').to_owned();
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.0\r\nhost: {address}\r\nx-amz-target: DynamoDBStreams_20120810.{operation}\r\n\
         content-type: application/x-amz-json-1.0\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=test/20260131/us-east-1/dynamodb/aws4_request\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(head.split(' ').nth(1) == Some("200"), "{operation}: {answer}");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_aggregators_port_writes_comes_out_of_the_change_stream_as_rows() {
    let client = aws_sdk_dynamodb::Client::new(&config().await);
    let table = table_with_changes(&client).await;
    let store = DynamoDbStatisticsStore::new(client.clone(), &table);
    let mut expected = Vec::new();
    for (device, revision, page) in [("a", 1, false), ("b:7", 1, false), ("a", 2, true), ("a", 3, false)] {
        let item = StatisticsItem { revision, attributes: attributes(revision), state: vec![7; 500] };
        let device_id = DeviceId::parse(device).expect("a name");
        // Columns hold milliseconds.
        let mut row = CuratedRow { device_id: device_id.clone(), revision, statistics: attributes(revision) };
        let updated_at = row.statistics.updated_at.as_millisecond();
        row.statistics.updated_at = Timestamp::from_millisecond(updated_at).expect("in range");
        expected.push(row);
        let key = format!("ledger#2026-01-31#{revision:020}");
        let pages = page.then(|| LedgerPageItem { key, page: vec![1, 2, 3], expires_at: None }).into_iter().collect();
        let expected_revision = (revision > 1).then(|| revision - 1);
        store.write(DeviceWrite { device_id, expected_revision, item, pages }).await.expect("written");
    }
    let changes = changes(&client, &table).await;
    let (delivery, ()) = make().await;
    let handled = Curator::new(delivery.firehose.clone()).handle(batch(&changes)).await;
    assert_eq!(handled.failed, None);
    assert_eq!((handled.report.rows, handled.report.ignored, handled.report.unreadable), (4, 1, 0));
    let sorted = |mut rows: Vec<CuratedRow>| {
        rows.sort_by_key(|row| (row.device_id.as_str().to_owned(), row.revision));
        rows
    };
    assert_eq!(sorted(received(&delivery).await), sorted(expected));
}

/// Those of `revision` readings; a single one has no deviation.
pub(crate) fn attributes(revision: u64) -> ports::StatisticsAttributes {
    let many = revision > 1;
    ports::StatisticsAttributes {
        count: revision,
        mean: Some(0.1 + 0.2 * revision as f64),
        median: Some(-1e100),
        standard_deviation: many.then_some(1.0 / 3.0),
        minimum: Some(-1e100),
        maximum: Some(5e-100),
        mean_confidence_95: many.then_some(ports::ConfidenceInterval { low: -123_456_789.123_456_79, high: 1e22 }),
        anomaly_count: 0,
        first_timestamp: Some(Timestamp::UNIX_EPOCH),
        last_timestamp: Some(Timestamp::UNIX_EPOCH),
        updated_at: Timestamp::parse("2026-01-31T12:00:00.123456789Z").expect("an instant"),
    }
}
