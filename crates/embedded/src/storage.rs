//! One data directory, opened: it hands out the ports.

use crate::accounting::{Accounting, accounting};
use crate::archive::FileArchive;
use crate::binding::ArchiveSide;
use crate::checkpoints::EmbeddedCheckpoints;
use crate::database::Database;
use crate::dead_letters::EmbeddedDeadLetterQueue;
use crate::directory_lock::{DirectoryLock, private_file};
use crate::files::{Files, OsFiles, parent, remove_if_there, temporary_name};
use crate::marks::{self, Directory};
use crate::raw_archive::{ArchiveLimits, ArchiveRun, archive_raw};
use crate::shards::{ARCHIVE_CURSORS, META as STREAM_META, RECORDS, SHARDS};
use crate::statistics::{EmbeddedStatisticsStore, StatisticsParts};
use crate::statistics_journal as tables;
use crate::statistics_journal::StatisticsJournal;
use crate::stream::{EmbeddedStream, StreamParts};
use crate::stream_journal::{StreamJournal, read_heads};
use crate::trim::trim;
use crate::writer::Writer;
use crate::{OpenError, StorageFailure};
use ports::{Clock, SystemClock};
use redb::backends::FileBackend;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The database of shards, records and archive cursors.
pub(crate) const STREAM_FILE: &str = "stream.redb";
/// The database of items, ledger pages, dead letters, checkpoints and totals.
pub(crate) const STATISTICS_FILE: &str = "statistics.redb";
/// The file in a data directory that holds the key of the devices, where `up` made one.
pub const API_KEY_FILE: &str = "api-key";

/// The version of both database files' form.
pub(crate) const FORM_VERSION: u64 = 1;

/// How a data directory is used.
#[derive(Clone)]
pub struct Options {
    /// Shards of a new stream, 1-10,000. A directory that has a stream keeps its number.
    pub shards: u16,
    /// The stream's name, as Kinesis allows it: 1-128 of `A-Z a-z 0-9 _ . -`. Archive objects are named after it.
    pub stream_name: String,
    /// How long records are kept once they are processed and archived.
    pub retention: Duration,
    /// What records arrive by.
    pub clock: Arc<dyn Clock>,
    /// Memory for pages of the stream's database, in bytes.
    pub stream_cache_bytes: usize,
    /// Memory for pages of the statistics' database, in bytes.
    pub statistics_cache_bytes: usize,
    /// Bytes that may wait to be written, for each database. With more, a put is throttled and other writes wait.
    pub queue_bytes: usize,
}

impl Default for Options {
    /// Four shards, `streamgauge`, 24 h, the system's clock, 16 and 24 MiB of cache, 16 MiB of queue each.
    fn default() -> Self {
        Options {
            shards: 4,
            stream_name: "streamgauge".to_owned(),
            retention: Duration::from_secs(24 * 3600),
            clock: Arc::new(SystemClock),
            stream_cache_bytes: 16 << 20,
            statistics_cache_bytes: 24 << 20,
            queue_bytes: 16 << 20,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), OpenError> {
        if !(1..=10_000).contains(&self.shards) {
            let rule = format!("a stream has 1 to 10000 shards, not {}", self.shards);
            return Err(OpenError::InvalidOptions(rule));
        }
        let name = self.stream_name.as_bytes();
        let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
        if !(1..=128).contains(&name.len()) || !name.iter().all(valid) {
            let rule = format!("`{}` is not a stream's name: 1 to 128 of A-Z a-z 0-9 _ . -", self.stream_name);
            return Err(OpenError::InvalidOptions(rule));
        }
        Ok(())
    }
}

/// Opens a database file with a cache of that many bytes.
pub(crate) type OpenFile = Arc<dyn Fn(&Path, usize) -> Result<redb::Database, StorageFailure> + Send + Sync>;

/// The ports of one data directory. Clones share it; it closes with the last of them and of the ports, or with
/// [`EmbeddedStorage::close`].
#[derive(Clone)]
pub struct EmbeddedStorage {
    stream: Arc<StreamParts>,
    statistics: Arc<StatisticsParts>,
    archive: FileArchive,
    retention: Duration,
    warnings: Arc<[String]>,
    lock: Arc<DirectoryLock>,
}

impl EmbeddedStorage {
    /// Opens `data_dir`, and makes it if there is none. Where its files do not belong together, because one was lost or
    /// restored, [`EmbeddedStorage::warnings`] says so.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(data_dir: &Path, options: Options) -> Result<Self, OpenError> {
        let open_file = |path: &Path, cache_bytes| {
            let file = private_file().read(true).open(path)?;
            Ok(redb::Database::builder().set_cache_size(cache_bytes).create_with_backend(FileBackend::new(file)?)?)
        };
        Self::open_with(data_dir, options, Arc::new(open_file), Arc::new(OsFiles))
    }

