//! A file for the Parquet reader that takes no memory for bytes which the file doesn't have.

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::BufReader;

/// A file whose ranges are checked before they are read: for `File` itself the reader reserves whatever length a damaged
/// footer or page index names, and a reservation that fails ends the process.
#[derive(Debug)]
pub(crate) struct BoundedFile(pub File);

impl Length for BoundedFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for BoundedFile {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let file_length = self.len();
        if start.checked_add(length as u64).is_none_or(|end| end > file_length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of a file of {file_length}")));
        }
        self.0.get_bytes(start, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_range_beyond_the_end_is_an_error_and_takes_no_memory() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"PAR1PAR1").expect("written");
        let file = BoundedFile(file);
        assert_eq!(file.get_bytes(6, 2).expect("the end"), "R1");
        for (start, length) in [(6, 3), (9, 0), (0, 1 << 50), (u64::MAX, 1)] {
            assert!(file.get_bytes(start, length).is_err(), "{length} bytes at {start}");
        }
    }
}
