//! One snapshot of a database, copied into a file of its own.

use crate::StorageFailure;
use crate::backup_error::{BackupError, Step, create_private};
use crate::database::Database;
use crate::marks::{CLOSED, EPOCH};
use crate::shards::{ARCHIVE_CURSORS, EPOCH_MAX, META as STREAM_META, RECORDS, SHARDS, epoch_of};
use crate::statistics_journal as tables;
use ports::{BackupStage, catch_panic};
use redb::backends::FileBackend;
use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable as _, ReadableTableMetadata as _, TableDefinition,
    TableHandle as _,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One transaction writes rows of about this many bytes: it bounds what the copy holds in memory.
const TRANSACTION_BYTES: usize = 4 << 20;
/// Memory for pages of the copy.
const CACHE_BYTES: usize = 4 << 20;

/// A database file that was copied, still under its temporary name.
pub(crate) struct Snapshot {
    pub(crate) path: PathBuf,
    /// The rows of each table.
    lengths: BTreeMap<String, u64>,
}

impl Snapshot {
    /// The rows of a table.
    pub(crate) fn rows(&self, table: &str) -> u64 {
        self.lengths.get(table).copied().unwrap_or_default()
    }

    /// Reads the copy back: redb's own check, and the number of rows of every table that the original has.
    pub(crate) fn verify(&self) -> Result<(), BackupError> {
        let read = || {
            let mut database = redb::Database::builder().set_cache_size(CACHE_BYTES).open(&self.path)?;
            let is_whole = database.check_integrity()?;
            Ok((is_whole, lengths(&database.begin_read()?)?))
        };
        // redb panics where a damaged disk returns other bytes than were written.
        let checked = catch_panic(read).unwrap_or_else(|panic| Err(StorageFailure::Corrupt(panic.to_string())));
        let (is_whole, found) = checked.map_err(|source| BackupError::Copy { path: self.path.clone(), source })?;
        if !is_whole || found != self.lengths {
            let problem = format!("{} is not a whole copy; run the backup again", self.path.display());
            return Err(BackupError::Differs(problem));
        }
        Ok(())
    }
}

/// Copies the statistics' database.
pub(crate) fn copy_statistics(database: &Database, path: PathBuf, step: Step<'_>) -> Result<Snapshot, BackupError> {
    copy(database, path, BackupStage::Statistics, step, &|copy| {
        copy.table(tables::ITEMS)?;
        copy.table(tables::UNCURATED)?;
        copy.table(tables::PAGES)?;
        copy.table(tables::LETTERS)?;
        copy.table(tables::LETTER_INDEX)?;
        copy.table(tables::KNOWN_LETTERS)?;
        copy.table(tables::REDRIVE_INTENTS)?;
        copy.table(tables::CHECKPOINTS)?;
        copy.table(tables::TOTALS)?;
        copy.table(tables::META)?;
        copy.change_meta(tables::META, &|_| Ok(()))
    })
}

/// Copies the stream's database, under the next epoch.
pub(crate) fn copy_stream(database: &Database, path: PathBuf, step: Step<'_>) -> Result<Snapshot, BackupError> {
    copy(database, path, BackupStage::Stream, step, &|copy| {
        copy.table(RECORDS)?;
        copy.table(SHARDS)?;
        copy.table(ARCHIVE_CURSORS)?;
        copy.table(STREAM_META)?;
        // Original and copy are two histories from here on: no sequence number may mean a record of each.
        copy.change_meta(STREAM_META, &|meta| {
            let epoch = meta.get(EPOCH)?.map_or(0, |epoch| epoch.value());
            meta.insert(EPOCH, (epoch + 1).min(EPOCH_MAX))?;
            Ok(())
        })
    })
}

/// Whether a copied stream has records of its own: put by an `up` that was started on the copy.
pub(crate) fn has_own_records(path: &Path) -> Result<bool, StorageFailure> {
    let read = || {
        let copy = redb::Database::builder().set_cache_size(CACHE_BYTES).open_read_only(path)?;
        let copy = copy.begin_read()?;
        let epoch = copy.open_table(STREAM_META)?.get(EPOCH)?.map_or(0, |epoch| epoch.value());
        for row in copy.open_table(SHARDS)?.iter()? {
            let (sequence, ..) = row?.1.value();
            if epoch > 0 && epoch_of(sequence) >= epoch {
                return Ok(true);
            }
        }
        Ok(false)
    };
    catch_panic(read).unwrap_or_else(|panic| Err(StorageFailure::Corrupt(panic.to_string())))
}

