//! Objects under keys: raw readings, dead letters, curated data.

use std::fs::File;
use std::future::Future;
use std::io;

/// An object store: S3, or a folder.
pub trait Archive: Send + Sync {
    /// Stores `bytes` under `key`, whole or not at all, replacing what was there. Durable when it returns.
    fn put(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = Result<(), ArchiveError>> + Send;

    /// The object under `key`, or `None`.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Vec<u8>>, ArchiveError>> + Send;

    /// The keys that begin with `prefix`, in byte order, after `after`, at most `limit`.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<String>, ArchiveError>> + Send;
}

/// An archive in which, of several who put under one key, exactly one succeeds.
pub trait PutNew: Archive {
    /// As [`Archive::put`] where there is nothing under `key`; `false`, and nothing is changed, where there is
    /// something, which may be what an earlier try of the same call put.
    fn put_new(&self, key: &str, bytes: Vec<u8>) -> impl Future<Output = Result<bool, ArchiveError>> + Send;
}

/// An archive whose objects are files of this machine. Its calls block.
pub trait ArchiveFolder {
    /// The keys that begin with `prefix`, in byte order.
    fn keys(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// The object under `key`, to be read.
    fn open(&self, key: &str) -> io::Result<File>;

    /// As [`Archive::put`].
    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes it durable that the object under `key` is there, whoever put it.
    fn sync(&self, key: &str) -> io::Result<()>;

    /// Removes the object under `key`.
    fn delete(&self, key: &str) -> io::Result<()>;
}

/// What can go wrong with the archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The key is empty, absolute, or has a `.` or `..` segment. Permanent.
    #[error("`{0}` is not a valid archive key")]
    InvalidKey(String),
    /// Passing: try again.
    #[error("the archive is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
