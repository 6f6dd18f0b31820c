//! A disk for tests: it can be full, and it can lose power.
//!
//! Everything is written to a real folder, so that reads are ordinary reads. The disk notes what is not durable yet; a
//! sync clears these notes and does nothing else. When the power is lost, a part of what is noted, chosen by a seed, is
//! lost or torn, as POSIX allows: a file's bytes are durable after its sync, a name after its folder's.

mod database;
mod losses;
mod tree;

use crate::files::{Files, NewFile};
use crate::storage::OpenFile;
pub(crate) use losses::Losses;
use rand::rngs::StdRng;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use tree::Tree;

/// A disk. Clones share it.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

struct State {
    tree: Tree,
    /// How many more changes and syncs it takes.
    left: u64,
    /// Only those of files that are no databases count.
    only_files: bool,
    when_used_up: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    Full,
    Dead,
}

/// Whose operation it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Database,
    Files,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// A healthy one, in `folder`, which is there.
    pub(crate) fn new(folder: &Path) -> Self {
        let state = State { tree: Tree::new(folder), left: u64::MAX, only_files: false, when_used_up: Fault::Full };
        Disk(Arc::new(Mutex::new(state)))
    }

    /// Is full after this many operations.
    pub(crate) fn full_after(&self, operations: u64) {
        let mut state = self.state();
        (state.left, state.only_files, state.when_used_up) = (operations, false, Fault::Full);
    }

    /// Fails for ever with this operation, counted from 1; `only_files` leaves out those of databases.
    pub(crate) fn dies_at(&self, operation: u64, only_files: bool) {
        let mut state = self.state();
        (state.left, state.only_files, state.when_used_up) = (operation, only_files, Fault::Dead);
    }

    /// Does not die before [`Disk::resume`] is given what this returns.
    pub(crate) fn pause(&self) -> (u64, Fault) {
        let mut state = self.state();
        let countdown = (state.left, state.when_used_up);
        (state.left, state.when_used_up) = (u64::MAX, Fault::Full);
        countdown
    }

    /// Goes on with the countdown.
    pub(crate) fn resume(&self, countdown: (u64, Fault)) {
        let mut state = self.state();
        (state.left, state.when_used_up) = countdown;
    }

    /// Has room again, or is back after a kill: nothing is lost, and nothing has become durable.
    pub(crate) fn works_again(&self) {
        self.full_after(u64::MAX);
    }

    /// Loses a part of what is not durable, and works again. Nobody may have a file open.
    pub(crate) fn lose_power(&self, random: &mut StdRng) -> Losses {
        let losses = self.state().tree.lose_power(random).expect("the folder is ours");
        self.works_again();
        losses
    }

    /// Whether everything fails from now on.
    pub(crate) fn is_dead(&self) -> bool {
        let state = self.state();
        state.left == 0 && state.when_used_up == Fault::Dead
    }

    /// Opens databases on this disk.
    pub(crate) fn open_file(&self) -> OpenFile {
        let disk = self.clone();
        Arc::new(move |path: &Path, cache_bytes| {
            let file = database::open(&disk, path)?;
            Ok(redb::Database::builder().set_cache_size(cache_bytes).create_with_backend(file)?)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that has panicked has failed.
        self.0.lock().expect("no panic")
    }

    /// For reads: they need no room.
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.is_dead() {
            return Err(io::Error::other("the disk is dead"));
        }
        Ok(self.state())
    }

    /// For changes and syncs.
    fn take(&self, by: By) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive()?;
        if by == By::Database && state.only_files {
            return Ok(state);
        }
        if state.left == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        state.left -= 1;
        if state.left == 0 && state.when_used_up == Fault::Dead {
            return Err(io::Error::other("the disk has died"));
        }
        Ok(state)
    }
}

