//! A cold start that failed, told to Lambda.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror>

use crate::ConfigurationError;
use lambda_runtime::{Diagnostic, Error};
use lambda_runtime_api_client::{Client, body::Body, build_request};

const ERROR_TYPE: &str = "Configuration.Invalid";

/// Posts the whole of what is wrong, so that whoever invokes the function reads it in the answer, not only in the log.
pub(crate) async fn report(error: &ConfigurationError) -> Result<(), Error> {
    let diagnostic = Diagnostic { error_type: ERROR_TYPE.to_owned(), error_message: error.to_string() };
    let request = build_request()
        .method("POST")
        .uri("/2018-06-01/runtime/init/error")
        .header("content-type", "application/json")
        .header("lambda-runtime-function-error-type", ERROR_TYPE)
        .body(Body::from(serde_json::to_vec(&diagnostic)?))?;
    Client::builder().build()?.call(request).await?;
    Ok(())
}
