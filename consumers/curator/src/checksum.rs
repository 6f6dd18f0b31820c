//! The checksum in a curated file's name: `<milliseconds>-sha256-<16 hexadecimal digits>.parquet`.
//!
//! Of a Parquet file only the compressed pages end in a checksum. A flipped bit in the footer, in a page's header or in
//! the statistics can go unnoticed and hide rows, so the name has the first eight bytes of the SHA-256 of all bytes.

use crate::read_error::ReadError;
use parquet::errors::ParquetError;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;

/// Tells the checksum apart from what else names end in: those of Firehose, and of files that have no checksum.
const MARK: &str = "-sha256-";

/// The name of a file with these bytes; names are in the order of time.
pub(crate) fn file_name(time: &str, bytes: &[u8]) -> String {
    format!("{time}{MARK}{}.parquet", digits(Sha256::new_with_prefix(bytes)))
}

/// Compares a file's bytes with the checksum in its name, where it has one. Reads the whole file.
///
/// # Errors
/// [`ReadError::ChecksumMismatch`], and the file system's.
pub(crate) fn check(key: &str, mut file: &File) -> Result<(), ReadError> {
    let name = key.rsplit('/').next().and_then(|name| name.strip_suffix(".parquet"));
    let Some((_, expected)) = name.and_then(|name| name.rsplit_once(MARK)) else { return Ok(()) };
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).map_err(ParquetError::from)?;
    if digits(hash) == expected { Ok(()) } else { Err(ReadError::ChecksumMismatch) }
}

fn digits(hash: Sha256) -> String {
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
