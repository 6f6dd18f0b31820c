//! `streamgauge put`: raw bytes into the stream of one machine, past the front door.

use crate::endpoint::{EndpointArgs, check, printable};
use crate::output::say;
use anyhow::{Context, Result};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

/// Put raw bytes into the stream as one record, as a direct producer would: the way to try what the front door refuses
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// The record's partition key
    #[arg(long, value_name = "KEY")]
    partition_key: String,
    /// The file that holds the record, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Posts the bytes once and prints the receipt. Without an answer they may or may not stand in the stream.
pub fn run(args: Args) -> Result<ExitCode> {
    let client = args.endpoint.client()?;
    let mut record = Vec::new();
    if args.file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut record).context("standard input cannot be read")?;
    } else {
        record = std::fs::read(&args.file).with_context(|| args.file.display().to_string())?;
    }
    let path = format!("/stream/records?partition_key={}", producer::percent_encode(&args.partition_key));
    let answer = client.post(&path, "application/octet-stream", &record)?;
    check(&answer, &client)?;
    if answer.status != 200 {
        say(&format!("refused ({})", answer.message()));
        return Ok(ExitCode::from(1));
    }
    println!("{}", printable(String::from_utf8_lossy(&answer.body).trim_end()));
    Ok(ExitCode::SUCCESS)
}
