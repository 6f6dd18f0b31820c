//! What a backup reports: how far it is, and what it copied.

use serde::{Deserialize, Serialize};

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupProgress {
    /// What it is doing.
    pub stage: BackupStage,
    /// How much of the stage is done: rows of a database, or bytes of the archive.
    pub position: u64,
    /// How much the stage has to do.
    pub total: u64,
}

/// The parts of a backup, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupStage {
    /// A merge of curated files or a trim has to end first.
    Waiting,
    /// The statistics' database is copied.
    Statistics,
    /// The stream's database is copied.
    Stream,
    /// The archive's files are copied.
    Archive,
    /// The copied databases are checked.
    Verification,
}

/// What a backup holds, and what its last run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// Devices in the copied statistics.
    pub devices: u64,
    /// Records in the copied stream.
    pub records: u64,
    /// Archive files copied by this run.
    pub files_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
    /// Archive files that an earlier run had copied.
    pub files_kept: u64,
    /// Curated files deleted from the copy, because they have been merged since.
    pub files_removed: u64,
}