type Meta = TableDefinition<'static, &'static str, u64>;
type ChangeMeta<'a> = &'a dyn Fn(&mut redb::Table<'_, &'static str, u64>) -> Result<(), StorageFailure>;
type CopyTables<'a> = &'a dyn Fn(&mut Copy<'_>) -> Result<(), BackupError>;

/// The database's lock is held for the whole time, because all tables must come from one snapshot. Posts and batches go
/// on beside it; but should the database have to be opened again after a failure of its disk, that waits for this
/// copy's end.
fn copy(
    database: &Database,
    path: PathBuf,
    stage: BackupStage,
    step: Step<'_>,
    copy_tables: CopyTables<'_>,
) -> Result<Snapshot, BackupError> {
    let read = || {
        database.read(|source| {
            match copy_snapshot(source, &path, stage, step, copy_tables) {
                // Opening the original again may help against its own failure, not against one of the copy.
                Err(BackupError::Source(failure)) => Err(failure),
                copied => Ok(copied),
            }
        })
    };
    let copied = catch_panic(read).unwrap_or_else(|panic| Err(StorageFailure::Corrupt(panic.to_string())));
    let lengths = copied.map_err(BackupError::Source)??;
    Ok(Snapshot { path, lengths })
}

fn copy_snapshot(
    source: &ReadTransaction,
    path: &Path,
    stage: BackupStage,
    step: Step<'_>,
    copy_tables: CopyTables<'_>,
) -> Result<BTreeMap<String, u64>, BackupError> {
    let lengths = lengths(source).map_err(BackupError::Source)?;
    let file = create_private(path)?;
    let target = FileBackend::new(file)
        .and_then(|file| redb::Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file));
    let target = target.map_err(|error| BackupError::Copy { path: path.to_owned(), source: error.into() })?;
    let mut copy = Copy { source, target, path, stage, step, position: 0, lengths, copied: Vec::new() };
    copy_tables(&mut copy)?;
    match copy.lengths.keys().find(|name| !copy.copied.contains(name)) {
        Some(unknown) => {
            let what = format!("table `{unknown}` is of another version of streamgauge");
            Err(BackupError::Source(StorageFailure::Corrupt(what)))
        }
        None => Ok(copy.lengths),
    }
}

/// The rows of each table.
fn lengths(transaction: &ReadTransaction) -> Result<BTreeMap<String, u64>, StorageFailure> {
    let mut lengths = BTreeMap::new();
    for table in transaction.list_tables()? {
        let name = table.name().to_owned();
        lengths.insert(name, transaction.open_untyped_table(table)?.len()?);
    }
    Ok(lengths)
}

struct Copy<'a> {
    source: &'a ReadTransaction,
    target: redb::Database,
    path: &'a Path,
    stage: BackupStage,
    step: Step<'a>,
    /// Rows copied.
    position: u64,
    lengths: BTreeMap<String, u64>,
    /// The tables copied so far.
    copied: Vec<String>,
}

impl Copy<'_> {
    /// Copies one table; some appear only with their first row.
    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &mut self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<(), BackupError> {
        if !self.lengths.contains_key(definition.name()) {
            return Ok(());
        }
        self.copied.push(definition.name().to_owned());
        let source = |failure: StorageFailure| BackupError::Source(failure);
        let table = self.source.open_table(definition).map_err(|e| source(e.into()))?;
        let mut rows = table.iter().map_err(|e| source(e.into()))?.peekable();
        loop {
            let total = self.lengths.values().sum();
            (self.step)(self.stage, self.position, total)?;
            let mut bytes = 0;
            let chunk = std::iter::from_fn(|| {
                let row = (bytes < TRANSACTION_BYTES).then(|| rows.next()).flatten()?;
                if let Ok((key, value)) = &row {
                    bytes += K::as_bytes(&key.value()).as_ref().len() + V::as_bytes(&value.value()).as_ref().len();
                }
                Some(row)
            });
            self.position += write_chunk(&self.target, definition, chunk).map_err(|error| match error {
                ChunkError::Source(failure) => source(failure),
                ChunkError::Target(failure) => BackupError::Copy { path: self.path.to_owned(), source: failure },
            })?;
            if rows.peek().is_none() {
                return Ok(());
            }
        }
    }

    /// Changes the copy's `meta`, which always says that it was closed in order: it is of one moment.
    fn change_meta(&mut self, definition: Meta, change: ChangeMeta<'_>) -> Result<(), BackupError> {
        let write = || -> Result<u64, StorageFailure> {
            let transaction = self.target.begin_write()?;
            let rows = {
                let mut meta = transaction.open_table(definition)?;
                meta.insert(CLOSED, 1)?;
                change(&mut meta)?;
                meta.len()?
            };
            transaction.commit()?;
            Ok(rows)
        };
        let rows = write().map_err(|source| BackupError::Copy { path: self.path.to_owned(), source })?;
        self.lengths.insert(definition.name().to_owned(), rows);
        Ok(())
    }
}

enum ChunkError {
    Source(StorageFailure),
    Target(StorageFailure),
}

type Row<'a, K, V> = Result<(redb::AccessGuard<'a, K>, redb::AccessGuard<'a, V>), redb::StorageError>;

/// Writes rows in one transaction, which is on disk when this returns; how many.
fn write_chunk<'a, K: redb::Key + 'static, V: redb::Value + 'static>(
    target: &redb::Database,
    definition: TableDefinition<'static, K, V>,
    rows: impl Iterator<Item = Row<'a, K, V>>,
) -> Result<u64, ChunkError> {
    fn to_target(error: impl Into<StorageFailure>) -> ChunkError {
        ChunkError::Target(error.into())
    }
    let transaction = target.begin_write().map_err(to_target)?;
    let mut written = 0;
    {
        let mut table = transaction.open_table(definition).map_err(to_target)?;
        for row in rows {
            let (key, value) = row.map_err(|error| ChunkError::Source(error.into()))?;
            table.insert(key.value(), value.value()).map_err(to_target)?;
            written += 1;
        }
    }
    transaction.commit().map_err(to_target)?;
    Ok(written)
}
