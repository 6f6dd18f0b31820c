//! A service of AWS's JSON protocol that answers as it is told, and remembers what it was asked.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::task::JoinHandle;

/// What the service is asked.
pub struct Call {
    /// The operation's name.
    pub operation: String,
    /// The bodies of the calls before.
    pub earlier: Vec<Value>,
}

/// What it answers.
pub enum Answer {
    Ok(Value),
    /// 500, which the SDK tries again.
    ServerError,
    /// 400 with this type.
    ClientError(&'static str),
}

pub struct ScriptedService {
    endpoint: String,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    server: JoinHandle<()>,
}

impl ScriptedService {
    /// Starts it; `script` gets a call and how many came before.
    pub async fn start(script: impl Fn(Call, usize) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let calls: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let seen = Arc::clone(&calls);
        let handle = move |headers: HeaderMap, body: Bytes| async move {
            let target = headers["x-amz-target"].to_str().expect("text");
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let mut seen = seen.lock().expect("no test panics here");
            let earlier: Vec<Value> = seen.iter().map(|(_, body)| body.clone()).collect();
            let before = earlier.len();
            seen.push((operation.clone(), serde_json::from_slice(&body).expect("JSON")));
            drop(seen);
            response(script(Call { operation, earlier }, before))
        };
        let app = Router::new().fallback(handle);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves until it is ended") });
        ScriptedService { endpoint, calls, server }
    }

    /// For clients of this service.
    pub async fn config(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::new("eu-central-1"))
            .credentials_provider(aws::aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(&self.endpoint)
            .load()
            .await
    }

    /// The bodies of all calls.
    pub fn bodies(&self) -> Vec<Value> {
        self.calls.lock().expect("no test panics here").iter().map(|(_, body)| body.clone()).collect()
    }

    /// The operations of all calls.
    pub fn operations(&self) -> Vec<String> {
        self.calls.lock().expect("no test panics here").iter().map(|(operation, _)| operation.clone()).collect()
    }
}

impl Drop for ScriptedService {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn response(answer: Answer) -> Response {
    let (status, body) = match answer {
        Answer::Ok(body) => (StatusCode::OK, body),
        Answer::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "__type": "InternalServerError" })),
        Answer::ClientError(kind) => (StatusCode::BAD_REQUEST, json!({ "__type": kind, "message": "refused" })),
    };
    (status, [("content-type", "application/x-amz-json-1.0")], body.to_string()).into_response()
}
