//! What can go wrong on one machine.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another storage of this one, has it open.
    #[error("the data directory {} is in use by another process", directory.display())]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// An option is outside its range.
    #[error("{0}")]
    InvalidOptions(String),
    /// The directory, its lock or the archive could not be made or read.
    #[error("cannot use {}", path.display())]
    Io {
        /// What was being made or read.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A database file is damaged, or is a copy that was made while a program wrote to it.
    #[error(
        "{} is damaged, or was copied while `streamgauge up` was running; restore it from a copy that `streamgauge \
         backup` made, or make a new directory with `streamgauge archive rebuild`",
        path.display()
    )]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: StorageFailure,
    },
    /// A database file could not be opened, or was written by another version.
    #[error("cannot open the database {}", path.display())]
    Database {
        /// The database's file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: StorageFailure,
    },
}

impl OpenError {
    pub(crate) fn of_database(directory: PathBuf, path: PathBuf, source: StorageFailure) -> Self {
        match source {
            StorageFailure::Database(error) if matches!(*error, redb::Error::DatabaseAlreadyOpen) => {
                OpenError::Locked { directory }
            }
            source if source.is_damage() => OpenError::Damaged { path, source },
            source => OpenError::Database { path, source },
        }
    }
}

/// Why an operation failed. One failure is the answer to everybody who waited for the same commit, so it can be cloned.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageFailure {
    /// The database, or the file system under it. Passing: it is reopened at the next operation.
    #[error("the database failed")]
    Database(#[source] Arc<redb::Error>),
    /// A file of the archive.
    #[error("the file system failed")]
    Io(#[source] Arc<io::Error>),
    /// The file was written by another version of this program.
    #[error(
        "the file has version {found}, this program knows version {known}; `streamgauge archive rebuild` makes a new \
         directory from the archive"
    )]
    OtherVersion {
        /// The file's.
        found: u64,
        /// The program's.
        known: u64,
    },
    /// The database file's content isn't what was written to it.
    #[error("the file is damaged: {0}")]
    Damaged(Arc<str>),
    /// More bytes wait to be written than the queue holds.
    #[error("the write queue is full")]
    QueueFull,
    /// The storage was closed.
    #[error("the storage is closed")]
    Closed,
    /// The commit ended without an answer; what became of it is unknown.
    #[error("the write ended without an answer")]
    Unanswered,
    /// What is stored is not in a form that this version wrote.
    #[error("what is stored is not readable: {0}")]
    Corrupt(String),
}

impl StorageFailure {
    /// Whether the database file is damaged, so that trying again does not help.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            StorageFailure::Damaged(_) | StorageFailure::Corrupt(_) => true,
            StorageFailure::Database(error) => match &**error {
                redb::Error::Corrupted(_) => true,
                // So redb says that a file is none of its own, or ends early.
                redb::Error::Io(error) => {
                    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
                }
                _ => false,
            },
            _ => false,
        }
    }

    pub(crate) fn boxed(self) -> Box<dyn Error + Send + Sync> {
        Box::new(self)
    }
}

impl From<io::Error> for StorageFailure {
    fn from(error: io::Error) -> Self {
        StorageFailure::Io(Arc::new(error))
    }
}

/// redb has one error type an operation; all of them mean the same to a caller.
macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for StorageFailure {
            fn from(error: $error) -> Self {
                StorageFailure::Database(Arc::new(redb::Error::from(error)))
            }
        }
    )*};
}

from_redb!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);
