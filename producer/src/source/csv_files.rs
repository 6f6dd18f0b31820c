//! Many CSV files as one source.

use super::SourceError;
use super::csv_file::{Counted, CsvFile};
use crate::progress::Progress;
use crate::row::{Refusal, Row};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telemetry::DeviceId;

/// The files that are meant: files as named, directories as the `.csv` files directly in them, by name.
///
/// # Errors
/// [`SourceError`] for a path that cannot be opened and for a directory without CSV files, before anything is sent.
pub fn find_csv_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, SourceError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |cause| SourceError::Unreadable { path: path.clone(), cause };
        if !path.is_dir() {
            // A pipe is not opened to see whether it can be: its writer would take that for the reader's end.
            if path.metadata().map_err(unreadable)?.is_file() {
                File::open(path).map_err(unreadable)?;
            }
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            return Err(SourceError::NoCsvFiles { path: path.clone() });
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

type OpenFile = CsvFile<BufReader<Counted<File>>>;

/// The readings of many CSV files, a run of rows from each file in turn, so that several devices can be posted at
/// once. The order of any one device's rows is that of the files: two files of one device, and a file that names its
/// devices in a column, are never read side by side with another that could hold the same device.
pub struct CsvFiles {
    waiting: VecDeque<PathBuf>,
    /// Opened, but to be read alone or after another file of its device.
    held: Option<OpenFile>,
    open: VecDeque<OpenFile>,
    width: usize,
    run: usize,
    run_left: usize,
    progress: Arc<Progress>,
}

impl CsvFiles {
    /// Reads `files`, up to `width` at once, `run` rows of each in turn; both at least 1.
    pub fn new(files: impl IntoIterator<Item = PathBuf>, width: usize, run: usize, progress: Arc<Progress>) -> Self {
        let (width, run) = (width.max(1), run.max(1));
        let (waiting, open) = (files.into_iter().collect(), VecDeque::new());
        CsvFiles { waiting, held: None, open, width, run, run_left: run, progress }
    }

    /// The bytes of all these files together, where the file system tells.
    pub fn total_bytes(files: &[PathBuf]) -> u64 {
        files.iter().filter_map(|file: &PathBuf| Path::metadata(file).ok()).map(|metadata| metadata.len()).sum()
    }

    /// Opens files until enough are open, or the next has to wait. The refusal of one that cannot be read.
    fn open_more(&mut self) -> Option<Refusal> {
        while self.open.len() < self.width {
            let file = match self.held.take() {
                Some(file) => file,
                None => match CsvFile::open(&self.waiting.pop_front()?, &self.progress) {
                    Ok(file) => file,
                    Err(refusal) => return Some(refusal),
                },
            };
            if !self.open.is_empty() && self.must_wait(file.device()) {
                self.held = Some(file);
                return None;
            }
            self.open.push_back(file);
        }
        None
    }

    fn must_wait(&self, device: Option<&DeviceId>) -> bool {
        device.is_none() || self.open.iter().any(|open| open.device().is_none_or(|other| Some(other) == device))
    }
}

impl Iterator for CsvFiles {
    type Item = Result<Row, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(refusal) = self.open_more() {
                return Some(Err(refusal));
            }
            if self.run_left == 0 {
                self.run_left = self.run;
                self.open.rotate_left(1);
            }
            match self.open.front_mut()?.next() {
                Some(item) => {
                    self.run_left -= 1;
                    return Some(item);
                }
                None => {
                    self.open.pop_front();
                    self.run_left = self.run;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, content: &str) -> PathBuf {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn read(paths: &[PathBuf], width: usize, run: usize) -> Vec<(String, u64)> {
        let files = CsvFiles::new(find_csv_files(paths).unwrap(), width, run, Arc::default());
        files.map(|row| row.unwrap()).map(|row| (row.reading.device_id.to_string(), row.reading.value as u64)).collect()
    }

    fn series(first: u64, count: u64) -> String {
        (first..first + count)
            .fold("timestamp,value\n".to_owned(), |text, v| text + &format!("2026-01-01 00:00:{v:02},{v}\n"))
    }

    #[test]
    fn a_directory_is_its_csv_files_by_name_and_a_run_is_read_of_each_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "b.csv", &series(10, 3));
        write(dir.path(), "a.CSV", &series(0, 3));
        write(dir.path(), "notes.txt", "x");
        let rows = read(&[dir.path().to_owned()], 8, 2);
        let expected = [("a", 0), ("a", 1), ("b", 10), ("b", 11), ("a", 2), ("b", 12)];
        assert_eq!(rows, expected.map(|(device, value)| (device.to_owned(), value)));
    }

    #[test]
    fn files_that_could_hold_one_device_are_read_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("later")).unwrap();
        let first = write(dir.path(), "a.csv", &series(0, 3));
        let other = write(dir.path(), "b.csv", &series(10, 3));
        let again = write(&dir.path().join("later"), "a.csv", &series(20, 3));
        let mixed = "timestamp,value,device_id\n2026-01-01 00:00:00,30,a\n2026-01-01 00:00:00,31,b\n";
        let mixed = write(dir.path(), "mixed.csv", mixed);
        let last = write(&dir.path().join("later"), "b.csv", &series(40, 2));
        let rows = read(&[first, other, again, mixed, last], 8, 1);
        for device in ["a", "b"] {
            let values: Vec<_> = rows.iter().filter(|row| row.0 == device).map(|row| row.1).collect();
            assert!(values.is_sorted(), "{device}: {values:?}");
        }
        assert_eq!(rows.len(), 13);
    }

    #[test]
    fn a_path_without_csv_files_is_an_error_before_anything_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.csv");
        assert!(find_csv_files(&[missing]).unwrap_err().to_string().contains("missing.csv: No such file"));
        assert!(
            find_csv_files(&[dir.path().to_owned()]).unwrap_err().to_string().contains("no file that ends in .csv")
        );
    }
}
