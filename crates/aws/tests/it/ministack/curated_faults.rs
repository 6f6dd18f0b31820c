//! A batch of changes of which Firehose refuses a part, from DynamoDB's stream to S3.

use crate::ministack::config;
use crate::ministack::curated_delivery::{attributes, batch, changes, delivery_by, received, table_with_changes};
use crate::wire::{self, Answered, HttpRequest, Service, Wire, collected, json_answer, request_json, target};
use aws::aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws::aws_sdk_s3::primitives::SdkBody;
use aws::{DynamoDbStatisticsStore, aws_sdk_dynamodb, aws_sdk_firehose};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curator::Curator;
use ports::{DeviceWrite, StatisticsItem, StatisticsStore as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use telemetry::DeviceId;

/// More rows than one record of Firehose's holds, 1,000 KiB.
const DEVICES: usize = 2_400;

/// Refuses records that hold a row of one device: the first call as a whole, as where the stream is throttled; then record
/// by record, with HTTP 200.
#[derive(Debug)]
struct Refusing {
    device: String,
    stopped: AtomicBool,
    calls: AtomicUsize,
}

impl Refusing {
    fn refuses(&self, record: &Value) -> bool {
        let data = STANDARD.decode(record["Data"].as_str().expect("data")).expect("base64");
        let text = String::from_utf8(data).expect("rows are text");
        !self.stopped.load(Ordering::Relaxed) && text.contains(&self.device)
    }
}

impl Wire for Refusing {
    async fn call(self: Arc<Self>, request: HttpRequest, service: Service) -> Answered {
        if target(&request) != Some("PutRecordBatch") {
            return service.call(request).await;
        }
        let call = request_json(&request);
        let records = call["Records"].as_array().expect("records");
        let refused: Vec<bool> = records.iter().map(|record| self.refuses(record)).collect();
        if refused.contains(&true) && self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            return Ok(json_answer(503, &json!({ "__type": "ServiceUnavailableException", "message": "Slow down." })));
        }
        let passed: Vec<&Value> =
            records.iter().zip(&refused).filter(|(_, no)| !**no).map(|(record, _)| record).collect();
        let mut results = put(request, &call, &passed, service).await?.into_iter();
        let answers = refused.iter().map(|refused| match refused {
            true => json!({ "ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down." }),
            false => results.next().expect("a result a record"),
        });
        let answers: Vec<Value> = answers.collect();
        let failed = refused.iter().filter(|refused| **refused).count();
        Ok(json_answer(200, &json!({ "FailedPutCount": failed, "RequestResponses": answers })))
    }
}

/// The results of these records of a call; none are not put.
async fn put(
    mut request: HttpRequest,
    call: &Value,
    records: &[&Value],
    service: Service,
) -> Result<Vec<Value>, wire::ConnectorError> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let mut rest = call.clone();
    rest["Records"] = json!(records);
    let body = rest.to_string();
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
    let answer = collected(service.call(request).await?).await?;
    let answer: Value = serde_json::from_slice(answer.body().bytes().expect("collected")).expect("JSON");
    Ok(answer["RequestResponses"].as_array().expect("results").clone())
}

/// A name of the greatest length, so that few rows fill a record.
fn device(n: usize) -> String {
    format!("{n:04}-{}", "d".repeat(123))
}

/// An item as the aggregator's port writes it, and the same for other devices.
async fn fill(client: &aws_sdk_dynamodb::Client, table: &str) {
    let item = StatisticsItem { revision: 1, attributes: attributes(2), state: vec![7; 100] };
    let write = DeviceWrite {
        device_id: DeviceId::parse(device(0)).expect("a name"),
        expected_revision: None,
        item,
        pages: Vec::new(),
    };
    DynamoDbStatisticsStore::new(client.clone(), table).write(write).await.expect("written");
    let written = client.scan().table_name(table).send().await.expect("items").items()[0].clone();
    let of_device = |n| {
        let mut item = written.clone();
        item.insert("device_id".to_owned(), AttributeValue::S(device(n)));
        let put = PutRequest::builder().set_item(Some(item)).build().expect("an item");
        WriteRequest::builder().put_request(put).build()
    };
    let devices: Vec<usize> = (1..DEVICES).collect();
    for some in devices.chunks(25) {
        let requests = some.iter().map(|n| of_device(*n)).collect();
        let answer = client.batch_write_item().request_items(table, requests).send().await.expect("written");
        assert!(answer.unprocessed_items.is_none_or(|left| left.is_empty()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_firehose_takes_in_part_the_rest_is_delivered_again_and_nothing_is_lost() {
    let client = aws_sdk_dynamodb::Client::new(&config().await);
    let table = table_with_changes(&client).await;
    fill(&client, &table).await;
    let changes = changes(&client, &table).await;
    assert_eq!(changes.len(), DEVICES);

    let (stopped, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let refusing = Arc::new(Refusing { device: device(DEVICES - 1), stopped, calls });
    let config = config().await.into_builder().http_client(wire::client(Arc::clone(&refusing))).build();
    let delivery = delivery_by(aws_sdk_firehose::Client::new(&config)).await;
    let curator = Curator::new(delivery.firehose.clone());

    let handled = curator.handle(batch(&changes)).await;
    let number = handled.failed.expect("a sequence number");
    let done = changes.iter().position(|change| change["dynamodb"]["SequenceNumber"] == number);
    let done = done.expect("a change of the batch");
    assert!(0 < done && done < DEVICES, "{done}");
    assert_eq!((handled.report.rows, handled.report.failed_rows), (done as u64, (DEVICES - done) as u64));
    assert_eq!(received(&delivery).await.len(), done, "what is reported as done has arrived, and nothing else");
    assert!(refusing.calls.load(Ordering::Relaxed) > 2, "a call is refused as a whole, and a record more than once");

    refusing.stopped.store(true, Ordering::Relaxed);
    // From the failure on, as Lambda does; and everything once more, as it may.
    for again in [&changes[done..], &changes] {
        assert_eq!(curator.handle(batch(again)).await.failed, None);
    }
    let mut copies: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for row in received(&delivery).await {
        copies.entry(row.device_id.as_str().to_owned()).or_default().push(row);
    }
    assert_eq!(copies.len(), DEVICES);
    for (device, rows) in copies {
        assert!(rows.len() == 2 && rows[0] == rows[1], "{device}: {} rows", rows.len());
    }
}
