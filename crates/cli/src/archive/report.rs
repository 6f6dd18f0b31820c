//! What was found, as a table or as JSON.

use embedded::Problem;
use redrive::printable_line;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Raw files by hour of arrival, `YYYY-MM-DDTHH`.
    pub hours: BTreeMap<String, Hour>,
    /// Curated files by day of delivery.
    pub days: BTreeMap<String, Day>,
    /// Files of dead letters by the day of their first record's arrival.
    pub dead_letters: BTreeMap<String, DeadLetterDay>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// The raw files of one hour.
#[derive(Debug, Default, Serialize)]
pub struct Hour {
    pub files: u64,
    /// Lines: documents as posted.
    pub lines: u64,
    /// Lines that are no JSON: what was put past the front door, and is a dead letter.
    pub not_json: u64,
    /// Bytes of the lines.
    pub bytes: u64,
}

/// The curated files of one day.
#[derive(Debug, Default, Serialize)]
pub struct Day {
    pub files: u64,
    pub rows: u64,
}

/// The files of dead letters of one day.
#[derive(Debug, Default, Serialize)]
pub struct DeadLetterDay {
    pub files: u64,
    /// Letters that can be read.
    pub letters: u64,
}

impl Report {
    pub fn problem(&mut self, file: &str, problem: impl Into<String>) {
        self.problems.push(Problem { file: file.to_owned(), problem: problem.into() });
    }

    fn is_empty(&self) -> bool {
        let has_files = !self.hours.is_empty() || !self.days.is_empty() || !self.dead_letters.is_empty();
        !has_files && self.problems.is_empty()
    }

    pub fn json(&self) -> String {
        // Texts and numbers alone: it cannot fail.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |columns: [&dyn std::fmt::Display; 5]| {
            let [name, files, lines, not_json, bytes] = columns.map(ToString::to_string);
            // A text takes whatever is written to it.
            let _ = writeln!(text, "{name:<14}{files:>8}{lines:>14}{not_json:>10}{bytes:>16}");
        };
        if !self.hours.is_empty() {
            line([&"hour of arrival", &"files", &"lines", &"not JSON", &"bytes"]);
            let mut all = Hour::default();
            for (name, hour) in &self.hours {
                line([name, &hour.files, &hour.lines, &hour.not_json, &hour.bytes]);
                all.files += hour.files;
                all.lines += hour.lines;
                all.not_json += hour.not_json;
                all.bytes += hour.bytes;
            }
            line([&"raw, in all", &all.files, &all.lines, &all.not_json, &all.bytes]);
        }
        if !self.days.is_empty() {
            line([&"day", &"files", &"rows", &"", &""]);
            for (name, day) in &self.days {
                line([name, &day.files, &day.rows, &"", &""]);
            }
            let files: u64 = self.days.values().map(|day| day.files).sum();
            let rows: u64 = self.days.values().map(|day| day.rows).sum();
            line([&"curated, in all", &files, &rows, &"", &""]);
        }
        if !self.dead_letters.is_empty() {
            line([&"day", &"files", &"dead letters", &"", &""]);
            for (name, day) in &self.dead_letters {
                line([name, &day.files, &day.letters, &"", &""]);
            }
            let files: u64 = self.dead_letters.values().map(|day| day.files).sum();
            let letters: u64 = self.dead_letters.values().map(|day| day.letters).sum();
            line([&"dead, in all", &files, &letters, &"", &""]);
        }
        if self.is_empty() {
            text.push_str("the archive is empty\n");
        }
        for Problem { file, problem } in &self.problems {
            let _ = writeln!(text, "{}: {}", printable_line(file), printable_line(problem));
        }
        let count = self.problems.len();
        let _ = match count {
            0 => writeln!(text, "nothing is wrong"),
            _ => writeln!(text, "problems: {count}"),
        };
        text
    }
}
