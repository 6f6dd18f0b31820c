//! Documents in CloudWatch's embedded metric format, which CloudWatch Logs turns into metrics.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde_json::{Map, Value, json};
use std::time::Duration;
use telemetry::Timestamp;

/// One number under its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    name: String,
    unit: &'static str,
    value: Value,
}

impl Metric {
    /// How many.
    pub fn count(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Metric { name: name.into(), unit: "Count", value: value.into() }
    }

    /// How many bytes.
    pub fn bytes(name: impl Into<String>, value: u64) -> Self {
        Metric { name: name.into(), unit: "Bytes", value: value.into() }
    }

    /// How long, to the microsecond.
    pub fn milliseconds(name: impl Into<String>, duration: Duration) -> Self {
        Metric { name: name.into(), unit: "Milliseconds", value: json!(duration.as_micros() as f64 / 1000.0) }
    }
}

/// The document, on one line when it is printed; `function` is its one dimension.
pub fn document(namespace: &str, function: &str, at: Timestamp, metrics: Vec<Metric>) -> Value {
    let definitions: Vec<Value> =
        metrics.iter().map(|metric| json!({ "Name": metric.name, "Unit": metric.unit })).collect();
    let mut document: Map<String, Value> = metrics.into_iter().map(|metric| (metric.name, metric.value)).collect();
    document.insert("FunctionName".to_owned(), json!(function));
    let directive = json!({ "Namespace": namespace, "Dimensions": [["FunctionName"]], "Metrics": definitions });
    document.insert("_aws".to_owned(), json!({ "Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive] }));
    Value::Object(document)
}

/// From `then`, in milliseconds since the Unix epoch by another's clock, which may be ahead of ours: then nothing has passed.
pub fn since(then: i64, now: Timestamp) -> Duration {
    Duration::from_millis((now.as_millisecond() - then).max(0) as u64)
}
