//! A copy of a data directory, which may be in use meanwhile.
//!
//! Statistics are copied first, then the stream: so every checkpoint of the copy lies within the copied stream, and
//! records that were put or processed between the two are processed by the copy itself. Trimming must wait from the
//! first to the second, or the copy would lack records that its statistics have not counted; merging of curated files
//! must wait until the archive is copied. Both are the caller's part.
//!
//! A killed run leaves databases under temporary names, and archive files that are each whole: the next run copies the
//! databases again, and of the archive what is missing.

use crate::archive::FileArchive;
use crate::backup_error::{BackupError, file_error};
use crate::directory_lock::DirectoryLock;
use crate::files::{self, Files as _, OsFiles, make_folders, temporary_name};
use crate::snapshot::{self, Snapshot, copy_statistics, copy_stream};
use crate::statistics_journal::ITEMS;
use crate::storage::{API_KEY_FILE, STATISTICS_FILE, STREAM_FILE};
use crate::{EmbeddedStorage, OpenError};
use flate2::Crc;
use ports::{ArchiveFolder as _, BackupProgress, BackupStage, BackupSummary};
use redb::TableHandle as _;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// In a backup: which stream it is of.
const MARKER: &str = "backup.json";
/// Where merging deletes files.
const CURATED: &str = "curated/";
/// What is read of a file at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A backup on its way. Everything blocks.
pub struct Backup<'a> {
    storage: &'a EmbeddedStorage,
    source: PathBuf,
    target: PathBuf,
    archive: FileArchive,
    progress: &'a dyn Fn(BackupProgress) -> bool,
    /// Keys of the archive that belong to the snapshots.
    keys: Vec<String>,
    snapshots: Vec<Snapshot>,
    /// The archive's mark as of the copied stream.
    mark: Option<Vec<u8>>,
    summary: BackupSummary,
    _lock: DirectoryLock,
}

impl<'a> Backup<'a> {
    /// Checks and takes `target`: a folder that does not exist, is empty, or holds an earlier backup of the same
    /// directory. `progress` is called often; when it returns `false` the backup ends with [`BackupError::Stopped`].
    ///
    /// # Errors
    /// [`BackupError::Target`] or [`BackupError::File`].
    pub fn begin(
        storage: &'a EmbeddedStorage,
        target: &Path,
        progress: &'a dyn Fn(BackupProgress) -> bool,
    ) -> Result<Self, BackupError> {
        let archive = storage.archive();
        let source = archive.root().parent().unwrap_or(Path::new("."));
        let source = fs::canonicalize(source).map_err(file_error(source))?;
        let target = resolve(target)?;
        if target.starts_with(&source) || source.starts_with(&target) {
            let rule = "a backup and the data directory must not lie in each other: give another folder";
            return Err(refused(&target, rule));
        }
        make_folder(&target)?;
        take(&target, storage.stream().parts.created_at)?;
        let lock = DirectoryLock::acquire(&target, &OsFiles).map_err(|error| match error {
            OpenError::Locked { .. } => refused(&target, "it is in use by another backup or by `up`"),
            OpenError::Io { path, source } => BackupError::File { path, source },
            other => refused(&target, &other.to_string()),
        })?;
        check_unused(&target)?;
        let archive = target.join("archive");
        make_folder(&archive)?;
        let archive = FileArchive::open(&archive).map_err(file_error(&archive))?;
        let (keys, snapshots, summary) = (Vec::new(), Vec::new(), BackupSummary::default());
        Ok(Backup { storage, source, target, archive, progress, keys, snapshots, mark: None, summary, _lock: lock })
    }

