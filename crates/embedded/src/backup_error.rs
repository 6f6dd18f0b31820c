//! Why a backup ends, and what its parts share.

use crate::StorageFailure;
use ports::BackupStage;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why a directory was not copied.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target cannot take a backup of this directory; it is as it was. Permanent.
    #[error("{0}")]
    Target(String),
    /// The caller stopped it. Another run carries on.
    #[error("the backup was stopped; run it again to finish it")]
    Stopped,
    /// The data directory could not be read.
    #[error("the data directory cannot be read")]
    Source(#[source] StorageFailure),
    /// A file could not be read or written, for example because the target's disk is full.
    #[error("cannot read or write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A copied database could not be written or read back, for example because the target's disk is full.
    #[error("cannot copy to {}", path.display())]
    Copy {
        /// The database's file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: StorageFailure,
    },
    /// A file of the backup is not as the one it was copied from. Permanent.
    #[error("{0}")]
    Differs(String),
}

/// Reports a stage's position and total; fails when the caller stops the backup.
pub(crate) type Step<'a> = &'a dyn Fn(BackupStage, u64, u64) -> Result<(), BackupError>;

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { path, source }
}

/// A new, empty file that only its owner can read.
pub(crate) fn create_private(path: &Path) -> Result<File, BackupError> {
    let mut options = File::options();
    let file = options.create(true).truncate(true).read(true).write(true).mode(0o600).open(path);
    file.map_err(file_error(path))
}
