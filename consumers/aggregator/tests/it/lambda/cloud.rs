//! DynamoDB, SQS and S3, as far as the function calls them: one table, one queue and one bucket, in memory.

use crate::testing::{Function, RuntimeApi};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, RwLock, RwLockWriteGuard};
use tokio::task::JoinHandle;

pub const TABLE: &str = "device-statistics";
pub const BUCKET: &str = "archive";

/// Starts the function with these services; `changes` replace what it would find in its environment.
pub async fn start(cloud: &Cloud, changes: &[(&str, &str)]) -> Function {
    start_binary(env!("CARGO_BIN_EXE_aggregator"), RuntimeApi::start().await, cloud, changes)
}

/// The same for any binary, under a Runtime API that is there.
pub fn start_binary(
    binary: impl AsRef<OsStr>,
    runtime_api: RuntimeApi,
    cloud: &Cloud,
    changes: &[(&str, &str)],
) -> Function {
    let endpoint = format!("http://{}", cloud.address);
    let queue = format!("{endpoint}/123456789012/dead-letters");
    let stack = [("STATISTICS_TABLE", TABLE), ("DEAD_LETTER_QUEUE_URL", &queue), ("ARCHIVE_BUCKET", BUCKET)];
    Function::start("aggregator", binary, runtime_api, &endpoint, &[&stack, changes].concat())
}

type Key = (String, String);

#[derive(Default)]
pub struct Contents {
    /// By `device_id` and `item`, in DynamoDB's JSON.
    pub items: BTreeMap<Key, Value>,
    /// The bodies of the messages.
    pub messages: Vec<Value>,
    /// By key, as it stands in the address.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// Keys of each BatchGetItem.
    pub reads: Vec<usize>,
    /// Write units told in answers.
    pub write_units: u64,
    /// Actions that the role may not call.
    pub denied: Vec<&'static str>,
}

#[derive(Default)]
struct Services {
    contents: Mutex<Contents>,
    gate: RwLock<()>,
    waiting: Notify,
}

/// The services, for as long as this lives.
pub struct Cloud {
    /// `127.0.0.1:port`
    pub address: String,
    services: Arc<Services>,
    server: JoinHandle<()>,
}

