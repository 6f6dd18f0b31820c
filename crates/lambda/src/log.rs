//! JSON logs, with the request id and the X-Ray trace id of the invocation that lambda_runtime's span carries.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Writes to stdout, from `AWS_LAMBDA_LOG_LEVEL` up (Lambda sets it; `INFO` by default). Other crates stay at their
/// informational level at most: the SDK's and the runtime's debug messages hold requests, and so readings.
pub(crate) fn start(own: &[&'static str]) {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL").ok().and_then(|level| level.parse().ok());
    let level: LevelFilter = level.unwrap_or(LevelFilter::INFO);
    let targets =
        Targets::new().with_default(level.min(LevelFilter::INFO)).with_targets(own.iter().map(|name| (*name, level)));
    let json = tracing_subscriber::fmt::layer().json().with_span_list(false).with_writer(std::io::stdout);
    tracing_subscriber::registry().with(targets).with(json).init();
}
