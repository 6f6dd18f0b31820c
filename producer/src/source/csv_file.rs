//! One CSV file of readings.

use super::csv_records::{CsvRecords, Record};
use super::{RECORD_BYTES_MAX, csv_timestamp, shown};
use crate::progress::Progress;
use crate::row::{Origin, Refusal, Row};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use telemetry::{DeviceId, EventId, MAX_MAGNITUDE, Reading};

/// Where the columns stand.
struct Columns {
    timestamp: usize,
    value: usize,
    device_id: Option<usize>,
    event_id: Option<usize>,
}

/// A reader that adds what passes through it to [`Progress::bytes_read`].
pub(super) struct Counted<R> {
    inner: R,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.progress.bytes_read.fetch_add(bytes as u64, Relaxed);
        Ok(bytes)
    }
}

pub(super) fn open_counted(path: &Path, progress: &Arc<Progress>) -> io::Result<BufReader<Counted<File>>> {
    let inner = File::open(path)?;
    Ok(BufReader::with_capacity(64 * 1024, Counted { inner, progress: progress.clone() }))
}

/// The readings of one file. After a refusal that concerns the whole file it ends.
pub(super) struct CsvFile<R> {
    records: CsvRecords<R>,
    columns: Columns,
    /// The device that the file's name gives, where no column does.
    device: Option<DeviceId>,
    file: Arc<str>,
    failed: bool,
}

/// A refusal of the whole file: one row of the summary, because its rows were never read.
fn of_file(file: &Arc<str>, line: u64, message: String) -> Refusal {
    Refusal { file: file.clone(), line, readings: 1, message: format!("{message}; nothing of this file is sent") }
}

impl CsvFile<BufReader<Counted<File>>> {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path, progress: &Arc<Progress>) -> Result<Self, Refusal> {
        let file = shown(path);
        let input =
            open_counted(path, progress).map_err(|error| of_file(&file, 1, format!("cannot be read: {error}")))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::new(input, file, &stem)
    }
}

impl<R: BufRead> CsvFile<R> {
    pub(super) fn new(input: R, file: Arc<str>, stem: &str) -> Result<Self, Refusal> {
        let mut records = CsvRecords::new(input);
        let (line, columns) = read_header(&mut records).map_err(|(line, message)| of_file(&file, line, message))?;
        let device = match columns.device_id {
            Some(_) => None,
            None => Some(DeviceId::parse(stem).map_err(|rule| {
                let message = format!("`device_id`: the file's name stands for it, because no column does, and {rule}");
                of_file(&file, line, message)
            })?),
        };
        Ok(CsvFile { records, columns, device, file, failed: false })
    }

    /// The one device of the file, unless a column names them.
    pub(super) fn device(&self) -> Option<&DeviceId> {
        self.device.as_ref()
    }

    fn row(&self, line: u64) -> Result<Option<Row>, String> {
        // A line of blanks is an empty line.
        if self.records.field_count() == 1 && self.records.field(0).is_some_and(|cell| cell.trim_ascii().is_empty()) {
            return Ok(None);
        }
        let text = self.cell(self.columns.timestamp, "timestamp")?;
        let timestamp = csv_timestamp(text).map_err(|rule| format!("`timestamp`: {rule}"))?;
        let value = value(self.cell(self.columns.value, "value")?)?;
        let device_id = match (&self.device, self.columns.device_id) {
            (None, Some(column)) => {
                DeviceId::parse(self.cell(column, "device_id")?).map_err(|rule| format!("`device_id`: {rule}"))?
            }
            (Some(device), _) => device.clone(),
            (None, None) => return Err("`device_id`: is missing".to_owned()),
        };
        let event_id = match self.columns.event_id {
            // An empty cell, or a row that ends before the optional column, names no event.
            Some(column) if self.records.field(column).is_some_and(|cell| !cell.trim_ascii().is_empty()) => {
                let text = self.cell(column, "event_id")?;
                Some(EventId::parse(text).map_err(|rule| format!("`event_id`: {rule}"))?)
            }
            _ => None,
        };
        let origin = Origin { file: self.file.clone(), line };
        Ok(Some(Row { reading: Reading { device_id, timestamp, value, event_id }, json: None, origin }))
    }

    fn cell(&self, column: usize, name: &str) -> Result<&str, String> {
        let bytes = self.records.field(column).ok_or_else(|| format!("`{name}`: the row ends before this column"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| format!("`{name}`: is not UTF-8"))?;
        Ok(text.trim_ascii())
    }
}

impl<R: BufRead> Iterator for CsvFile<R> {
    type Item = Result<Row, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            let (line, message) = match self.records.next() {
                Ok(Some(Record::Fields { line })) => match self.row(line) {
                    Ok(None) => continue,
                    Ok(Some(row)) => return Some(Ok(row)),
                    Err(message) => (line, message),
                },
                Ok(Some(Record::Oversized { line, last_line })) => (line, oversized(line, last_line)),
                Ok(None) => return None,
                Err(error) => {
                    self.failed = true;
                    (self.records.line(), format!("cannot be read: {error}; what follows is not sent"))
                }
            };
            return Some(Err(Refusal::of_row(&Origin { file: self.file.clone(), line }, message)));
        }
        None
    }
}

fn oversized(line: u64, last_line: u64) -> String {
    let limit = RECORD_BYTES_MAX / 1024;
    if last_line > line + 1 {
        format!("the row goes on to line {last_line} and is longer than {limit} KiB: is a quote left open?")
    } else {
        format!("the row is longer than {limit} KiB")
    }
}

/// Reads a value as every JSON parser would: the nearest double.
fn value(text: &str) -> Result<f64, String> {
    if text.is_empty() {
        return Err("`value`: is empty".to_owned());
    }
    match text.parse::<f64>() {
        // Adding +0.0 turns -0.0 into +0.0: the two are one value.
        Ok(value) if value.abs() <= MAX_MAGNITUDE => Ok(value + 0.0),
        Ok(_) => Err("`value`: must be finite, with a magnitude of at most 1e100".to_owned()),
        Err(_) => Err("`value`: must be a decimal number, such as 21.5".to_owned()),
    }
}

/// The line of the header and its columns, or the line and what is wrong with it.
fn read_header<R: BufRead>(records: &mut CsvRecords<R>) -> Result<(u64, Columns), (u64, String)> {
    const NEEDED: &str = "the first line must name the columns `timestamp` and `value`";
    let line = match records.next() {
        Ok(Some(Record::Fields { line })) => line,
        Ok(Some(Record::Oversized { line, .. })) => return Err((line, format!("{NEEDED}, but it is too long"))),
        Ok(None) => return Err((1, format!("{NEEDED}, but the file is empty"))),
        Err(error) => return Err((1, format!("cannot be read: {error}"))),
    };
    let column = |name: &str| {
        let named = |index: &usize| {
            records.field(*index).is_some_and(|field| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut found = (0..records.field_count()).filter(named);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err((line, format!("the column `{name}` is named twice"))),
            (found, None) => Ok(found),
        }
    };
    let missing = |name: &str| (line, format!("{NEEDED}, but `{name}` is missing"));
    let columns = Columns {
        timestamp: column("timestamp")?.ok_or_else(|| missing("timestamp"))?,
        value: column("value")?.ok_or_else(|| missing("value"))?,
        device_id: column("device_id")?,
        event_id: column("event_id")?,
    };
    Ok((line, columns))
}

#[cfg(test)]
#[path = "csv_file_tests.rs"]
mod tests;
