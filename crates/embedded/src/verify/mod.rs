//! The check of a data directory that nobody uses: every page and every row, and whether they fit together.
//!
//! It changes nothing: what redb writes while it opens a file stays in memory ([`overlay`]). A page that is damaged is
//! found by its checksum; the rows are decoded and compared with their keys and with each other all the same, because an
//! intact file may be older than the file beside it.

mod letters;
mod overlay;
mod statistics;
mod stream;

use crate::archive::MARK as ARCHIVE_MARK;
use crate::binding::{Finding, StatisticsSide, StreamSide, bind};
use crate::marks;
use crate::storage::{FORM_VERSION, STATISTICS_FILE, STREAM_FILE};
use crate::{OpenError, StorageFailure};
use overlay::Overlay;
use ports::{LedgerPageItem, StatisticsItem, catch_panic, with_causes};
use redb::{Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _, Value};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use telemetry::DeviceId;

/// Memory for pages of the database that is read.
const CACHE_BYTES: usize = 64 << 20;

/// What was read of a data directory, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Verification {
    /// Rows read, by database file and table.
    pub rows: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// The directory's account of its readings.
    pub totals: Totals,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// The directory's account of its readings.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Readings in all records ever put.
    pub accepted: u64,
    /// The sum of every item's count.
    pub counted: u64,
    /// Readings in all distinct dead letters ever sent.
    pub dead_letters: u64,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Its path in the data directory, or its key in the archive.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What the caller checks of a device: its item, and its ledger pages in the order of their keys. Its answers are
/// problems of the device.
pub type DeviceCheck<'a> =
    dyn FnMut(&DeviceId, &StatisticsItem, &mut dyn Iterator<Item = LedgerPageItem>) -> Vec<String> + 'a;

/// Checks the databases of `data_dir`, and the copies of dead letters in its archive. `check_device` knows the forms of
/// states and pages, which are opaque here.
///
/// # Errors
/// [`OpenError`]: the directory is in use, or is none.
pub fn verify(data_dir: &Path, check_device: &mut DeviceCheck<'_>) -> Result<Verification, OpenError> {
    let _lock = lock(&data_dir.join("lock"), data_dir)?;
    let stream = lock(&data_dir.join(STREAM_FILE), data_dir)?;
    let statistics = lock(&data_dir.join(STATISTICS_FILE), data_dir)?;
    if stream.is_none() && statistics.is_none() {
        let source = std::io::Error::new(ErrorKind::NotFound, "it is not a data directory of `streamgauge up`");
        return Err(OpenError::Io { path: data_dir.to_owned(), source });
    }
    let mut verification = Verification::default();
    let mut report = FileReport::new(STATISTICS_FILE);
    let (mut checkpoints, mut statistics_side, mut stream_side) = (None, None, None);
    with_database(statistics, &mut report, |transaction, report| {
        checkpoints = Some(statistics::check(transaction, report, check_device));
        letters::check_copies(transaction, &data_dir.join("archive"), report);
        // The stream's check compares the checkpoints.
        statistics_side = catching(|| marks::statistics_side(transaction, 0)).ok();
    });
    verification.take(report);
    let mut report = FileReport::new(STREAM_FILE);
    with_database(stream, &mut report, |transaction, report| {
        let shards = stream::check(transaction, report, checkpoints.as_ref());
        stream_side = catching(|| marks::stream_side(transaction, shards)).ok();
    });
    verification.take(report);
    if let (Some(statistics), Some(stream)) = (statistics_side, stream_side) {
        let accepted = i128::from(verification.totals.accepted) + i128::from(statistics.accepted_offset);
        verification.totals.accepted = accepted.try_into().unwrap_or_default();
        verification.check_totals();
        verification.check_marks(&statistics, &stream, &data_dir.join("archive"));
    }
    Ok(verification)
}

impl Verification {
    fn take(&mut self, report: FileReport) {
        let FileReport { file, rows, totals, problems } = report;
        self.rows.insert(file, rows);
        self.totals.accepted += totals.accepted;
        self.totals.counted += totals.counted;
        self.totals.dead_letters += totals.dead_letters;
        self.problems.extend(problems);
    }

    /// What the next start would find about files that were lost or restored.
    fn check_marks(&mut self, statistics: &StatisticsSide, stream: &StreamSide, archive: &Path) {
        let archived = std::fs::read(archive.join(ARCHIVE_MARK)).ok().map(|text| marks::parse_mark(&text));
        for finding in bind(statistics, stream, archived.as_ref(), 0).findings {
            let file = match finding {
                Finding::StreamLost | Finding::StreamOlder => STREAM_FILE,
                Finding::ArchiveLost | Finding::ArchiveOlder => "archive",
                _ => STATISTICS_FILE,
            };
            self.problems.push(Problem { file: file.to_owned(), problem: finding.text() });
        }
    }

    /// Every reading that was counted or became a dead letter came in a record. Where a file could not be read, nothing is
    /// known.
    fn check_totals(&mut self) {
        let Totals { accepted, counted, dead_letters } = self.totals;
        if self.problems.is_empty() && counted.saturating_add(dead_letters) > accepted {
            let problem = format!(
                "it has taken {accepted} readings, but {STATISTICS_FILE} holds {counted} counted ones and {dead_letters} \
                 dead letters: {STREAM_FILE} is lost or older"
            );
            self.problems.push(Problem { file: STREAM_FILE.to_owned(), problem });
        }
    }
}