    /// As [`EmbeddedStorage::open`], with the database files opened by `open_file`, and other files changed by `files`.
    pub(crate) fn open_with(
        data_dir: &Path,
        options: Options,
        open_file: OpenFile,
        files: Arc<dyn Files>,
    ) -> Result<Self, OpenError> {
        options.check()?;
        let lock = Arc::new(DirectoryLock::acquire(data_dir, &*files)?);
        let (stream_path, statistics_path) = (data_dir.join(STREAM_FILE), data_dir.join(STATISTICS_FILE));
        let fails = |path: &Path| {
            let (path, directory) = (path.to_owned(), data_dir.to_owned());
            move |source| OpenError::of_database(directory, path, source)
        };
        for (path, cache_bytes) in
            [(&stream_path, options.stream_cache_bytes), (&statistics_path, options.statistics_cache_bytes)]
        {
            create_if_missing(path, cache_bytes, &open_file, &*files).map_err(fails(path))?;
        }
        // redb locks its files, also where the lock file was deleted: another program's archive is left alone.
        let statistics = open_database("statistics", &statistics_path, options.statistics_cache_bytes, &open_file)
            .and_then(|database| prepare_statistics(&database, &statistics_path).map(|()| database))
            .map_err(fails(&statistics_path))?;
        let stream = open_database("stream", &stream_path, options.stream_cache_bytes, &open_file)
            .and_then(|database| prepare_stream(&database, &stream_path, &options).map(|form| (database, form)));
        let (stream, form) = stream.map_err(fails(&stream_path))?;
        let archive = data_dir.join("archive");
        let archive = FileArchive::open_with(&archive, Arc::clone(&files))
            .map_err(|source| OpenError::Io { path: archive, source })?;

        let directory = Directory {
            stream: (&stream, &stream_path),
            statistics: (&statistics, &statistics_path),
            archive: &archive,
            shards: form.shards,
            data_dir,
        };
        let bound = directory.bind()?;

        let stream =
            start_stream(stream, form, bound.archived, &options, Arc::clone(&lock)).map_err(fails(&stream_path))?;
        let writer =
            Writer::start("statistics-writer", Arc::clone(&statistics), StatisticsJournal, options.queue_bytes)
                .map_err(|source| OpenError::Io { path: statistics_path, source })?;
        let statistics = StatisticsParts { database: statistics, writer, _lock: Arc::clone(&lock) };
        sync_names(data_dir, &*files)?;
        let (stream, statistics) = (Arc::new(stream), Arc::new(statistics));
        Ok(EmbeddedStorage {
            stream,
            statistics,
            archive,
            retention: options.retention,
            warnings: bound.warnings.into(),
            lock,
        })
    }

    /// What opening found about files that were lost or restored, in sentences for the operator. They are in the log too,
    /// and only once: the next opening finds the files bound together.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The stream.
    pub fn stream(&self) -> EmbeddedStream {
        EmbeddedStream { parts: Arc::clone(&self.stream) }
    }

    /// The statistics store.
    pub fn statistics(&self) -> EmbeddedStatisticsStore {
        EmbeddedStatisticsStore { parts: Arc::clone(&self.statistics) }
    }

    /// The dead-letter queue.
    pub fn dead_letters(&self) -> EmbeddedDeadLetterQueue {
        EmbeddedDeadLetterQueue { parts: Arc::clone(&self.statistics), archive: self.archive.clone() }
    }

