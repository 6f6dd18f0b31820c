//! `streamgauge backup`: a copy of the whole pipeline, of a running `up` or of a data directory that no `up` uses.

use crate::dlq::open_directory;
use crate::endpoint::{EndpointArgs, Pipeline, PipelineArgs};
use crate::output::print;
use crate::up::{Holds, copy};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use ports::{BackupProgress, BackupStage, BackupSummary};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Copy everything that a pipeline on this machine keeps, while it runs or not
#[derive(clap::Args)]
pub struct Args {
    /// The folder to copy to: a new one, an empty one, or an earlier backup, which is brought up to date
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    #[command(flatten)]
    pipeline: PipelineArgs,
}

/// Exits 0 with a whole, verified copy; any other end leaves a copy that the same command finishes.
pub fn run(args: Args) -> Result<ExitCode> {
    let target = std::path::absolute(&args.target).context("the target")?;
    let bar = Bar::new();
    let summary = match args.pipeline.pipeline() {
        Pipeline::Directory(directory) => of_directory(directory, &target, &bar),
        Pipeline::Running(endpoint) => of_running(&endpoint, &target, &bar),
    };
    bar.0.finish_and_clear();
    let text = report(&target, &summary?);
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn of_directory(directory: &Path, target: &Path, bar: &Bar) -> Result<BackupSummary> {
    let storage = open_directory(directory)?;
    let show = |step| {
        bar.show(step);
        true
    };
    Ok(copy(&storage, target, &Holds::default(), &show)?)
}

/// A line of the answer of `POST /backup`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Failed { error: String },
    Step(BackupProgress),
    Done(BackupSummary),
}

fn of_running(endpoint: &EndpointArgs, target: &Path, bar: &Bar) -> Result<BackupSummary> {
    #[derive(Serialize)]
    struct Body<'a> {
        target: &'a Path,
    }
    let body = serde_json::to_vec(&Body { target }).context("the target's path is not UTF-8")?;
    let client = endpoint.client()?;
    let mut end = None;
    let answer = client.post_for_lines("/backup", "application/json", &body, &mut |line| {
        match serde_json::from_slice(line) {
            Ok(Line::Step(step)) => bar.show(step),
            Ok(last) => end = Some(last),
            // A newer `up` may say more.
            Err(_) => {}
        }
    });
    let url = client.endpoint().url();
    let answer = answer.with_context(|| {
        format!("the backup did not end; run it again to finish it (with no `up` at {url}, give --data-dir)")
    })?;
    match (answer.status, end) {
        (200, Some(Line::Done(summary))) => Ok(summary),
        (200, Some(Line::Failed { error })) => bail!("{error}"),
        (200, _) => bail!("{url} ended the backup early; run it again to finish it"),
        (404 | 405, _) => bail!("{url} makes no backups: it is no `up` of this version ({})", answer.message()),
        _ => bail!("{url} refused the backup ({})", answer.message()),
    }
}

fn report(target: &Path, summary: &BackupSummary) -> String {
    let BackupSummary { devices, records, files_copied, bytes_copied, files_kept, files_removed } = summary;
    let megabytes = *bytes_copied as f64 / 1e6;
    format!(
        "{}: {devices} devices, {records} records of the stream, {} archive files\n\
         the databases were checked; {files_copied} archive files ({megabytes:.1} MB) were copied by this run and read \
         back, {files_kept} were there before, {files_removed} merged ones were deleted\n",
        target.display(),
        files_copied + files_kept,
    )
}

/// The progress bar: on standard error, and only where that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg}  {eta} left") {
            bar.set_style(style);
        }
        Bar(bar)
    }

    fn show(&self, step: BackupProgress) {
        let message = match step.stage {
            BackupStage::Waiting => "waiting for a merge of curated files to end",
            BackupStage::Statistics => "statistics",
            BackupStage::Stream => "stream",
            BackupStage::Archive => "archive",
            BackupStage::Verification => "checking the copy",
        };
        if self.0.message() != message {
            // Each stage has units and a pace of its own.
            self.0.reset();
            self.0.set_message(message);
        }
        self.0.set_length(step.total);
        self.0.set_position(step.position);
    }
}
