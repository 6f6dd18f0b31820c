//! `streamgauge verify`: a whole data directory, checked.

mod device;
#[cfg(test)]
mod flip_tests;

use crate::archive::{self, verify_archive};
use crate::output::{Format, print};
use anyhow::Result;
use embedded::{API_KEY_FILE, OpenError, Problem, Totals, verify};
use redrive::printable_line;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Check a whole data directory, which no `up` is using: databases, archive, curated files, totals
#[derive(clap::Args)]
pub struct Args {
    /// The data directory
    #[arg(long, default_value = "streamgauge-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// Rows by database file and table.
    rows: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// The directory's account of its readings.
    totals: BTreeMap<&'static str, u64>,
    /// What the archive holds, and everything that is wrong, with paths in the data directory.
    #[serde(flatten)]
    archive: archive::Report,
}

/// Reads everything and changes nothing. Exits 0 when nothing is wrong, 1 when something is.
pub fn run(args: Args) -> Result<ExitCode> {
    let report = check(&args.data_dir)?;
    let text = match args.format {
        Format::Table => report.table(&args.data_dir),
        // Texts and numbers alone: it cannot fail.
        Format::Json => serde_json::to_string(&report).unwrap_or_default() + "\n",
    };
    print(&text)?;
    Ok(if report.archive.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn check(data_dir: &Path) -> Result<Report> {
    let databases = verify(data_dir, &mut device::check).map_err(|error| match error {
        OpenError::Locked { .. } => anyhow::anyhow!(
            "a running `streamgauge up` is using the data directory {}; stop it first, or check a backup of it",
            data_dir.display()
        ),
        error => anyhow::Error::new(error),
    })?;
    let folder = data_dir.join("archive");
    let mut archive = archive::Report::default();
    if folder.is_dir() {
        archive = verify_archive(&folder)?;
    } else {
        archive.problem("", "it is missing");
    }
    for problem in &mut archive.problems {
        problem.file = format!("archive/{}", problem.file).trim_end_matches('/').to_owned();
    }
    archive.problems.extend(databases.problems);
    archive.problems.extend(check_api_key(data_dir));
    let Totals { accepted, counted, dead_letters } = databases.totals;
    let totals = [("accepted", accepted), ("counted", counted), ("dead_letters", dead_letters)].into();
    Ok(Report { rows: databases.rows, totals, archive })
}

/// The key is text that an HTTP header can carry. Whether it is the right one, only the clients know.
fn check_api_key(data_dir: &Path) -> Option<Problem> {
    let problem = match std::fs::read(data_dir.join(API_KEY_FILE)) {
        // It was given to `up` by flag or variable.
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => format!("it cannot be read: {error}"),
        Ok(bytes) if gateway::check_api_key(&String::from_utf8_lossy(bytes.trim_ascii())).is_ok() => return None,
        Ok(_) => "it holds no key; delete it and `up` makes a new one, which the clients then need".to_owned(),
    };
    Some(Problem { file: API_KEY_FILE.to_owned(), problem })
}

impl Report {
    fn table(&self, data_dir: &Path) -> String {
        let mut text = String::new();
        let mut line = |file: &str, what: &str, number: u64| {
            // A text takes whatever is written to it.
            let _ = writeln!(text, "{file:<18}{what:<24}{number:>14}");
        };
        for (file, tables) in &self.rows {
            tables.iter().for_each(|(table, rows)| line(file, table, *rows));
        }
        line("archive", "raw files", self.archive.hours.values().map(|hour| hour.files).sum());
        line("archive", "curated files", self.archive.days.values().map(|day| day.files).sum());
        self.totals.iter().for_each(|(name, readings)| line("readings", name, *readings));
        for Problem { file, problem } in &self.archive.problems {
            let _ = writeln!(text, "{}: {}", printable_line(file), printable_line(problem));
        }
        let count = self.archive.problems.len();
        if count == 0 {
            return text + "nothing is wrong\n";
        }
        let _ = writeln!(
            text,
            "restore a backup, or make a new directory from the archive: streamgauge archive rebuild --data-dir {} --into NEW",
            printable_line(&data_dir.display().to_string())
        );
        let _ = writeln!(text, "problems: {count}");
        text
    }
}