impl Files for Disk {
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.take(By::Files)?;
        let file = File::create_new(path)?;
        let id = state.tree.create_file(path);
        Ok(Box::new(FileOnDisk { disk: self.clone(), file, id }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.take(By::Files)?;
        fs::rename(from, to)?;
        state.tree.rename(from, to);
        Ok(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.take(By::Files)?;
        fs::create_dir(path)?;
        state.tree.create_folder(path);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.take(By::Files)?;
        fs::metadata(path)?;
        state.tree.sync_folder(path);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.take(By::Files)?;
        state.tree.remove(path)
    }
}

struct FileOnDisk {
    disk: Disk,
    file: File,
    id: losses::Id,
}

impl Write for FileOnDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.take(By::Files)?;
        self.file.write_all(bytes)?;
        state.tree.append(self.id, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for FileOnDisk {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.take(By::Files)?.tree.sync_file(self.id);
        Ok(())
    }
}

/// Without these a schedule would show nothing.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{make_folders, write_file_with};
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    fn write(disk: &Disk, path: &Path, bytes: &[u8]) -> Box<dyn NewFile> {
        let mut file = disk.create_file(path).expect("created");
        file.write_all(bytes).expect("written");
        file
    }

    /// What is found after each of many losses of power: all that there can be.
    fn after_losses(prepare: impl Fn(&Disk, &Path)) -> BTreeSet<Vec<(String, usize)>> {
        let outcome = |seed| {
            let folder = tempfile::tempdir().expect("a folder");
            let disk = Disk::new(folder.path());
            prepare(&disk, folder.path());
            disk.lose_power(&mut StdRng::seed_from_u64(seed));
            let mut found = Vec::new();
            for name in ["a", "b", "folder/c"] {
                if let Ok(bytes) = fs::read(folder.path().join(name)) {
                    // Bytes that were never written are zero.
                    found.push((name.to_owned(), bytes.iter().filter(|byte| **byte == 1).count()));
                }
            }
            found
        };
        (0..200).map(outcome).collect()
    }

    fn only(found: &[(&str, usize)]) -> BTreeSet<Vec<(String, usize)>> {
        BTreeSet::from([found.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()])
    }

    #[test]
    fn only_what_was_synced_survives_for_sure() {
        let synced = after_losses(|disk, folder| {
            write(disk, &folder.join("a"), &[1; 2000]).sync().expect("synced");
            disk.sync_folder(folder).expect("synced");
        });
        assert_eq!(synced, only(&[("a", 2000)]));
        let only_the_name = after_losses(|disk, folder| {
            write(disk, &folder.join("a"), &[1; 2000]);
            disk.sync_folder(folder).expect("synced");
        });
        assert!(only_the_name.len() > 10 && only_the_name.iter().all(|found| found.len() == 1), "{only_the_name:?}");
        let only_the_bytes = after_losses(|disk, folder| {
            write(disk, &folder.join("a"), &[1; 2000]).sync().expect("synced");
        });
        assert_eq!(only_the_bytes, &only(&[]) | &only(&[("a", 2000)]));
    }

    #[test]
    fn a_renamed_file_keeps_a_name() {
        let renamed = after_losses(|disk, folder| {
            write(disk, &folder.join("a"), &[1; 10]).sync().expect("synced");
            disk.sync_folder(folder).expect("synced");
            disk.rename(&folder.join("a"), &folder.join("b")).expect("renamed");
        });
        let both = only(&[("a", 10), ("b", 10)]);
        assert_eq!(renamed, &(&only(&[("a", 10)]) | &only(&[("b", 10)])) | &both);
    }

    #[test]
    fn a_replaced_file_is_the_old_one_or_the_new_one() {
        let replaced = after_losses(|disk, folder| {
            for (name, length) in [("b", 10), ("a", 20)] {
                write(disk, &folder.join(name), &vec![1; length]).sync().expect("synced");
                disk.sync_folder(folder).expect("synced");
            }
            disk.rename(&folder.join("a"), &folder.join("b")).expect("renamed");
        });
        let undone = only(&[("a", 20), ("b", 10)]);
        assert_eq!(replaced, &(&undone | &only(&[("b", 20)])) | &only(&[("a", 20), ("b", 20)]));
    }

    #[test]
    fn made_folders_are_not_lost() {
        let kept = after_losses(|disk, folder| {
            make_folders(disk, &folder.join("folder")).expect("made");
            write_file_with(disk, &folder.join("folder/c"), &[1; 10]).expect("written");
        });
        assert_eq!(kept, only(&[("folder/c", 10)]));
    }

    #[test]
    fn a_lost_folder_takes_its_files_with_it() {
        let lost = after_losses(|disk, folder| {
            disk.create_folder(&folder.join("folder")).expect("created");
            write(disk, &folder.join("folder/c"), &[1; 10]).sync().expect("synced");
            disk.sync_folder(&folder.join("folder")).expect("synced");
        });
        assert_eq!(lost, &only(&[]) | &only(&[("folder/c", 10)]));
    }
}
