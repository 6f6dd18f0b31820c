//! The files of a day that is over, merged into few, sorted by device and revision.
//!
//! - **Enters**: the folder of the curated table, and the time.
//! - **Leaves**: the same folder, in which a closed day has as few files as hold its rows, each with at most so many rows.
//! - **Fails**: without loss. A merged file is whole and on disk before anything is deleted, and a source is deleted only
//!   when the merged file, read back from the disk, has each of its rows, the same in every column. Stopped anywhere, rows
//!   stand twice, which their key says, and the next pass does what is left: it deletes what a merged file holds already.

use crate::CURATED_PREFIX;
use crate::checksum;
use crate::parquet_file::ReadError;
use crate::table::{self, Table};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::reader::FileReader as _;
use ports::ArchiveFolder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::time::Duration;
use telemetry::Timestamp;

/// Rows of a merged file: 250,000. It bounds the memory of a pass, some 35 MB.
pub const MERGED_ROWS_MAX: u64 = 250_000;

/// How long after its end a UTC day counts as over: a delivery that midnight overtook has long been written.
pub const GRACE: Duration = Duration::from_secs(15 * 60);

/// What the footer of a merged file says of it, under these names: the times of the first and the last of the files that
/// it was made of, as their names have them, and how many rows they had, repeats included.
const FIRST: &str = "streamgauge.merged.first";
const LAST: &str = "streamgauge.merged.last";
const ROWS: &str = "streamgauge.merged.rows";

/// Merges the files of days that are over.
#[derive(Debug)]
pub struct Merger<F> {
    folder: F,
    rows_max: u64,
}

/// What became of a day.
#[derive(Debug, Default)]
pub struct MergedDay {
    /// Files written.
    pub written: u64,
    /// Files deleted, whose rows are in others.
    pub deleted: u64,
    /// Files that cannot be read, and are left as they are.
    pub unreadable: BTreeMap<String, ReadError>,
}

