//! The SDK's configuration: one TLS stack, standard retries, bounded waits.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_kinesis::config::ProvideCredentials as _;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use std::time::Duration;

/// Without these an attempt on a connection that died silently would hold a batch until Lambda's own time-out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What every call needs and the surroundings do not give.
#[derive(Debug, thiserror::Error)]
pub enum SdkConfigError {
    /// No region.
    #[error("no AWS region: set AWS_REGION, or `region` in the profile")]
    NoRegion,
    /// No credentials, in any of the places where AWS tools look.
    #[error(
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role gives them"
    )]
    NoCredentials(#[source] crate::BoxError),
}

/// Looks whether a configuration has a region, and credentials that can be had now; so that what is missing is said
/// before the first call.
///
/// # Errors
/// [`SdkConfigError`], naming what is missing.
pub async fn check_sdk_config(config: &SdkConfig) -> Result<(), SdkConfigError> {
    if config.region().is_none() {
        return Err(SdkConfigError::NoRegion);
    }
    let Some(provider) = config.credentials_provider() else {
        return Err(SdkConfigError::NoCredentials("no provider of credentials is configured".into()));
    };
    provider.provide_credentials().await.map_err(|error| SdkConfigError::NoCredentials(error.into()))?;
    Ok(())
}

/// Reads region, credentials and endpoint as every AWS tool does: environment variables, shared files, container or
/// instance. TLS is rustls over ring, the certificates are the system's.
pub async fn load_sdk_config() -> SdkConfig {
    let http_client = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .retry_config(RetryConfig::standard())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        .load()
        .await
}
