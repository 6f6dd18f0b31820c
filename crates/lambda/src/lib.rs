//! What every function's binary starts with.
//!
//! - **Enters**: the environment that Lambda and the stack set.
//! - **Leaves**: a configuration ([`Variables`]), JSON logs, one document of metrics a batch ([`document`]).
//! - **Fails**: with everything that is wrong with the configuration at once, in the log and to Lambda.

mod init_error;
mod log;
mod metrics;
mod variables;

pub use metrics::{Metric, document, since};
pub use variables::{ConfigurationError, Variables};

use lambda_runtime::Error;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// A function's life: its log begins, with `own` as the crates whose debug messages hold no payloads; then it serves with
/// its configuration until Lambda ends it, or says what is wrong with the configuration and never asks for work.
pub async fn run<C, F>(
    own: &[&'static str],
    context: Result<C, ConfigurationError>,
    serve: impl FnOnce(C) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), Error>>,
{
    log::start(own);
    let context = match context {
        Ok(context) => context,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            if let Err(error) = init_error::report(&error).await {
                tracing::error!(error, "cannot tell Lambda");
            }
            return ExitCode::FAILURE;
        }
    };
    // On the heap, and without its type: a function's future is too deep for the compiler otherwise.
    let serving: Pin<Box<dyn Future<Output = _>>> = Box::pin(serve(context));
    match until_terminated(serving).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "the runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// Between batches nothing is held that a shutdown could lose, and a batch that is cut off comes again.
async fn until_terminated(serve: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let mut shutdown = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = serve => ended,
        _ = shutdown.recv() => Ok(()),
    }
}
