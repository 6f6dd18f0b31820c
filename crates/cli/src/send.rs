//! `streamgauge send`: readings from files, standard input or a simulated fleet.

mod bar;
#[cfg(feature = "aws")]
pub mod kinesis;
mod report;
mod signals;

use crate::endpoint::EndpointArgs;
use crate::output::{print, say};
use anyhow::Result;
use bar::Bar;
use clap::ValueEnum;
use producer::{
    CsvFiles, Detached, Endpoint, Fleet, FleetSource, Halt, JsonLines, Progress, Refusal, Row, SendSettings,
    SourceError, Summary, find_csv_files, send,
};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::Timestamp;

/// Send readings from files, standard input or a simulated fleet. Sending the same again is safe: a reading is its
/// device and timestamp (and event_id, where it has one), and is counted once
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// Put straight into this Kinesis stream, past the front door, with region and credentials as AWS tools find them.
    /// Needs a build with `--features aws`
    #[arg(long, value_name = "STREAM", value_parser = stream_name, conflicts_with_all = ["endpoint", "data_dir"])]
    kinesis: Option<String>,
    /// With --kinesis: pack the records of many devices into KPL aggregates
    #[arg(long, requires = "kinesis")]
    aggregate: bool,
    #[command(flatten)]
    source: SourceArgs,
    /// Readings of each simulated device, with --devices
    #[arg(long, value_name = "N", requires = "devices", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    readings: Option<u64>,
    /// The time between two readings of a simulated device; the last is made about now
    #[arg(long, value_name = "MILLISECONDS", requires = "devices", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    interval: u32,
    /// Which simulated fleet: the same seed gives the same devices and signals
    #[arg(long, value_name = "N", requires = "devices", default_value_t = 1)]
    seed: u64,
    /// Readings a post (with --kinesis, a record): 1 posts single readings, more posts series of one device
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=500))]
    batch: u16,
    /// Devices posted at once, each over its own connection (with --kinesis, calls of PutRecords at once); a device has
    /// one post in flight
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Seconds to wait for one answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Seconds to retry one post before giving up (an endpoint that never answered: at most 10)
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    max_retry_time: u64,
    /// How to print the summary
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// CSV files with a header: timestamp,value and optionally device_id (else the file's name without its ending) and
    /// event_id. A directory stands for the .csv files in it. Timestamps without an offset are UTC
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    csv: Vec<PathBuf>,
    /// A file with a reading, or a series, in JSON on each line, or - for standard input
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// A simulated fleet of so many devices
    #[arg(long, value_name = "N", requires = "readings", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    devices: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// Where readings go.
enum Target {
    Endpoint(Endpoint),
    #[cfg(feature = "aws")]
    Stream {
        stream: kinesis::KinesisStream,
        aggregate: bool,
    },
}

/// Sends, prints the summary, and exits 1 when anything was refused or left unsent, 2 when the endpoint or the stream was
/// never reached.
pub fn run(args: Args) -> Result<ExitCode> {
    let target = args.target()?;
    let progress = Arc::new(Progress::default());
    signals::stop_at_a_signal(progress.clone())?;
    let summary = args.send(&target, progress)?;
    if let Some(Halt::Unreachable(reason)) = &summary.halted {
        // Nothing was sent: there is nothing to sum up.
        anyhow::bail!("{reason}");
    }
    let posts = if args.kinesis.is_some() { "records" } else { "posts" };
    match args.format {
        Format::Text => report::print_text(&summary, posts)?,
        Format::Json => drop(print(&(serde_json::to_string(&summary)? + "\n"))?),
    }
    if let Some(halt) = &summary.halted {
        say(&halt.to_string());
    }
    let all_done = summary.refused == 0 && summary.halted.is_none();
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The name of a stream, as Kinesis takes it: `[a-zA-Z0-9_.-]{1,128}`.
pub fn stream_name(text: &str) -> Result<String, &'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a stream: 1 to 128 of A-Z a-z 0-9 _ . -")
    }
}

impl Target {
    fn send(
        &self,
        settings: &SendSettings,
        source: impl Iterator<Item = Result<Row, Refusal>>,
        progress: &Progress,
    ) -> Summary {
        match self {
            Target::Endpoint(endpoint) => send(endpoint, settings, source, progress),
            #[cfg(feature = "aws")]
            Target::Stream { stream, aggregate } => {
                producer::send_records(stream, settings, *aggregate, source, progress)
            }
        }
    }
}

impl Args {
    #[cfg(feature = "aws")]
    fn target(&self) -> Result<Target> {
        let Some(name) = &self.kinesis else { return Ok(Target::Endpoint(self.endpoint.endpoint()?)) };
        let stream = kinesis::KinesisStream::open(name, self.settings().timeout)?;
        Ok(Target::Stream { stream, aggregate: self.aggregate })
    }

    #[cfg(not(feature = "aws"))]
    fn target(&self) -> Result<Target> {
        if self.kinesis.is_some() {
            anyhow::bail!(
                "this streamgauge was built without AWS: build it with `cargo build --release --features aws`, or run \
                 `cargo run --release --features aws -- send --kinesis …`"
            );
        }
        Ok(Target::Endpoint(self.endpoint.endpoint()?))
    }

    fn settings(&self) -> SendSettings {
        SendSettings {
            batch: usize::from(self.batch),
            concurrency: usize::from(self.concurrency),
            timeout: Duration::from_secs(self.timeout),
            max_retry_time: Duration::from_secs(self.max_retry_time),
        }
    }

    fn send(&self, target: &Target, progress: Arc<Progress>) -> Result<Summary, SourceError> {
        let settings = self.settings();
        let (width, run) = (settings.concurrency, settings.batch);
        if let Some(file) = &self.source.jsonl {
            return self.send_json_lines(target, file, progress);
        }
        if let Some(devices) = self.source.devices {
            let (devices, readings) = (devices as usize, self.readings.unwrap_or(1));
            let fleet = Fleet::new(devices, self.seed);
            let source = FleetSource::new(fleet, readings, self.interval, now(), width, run);
            let _bar = Bar::of_readings(readings.saturating_mul(devices as u64), &progress);
            return Ok(target.send(&settings, source, &progress));
        }
        let files = find_csv_files(&self.source.csv)?;
        let _bar = Bar::of_bytes(CsvFiles::total_bytes(&files), &progress);
        // More files at once than threads, so that each thread finds a device that is not in flight.
        let source = CsvFiles::new(files, (2 * width).min(256), run, progress.clone());
        Ok(target.send(&settings, source, &progress))
    }

    fn send_json_lines(
        &self,
        target: &Target,
        file: &std::path::Path,
        progress: Arc<Progress>,
    ) -> Result<Summary, SourceError> {
        let settings = self.settings();
        if file.as_os_str() == "-" {
            let _bar = Bar::without_end(&progress);
            let input = JsonLines::new(BufReader::new(std::io::stdin()), "-".into());
            return Ok(target.send(&settings, Detached::new(input, progress.clone()), &progress));
        }
        let source = JsonLines::open(file, &progress)?;
        let _bar = Bar::of_bytes(file.metadata().map_or(0, |metadata| metadata.len()), &progress);
        Ok(target.send(&settings, source, &progress))
    }
}

fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).ok().and_then(Timestamp::from_millisecond).unwrap_or(Timestamp::UNIX_EPOCH)
}