    /// The checkpoints of the event source mapping.
    pub fn checkpoints(&self) -> EmbeddedCheckpoints {
        EmbeddedCheckpoints { statistics: Arc::clone(&self.statistics), stream: Arc::clone(&self.stream) }
    }

    /// The archive.
    pub fn archive(&self) -> FileArchive {
        self.archive.clone()
    }

    /// How many shards the stream has: the number it was created with, whatever the options said.
    pub fn shard_count(&self) -> u16 {
        self.stream.shards
    }

    /// The stream's name, from the options.
    pub fn stream_name(&self) -> &str {
        &self.stream.name
    }

    /// Where every accepted reading has gone.
    ///
    /// # Errors
    /// [`StorageFailure`].
    pub async fn accounting(&self) -> Result<Accounting, StorageFailure> {
        let (stream, statistics) = (Arc::clone(&self.stream), Arc::clone(&self.statistics));
        let read = tokio::task::spawn_blocking(move || accounting(&stream, &statistics));
        read.await.unwrap_or(Err(StorageFailure::Unanswered))
    }

    /// Archives the records that are due by `limits`, or with `flush` all that there are; says when to call again.
    /// One caller at a time. May be dropped or fail at any point: the next call carries on, and no record is archived
    /// twice.
    ///
    /// # Errors
    /// [`StorageFailure`]; what was archived before it stays so.
    pub async fn archive_raw(&self, limits: ArchiveLimits, flush: bool) -> Result<ArchiveRun, StorageFailure> {
        archive_raw(&self.stream, &self.archive, limits, flush).await
    }

    /// Deletes records that are older than the retention, processed and archived, in small transactions; how many.
    /// The file does not shrink, but new records take their room.
    ///
    /// # Errors
    /// [`StorageFailure`]; what was deleted before it stays so.
    pub async fn trim(&self) -> Result<u64, StorageFailure> {
        trim(&self.stream, &self.statistics, self.retention).await
    }

    /// Writes what waits, closes the files and frees the directory. Every operation afterwards fails.
    pub async fn close(&self) {
        let storage = self.clone();
        let close = move || {
            storage.stream.close();
            storage.statistics.close();
            storage.lock.release();
        };
        // Closing reports its own failures.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

/// Makes the names of the files in the data directory durable, and those of the folders above: a start that was killed may
/// have made them.
fn sync_names(data_dir: &Path, files: &dyn Files) -> Result<(), OpenError> {
    for path in data_dir.ancestors().filter(|path| path.parent().is_some()) {
        match files.sync_folder(parent(path)) {
            // A folder that may not be read was there before.
            Err(source) if source.kind() != io::ErrorKind::PermissionDenied => {
                return Err(OpenError::Io { path: parent(path).to_owned(), source });
            }
            _ => {}
        }
    }
    files.sync_folder(data_dir).map_err(|source| OpenError::Io { path: data_dir.to_owned(), source })
}

/// Creates a database under another name first: redb refuses a file whose creation was interrupted.
fn create_if_missing(
    path: &Path,
    cache_bytes: usize,
    open_file: &OpenFile,
    files: &dyn Files,
) -> Result<(), StorageFailure> {
    if path.exists() {
        return Ok(());
    }
    let temporary = temporary_name(path);
    remove_if_there(files, &temporary)?;
    drop(open_file(&temporary, cache_bytes)?);
    Ok(files.rename(&temporary, path)?)
}

fn open_database(
    name: &'static str,
    path: &Path,
    cache_bytes: usize,
    open_file: &OpenFile,
) -> Result<Arc<Database>, StorageFailure> {
    let (path, open_file) = (path.to_owned(), Arc::clone(open_file));
    let file = marks::file_id(&path);
    let open = move || {
        // It is opened again after a failure. A new file in its place would take posts that no start finds.
        if !path.exists() || marks::file_id(&path) != file {
            let gone = format!("{} was removed or replaced while it was in use", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, gone).into());
        }
        open_file(&path, cache_bytes)
    };
    Database::open(name, Box::new(open)).map(Arc::new)
}

fn check_version(version: u64) -> Result<(), StorageFailure> {
    if version == FORM_VERSION {
        return Ok(());
    }
    Err(StorageFailure::OtherVersion { found: version, known: FORM_VERSION })
}

/// A file that was copied while it was in use may be of two halves that do not fit.
fn check_copy(
    database: &Database,
    meta: redb::TableDefinition<&'static str, u64>,
    path: &Path,
) -> Result<(), StorageFailure> {
    if !marks::is_live_copy(database, meta, path)? {
        return Ok(());
    }
    tracing::info!(file = %path.display(), "the file is a copy of one that was in use; checking all of it");
    database.check_pages()
}

/// What a stream's file was made with.
#[derive(Clone, Copy)]
struct StreamForm {
    shards: u16,
    created_at: u64,
}

/// Checks the stream's file, and gives it its tables if it is new.
fn prepare_stream(database: &Database, path: &Path, options: &Options) -> Result<StreamForm, StorageFailure> {
    check_copy(database, STREAM_META, path)?;
    let read_meta = |transaction: &redb::ReadTransaction| {
        let meta = match transaction.open_table(STREAM_META) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            meta => meta?,
        };
        let number = |name| -> Result<u64, StorageFailure> {
            let missing = || StorageFailure::Corrupt(format!("the stream's `{name}` is missing"));
            Ok(meta.get(name)?.ok_or_else(missing)?.value())
        };
        check_version(number("version")?)?;
        Ok(Some((number("shards")?, number("created_at")?)))
    };
    let (shards, created_at) = match database.read(read_meta)? {
        Some(meta) => meta,
        None => database.write(|transaction| {
            let created_at = options.clock.now().as_millisecond().max(0) as u64;
            transaction.open_table(RECORDS)?;
            transaction.open_table(SHARDS)?;
            transaction.open_table(ARCHIVE_CURSORS)?;
            let mut meta = transaction.open_table(STREAM_META)?;
            meta.insert("version", FORM_VERSION)?;
            meta.insert("shards", u64::from(options.shards))?;
            meta.insert("created_at", created_at)?;
            Ok((u64::from(options.shards), created_at))
        })?,
    };
    let shards = u16::try_from(shards).map_err(|_| StorageFailure::Corrupt(format!("a stream of {shards} shards")))?;
    Ok(StreamForm { shards, created_at })
}

