//! Why a call failed, told so that whoever reads the log knows which permission or which resource is missing.

use crate::BoxError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// A call that came to nothing. It holds nothing of the request but the resource's name.
#[derive(Debug, thiserror::Error)]
enum CallFailure {
    /// The service answered that it would not, or could not.
    #[error("{action} on {resource} failed: {reason}")]
    Refused { action: &'static str, resource: String, reason: String },
    /// There was no answer, or none that could be read.
    #[error("{action} on {resource} got no answer")]
    Unanswered {
        action: &'static str,
        resource: String,
        #[source]
        source: BoxError,
    },
}

/// The failure of `action`, as IAM names it (`dynamodb:GetItem`), on `resource`. The service's own code and message
/// stand in it: they name the role that lacks a permission, or the table that is not there.
pub(crate) fn call_failure<E>(action: &'static str, resource: String, error: SdkError<E, HttpResponse>) -> BoxError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let Some(service_error) = error.as_service_error() else {
        return Box::new(CallFailure::Unanswered { action, resource, source: error.into() });
    };
    let status = || error.raw_response().map(|response| format!("HTTP status {}", response.status().as_u16()));
    let code = service_error.code().map(str::to_owned).or_else(status).unwrap_or_else(|| "no code".to_owned());
    let reason = service_error.message().map_or(code.clone(), |message| format!("{code}: {message}"));
    Box::new(CallFailure::Refused { action, resource, reason })
}
