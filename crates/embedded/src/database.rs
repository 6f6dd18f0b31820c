//! One database file that outlives its own failures.
//!
//! After a failed read or write redb refuses everything (`PreviousIo`) until the file is opened again. So that a full
//! disk costs the operations that met it and not the process, the handle stands behind a lock of ours, and whoever
//! meets a failure opens the file again: the last commit that reached the disk is what it then holds.

use crate::StorageFailure;
use ports::catch_panic;
use redb::{Durability, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Opens the file; called again after every failure.
pub(crate) type Opener = Box<dyn Fn() -> Result<redb::Database, StorageFailure> + Send + Sync>;

pub(crate) struct Database {
    name: &'static str,
    opener: Opener,
    state: RwLock<State>,
}

struct State {
    handle: Handle,
    /// Counts the openings, so that of many that met one failure a single one opens the file again.
    generation: u64,
}

enum Handle {
    Open(redb::Database),
    Broken(StorageFailure),
    Closed,
}

impl Database {
    /// Opens the file through `opener`; `name` stands in log messages.
    pub(crate) fn open(name: &'static str, opener: Opener) -> Result<Self, StorageFailure> {
        let database = contained(name, &opener)?;
        Ok(Database { name, opener, state: RwLock::new(State { handle: Handle::Open(database), generation: 0 }) })
    }

    /// Runs `read` on a snapshot. A failure of the file, perhaps met by someone else, is mended and `read` runs once
    /// more. The lock is held meanwhile, so that no snapshot outlives its database: keep it short.
    pub(crate) fn read<T>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<T, StorageFailure>,
    ) -> Result<T, StorageFailure> {
        match self.try_read(&read) {
            Err((failure, generation)) if is_of_the_file(&failure) => {
                self.reopen(generation)?;
                let result = self.try_read(&read).map_err(|(failure, _)| failure);
                if let Err(failure) = &result
                    && failure.is_damage()
                {
                    tracing::error!(database = self.name, error = %root_cause(failure), "a database file is damaged");
                }
                result
            }
            result => result.map_err(|(failure, _)| failure),
        }
    }

    fn try_read<T>(
        &self,
        read: impl Fn(&ReadTransaction) -> Result<T, StorageFailure>,
    ) -> Result<T, (StorageFailure, u64)> {
        let state = self.shared();
        let result = match &state.handle {
            Handle::Open(database) => {
                contained(self.name, || database.begin_read().map_err(StorageFailure::from).and_then(|txn| read(&txn)))
            }
            Handle::Broken(failure) => Err(failure.clone()),
            Handle::Closed => Err(StorageFailure::Closed),
        };
        result.map_err(|failure| (failure, state.generation))
    }

    /// Runs `write` in a transaction and commits it to the disk. After a failure nothing of it stands, but for a commit
    /// whose last step failed: that one may stand whole.
    pub(crate) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, StorageFailure>,
    ) -> Result<T, StorageFailure> {
        let broken = match &*self.shared() {
            State { handle: Handle::Broken(_), generation } => Some(*generation),
            _ => None,
        };
        if let Some(generation) = broken {
            self.reopen(generation)?;
        }
        let (result, generation) = {
            let state = self.shared();
            let result = match &state.handle {
                Handle::Open(database) => contained(self.name, || commit(database, write)),
                Handle::Broken(failure) => Err(failure.clone()),
                Handle::Closed => Err(StorageFailure::Closed),
            };
            (result, state.generation)
        };
        if let Err(failure) = &result
            && is_of_the_file(failure)
        {
            let error = root_cause(failure);
            if failure.is_damage() {
                tracing::error!(database = self.name, %error, "a database file is damaged");
            } else {
                tracing::warn!(database = self.name, %error, "a write failed; reopening the database");
            }
            // Should this fail too, the next operation tries again.
            let _ = self.reopen(generation);
        }
        result
    }

    /// Opens the file again, unless someone has done so since `generation`.
    fn reopen(&self, generation: u64) -> Result<(), StorageFailure> {
        let mut state = self.exclusive();
        if state.generation != generation || matches!(state.handle, Handle::Closed) {
            return Ok(());
        }
        // The old handle holds the file's lock: it goes first. After a panic its own locks may be poisoned.
        let old = std::mem::replace(&mut state.handle, Handle::Broken(StorageFailure::Closed));
        let _ = catch_panic(|| drop(old));
        match contained(self.name, &self.opener) {
            Ok(database) => {
                state.handle = Handle::Open(database);
                state.generation += 1;
                Ok(())
            }
            Err(failure) => {
                state.handle = Handle::Broken(failure.clone());
                Err(failure)
            }
        }
    }

    /// Checks every page of the file, which takes as long as reading it.
    pub(crate) fn check_pages(&self) -> Result<(), StorageFailure> {
        let mut state = self.exclusive();
        let Handle::Open(database) = &mut state.handle else { return Err(StorageFailure::Closed) };
        match contained(self.name, || Ok(database.check_integrity()?)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StorageFailure::Damaged(format!("{}.redb: pages have wrong checksums", self.name).into())),
            Err(failure) => Err(failure),
        }
    }

    /// Closes the file, waiting for reads in progress. Everything afterwards fails with [`StorageFailure::Closed`].
    pub(crate) fn close(&self) {
        let handle = std::mem::replace(&mut self.exclusive().handle, Handle::Closed);
        if let Handle::Open(database) = handle
            && let Err(error) = contained(self.name, || Ok(database.close()?))
        {
            // Nothing is lost: every commit was on disk before it was answered.
            tracing::warn!(database = self.name, %error, "the database did not close cleanly");
        }
    }

    // A panic while the lock is held leaves a whole `State`: it is only ever assigned.
    fn shared(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Runs `work`; what panics in it, which is redb over a page that was changed behind its back, fails by itself.
fn contained<T>(name: &str, work: impl FnOnce() -> Result<T, StorageFailure>) -> Result<T, StorageFailure> {
    catch_panic(work).unwrap_or_else(|panic| Err(StorageFailure::Damaged(format!("{name}.redb: {panic}").into())))
}

/// One durable transaction.
///
/// Quick repair keeps the allocator's state with every commit: without it the first opening after a kill walks the
/// whole file (measured: 0.43-0.87 s for 500 MB, against 0.5-1.4 ms with it), and the time grows with the file. It
/// costs a second fsync a commit (measured: 0.25 ms -> 0.48 ms for 32 small records), which group commit shares.
fn commit<T>(
    database: &redb::Database,
    write: impl FnOnce(&WriteTransaction) -> Result<T, StorageFailure>,
) -> Result<T, StorageFailure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    let value = write(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Whether opening the file again may help.
fn is_of_the_file(failure: &StorageFailure) -> bool {
    matches!(failure, StorageFailure::Database(_) | StorageFailure::Damaged(_))
}

fn root_cause(failure: &StorageFailure) -> String {
    match failure {
        StorageFailure::Database(error) => error.to_string(),
        other => other.to_string(),
    }
}