impl Cloud {
    pub async fn start() -> Self {
        let services: Arc<Services> = Arc::default();
        let app = Router::new().fallback(call).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&services));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves until it is ended") });
        Cloud { address, services, server }
    }

    pub fn contents(&self) -> MutexGuard<'_, Contents> {
        self.services.contents()
    }

    /// No call is answered until the guard is dropped.
    pub fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.services.gate.try_write().expect("nothing is under way")
    }

    /// Waits until a call is held.
    pub async fn held(&self) {
        self.services.waiting.notified().await;
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn call(
    State(services): State<Arc<Services>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if services.gate.try_read().is_err() {
        services.waiting.notify_one();
        drop(services.gate.read().await);
    }
    let (status, kind, answer) = match headers.get("x-amz-target").map(|target| target.to_str().expect("text")) {
        Some(target) => {
            let (status, answer) = services.call(target, &body);
            (status, "application/x-amz-json-1.0", answer.to_string())
        }
        None => {
            assert_eq!(method, Method::PUT, "the function puts objects, and does nothing else in S3");
            let (status, answer) = services.put_object(uri.path(), &body);
            (status, "application/xml", answer)
        }
    };
    (StatusCode::from_u16(status).expect("a status"), [("content-type", kind)], answer).into_response()
}

type JsonAnswer = (u16, Value);

impl Services {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("no panic")
    }

    /// A call of AWS's JSON protocol.
    fn call(&self, target: &str, body: &[u8]) -> JsonAnswer {
        let request: Value = serde_json::from_slice(body).expect("JSON");
        let mut contents = self.contents();
        let operation = target.rsplit_once('.').map_or("", |(_, operation)| operation);
        match operation {
            "BatchGetItem" => batch_get_item(&mut contents, &request),
            "PutItem" => on_table(&mut contents, "dynamodb:PutItem", &request, put_item),
            "Query" => on_table(&mut contents, "dynamodb:Query", &request, query),
            "TransactWriteItems" => transact(&mut contents, &request),
            "SendMessageBatch" => send_message_batch(&mut contents, &request),
            other => panic!("the function called {other}"),
        }
    }

    /// `PutObject`, under its key as it stands in the address.
    fn put_object(&self, path: &str, body: &[u8]) -> (u16, String) {
        let mut contents = self.contents();
        let refuse = |status, code| (status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>"));
        if contents.denied.contains(&"s3:PutObject") {
            return refuse(403, "AccessDenied");
        }
        let Some(key) = path.strip_prefix(&format!("/{BUCKET}/")) else { return refuse(404, "NoSuchBucket") };
        contents.objects.insert(key.to_owned(), body.to_vec());
        (200, String::new())
    }
}

fn client_error(kind: &str, message: &str) -> JsonAnswer {
    (400, json!({ "__type": kind, "message": message }))
}

fn denied(action: &str) -> JsonAnswer {
    let message = format!(
        "User: arn:aws:sts::123456789012:assumed-role/aggregator/aggregator is not authorized to perform: {action}"
    );
    client_error("com.amazon.coral.service#AccessDeniedException", &message)
}

/// What a call comes to before it does anything: a permission or a table is missing.
fn refusal(contents: &Contents, action: &'static str, request: &Value) -> Option<JsonAnswer> {
    if contents.denied.contains(&action) {
        return Some(denied(action));
    }
    let missing = request["TableName"] != TABLE;
    let kind = "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException";
    missing.then(|| client_error(kind, "Requested resource not found"))
}

fn on_table(
    contents: &mut Contents,
    action: &'static str,
    request: &Value,
    call: impl FnOnce(&mut Contents, &Value) -> JsonAnswer,
) -> JsonAnswer {
    refusal(contents, action, request).unwrap_or_else(|| call(contents, request))
}

fn key_of(item: &Value) -> Key {
    let text = |name: &str| item[name]["S"].as_str().expect("a key").to_owned();
    (text("device_id"), text("item"))
}

fn batch_get_item(contents: &mut Contents, request: &Value) -> JsonAnswer {
    let (table, asked) = request["RequestItems"].as_object().and_then(|tables| tables.iter().next()).expect("a table");
    if let Some(refusal) = refusal(contents, "dynamodb:BatchGetItem", &json!({ "TableName": table })) {
        return refusal;
    }
    assert_eq!(asked["ConsistentRead"], true);
    let keys = asked["Keys"].as_array().expect("keys");
    assert!((1..=100).contains(&keys.len()));
    contents.reads.push(keys.len());
    let items: Vec<&Value> = keys.iter().filter_map(|key| contents.items.get(&key_of(key))).collect();
    (200, json!({ "Responses": { table: items }, "UnprocessedKeys": {} }))
}

fn query(contents: &mut Contents, request: &Value) -> JsonAnswer {
    assert_eq!(request["ConsistentRead"], true);
    let value = |name: &str| request["ExpressionAttributeValues"][name]["S"].as_str().expect("text").to_owned();
    assert_eq!(request["KeyConditionExpression"], "#device_id = :device_id AND #item BETWEEN :first AND :last");
    let asked = (value(":device_id"), value(":first"))..=(value(":device_id"), value(":last"));
    let items: Vec<&Value> =
        contents.items.iter().filter(|(key, _)| asked.contains(key)).map(|(_, item)| item).collect();
    (200, json!({ "Items": items, "Count": items.len() }))
}

/// The two conditions that the function knows.
fn holds(contents: &Contents, put: &Value) -> bool {
    let stored = contents.items.get(&key_of(&put["Item"]));
    let name = put["ExpressionAttributeNames"]["#name"].as_str().expect("a name");
    match put["ConditionExpression"].as_str().expect("a condition") {
        "attribute_not_exists(#name)" => stored.is_none_or(|item| item.get(name).is_none()),
        "#name = :expected" => stored.is_some_and(|item| item[name] == put["ExpressionAttributeValues"][":expected"]),
        other => panic!("unknown condition {other}"),
    }
}

/// One unit a KiB begun; the function's items are within one.
fn put_item(contents: &mut Contents, request: &Value) -> JsonAnswer {
    if !holds(contents, request) {
        let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        return client_error(kind, "The conditional request failed");
    }
    contents.items.insert(key_of(&request["Item"]), request["Item"].clone());
    contents.write_units += 1;
    let is_asked = request["ReturnConsumedCapacity"] == "TOTAL";
    let consumed = json!({ "ConsumedCapacity": { "TableName": TABLE, "CapacityUnits": 1.0 } });
    (200, if is_asked { consumed } else { json!({}) })
}

fn transact(contents: &mut Contents, request: &Value) -> JsonAnswer {
    let puts: Vec<&Value> =
        request["TransactItems"].as_array().expect("actions").iter().map(|action| &action["Put"]).collect();
    if let Some(refusal) = puts.iter().find_map(|put| refusal(contents, "dynamodb:PutItem", put)) {
        return refusal;
    }
    let reasons: Vec<Value> = puts
        .iter()
        .map(|put| json!({ "Code": if holds(contents, put) { "None" } else { "ConditionalCheckFailed" } }))
        .collect();
    if reasons.iter().any(|reason| reason["Code"] != "None") {
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        return (400, json!({ "__type": kind, "message": "cancelled", "CancellationReasons": reasons }));
    }
    for put in &puts {
        contents.items.insert(key_of(&put["Item"]), put["Item"].clone());
    }
    let units = 2 * puts.len() as u64;
    contents.write_units += units;
    let consumed = json!([{ "TableName": TABLE, "CapacityUnits": units, "WriteCapacityUnits": units }]);
    (200, json!({ "ConsumedCapacity": consumed }))
}

fn send_message_batch(contents: &mut Contents, request: &Value) -> JsonAnswer {
    if contents.denied.contains(&"sqs:SendMessage") {
        return denied("sqs:SendMessage");
    }
    let entries = request["Entries"].as_array().expect("entries");
    assert!((1..=10).contains(&entries.len()));
    let sent: Vec<Value> = entries
        .iter()
        .map(|entry| {
            contents.messages.push(serde_json::from_str(entry["MessageBody"].as_str().expect("text")).expect("JSON"));
            json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" })
        })
        .collect();
    (200, json!({ "Successful": sent, "Failed": [] }))
}
