//! Curated data: Parquet files of rows.

use super::report::Report;
use super::{day_of, keys};
use curator::{CURATED_PREFIX, parquet_file};
use ports::with_causes;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// Reads every row of every file.
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
            opened => opened.map_err(|error| error.to_string()).and_then(read),
        };
        let entry = report.days.entry(day.to_owned()).or_default();
        entry.files += 1;
        match rows {
            Ok(rows) => entry.rows += rows,
            Err(why) => report.problem(&key, format!("it cannot be read to its end: {why}")),
        }
    }
    Ok(())
}

fn read(file: File) -> Result<u64, String> {
    parquet_file::read_file(file, |_| ()).map_err(|error| with_causes(&error))
}
