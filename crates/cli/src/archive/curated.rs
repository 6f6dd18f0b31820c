//! Curated data: Parquet files of rows.

use super::report::Report;
use super::{day_of, keys};
use curator::{CURATED_PREFIX, parquet_file};
use ports::with_causes;
use std::fs::File;
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
        let rows = read(&archive.join(&key));
        let entry = report.days.entry(day.to_owned()).or_default();
        entry.files += 1;
        match rows {
            Ok(rows) => entry.rows += rows,
            Err(why) => report.problem(&key, format!("it cannot be read to its end: {why}")),
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<u64, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    parquet_file::read_file(file, |_| ()).map_err(|error| with_causes(&error))
}
