//! A service of AWS's JSON protocol that answers as it is told, and remembers what it was asked.

use crate::wire::{self, Answered, HttpRequest, Wire, json_answer};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Mutex};

/// What the service is asked.
pub struct Call {
    /// The operation's name.
    pub operation: String,
    /// Its body.
    pub body: Value,
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

type Script = dyn Fn(Call, usize) -> Answer + Send + Sync;

#[derive(Clone)]
pub struct ScriptedService {
    script: Arc<Script>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl ScriptedService {
    /// `script` gets a call and how many came before.
    pub fn new(script: impl Fn(Call, usize) -> Answer + Send + Sync + 'static) -> Self {
        ScriptedService { script: Arc::new(script), calls: Arc::default() }
    }

    /// For clients of this service.
    pub async fn config(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(wire::client(Arc::new(self.clone())))
            .region(Region::new("eu-central-1"))
            .credentials_provider(aws::aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test"))
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

    fn answer(&self, request: &HttpRequest) -> Answer {
        let operation = wire::target(request).expect("an operation").to_owned();
        let earlier = self.bodies();
        let before = earlier.len();
        let body = wire::request_json(request);
        self.calls.lock().expect("no test panics here").push((operation.clone(), body.clone()));
        (self.script)(Call { operation, body, earlier }, before)
    }
}

impl fmt::Debug for ScriptedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedService")
    }
}

impl Wire for ScriptedService {
    async fn call(self: Arc<Self>, request: HttpRequest, _service: wire::Service) -> Answered {
        Ok(match self.answer(&request) {
            Answer::Ok(body) => json_answer(200, &body),
            Answer::ServerError => json_answer(500, &json!({ "__type": "InternalServerError" })),
            Answer::ClientError(kind) => json_answer(400, &json!({ "__type": kind, "message": "refused" })),
        })
    }
}