/// What was found in one database file.
struct FileReport {
    file: &'static str,
    rows: BTreeMap<String, u64>,
    totals: Totals,
    problems: Vec<Problem>,
}

impl FileReport {
    fn new(file: &'static str) -> Self {
        FileReport { file, rows: BTreeMap::new(), totals: Totals::default(), problems: Vec::new() }
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problem_of(self.file.to_owned(), problem);
    }

    fn problem_of(&mut self, file: String, problem: impl Into<String>) {
        self.problems.push(Problem { file, problem: problem.into() });
    }
}

/// A file that a running `up` has locked: its lock file, or a database, which redb locks. `None` where there is no such
/// file.
fn lock(path: &Path, data_dir: &Path) -> Result<Option<File>, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io_error)?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { directory: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error(source)),
    }
}

/// Checks the pages of a database, then gives its rows to `check`.
fn with_database<T>(
    file: Option<File>,
    report: &mut FileReport,
    check: impl FnOnce(&ReadTransaction, &mut FileReport) -> T,
) -> Option<T> {
    let Some(file) = file else {
        report.problem("it is missing");
        return None;
    };
    if let Err(why) = check_pages(&file) {
        report.problem(why);
    }
    // The rows of a damaged file are read all the same: they say which devices and records the damage concerns.
    let opened = catching(|| {
        let database = open_database(&file)?;
        let transaction = database.begin_read()?;
        Ok((database, transaction))
    });
    let (database, transaction) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            if report.problems.is_empty() {
                report.problem(why);
            }
            return None;
        }
    };
    let checked = check(&transaction, report);
    // Closing reads and writes pages too.
    let closed = catching(|| {
        drop(transaction);
        drop(database);
        Ok(())
    });
    if let (Err(why), true) = (closed, report.problems.is_empty()) {
        report.problem(why);
    }
    Some(checked)
}

fn open_database(file: &File) -> Result<redb::Database, StorageFailure> {
    let overlay = Overlay::new(file.try_clone()?)?;
    Ok(redb::Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(overlay)?)
}

/// redb's own check: the checksum of every page that is in use, and which pages are.
fn check_pages(file: &File) -> Result<(), String> {
    check_header(file).map_err(|error| format!("its header cannot be read: {error}"))??;
    let damaged = |why| format!("redb's integrity check failed: {why}");
    let mut database = catching(|| open_database(file)).map_err(damaged)?;
    let sound = catching(|| Ok(database.check_integrity()?));
    let closed = catching(|| {
        drop(database);
        Ok(())
    });
    if sound.map_err(damaged)? {
        return closed.map_err(damaged);
    }
    Err(damaged("its pages and the list of those in use disagree".to_owned()))
}

/// A bit of the header says which of the two last commits counts, and no checksum covers it. In a file that was closed it
/// is the newer one. After a kill it may be the older one, when the newer one was not finished.
/// <https://github.com/cberner/redb/blob/master/docs/design.md>
fn check_header(file: &File) -> std::io::Result<Result<(), String>> {
    const NEWEST: u8 = 1;
    const NOT_CLOSED: u8 = 2;
    let mut header = [0; 320];
    if file.metadata()?.len() < header.len() as u64 {
        return Ok(Err("it is too short to be a database".to_owned()));
    }
    file.read_exact_at(&mut header, 0)?;
    let transaction = |slot: usize| {
        let bytes = header[64 + 128 * slot..].get(104..112).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    let flags = header[9];
    let newest = usize::from(flags & NEWEST != 0);
    if flags & NOT_CLOSED == 0 && transaction(newest) < transaction(1 - newest) {
        return Ok(Err("its header names an older commit as the newest: the newest is left out".to_owned()));
    }
    Ok(Ok(()))
}

/// The error or the panic of a reader as one text.
fn catching<T>(read: impl FnOnce() -> Result<T, StorageFailure>) -> Result<T, String> {
    match catch_panic(read) {
        Ok(result) => result.map_err(|failure| with_causes(&failure)),
        Err(panic) => Err(panic.to_string()),
    }
}

/// Gives `check` each row of a table. A row that cannot be read ends the table: redb finds the next one through it.
fn each_row<K: Key + 'static, V: Value + 'static>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
    report: &mut FileReport,
    mut check: impl for<'r> FnMut(K::SelfType<'r>, V::SelfType<'r>, &mut FileReport) -> Result<(), StorageFailure>,
) {
    let name = definition.name().to_owned();
    let mut rows = 0;
    let read = catching(|| {
        let table = match transaction.open_table(definition) {
            // A new directory has only the tables that were written.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table?,
        };
        for stored in table.iter()? {
            let (key, value) = stored?;
            rows += 1;
            check(key.value(), value.value(), report)?;
        }
        Ok(())
    });
    if let Err(why) = read {
        report.problem(format!("table `{name}` after {rows} rows: {why}"));
    }
    report.rows.insert(name, rows);
}

/// Whether the file has the form that this program knows.
fn check_version(version: Option<u64>, report: &mut FileReport) -> bool {
    match version {
        Some(FORM_VERSION) => return true,
        Some(version) => report.problem(format!("its form has version {version}; this program knows {FORM_VERSION}")),
        None => report.problem("it doesn't say which form it has"),
    }
    false
}
