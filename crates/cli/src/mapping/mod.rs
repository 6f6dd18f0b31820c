//! `streamgauge mapping`: what Lambda's event source mapping does, from where the command runs.
//!
//! Emulators of AWS have mappings that overlook batch item failures, bisecting, retry limits and destinations. This one
//! has them all: `event_source_mapping` to the letter, over a Kinesis stream and Lambda's own `Invoke`.

#[cfg(feature = "aws")]
mod checkpoint_file;
#[cfg(feature = "aws")]
mod invoked_function;
#[cfg(feature = "aws")]
mod on_failure_bucket;
#[cfg(feature = "aws")]
mod run;

use anyhow::Result;
use clap::ValueEnum;
use std::path::PathBuf;
use std::process::ExitCode;

/// Read a Kinesis stream and invoke a Lambda function with its batches, as Lambda's event source mapping does: for
/// emulators of AWS whose mappings overlook batch item failures. Runs until Ctrl-C, SIGTERM or SIGHUP, with region and credentials
/// as AWS tools find them. Needs a build with `--features aws`
#[derive(clap::Args)]
#[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "parsed so that the help and every error are the same"))]
pub struct Args {
    /// The stream
    #[arg(long, value_name = "STREAM", value_parser = crate::send::stream_name)]
    kinesis: String,
    /// The function: its name or ARN, with `:ALIAS` for an alias or version
    #[arg(long, value_name = "FUNCTION")]
    function: String,
    /// Where it is kept how far each shard is done; made if it is not there. A shard that is not in it is read from its
    /// oldest record on
    #[arg(long, value_name = "FILE")]
    checkpoints: PathBuf,
    /// The most records a batch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_size: u16,
    /// Batches of one shard at once; each partition key keeps its order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=10))]
    parallelization_factor: u8,
    /// Whether a batch whose invocation failed is halved
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    bisect_batch_on_function_error: bool,
    /// Retries of a batch before its records are given up; without it, until it succeeds
    #[arg(long, value_name = "N", requires = "on_failure", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    maximum_retry_attempts: Option<u32>,
    /// The bucket that keeps, under aws/lambda/, records that are given up, with --maximum-retry-attempts
    #[arg(long, value_name = "BUCKET", requires = "maximum_retry_attempts")]
    on_failure: Option<String>,
    /// How to print the summary
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Runs until a signal, prints the summary, and exits 0.
#[cfg(feature = "aws")]
pub fn run(args: Args) -> Result<ExitCode> {
    let summary = run::until_a_signal(&args)?;
    match args.format {
        Format::Text => println!("{summary}"),
        Format::Json => println!("{}", serde_json::to_string(&summary)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says how to get the build that can.
#[cfg(not(feature = "aws"))]
pub fn run(_: Args) -> Result<ExitCode> {
    anyhow::bail!(
        "this streamgauge was built without AWS: build it with `cargo build --release --features aws`, or run \
         `cargo run --release --features aws -- mapping …`"
    )
}