    /// Copies the statistics. No curated file may be written meanwhile: the copy would have rows of revisions that its
    /// statistics do not have yet.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn copy_statistics(&mut self) -> Result<(), BackupError> {
        self.keys = self.source_keys(CURATED)?;
        let database = &self.storage.statistics().parts.database;
        let snapshot = copy_statistics(database, self.partial(STATISTICS_FILE), &|s, p, t| self.step(s, p, t))?;
        self.summary.devices = snapshot.rows(ITEMS.name());
        self.snapshots.push(snapshot);
        Ok(())
    }

    /// Copies the stream, after the statistics. The raw archive waits meanwhile: each of its objects in the copy then
    /// holds records of the copied stream, and each record that counts as archived is in one.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn copy_stream(&mut self) -> Result<(), BackupError> {
        let stream = self.storage.stream().parts;
        let _archiving = Arc::clone(&stream.archiving).blocking_lock_owned();
        let archive = self.storage.archive();
        self.mark = archive.read_mark().map_err(file_error(archive.root()))?;
        let others = self.source_keys("")?.into_iter().filter(|key| !key.starts_with(CURATED));
        self.keys.extend(others.collect::<Vec<_>>());
        let snapshot = copy_stream(&stream.database, self.partial(STREAM_FILE), &|s, p, t| self.step(s, p, t))?;
        self.summary.records = snapshot.rows(crate::shards::RECORDS.name());
        self.snapshots.push(snapshot);
        Ok(())
    }

    /// Copies the files of the archive that are not there yet, and the key. Files of the archive never change.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn copy_archive(&mut self) -> Result<(), BackupError> {
        let mut missing = Vec::new();
        let mut total = 0;
        for key in std::mem::take(&mut self.keys) {
            let path = self.storage.archive().root().join(&key);
            let length = fs::metadata(&path).map_err(file_error(&path))?.len();
            match fs::metadata(self.archive.root().join(&key)) {
                Ok(copied) if copied.len() == length => self.summary.files_kept += 1,
                Ok(copied) => return Err(BackupError::Differs(differs(&path, length, copied.len()))),
                Err(_) => {
                    missing.push(key.clone());
                    total += length;
                }
            }
            self.keys.push(key);
        }
        for key in &missing {
            self.copy_file(key, total)?;
            self.summary.files_copied += 1;
        }
        self.remove_merged(&missing)?;
        // Both may have changed since an earlier run.
        let from = self.source.join(API_KEY_FILE);
        match fs::read(&from) {
            Ok(key) => write_file(&self.target.join(API_KEY_FILE), &key)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error(&from)(error)),
        }
        if let Some(mark) = &self.mark {
            self.archive.write_mark(mark).map_err(file_error(self.archive.root()))?;
        }
        Ok(())
    }

    /// Reads the copied databases back, and gives them their names.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn finish(self) -> Result<BackupSummary, BackupError> {
        let total = self.summary.devices + self.summary.records;
        for (snapshot, position) in self.snapshots.iter().zip([0, self.summary.devices]) {
            self.step(BackupStage::Verification, position, total)?;
            snapshot.verify()?;
        }
        // One after the other without anything between: a crash must not leave databases of two runs.
        for snapshot in &self.snapshots {
            let path = snapshot.path.with_extension("");
            fs::rename(&snapshot.path, &path).map_err(file_error(&path))?;
        }
        sync_folder(&self.target)?;
        Ok(self.summary)
    }

    fn step(&self, stage: BackupStage, position: u64, total: u64) -> Result<(), BackupError> {
        let go_on = (self.progress)(BackupProgress { stage, position, total });
        if go_on { Ok(()) } else { Err(BackupError::Stopped) }
    }

    fn source_keys(&self, prefix: &str) -> Result<Vec<String>, BackupError> {
        let archive = self.storage.archive();
        archive.keys(prefix).map_err(file_error(archive.root()))
    }

    fn partial(&self, name: &str) -> PathBuf {
        self.target.join(format!("{name}.partial"))
    }

    /// Copies one file of the archive, and reads the copy back.
    fn copy_file(&mut self, key: &str, total: u64) -> Result<(), BackupError> {
        let (from, to) = (self.storage.archive().root().join(key), self.archive.root().join(key));
        let mut source = File::open(&from).map_err(file_error(&from))?;
        let mut copy = self.archive.begin().map_err(file_error(&to))?;
        let mut original = Crc::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            self.step(BackupStage::Archive, self.summary.bytes_copied, total)?;
            let length = source.read(&mut buffer).map_err(file_error(&from))?;
            if length == 0 {
                break;
            }
            original.update(&buffer[..length]);
            copy.file.write_all(&buffer[..length]).map_err(file_error(&to))?;
            self.summary.bytes_copied += length as u64;
        }
        copy.publish(key).map_err(io::Error::other).map_err(file_error(&to))?;
        let copied = checksum(&to, &mut buffer).map_err(file_error(&to))?;
        if (copied.sum(), copied.amount()) != (original.sum(), original.amount()) {
            fs::remove_file(&to).map_err(file_error(&to))?;
            return Err(BackupError::Differs(format!(
                "{} is not what was written; run the backup again",
                to.display()
            )));
        }
        Ok(())
    }

    /// Deletes curated files that were merged since an earlier run: one of the files just copied, of the same day, has
    /// their rows. A file that is gone without such a one stays.
    fn remove_merged(&mut self, new: &[String]) -> Result<(), BackupError> {
        let source: BTreeSet<&String> = self.keys.iter().collect();
        let day = |key: &str| key.rsplit_once('/').map_or_else(String::new, |(day, _)| day.to_owned());
        let merged: BTreeSet<String> = new.iter().map(|key| day(key)).collect();
        let copied = self.archive.keys(CURATED).map_err(file_error(self.archive.root()))?;
        for key in copied.iter().filter(|key| !source.contains(key) && merged.contains(&day(key))) {
            let path = self.archive.root().join(key);
            self.archive.delete(key).and_then(|()| self.archive.sync(key)).map_err(file_error(&path))?;
            self.summary.files_removed += 1;
        }
        Ok(())
    }
}

