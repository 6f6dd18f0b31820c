//! Why a stream takes nothing from a caller, however often it is asked.

use aws_sdk_kinesis::error::ProvideErrorMetadata as _;
use aws_sdk_kinesis::operation::put_records::PutRecordsError;
use ports::PutError;
use std::error::Error;

/// What somebody has to mend before a stream takes anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutDenial {
    /// There is no such stream in this account and region, or not yet.
    #[error("the stream is not there")]
    NoSuchStream,
    /// The caller may not put, or not use the stream's key.
    #[error("access was denied: {0}")]
    AccessDenied(String),
    /// The stream's key cannot be used by anybody.
    #[error("the stream's key cannot be used: {0}")]
    Key(String),
    /// The credentials are not valid (any more), or do not belong to this account.
    #[error("the credentials were not taken: {0}")]
    Credentials(String),
}

/// Why putting again is of no use; `None` where it may be.
pub fn put_denial(error: &PutError) -> Option<PutDenial> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<PutRecordsError>() {
            return denial(error);
        }
        cause = error.source();
    }
    None
}

fn denial(error: &PutRecordsError) -> Option<PutDenial> {
    let code = error.code().unwrap_or_default();
    let message = error.message().unwrap_or(code).to_owned();
    // Common errors of every service beside those of PutRecords itself:
    // https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html
    match code {
        "ResourceNotFoundException" => Some(PutDenial::NoSuchStream),
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "KMSAccessDeniedException" => {
            Some(PutDenial::AccessDenied(message))
        }
        "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" | "KMSOptInRequired" => {
            Some(PutDenial::Key(message))
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Some(PutDenial::Credentials(message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_error::SharedError;
    use aws_sdk_kinesis::error::{ErrorMetadata, SdkError};

    fn failed(code: &str) -> PutError {
        let meta = ErrorMetadata::builder().code(code).message("somebody may not").build();
        let error = SdkError::<_, ()>::service_error(PutRecordsError::generic(meta), ());
        PutError::Unavailable(Box::new(SharedError::new(error)))
    }

    #[test]
    fn what_nobody_can_retry_is_told_from_what_passes() {
        assert_eq!(put_denial(&failed("ResourceNotFoundException")), Some(PutDenial::NoSuchStream));
        let text = "somebody may not".to_owned();
        assert_eq!(put_denial(&failed("AccessDeniedException")), Some(PutDenial::AccessDenied(text.clone())));
        assert_eq!(put_denial(&failed("KMSDisabledException")), Some(PutDenial::Key(text.clone())));
        assert_eq!(put_denial(&failed("ExpiredTokenException")), Some(PutDenial::Credentials(text)));
        for passing in ["InternalFailure", "ServiceUnavailable", "KMSThrottlingException", "RequestTimeout"] {
            assert_eq!(put_denial(&failed(passing)), None, "{passing}");
        }
        assert_eq!(put_denial(&PutError::Throttled), None);
    }
}
