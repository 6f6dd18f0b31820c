//! The ports on one machine: an embedded ACID database and local files, over one data directory.
//!
//! - **Enters**: what the ports take ([`ports`]), and a folder to keep it in.
//! - **Leaves**: what the ports give, and beyond them a list of devices ([`EmbeddedStatisticsStore::list`]),
//!   the dead letters for an operator ([`redrive::DeadLetters`]), and the account of every reading ([`EmbeddedStorage::accounting`]).
//! - **Fails**: opening with [`OpenError`]; everything else as its port says, with a [`StorageFailure`] as the source.
//!   Nothing is acknowledged before it is on disk. A failure of the disk fails the operations that met it: the database
//!   is opened again, and works once the disk does.
//!
//! The directory holds `lock`, `stream.redb` (shards, records, archive cursors), `statistics.redb` (items, ledger pages,
//! dead letters, checkpoints, totals), `archive/` (raw bodies, dead letters, curated files) and `api-key`, where `up` made
//! one; a backup also `backup.json`. Both databases and the archive hold the mark of the last start, by which the next
//! finds files that were lost or restored. Stream and statistics are two files because a database has one
//! writer at a time: in one file each post would wait for the statistics transaction before it.

mod accounting;
mod archive;
mod backup;
mod backup_error;
mod binding;
mod checkpoints;
#[cfg(test)]
mod crash_schedules;
mod curated;
mod database;
mod dead_letters;
mod directory_lock;
#[cfg(test)]
mod disk_full_tests;
mod failure;
#[cfg(test)]
mod faulty_disk;
mod files;
mod item;
mod marks;
mod processed;
mod raw_archive;
mod record;
mod shards;
mod snapshot;
mod statistics;
mod statistics_journal;
mod storage;
mod stream;
mod stream_journal;
mod trim;
mod verify;
mod writer;

pub use accounting::Accounting;
pub use archive::FileArchive;
pub use backup::Backup;
pub use backup_error::BackupError;
pub use checkpoints::EmbeddedCheckpoints;
pub use curated::Uncurated;
pub use dead_letters::{EmbeddedDeadLetterQueue, dead_letter_key};
pub use failure::{OpenError, StorageFailure};
pub use files::{rename_folder, write_file};
pub use marks::archived_through;
pub use raw_archive::{ArchiveLimits, ArchiveRun};
pub use shards::{counter_of, epoch_of, next_sequence};
pub use statistics::{DeviceList, EmbeddedStatisticsStore};
pub use storage::{API_KEY_FILE, EmbeddedStorage, Options};
pub use stream::{EmbeddedStream, RECORD_BYTES_MAX};
pub use verify::{DeviceCheck, Problem, Totals, Verification, verify};
