//! A database's file on the disk.

use super::losses::{Id, Losses, SECTOR};
use super::{By, Disk};
use crate::StorageFailure;
use rand::Rng as _;
use rand::rngs::StdRng;
use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A change since the last sync.
pub(super) enum Change {
    /// `old` is what was there, as far as the file of that length went.
    Write { offset: u64, length: u64, old: Vec<u8>, new: Vec<u8> },
    /// `cut` is what was beyond the new length.
    Length { old: u64, new: u64, cut: Vec<u8> },
}

#[derive(Debug)]
pub(super) struct DatabaseFile {
    disk: Disk,
    file: FileBackend,
    id: Id,
}

/// Opens the file, and creates it if there is none.
pub(super) fn open(disk: &Disk, path: &Path) -> Result<DatabaseFile, StorageFailure> {
    let mut state = disk.alive()?;
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
    let id = state.tree.database(path);
    drop(state);
    Ok(DatabaseFile { disk: disk.clone(), file: FileBackend::new(file)?, id })
}

impl DatabaseFile {
    /// What is in the file from `offset` on, at most `length` bytes.
    fn read_some(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let there = self.file.len()?.saturating_sub(offset).min(length);
        let mut bytes = vec![0; there as usize];
        self.file.read(offset, &mut bytes)?;
        Ok(bytes)
    }
}

impl StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        let _state = self.disk.alive()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let _state = self.disk.alive()?;
        self.file.read(offset, out)
    }

    fn set_len(&self, new: u64) -> io::Result<()> {
        let mut state = self.disk.take(By::Database)?;
        let old = self.file.len()?;
        let cut = self.read_some(new, u64::MAX)?;
        self.file.set_len(new)?;
        state.tree.database_changes(self.id).push(Change::Length { old, new, cut });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.take(By::Database)?.tree.database_changes(self.id).clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (taken, data) = match self.disk.take(By::Database) {
            Ok(state) => (Ok(state), data),
            // The room ends in the middle of a write; what a dead disk took is not durable anyway.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => (Err(error), &data[..data.len() / 2]),
            Err(error) => return Err(error),
        };
        let length = self.file.len()?;
        let old = self.read_some(offset, data.len() as u64)?;
        self.file.write(offset, data)?;
        let change = Change::Write { offset, length, old, new: data.to_vec() };
        match taken {
            Ok(mut state) => state.tree.database_changes(self.id).push(change),
            Err(full) => {
                self.disk.state().tree.database_changes(self.id).push(change);
                return Err(full);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// Undoes the changes that the last sync did not see, then makes some of them again, whole or in part.
pub(super) fn lose_power(path: &Path, changes: &[Change], random: &mut StdRng, losses: &mut Losses) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    for change in changes.iter().rev() {
        match change {
            Change::Write { offset, length, old, .. } => {
                file.write_all_at(old, *offset)?;
                file.set_len(*length)?;
            }
            Change::Length { old, new, cut } => {
                file.set_len(*old)?;
                file.write_all_at(cut, *new)?;
            }
        }
    }
    // Mostly a part; sometimes all or nothing.
    let kept = [0.0, 0.2, 0.5, 0.8, 0.95, 1.0][random.random_range(0..6)];
    for change in changes {
        if !random.random_bool(kept) {
            let is_torn = redo_some(&file, change, random)?;
            losses.changes += u64::from(!is_torn);
            losses.torn += u64::from(is_torn);
            continue;
        }
        match change {
            Change::Write { offset, new, .. } => file.write_all_at(new, *offset)?,
            Change::Length { new, .. } => file.set_len(*new)?,
        }
    }
    Ok(())
}

/// Makes none of a change again, or those sectors of it that were written; whether it is torn.
fn redo_some(file: &File, change: &Change, random: &mut StdRng) -> io::Result<bool> {
    let Change::Write { offset, new, .. } = change else { return Ok(false) };
    if random.random_bool(0.5) {
        return Ok(false);
    }
    let is_prefix = random.random_bool(0.5);
    let (mut at, mut written) = (0, 0);
    while at < new.len() {
        let place = offset + at as u64;
        let end = new.len().min(at + SECTOR - place as usize % SECTOR);
        if random.random_bool(0.5) {
            file.write_all_at(&new[at..end], place)?;
            written += end - at;
        } else if is_prefix {
            break;
        }
        at = end;
    }
    Ok((1..new.len()).contains(&written))
}
