//! Where readings come from: each source is an iterator of rows and refusals that never holds a whole file.

mod csv_file;
mod csv_files;
mod csv_records;
mod csv_timestamp;
mod detached;
mod json_lines;

pub use csv_files::{CsvFiles, find_csv_files};
pub use csv_timestamp::csv_timestamp;
pub use detached::Detached;
pub use json_lines::JsonLines;

use std::io;
use std::path::PathBuf;

/// The most bytes of one line or CSV record: no reading is longer, because no body is.
const RECORD_BYTES_MAX: usize = crate::BODY_BYTES_MAX;

/// A source that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file or directory that cannot be opened.
    #[error("{}: {cause}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A directory without CSV files.
    #[error("{}: holds no file that ends in .csv", path.display())]
    NoCsvFiles {
        /// The directory.
        path: PathBuf,
    },
}

/// A file's name for messages: no control character of a name reaches a terminal.
fn shown(path: &std::path::Path) -> std::sync::Arc<str> {
    path.to_string_lossy().chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>().into()
}