/// Why a day was not merged, or not to the end. Passing: the next pass carries on.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The file system's.
    #[error("the curated folder cannot be read or written")]
    Folder(#[from] io::Error),
    /// A merged file could not be made.
    #[error("rows cannot be written")]
    Write(#[from] ParquetError),
    /// A merged file that was just written does not have what was put into it. Nothing was deleted.
    #[error("`{merged}` does not hold all rows of `{source_file}`")]
    NotHeld {
        /// The merged file.
        merged: String,
        /// The file that it should hold.
        source_file: String,
    },
}

/// A file whose footer can be read.
struct Entry {
    key: String,
    /// Its rows, or those of the files that it was made of: so that what was grouped once is grouped so again.
    rows: u64,
    /// Of a merged file, the first and the last time of its sources.
    merged: Option<(String, String)>,
}

impl Entry {
    /// When it was delivered, as its name says.
    fn time(&self) -> &str {
        let name = self.key.rsplit('/').next().unwrap_or_default();
        name.split('-').next().unwrap_or_default()
    }

    /// The first and the last time that its rows were delivered.
    fn times(&self) -> (&str, &str) {
        self.merged.as_ref().map_or((self.time(), self.time()), |(first, last)| (first, last))
    }
}

impl<F: ArchiveFolder> Merger<F> {
    /// Merges in `folder`, into files of at most `rows_max` rows.
    pub fn new(folder: F, rows_max: u64) -> Self {
        Merger { folder, rows_max }
    }

    /// The days with files, `YYYY-MM-DD`, that are over.
    ///
    /// # Errors
    /// The file system's.
    pub fn closed_days(&self, now: Timestamp) -> io::Result<BTreeSet<String>> {
        let open = open_day(now);
        let keys = self.folder.keys(CURATED_PREFIX)?;
        Ok(keys.iter().filter_map(|key| day_of(key)).filter(|day| *day < open.as_str()).map(str::to_owned).collect())
    }

    /// Merges one day's files, until there are none left or `is_stopped`. Blocking.
    ///
    /// # Errors
    /// [`MergeError`].
    pub fn merge_day(&self, day: &str, is_stopped: &dyn Fn() -> bool) -> Result<MergedDay, MergeError> {
        let mut done = MergedDay::default();
        let keys = self.folder.keys(&format!("{CURATED_PREFIX}dt={day}/"))?;
        if keys.len() < 2 {
            return Ok(done);
        }
        let mut entries = Vec::new();
        for key in keys.into_iter().filter(|key| day_of(key) == Some(day)) {
            match self.entry(key.clone())? {
                Ok(entry) => entries.push(entry),
                Err(error) => drop(done.unreadable.insert(key, error)),
            }
        }
        self.finish(&mut entries, &mut done, is_stopped)?;
        for group in groups(&entries, self.rows_max) {
            if is_stopped() {
                break;
            }
            self.merge(group, &mut done)?;
        }
        Ok(done)
    }

    fn entry(&self, key: String) -> io::Result<Result<Entry, ReadError>> {
        Ok(self.open(&key)?.and_then(table::open).map(|file| {
            let rows = u64::try_from(file.metadata().file_metadata().num_rows()).unwrap_or_default();
            let merged = note(file.metadata(), FIRST).zip(note(file.metadata(), LAST));
            let of_sources = note(file.metadata(), ROWS).and_then(|rows| rows.parse().ok());
            Entry { rows: of_sources.unwrap_or(rows), key, merged }
        }))
    }

    /// Deletes what merged files hold already: what a pass that was stopped has left.
    fn finish(
        &self,
        entries: &mut Vec<Entry>,
        done: &mut MergedDay,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<(), MergeError> {
        let mut gone = BTreeSet::new();
        for entry in entries.iter().take_while(|_| !is_stopped()) {
            let Some((first, last)) = &entry.merged else { continue };
            let times = first.as_str()..=last.as_str();
            let others = entries.iter().filter(|other| other.key != entry.key && !gone.contains(&other.key));
            let left: Vec<&str> =
                others.filter(|other| times.contains(&other.time())).map(|other| other.key.as_str()).collect();
            if left.is_empty() || gone.contains(&entry.key) {
                continue;
            }
            let Some(merged) = self.table(&entry.key, done)?.filter(Table::is_sorted) else { continue };
            // Who put it may have been stopped before its name was on disk.
            self.folder.sync(&entry.key)?;
            for key in left {
                if self.table(key, done)?.is_some_and(|source| merged.holds(&source)) {
                    self.folder.delete(key)?;
                    done.deleted += 1;
                    gone.insert(key.to_owned());
                }
            }
        }
        entries.retain(|entry| !gone.contains(&entry.key));
        Ok(())
    }

    /// Merges a group's files into one, and deletes them.
    fn merge(&self, group: &[Entry], done: &mut MergedDay) -> Result<(), MergeError> {
        if group.len() < 2 {
            return Ok(());
        }
        // What files promise is no reason to take memory: no file is larger than a group but one that is alone.
        let rows = rows_of(group).min(self.rows_max);
        let (mut sources, mut all) = (Vec::new(), Table::with_room(usize::try_from(rows).unwrap_or_default()));
        for entry in group {
            if let Some(table) = self.table(&entry.key, done)? {
                all.extend(table);
                sources.push(entry);
            }
        }
        if sources.len() < 2 {
            return Ok(());
        }
        let (key, bytes) = written(&sources, &all)?;
        drop(all);
        self.folder.put(&key, &bytes)?;
        drop(bytes);
        done.written += 1;
        self.delete_held(&key, &sources, done)
    }

    /// Deletes the sources of a merged file, once all of them are known to be in it as it is on disk.
    fn delete_held(&self, key: &str, sources: &[&Entry], done: &mut MergedDay) -> Result<(), MergeError> {
        let not_held = |source: &Entry| MergeError::NotHeld { merged: key.to_owned(), source_file: source.key.clone() };
        let merged = self.table(key, done)?.filter(Table::is_sorted).ok_or_else(|| not_held(sources[0]))?;
        // Never the file itself, should it have the name of one that it was made of.
        let others = || sources.iter().filter(|source| source.key != key);
        for source in others() {
            if !self.table(&source.key, done)?.is_some_and(|table| merged.holds(&table)) {
                return Err(not_held(source));
            }
        }
        for source in others() {
            self.folder.delete(&source.key)?;
            done.deleted += 1;
        }
        Ok(())
    }

    /// A file, or why it cannot be read: one that may not be opened holds up no other either.
    fn open(&self, key: &str) -> io::Result<Result<File, ReadError>> {
        match self.folder.open(key) {
            Ok(file) => Ok(Ok(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
            Err(error) => Ok(Err(ReadError::from(ParquetError::from(error)))),
        }
    }

    /// A file's rows; `None`, and noted, where they cannot be read, or aren't those that were written: a merged file would
    /// give them a right checksum, and its source be deleted.
    fn table(&self, key: &str, done: &mut MergedDay) -> io::Result<Option<Table>> {
        let checked = |file| checksum::check(key, &file).map(|()| file);
        match self.open(key)?.and_then(checked).and_then(table::open).and_then(|file| Table::read(&file)) {
            Ok(table) => Ok(Some(table)),
            Err(error) => {
                done.unreadable.insert(key.to_owned(), error);
                Ok(None)
            }
        }
    }
}

/// The day that is not over yet.
pub fn open_day(now: Timestamp) -> String {
    let before = now.as_nanosecond() - GRACE.as_nanos() as i128;
    Timestamp::from_nanosecond(before).unwrap_or(now).utc_date()
}

/// `YYYY-MM-DD` of a file's key, `curated/device_statistics/dt=YYYY-MM-DD/….parquet`.
pub(crate) fn day_of(key: &str) -> Option<&str> {
    let (day, name) = key.strip_prefix(CURATED_PREFIX)?.strip_prefix("dt=")?.split_once('/')?;
    let is_day = Timestamp::parse(&format!("{day}T00:00:00Z")).is_ok();
    (is_day && name.ends_with(".parquet") && !name.contains('/')).then_some(day)
}

fn note(metadata: &ParquetMetaData, name: &str) -> Option<String> {
    let notes = metadata.file_metadata().key_value_metadata()?;
    notes.iter().find(|note| note.key == name).and_then(|note| note.value.clone())
}

/// Files in the order of their names, which is that of time, in groups of at most so many rows.
fn groups(entries: &[Entry], rows_max: u64) -> Vec<&[Entry]> {
    let mut groups = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (at, entry) in entries.iter().enumerate() {
        if at > start && entry.rows.saturating_add(rows) > rows_max {
            groups.push(&entries[start..at]);
            (start, rows) = (at, 0);
        }
        rows = entry.rows.saturating_add(rows);
    }
    groups.push(&entries[start..]);
    groups
}

/// The rows that files promise. A damaged footer may promise any number.
fn rows_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> u64 {
    entries.into_iter().fold(0, |rows, entry| entry.rows.saturating_add(rows))
}

/// The merged file's key and bytes.
fn written(sources: &[&Entry], table: &Table) -> Result<(String, Vec<u8>), ParquetError> {
    let first = sources.iter().map(|entry| entry.times().0).min();
    let last = sources.iter().map(|entry| entry.times().1).max();
    let rows = rows_of(sources.iter().copied());
    let note = |name: &str, value: &str| KeyValue::new(name.to_owned(), value.to_owned());
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let notes = vec![note(FIRST, first), note(LAST, last), note(ROWS, &rows.to_string())];
    let bytes = table.write(&table.sorted(), notes)?;
    // It stands where its first source stood, and its content keeps it from replacing any other.
    let folder = sources[0].key.rsplit_once('/').map_or("", |(folder, _)| folder);
    Ok((format!("{folder}/{}", checksum::file_name(first, &bytes)), bytes))
}
