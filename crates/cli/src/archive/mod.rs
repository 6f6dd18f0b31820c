//! `streamgauge archive`: what the archive holds, checked.

mod curated;
mod dead_letters;
mod raw;
mod rebuild;
mod report;

use crate::output::{Format, print};
use anyhow::{Context, Result};
use clap::Subcommand;
pub use report::Report;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check the archive's files
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read every file of the archive: raw bodies, curated rows, dead letters; name what is damaged or missing
    Verify(VerifyArgs),
    /// Make a new data directory from the archive's raw bodies
    Rebuild(rebuild::Args),
}

#[derive(clap::Args)]
struct VerifyArgs {
    /// A copy of an archive, such as of the bucket; without it, the archive in the data directory
    #[arg(conflicts_with = "data_dir", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// The data directory of `up`, which may be running
    #[arg(long, default_value = "streamgauge-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The folders that an archive has, of which each is there once it has a file.
const FOLDERS: [&str; 3] = ["raw", "curated", "dead-letters"];

/// What `up` makes in a new archive before there is any of the [`FOLDERS`]: one of them says that it is an archive.
const MARKS: [&str; 2] = [".tmp", ".run"];

/// Exits 0 when nothing is wrong, 1 when something is.
pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Verify(args) => verify(args),
        Command::Rebuild(args) => rebuild::run(&args),
    }
}

fn verify(args: VerifyArgs) -> Result<ExitCode> {
    let report = verify_archive(&args.folder.unwrap_or_else(|| args.data_dir.join("archive")))?;
    let text = match args.format {
        Format::Table => report.table(),
        Format::Json => report.json(),
    };
    print(&text)?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Reads every file of the archive in `folder`, and changes nothing.
///
/// # Errors
/// When the folder can't be read, or isn't an archive.
pub fn verify_archive(folder: &Path) -> Result<Report> {
    let is_folder = fs::metadata(folder).with_context(|| format!("cannot read {}", folder.display()))?.is_dir();
    anyhow::ensure!(is_folder, "{} is not a folder", folder.display());
    if !FOLDERS.iter().any(|name| folder.join(name).is_dir()) && !MARKS.iter().any(|name| folder.join(name).exists()) {
        return Err(not_an_archive(folder));
    }
    let mut report = Report::default();
    raw::verify(folder, &mut report)?;
    curated::verify(folder, &mut report)?;
    dead_letters::verify(folder, &mut report)?;
    Ok(report)
}

fn not_an_archive(folder: &Path) -> anyhow::Error {
    let name = folder.display();
    let archive = folder.join("archive");
    if archive.is_dir() {
        anyhow::anyhow!("{name} is a data directory, its archive is {}; pass --data-dir {name}", archive.display())
    } else {
        anyhow::anyhow!("{name} is not an archive: it has none of the folders {}", FOLDERS.join("/, ") + "/")
    }
}

/// The files under a folder of the archive, as keys, in byte order; none where there is no such folder.
fn keys(archive: &Path, folder: &str) -> Result<Vec<String>> {
    let mut keys = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(key) = waiting.pop() {
        let path = archive.join(&key);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound && key == folder => return Ok(keys),
            entries => entries.with_context(|| format!("cannot read {}", path.display()))?,
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
            let key = format!("{key}/{}", entry.file_name().to_string_lossy());
            let is_folder = entry.file_type().with_context(|| format!("cannot read {key}"))?.is_dir();
            if is_folder { waiting.push(key) } else { keys.push(key) }
        }
    }
    keys.sort_unstable();
    Ok(keys)
}

/// `YYYY-MM-DD` of a segment `dt=YYYY-MM-DD`.
fn day_of(segment: &str) -> Option<&str> {
    let day = segment.strip_prefix("dt=")?;
    telemetry::Timestamp::parse(&format!("{day}T00:00:00Z")).ok().map(|_| day)
}
