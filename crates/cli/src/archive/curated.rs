//! Curated data: Parquet files of rows.

use super::report::Report;
use super::{day_of, keys};
use curator::CURATED_PREFIX;
use curator::parquet_file::{self, ReadError};
use ports::with_causes;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// Compares every file with the checksum in its name, and reads every row.
pub fn verify(archive: &Path, report: &mut Report) -> anyhow::Result<()> {
    for key in keys(archive, CURATED_PREFIX.trim_end_matches('/'))? {
        let mut segments = key.strip_prefix(CURATED_PREFIX).unwrap_or_default().split('/');
        let day = segments.next().and_then(day_of);
        let (Some(day), Some(_), None) = (day, segments.next(), segments.next()) else {
            report.problem(&key, "it is not under dt=YYYY-MM-DD");
            continue;
        };
        let rows = match File::open(archive.join(&key)) {
            // `up` has merged it into another since the files were listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(|error| unread(&error)).and_then(|file| verify_file(&key, file)),
        };
        let entry = report.days.entry(day.to_owned()).or_default();
        entry.files += 1;
        match rows {
            Ok(rows) => entry.rows += rows,
            Err(problem) => report.problem(&key, problem),
        }
    }
    Ok(())
}

fn verify_file(key: &str, file: File) -> Result<u64, String> {
    parquet_file::verify(key, file).map_err(|error| match error {
        ReadError::ChecksumMismatch => error.to_string(),
        other => unread(&other),
    })
}

fn unread(error: &(dyn std::error::Error + 'static)) -> String {
    format!("it cannot be read to its end: {}", with_causes(error))
}
