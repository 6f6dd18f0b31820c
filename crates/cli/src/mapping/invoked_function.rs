//! A Lambda function, by Lambda's own `Invoke`.

use super::run::why;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use event_source_mapping::{Function, FunctionError};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tracing::info;

/// The function of this name or ARN. It needs `lambda:InvokeFunction`.
pub struct InvokedFunction {
    pub client: Client,
    pub name: String,
    /// Answers that named records which failed.
    pub partial_answers: Arc<AtomicU64>,
}

/// What an answer says, as far as it is counted and logged here; the mapping judges it by itself.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    batch_item_failures: Vec<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Failure {
    error_type: String,
}

impl Function for InvokedFunction {
    async fn invoke(&self, event: Vec<u8>) -> Result<Vec<u8>, FunctionError> {
        let bytes = event.len();
        let request = self.client.invoke().function_name(&self.name).payload(Blob::new(event));
        // Whether or not it was reached, nothing of the batch is known to be done; and no retry is used up by doubt.
        let answer = request.send().await.map_err(|error| FunctionError::NotInvoked(why(&error).into()))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(kind) = answer.function_error {
            // Of what the function says only the type: its message may quote a reading.
            let Failure { error_type } = serde_json::from_slice(&payload).unwrap_or_default();
            return Err(FunctionError::Unhandled(format!("{kind}: {error_type}").into()));
        }
        let Answer { batch_item_failures } = serde_json::from_slice(&payload).unwrap_or_default();
        if !batch_item_failures.is_empty() {
            self.partial_answers.fetch_add(1, Relaxed);
        }
        info!(event_bytes = bytes, batch_item_failures = batch_item_failures.len(), "invoked");
        Ok(payload)
    }
}
