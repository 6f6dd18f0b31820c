//! The function's own binary under a Runtime API: from its cold start to its end, over a Firehose that may refuse it.

use crate::testing::{Answer, Function, RuntimeApi, TRACE_ID, errors, metrics};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

const MIXED: &str = include_str!("../../../events/mixed.json");

/// Firehose, as far as the function calls it.
#[derive(Default)]
struct Contents {
    rows: Vec<Value>,
    /// The error of every call, where one is set.
    refusal: Option<&'static str>,
}

struct Firehose {
    address: String,
    contents: Arc<Mutex<Contents>>,
    server: JoinHandle<()>,
}

impl Firehose {
    async fn start() -> Self {
        let contents: Arc<Mutex<Contents>> = Arc::default();
        let app = Router::new().fallback(call).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&contents));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves until it is ended") });
        Firehose { address, contents, server }
    }

    fn refuse(&self, refusal: Option<&'static str>) {
        self.contents.lock().expect("no panic").refusal = refusal;
    }

    fn rows(&self) -> Vec<Value> {
        self.contents.lock().expect("no panic").rows.clone()
    }
}

impl Drop for Firehose {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn call(State(contents): State<Arc<Mutex<Contents>>>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    assert_eq!(headers["x-amz-target"], "Firehose_20150804.PutRecordBatch", "the function does nothing else");
    let request: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(request["DeliveryStreamName"], "curated");
    let mut contents = contents.lock().expect("no panic");
    if let Some(kind) = contents.refusal {
        let message = "User: arn:aws:sts::123456789012:assumed-role/curator/curator is not authorized";
        return (StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": message }).to_string());
    }
    let records = request["Records"].as_array().expect("records");
    for record in records {
        let data = STANDARD.decode(record["Data"].as_str().expect("data")).expect("base64");
        let lines = data.split_inclusive(|byte| *byte == b'\n');
        contents.rows.extend(lines.map(|line| serde_json::from_slice::<Value>(line).expect("a document a line")));
    }
    let answers: Vec<Value> = records.iter().map(|_| json!({ "RecordId": "id" })).collect();
    (StatusCode::OK, json!({ "FailedPutCount": 0, "RequestResponses": answers }).to_string())
}

async fn start(firehose: &Firehose, changes: &[(&str, &str)]) -> Function {
    let endpoint = format!("http://{}", firehose.address);
    let stack = [("CURATED_DELIVERY_STREAM", "curated")];
    let binary = env!("CARGO_BIN_EXE_curator");
    Function::start("curator", binary, RuntimeApi::start().await, &endpoint, &[&stack, changes].concat())
}

fn keys(firehose: &Firehose) -> Vec<(String, i64)> {
    let key = |row: &Value| {
        (row["device_id"].as_str().expect("text").to_owned(), row["revision"].as_i64().expect("a number"))
    };
    firehose.rows().iter().map(key).collect()
}

fn the_samples_rows() -> Vec<(String, i64)> {
    let keys = [("pump-1", 1), ("pump-1", 2), ("boiler:7", 9_007_199_254_740_993)];
    keys.map(|(device, revision)| (device.to_owned(), revision)).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_batch_after_a_cold_start_is_delivered_answered_and_measured() {
    let firehose = Firehose::start().await;
    let mut function = start(&firehose, &[("METRICS_NAMESPACE", "Fleet")]).await;
    let answer = function.invoke("request-1", MIXED).await;
    assert_eq!(answer.failures(), [] as [&str; 0]);
    assert_eq!(keys(&firehose), the_samples_rows());
    let row = &firehose.rows()[1];
    assert_eq!((row["mean"].as_f64(), row["standard_deviation"].as_f64()), (Some(66.0), Some(49.426_713_424_505_53)));
    assert_eq!(row["updated_at"], "2026-01-31 12:00:00.500");
    let log = function.log();
    let documents = metrics(&log);
    assert_eq!(documents.len(), 1);
    for (name, value) in
        [("BatchChanges", 5), ("RowsDelivered", 3), ("ChangesIgnored", 2), ("UnreadableItems", 0), ("FailedRows", 0)]
    {
        assert_eq!(documents[0][name], value, "{name}");
    }
    for name in ["IteratorAge", "BatchDuration", "Latency"] {
        assert!(documents[0][name].as_f64().is_some_and(|milliseconds| milliseconds >= 0.0), "{name}");
    }
    let directive = &documents[0]["_aws"]["CloudWatchMetrics"][0];
    assert_eq!((&directive["Namespace"], &directive["Dimensions"]), (&json!("Fleet"), &json!([["FunctionName"]])));
    assert_eq!(documents[0]["FunctionName"], "curator");
    assert_eq!(errors(&log), [] as [&Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_is_named_in_the_log_and_the_batch_is_delivered_once_it_is_there() {
    for kind in ["AccessDeniedException", "ResourceNotFoundException"] {
        let firehose = Firehose::start().await;
        firehose.refuse(Some(kind));
        let mut function = start(&firehose, &[]).await;
        let failures = function.invoke("request-1", MIXED).await.failures();
        assert_eq!(failures, ["4421584500000000017450439001"], "the first row's change");
        assert_eq!(firehose.rows(), [] as [Value; 0]);

        firehose.refuse(None);
        assert_eq!(function.invoke("request-2", MIXED).await.failures(), [] as [&str; 0]);
        assert_eq!(keys(&firehose), the_samples_rows());
        let log = function.log();
        let errors = errors(&log);
        assert_eq!(errors.len(), 1, "one cause is logged once a batch: {errors:#?}");
        let error = errors[0]["fields"]["error"].as_str().expect("text");
        for part in ["firehose:PutRecordBatch", "delivery stream curated", kind, "assumed-role/curator"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
        assert_eq!(errors[0]["fields"]["rows"], 3);
        assert_eq!(
            (&errors[0]["span"]["requestId"], &errors[0]["span"]["xrayTraceId"]),
            (&json!("request-1"), &json!(TRACE_ID))
        );
        assert_eq!(metrics(&log)[0]["FailedRows"], 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_cannot_be_read_is_an_error_in_the_log_and_its_neighbours_are_delivered() {
    let firehose = Firehose::start().await;
    let mut function = start(&firehose, &[("AWS_LAMBDA_LOG_LEVEL", "TRACE")]).await;
    let mut event: Value = serde_json::from_str(MIXED).expect("JSON");
    event["Records"][1]["dynamodb"]["NewImage"]["mean"] = json!({"N": "secret-7310"});
    assert_eq!(function.invoke("request-1", &event.to_string()).await.failures(), [] as [&str; 0]);
    let [first, _, last] = the_samples_rows().try_into().expect("three");
    assert_eq!(keys(&firehose), [first, last]);
    let log = function.log();
    let errors = errors(&log);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let fields = &errors[0]["fields"];
    assert_eq!(
        (&fields["device_id"], &fields["sequence_number"]),
        (&json!("pump-1"), &json!("4421584500000000017450439002"))
    );
    assert_eq!(fields["error"], "`mean` is not a finite number or NULL");
    assert_eq!(metrics(&log)[0]["UnreadableItems"], 1);
    let text = json!(log).to_string();
    for secret in ["secret-7310", "test-secret", "-56.782", "AAECAwQF"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_wrong_with_the_configuration_is_told_to_lambda_at_once() {
    let firehose = Firehose::start().await;
    let long = "n".repeat(256);
    let mut function = start(&firehose, &[("CURATED_DELIVERY_STREAM", ""), ("METRICS_NAMESPACE", &long)]).await;
    let (status, lines) = function.ended();
    assert_eq!(status.code(), Some(1));
    assert!(!function.runtime_api.was_asked_for_work());
    let told = function.runtime_api.init_errors();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind.as_str(), &told[0].body["errorType"]), ("Configuration.Invalid", &json!(told[0].kind)));
    let message = told[0].body["errorMessage"].as_str().expect("text");
    let log: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(log["fields"]["error"], message);
    assert!(message.contains("CURATED_DELIVERY_STREAM") && message.contains("METRICS_NAMESPACE"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_none_of_dynamodb_is_an_error_and_the_next_one_is_handled() {
    let firehose = Firehose::start().await;
    let mut function = start(&firehose, &[]).await;
    let answer = function.invoke("request-1", r#"{"detail":"secret-7310"}"#).await;
    let Answer::Error(error) = answer else { panic!("{answer:?} is no error") };
    assert!(error["errorMessage"].as_str().expect("text").contains("Records"), "{error}");
    assert_eq!(function.invoke("request-2", MIXED).await.failures(), [] as [&str; 0]);
    assert!(!json!(function.log()).to_string().contains("secret-7310"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_that_is_told_to_end_ends_well() {
    let firehose = Firehose::start().await;
    let mut idle = start(&firehose, &[]).await;
    idle.runtime_api.asked_for_work().await;
    idle.log();
}
