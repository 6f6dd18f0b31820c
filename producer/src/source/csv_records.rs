//! CSV records one by one, in bounded memory and with the line they begin on.
//!
//! Built on `csv_core` rather than on the `csv` crate, which reads a record whole however long it is (one quote left
//! open and it is the rest of the file), and whose line numbers are off after CRLF and empty lines.

use super::RECORD_BYTES_MAX;
use csv_core::ReadRecordResult;
use std::io::{self, BufRead};

/// The most fields of a record. Columns that nobody asks for may be many.
const FIELDS_MAX: usize = 4096;

/// What stands on the lines from `line` on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A record, whose fields [`CsvRecords::field`] gives.
    Fields { line: u64 },
    /// One that is too long to be a reading, to the line where it ended.
    Oversized { line: u64, last_line: u64 },
}

/// A reader of records; empty lines are passed over.
pub(super) struct CsvRecords<R> {
    input: R,
    parser: csv_core::Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    fields: usize,
    line: u64,
}

impl<R: BufRead> CsvRecords<R> {
    pub(super) fn new(input: R) -> Self {
        let parser = csv_core::Reader::new();
        CsvRecords { input, parser, output: vec![0; 1024], ends: vec![0; 16], fields: 0, line: 1 }
    }

    /// The line where the next record is looked for.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// How many fields the last record has.
    pub(super) fn field_count(&self) -> usize {
        self.fields
    }

    /// A field of the last record.
    pub(super) fn field(&self, index: usize) -> Option<&[u8]> {
        if index >= self.fields {
            return None;
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.output[start..self.ends[index]])
    }

    /// The next record, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        self.skip_empty_lines()?;
        let line = self.line;
        let (mut written, mut fields, mut oversized) = (0, 0, false);
        loop {
            let input = self.input.fill_buf()?;
            let (result, taken, bytes, ends) =
                self.parser.read_record(input, &mut self.output[written..], &mut self.ends[fields..]);
            self.line += input[..taken].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.input.consume(taken);
            written += bytes;
            fields += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.output.len() < RECORD_BYTES_MAX => {
                    self.output.resize(2 * self.output.len(), 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < FIELDS_MAX => {
                    self.ends.resize(2 * self.ends.len(), 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    // Read on to the record's end, by the same grammar, and keep nothing of it.
                    (written, fields, oversized) = (0, 0, true);
                }
                ReadRecordResult::Record if oversized => {
                    return Ok(Some(Record::Oversized { line, last_line: self.line.max(line) }));
                }
                ReadRecordResult::Record => {
                    self.fields = fields;
                    return Ok(Some(Record::Fields { line }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn skip_empty_lines(&mut self) -> io::Result<()> {
        loop {
            let input = self.input.fill_buf()?;
            let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if empty == 0 {
                return Ok(());
            }
            self.line += input[..empty].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.input.consume(empty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(text: &[u8], buffer: usize) -> Vec<(u64, Vec<String>)> {
        let mut records = CsvRecords::new(io::BufReader::with_capacity(buffer, text));
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            let Record::Fields { line } = record else { panic!("{record:?}") };
            let field = |index| String::from_utf8(records.field(index).unwrap().to_vec()).unwrap();
            all.push((line, (0..records.field_count()).map(field).collect()));
        }
        all
    }

    #[test]
    fn lines_are_counted_through_crlf_empty_lines_and_quoted_line_ends() {
        let text = b"a,b\r\n\r\n1,2\r\n\"x\r\ny\",3\r\n\n\n4,\"5\"\"\"";
        let expected = [(1, ["a", "b"]), (3, ["1", "2"]), (4, ["x\r\ny", "3"]), (8, ["4", "5\""])];
        for buffer in [3, 4, 7, 8192] {
            assert_eq!(
                records(text, buffer),
                expected.map(|(line, fields)| (line, fields.map(str::to_owned).to_vec()))
            );
        }
    }

    #[test]
    fn a_record_too_long_for_any_reading_is_passed_over_in_bounded_memory() {
        let mut text = b"a,b\n\"".to_vec();
        text.extend(std::iter::repeat_n(&b"1,2\n"[..], RECORD_BYTES_MAX).flatten());
        text.extend(b"\",9\nc,d\n");
        let mut records = CsvRecords::new(&text[..]);
        assert_eq!(records.next().unwrap(), Some(Record::Fields { line: 1 }));
        let last_line = RECORD_BYTES_MAX as u64 + 3;
        assert_eq!(records.next().unwrap(), Some(Record::Oversized { line: 2, last_line }));
        assert_eq!(records.next().unwrap(), Some(Record::Fields { line: last_line }));
        assert_eq!(records.field(1), Some(&b"d"[..]));
        assert_eq!(records.next().unwrap(), None);
        assert!(records.output.capacity() <= RECORD_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_by_rfc_4180_is_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a-z0-9 ,\"\n]{1,6}", 2..5), 1..8),
            end in prop::sample::select(vec!["\n", "\r\n"]),
            buffer in 4usize..64,
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let mut text = String::new();
            let mut expected = Vec::new();
            for row in &rows {
                let line = text.matches('\n').count() as u64 + 1;
                text += &(row.iter().map(quoted).collect::<Vec<_>>().join(",") + end);
                expected.push((line, row.clone()));
            }
            prop_assert_eq!(records(text.as_bytes(), buffer), expected);
        }
    }
}