fn start_stream(
    database: Arc<Database>,
    form: StreamForm,
    archived: ArchiveSide,
    options: &Options,
    lock: Arc<DirectoryLock>,
) -> Result<StreamParts, StorageFailure> {
    let heads = database.read(|transaction| read_heads(transaction, form.shards.into()))?;
    let (senders, receivers) = heads.into_iter().map(watch::channel).unzip();
    let journal = StreamJournal::new(Arc::clone(&options.clock), archived.mark.epoch, senders);
    let writer = Writer::start("stream-writer", Arc::clone(&database), journal, options.queue_bytes)?;
    Ok(StreamParts {
        database,
        writer,
        heads: receivers,
        shards: form.shards,
        name: options.stream_name.clone(),
        created_at: form.created_at,
        clock: Arc::clone(&options.clock),
        archiving: Arc::default(),
        archived: Mutex::new(archived),
        _lock: lock,
    })
}

/// Checks the statistics' file, and gives it its tables if it is new.
fn prepare_statistics(database: &Database, path: &Path) -> Result<(), StorageFailure> {
    check_copy(database, tables::META, path)?;
    let version = database.read(|transaction| match transaction.open_table(tables::META) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        meta => Ok(Some(meta?.get("version")?.map_or(0, |stored| stored.value()))),
    })?;
    if let Some(version) = version {
        check_version(version)?;
        return crate::curated::begin(database);
    }
    database.write(|transaction| {
        transaction.open_table(tables::ITEMS)?;
        transaction.open_table(tables::UNCURATED)?;
        transaction.open_table(tables::PAGES)?;
        transaction.open_table(tables::LETTERS)?;
        transaction.open_table(tables::LETTER_INDEX)?;
        transaction.open_table(tables::KNOWN_LETTERS)?;
        transaction.open_table(tables::CHECKPOINTS)?;
        transaction.open_table(tables::TOTALS)?;
        transaction.open_table(tables::META)?.insert("version", FORM_VERSION)?;
        Ok(())
    })
}
