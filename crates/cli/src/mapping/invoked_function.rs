//! A Lambda function, by Lambda's own `Invoke`.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use event_source_mapping::{Batch, EventSource, Function, FunctionError, Verdict, verdict};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tracing::info;

/// The function of this name or ARN. It needs `lambda:InvokeFunction`.
pub struct InvokedFunction {
    pub client: Client,
    pub name: String,
    /// What events say of stream and function.
    pub source: EventSource,
    /// Answers that named records which failed.
    pub partial_answers: Arc<AtomicU64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Failure {
    error_type: String,
}

impl Function for InvokedFunction {
    async fn invoke(&self, batch: &Batch) -> Result<Verdict, FunctionError> {
        let event = self.source.event(batch);
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
        let verdict = verdict(&payload, batch);
        if verdict != Verdict::Success {
            self.partial_answers.fetch_add(1, Relaxed);
        }
        info!(event_bytes = bytes, ?verdict, "invoked");
        Ok(verdict)
    }
}

/// What the service said, or why there was no answer.
pub fn why<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => crate::send::kinesis::chain(error),
    }
}