/// Of a file of the archive that is not as long as its copy, when files of the archive never change.
fn differs(path: &Path, length: u64, copied: u64) -> String {
    format!(
        "{} has {length} bytes, and {copied} in the backup: one of the two is damaged, and neither was changed. \
         `streamgauge archive verify` says which; put the good one in the other's place, or back up to another folder",
        path.display()
    )
}

/// The target without links and relative parts, whether or not it exists.
fn resolve(target: &Path) -> Result<PathBuf, BackupError> {
    let target = std::path::absolute(target).map_err(file_error(target))?;
    let mut existing = target.as_path();
    loop {
        match fs::canonicalize(existing) {
            Ok(resolved) => {
                let rest = target.strip_prefix(existing).unwrap_or(Path::new(""));
                let is_plain = rest.components().all(|part| matches!(part, std::path::Component::Normal(_)));
                let resolved = if rest.as_os_str().is_empty() { resolved } else { resolved.join(rest) };
                return if is_plain { Ok(resolved) } else { Err(refused(&target, "give a path without `..`")) };
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => match existing.parent() {
                Some(parent) => existing = parent,
                None => return Err(file_error(&target)(error)),
            },
            Err(error) => return Err(file_error(&target)(error)),
        }
    }
}

/// Marks a new target; an old one must be a backup of the same stream.
fn take(target: &Path, created_at: u64) -> Result<(), BackupError> {
    let path = target.join(MARKER);
    let marker = serde_json::json!({ "stream_created_at": created_at });
    match fs::read(&path) {
        Ok(found) if serde_json::from_slice::<serde_json::Value>(&found).is_ok_and(|found| found == marker) => Ok(()),
        Ok(_) => Err(refused(target, "it holds a backup of another data directory: give another folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for entry in fs::read_dir(target).map_err(file_error(target))? {
                let name = entry.map_err(file_error(target))?.file_name();
                // What a run that was killed right here has left.
                if Some(name.as_os_str()) != temporary_name(&path).file_name() {
                    let rule = "it is not empty and holds no backup of this data directory: give another folder";
                    return Err(refused(target, rule));
                }
            }
            write_file(&path, format!("{marker}\n").as_bytes())
        }
        Err(error) => Err(file_error(&path)(error)),
    }
}

/// An earlier backup that `up` was started on may hold readings that no other file has.
fn check_unused(target: &Path) -> Result<(), BackupError> {
    let path = target.join(STREAM_FILE);
    if !path.exists() {
        return Ok(());
    }
    match snapshot::has_own_records(&path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(refused(target, "`up` ran on it and took readings: give another folder")),
        Err(failure) => {
            Err(refused(target, &format!("its {STREAM_FILE} cannot be read ({failure}): give another folder")))
        }
    }
}

fn refused(target: &Path, rule: &str) -> BackupError {
    BackupError::Target(format!("cannot back up to {}: {rule}", target.display()))
}

fn make_folder(path: &Path) -> Result<(), BackupError> {
    make_folders(&OsFiles, path).map_err(file_error(path))
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    OsFiles.sync_folder(path).map_err(file_error(path))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    files::write_file(path, bytes).map_err(file_error(path))
}

fn checksum(path: &Path, buffer: &mut [u8]) -> io::Result<Crc> {
    let mut file = File::open(path)?;
    let mut checksum = Crc::new();
    loop {
        match file.read(buffer)? {
            0 => return Ok(checksum),
            length => checksum.update(&buffer[..length]),
        }
    }
}
