//! `streamgauge mapping` from a Kinesis in this process to functions that answer as they are told.

use super::service::{STREAM, Service, command};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a function does with an invocation: the numbers that the event's records hold, and its answer or error.
type Handler = fn(invocation: usize, numbers: &[u64], sequence_numbers: &[String]) -> Result<Value, &'static str>;

/// Key and contents.
type Object = (String, Vec<u8>);

/// A Lambda with one function, and an S3 with one bucket.
#[derive(Clone)]
struct Services {
    handler: Handler,
    /// The numbers of each invocation's records.
    invocations: Arc<Mutex<Vec<Vec<u64>>>>,
    /// What was put, by path.
    objects: Arc<Mutex<Vec<Object>>>,
}

impl Services {
    fn new(handler: Handler) -> Self {
        Services { handler, invocations: Arc::default(), objects: Arc::default() }
    }

    /// Its address.
    fn start(&self, service: &Service) -> String {
        let router = Router::new()
            .route("/2015-03-31/functions/{name}/configuration", get(configuration))
            .route("/2015-03-31/functions/{name}/invocations", post(invoke))
            .route("/{*key}", put(put_object))
            .layer(DefaultBodyLimit::max(16 * 1024 * 1024))
            .with_state(self.clone());
        service.serve(router)
    }

    fn invocations(&self) -> Vec<Vec<u64>> {
        self.invocations.lock().unwrap().clone()
    }
}

async fn configuration(uri: Uri) -> Response {
    if !uri.path().contains("aggregator") {
        let body = json!({ "Type": "User", "Message": "Function not found" }).to_string();
        return (StatusCode::NOT_FOUND, [("x-amzn-errortype", "ResourceNotFoundException")], body).into_response();
    }
    let arn = "arn:aws:lambda:eu-central-1:000000000000:function:aggregator";
    axum::Json(json!({ "FunctionArn": arn, "Role": "arn:aws:iam::000000000000:role/aggregator", "Timeout": 5 }))
        .into_response()
}

async fn invoke(State(services): State<Services>, _: HeaderMap, event: Bytes) -> Response {
    let event: Value = serde_json::from_slice(&event).unwrap();
    let (mut numbers, mut sequence_numbers) = (Vec::new(), Vec::new());
    for record in event["Records"].as_array().unwrap() {
        assert_eq!(record["eventSource"], "aws:kinesis");
        let text = record["kinesis"]["partitionKey"].as_str().unwrap();
        numbers.push(text.parse().unwrap());
        sequence_numbers.push(record["kinesis"]["sequenceNumber"].as_str().unwrap().to_owned());
    }
    let invocation = {
        let mut invocations = services.invocations.lock().unwrap();
        invocations.push(numbers.clone());
        invocations.len()
    };
    match (services.handler)(invocation, &numbers, &sequence_numbers) {
        Ok(answer) => axum::Json(answer).into_response(),
        Err(kind) => {
            let error = json!({ "errorType": kind, "errorMessage": "a payload that must not be told" });
            ([("x-amz-function-error", "Unhandled")], axum::Json(error)).into_response()
        }
    }
}

async fn put_object(State(services): State<Services>, uri: Uri, object: Bytes) -> StatusCode {
    services.objects.lock().unwrap().push((uri.path().to_owned(), object.to_vec()));
    StatusCode::OK
}

fn mapping(service: &Service, lambda: &str, checkpoints: &Path, arguments: &[&str]) -> Command {
    let mut mapping = command(service.endpoint());
    mapping.env("AWS_ENDPOINT_URL_LAMBDA", lambda).env("AWS_ENDPOINT_URL_S3", lambda);
    mapping.args([
        "mapping",
        "--kinesis",
        STREAM,
        "--function",
        "aggregator:live",
        "--format",
        "json",
        "--checkpoints",
    ]);
    mapping.arg(checkpoints).args(arguments);
    mapping
}

