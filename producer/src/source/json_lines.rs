//! JSON Lines: on each line a reading, or a series of readings, as the archive keeps them.

use super::csv_file::open_counted;
use super::{RECORD_BYTES_MAX, SourceError, shown};
use crate::progress::Progress;
use crate::row::{Origin, Refusal, Row};
use std::collections::VecDeque;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;
use telemetry::{decode_record, reading_payloads};

/// The readings of a file of JSON Lines. Members that are not interpreted are posted too.
pub struct JsonLines<R> {
    input: R,
    file: Arc<str>,
    line: u64,
    buffer: Vec<u8>,
    ready: VecDeque<Result<Row, Refusal>>,
    failed: bool,
}

impl JsonLines<Box<dyn BufRead + Send>> {
    /// Opens a file.
    ///
    /// # Errors
    /// [`SourceError`] where it cannot be opened.
    pub fn open(path: &Path, progress: &Arc<Progress>) -> Result<Self, SourceError> {
        let unreadable = |cause| SourceError::Unreadable { path: path.to_owned(), cause };
        let input = open_counted(path, progress).map_err(unreadable)?;
        Ok(JsonLines::new(Box::new(input), shown(path)))
    }
}

impl<R: BufRead> JsonLines<R> {
    /// Reads lines from `input`, which messages call `file`.
    pub fn new(input: R, file: Arc<str>) -> Self {
        JsonLines { input, file, line: 0, buffer: Vec::new(), ready: VecDeque::new(), failed: false }
    }

    /// Reads the next line into `buffer`, of an oversized one only the start. `None` at the end.
    fn read_line(&mut self) -> io::Result<Option<LineLength>> {
        self.buffer.clear();
        let mut length = LineLength::Whole;
        let mut any = false;
        loop {
            let input = self.input.fill_buf()?;
            if input.is_empty() {
                return Ok(any.then_some(length));
            }
            any = true;
            let end = input.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(input.len(), |at| at + 1);
            if self.buffer.len() + taken > RECORD_BYTES_MAX + 2 {
                length = LineLength::Oversized;
            } else {
                self.buffer.extend_from_slice(&input[..taken]);
            }
            self.input.consume(taken);
            if end.is_some() {
                return Ok(Some(length));
            }
        }
    }

    fn take_apart(&mut self) {
        let origin = Origin { file: self.file.clone(), line: self.line };
        let bytes = self.buffer.trim_ascii();
        let bytes = if self.line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes) } else { bytes };
        if bytes.is_empty() {
            return;
        }
        // Binary stream records (KPL aggregates) are no JSON Lines.
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.ready.push_back(Err(Refusal::of_row(&origin, "is not UTF-8")));
        };
        let decoded = decode_record(bytes);
        let payloads = match &decoded[..] {
            [single] if single.index.is_none() => vec![text.as_bytes().to_vec()],
            _ => reading_payloads(bytes),
        };
        for (decoded, payload) in decoded.into_iter().zip(payloads) {
            self.ready.push_back(match decoded.outcome {
                Ok(reading) => {
                    let json = String::from_utf8(payload).ok().map(String::into_boxed_str);
                    Ok(Row { reading, json, origin: origin.clone() })
                }
                Err(rejection) => Err(Refusal::of_row(&origin, rejection.detail)),
            });
        }
    }
}

enum LineLength {
    Whole,
    Oversized,
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Row, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.failed {
                return None;
            }
            self.line += 1;
            let refusal = match self.read_line() {
                Ok(None) => return None,
                Ok(Some(LineLength::Whole)) => {
                    self.take_apart();
                    continue;
                }
                Ok(Some(LineLength::Oversized)) => format!("the line is longer than {} KiB", RECORD_BYTES_MAX / 1024),
                Err(error) => {
                    self.failed = true;
                    format!("cannot be read: {error}; what follows is not sent")
                }
            };
            return Some(Err(Refusal::of_row(&Origin { file: self.file.clone(), line: self.line }, refusal)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Vec<Result<Row, String>> {
        let lines = JsonLines::new(io::BufReader::with_capacity(64, text.as_ref()), "in.jsonl".into());
        lines.map(|item| item.map_err(|refusal| refusal.to_string())).collect()
    }

    #[test]
    fn a_line_is_a_reading_that_keeps_the_members_nobody_interprets() {
        let line = r#"{"device_id":"a","timestamp":"2026-01-01T00:00:00Z","value":35.50,"unit":"°C"}"#;
        let rows = read(format!("\u{feff}{line}\r\n\r\n{line}"));
        let origin = |line| Origin { file: "in.jsonl".into(), line };
        let rows: Vec<_> = rows.into_iter().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row.json.as_deref()).collect::<Vec<_>>(), [Some(line), Some(line)]);
        assert_eq!([&rows[0].origin, &rows[1].origin], [&origin(1), &origin(3)]);
    }

    #[test]
    fn a_series_is_taken_apart_and_only_its_bad_reading_is_refused() {
        let series = r#"{"device_id":"a","readings":[{"timestamp":"2026-01-01T00:00:00Z","value":1},{"timestamp":"2026-01-01T00:00:01Z","value":"x"},{"timestamp":"2026-01-01T00:00:02Z","value":3}]}"#;
        let rows = read(series);
        assert_eq!(rows[0].as_ref().unwrap().reading.value, 1.0);
        assert_eq!(rows[1].as_ref().unwrap_err(), "in.jsonl:1: `readings[1].value`: must be a JSON number");
        let third = rows[2].as_ref().unwrap();
        let body = telemetry::parse_reading(third.json.as_ref().unwrap().as_bytes());
        assert_eq!(body.as_ref(), Ok(&third.reading));
    }

    #[test]
    fn a_bad_line_is_refused_with_its_number_and_the_rest_goes_on() {
        let good = r#"{"device_id":"a","timestamp":"2026-01-01T00:00:00Z","value":1}"#;
        let mut text = format!("{good}\n{{\nnull\n").into_bytes();
        text.extend(b"{\"device_id\":\"\xff\"}\n");
        text.extend(std::iter::repeat_n(b'x', RECORD_BYTES_MAX + 3));
        text.extend(format!("\n{good}\n").as_bytes());
        let rows = read(&text);
        assert_eq!(rows.len(), 6);
        for (index, expected) in [
            (1, "in.jsonl:2: "),
            (2, "in.jsonl:3: "),
            (3, "in.jsonl:4: is not UTF-8"),
            (4, "in.jsonl:5: the line is longer than 256 KiB"),
        ] {
            assert!(rows[index].as_ref().unwrap_err().starts_with(expected), "{:?}", rows[index]);
        }
        assert_eq!(rows[5].as_ref().unwrap().origin.line, 6);
    }
}
