//! Why a curated file cannot be read.

use parquet::errors::ParquetError;
use ports::ReadPanic;

/// Why a file does not hold curated rows.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no Parquet file, or a damaged one.
    #[error("the file is not readable")]
    Damaged(#[from] ParquetError),
    /// The reader panicked over it: it is damaged in a way that the reader doesn't check for.
    #[error("the file is not readable")]
    Panicked(#[from] ReadPanic),
    /// It is not the file that was written.
    #[error("its bytes don't match the checksum in its name")]
    ChecksumMismatch,
    /// It is a Parquet file of something else.
    #[error("{0}")]
    OtherTable(String),
}
