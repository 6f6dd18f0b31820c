//! The Runtime API of one execution environment.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// The function's answer to one invocation.
#[derive(Debug)]
pub enum Answer {
    /// What it returned.
    Response(Value),
    /// The error that it told.
    Error(Value),
}

impl Answer {
    /// The batch item failures of a response.
    ///
    /// # Panics
    /// Where it is no batch response.
    pub fn failures(self) -> Vec<String> {
        let Answer::Response(response) = self else { panic!("{self:?} is no response") };
        let failures = response["batchItemFailures"].as_array().expect("a batch response").clone();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().expect("a number").to_owned()).collect()
    }
}

/// What the function told Lambda instead of starting.
#[derive(Debug, Clone)]
pub struct InitError {
    /// The error's type, from its header.
    pub kind: String,
    /// The error.
    pub body: Value,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    init_errors: Mutex<Vec<InitError>>,
    first_next: Mutex<Option<Instant>>,
    asked: Notify,
}

/// An invocation's id, and its event.
type Invocation = (String, Arc<str>);

#[derive(Clone)]
struct Server {
    shared: Arc<Shared>,
    events: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>>,
}

/// The server, for as long as this lives.
pub struct RuntimeApi {
    /// `127.0.0.1:port`
    pub address: String,
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Invocation>,
    server: JoinHandle<()>,
}

impl RuntimeApi {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let (events, receiver) = mpsc::unbounded_channel();
        let server = Server { shared: Arc::clone(&shared), events: Arc::new(tokio::sync::Mutex::new(receiver)) };
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(server);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves until it is ended") });
        RuntimeApi { address, shared, events, server }
    }

    /// Hands `event` to the function when it asks for work; the answer comes when the function gives one.
    pub fn invoke(&self, id: &str, event: &str) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.shared.answers.lock().expect("no panic").insert(id.to_owned(), answer);
        self.events.send((id.to_owned(), Arc::from(event))).expect("the server runs");
        receiver
    }

    /// Waits until the function asks for work, and says when it did so first.
    pub async fn asked_for_work(&self) -> Instant {
        loop {
            let asked = self.shared.asked.notified();
            if let Some(at) = *self.shared.first_next.lock().expect("no panic") {
                return at;
            }
            asked.await;
        }
    }

    /// Whether the function ever asked for work.
    pub fn was_asked_for_work(&self) -> bool {
        self.shared.first_next.lock().expect("no panic").is_some()
    }

    /// What the function told instead of starting.
    pub fn init_errors(&self) -> Vec<InitError> {
        self.shared.init_errors.lock().expect("no panic").clone()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The trace of every invocation.
pub const TRACE_ID: &str = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1";

async fn next(State(server): State<Server>) -> Response {
    server.shared.first_next.lock().expect("no panic").get_or_insert_with(Instant::now);
    server.shared.asked.notify_waiters();
    let Some((id, event)) = server.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("lambda-runtime-aws-request-id", id.as_str()),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-trace-id", TRACE_ID),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-central-1:123456789012:function:function"),
        ("content-type", "application/json"),
    ];
    (headers, event.to_string()).into_response()
}

async fn response(State(server): State<Server>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    answer(&server, &id, Answer::Response(serde_json::from_slice(&body).expect("JSON")))
}

async fn error(State(server): State<Server>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    answer(&server, &id, Answer::Error(serde_json::from_slice(&body).expect("JSON")))
}

fn answer(server: &Server, id: &str, answer: Answer) -> StatusCode {
    let waiting = server.shared.answers.lock().expect("no panic").remove(id);
    // Lambda takes one answer an invocation.
    let Some(waiting) = waiting else { return StatusCode::BAD_REQUEST };
    let _ = waiting.send(answer);
    StatusCode::ACCEPTED
}

async fn init_error(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let kind = headers.get("lambda-runtime-function-error-type").map_or("", |kind| kind.to_str().expect("text"));
    let error = InitError { kind: kind.to_owned(), body: serde_json::from_slice(&body).expect("JSON") };
    server.shared.init_errors.lock().expect("no panic").push(error);
    StatusCode::ACCEPTED
}