/// Runs until something holds, then ends it as an operator does: its summary, and its log.
fn until(mut mapping: Command, holds: impl Fn() -> bool) -> (Value, String) {
    let mut child = mapping.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        if Instant::now() > deadline || child.try_wait().unwrap().is_some() {
            child.kill().unwrap();
            panic!("it never came to that: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let Output { status, stdout, stderr } = ended(child);
    let log = String::from_utf8(stderr).unwrap();
    assert!(status.success(), "{status}: {log}");
    (serde_json::from_slice(&stdout).unwrap(), log)
}

fn ended(child: Child) -> Output {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

/// How many shards have a checkpoint.
fn checkpoints(file: &Path) -> usize {
    let Ok(text) = std::fs::read(file) else { return 0 };
    serde_json::from_slice::<Value>(&text).unwrap()["done"].as_object().unwrap().len()
}

#[test]
fn an_answer_in_part_brings_the_rest_again_and_a_later_run_goes_on_after_the_checkpoint() {
    let service = Service::start(1);
    let services = Services::new(|invocation, numbers, sequence_numbers| match invocation {
        1 => Ok(json!({ "batchItemFailures": [{ "itemIdentifier": sequence_numbers[1] }] })),
        _ => {
            assert!(!numbers.contains(&1), "what was before the failure is done");
            Ok(json!({ "batchItemFailures": [] }))
        }
    });
    let lambda = services.start(&service);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("checkpoints.json");
    service.put(&["1", "2", "3"]);
    let (summary, _) = until(mapping(&service, &lambda, &file, &[]), || services.invocations().len() == 2);
    assert_eq!(services.invocations(), [vec![1, 2, 3], vec![2, 3]]);
    let counted = ["invocations", "partial_answers", "function_errors", "records_invoked"].map(|name| &summary[name]);
    assert_eq!(counted, [&json!(2), &json!(1), &json!(0), &json!(5)]);
    assert_eq!(checkpoints(&file), 1);
    service.put(&["4"]);
    until(mapping(&service, &lambda, &file, &[]), || services.invocations().len() == 3);
    assert_eq!(services.invocations()[2], [4]);
}

#[test]
fn a_function_that_fails_is_asked_for_ever_smaller_batches_and_what_is_given_up_stands_whole_in_the_bucket() {
    let service = Service::start(1);
    let services =
        Services::new(
            |_, numbers, _| {
                if numbers.contains(&2) { Err("Runtime.Panic") } else { Ok(json!({ "batchItemFailures": [] })) }
            },
        );
    let lambda = services.start(&service);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("checkpoints.json");
    service.put(&["1", "2", "3", "4"]);
    let flags = ["--maximum-retry-attempts", "0", "--on-failure", "archive"];
    let (summary, log) = until(mapping(&service, &lambda, &file, &flags), || {
        services.invocations().iter().flatten().any(|number| *number == 4)
            && checkpoints(&file) == 1
            && services.invocations().contains(&vec![3, 4])
    });
    assert_eq!(services.invocations(), [vec![1, 2, 3, 4], vec![1, 2], vec![1], vec![2], vec![3, 4]]);
    assert_eq!(summary["records_discarded"], 1);
    let objects = services.objects.lock().unwrap();
    let [(path, object)] = objects.as_slice() else { panic!("{} objects", objects.len()) };
    assert!(path.starts_with("/archive/aws/lambda/"), "{path}");
    let object: Value = serde_json::from_slice(object).unwrap();
    let records = object["payload"]["Records"].as_array().unwrap();
    assert_eq!((records.len(), &records[0]["kinesis"]["partitionKey"]), (1, &json!("2")));
    assert_eq!(object["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert!(log.contains("Runtime.Panic") && !log.contains("must not be told"), "{log}");
}

#[test]
fn what_is_not_there_is_named() {
    let service = Service::start(1);
    let lambda = Services::new(|_, _, _| Ok(json!(null))).start(&service);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("checkpoints.json");
    std::fs::write(&file, "{}").unwrap();
    let refusal = |arguments: &[&str]| {
        let mut mapping = command(service.endpoint());
        mapping.env("AWS_ENDPOINT_URL_LAMBDA", &lambda).arg("mapping").args(arguments).arg("--checkpoints").arg(&file);
        let output = mapping.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let message = refusal(&["--kinesis", "another", "--function", "aggregator"]);
    assert!(message.contains("--kinesis another: ResourceNotFoundException"), "{message}");
    let message = refusal(&["--kinesis", STREAM, "--function", "counter"]);
    assert!(message.contains("--function counter: ResourceNotFoundException: Function not found"), "{message}");
    let message = refusal(&["--kinesis", STREAM, "--function", "aggregator"]);
    assert!(message.contains("checkpoints.json is no checkpoint file"), "{message}");
    let message = refusal(&["--kinesis", STREAM, "--function", "aggregator", "--maximum-retry-attempts", "1"]);
    assert!(message.contains("--on-failure"), "{message}");
}
