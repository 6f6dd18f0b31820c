//! The exclusive use of a data directory.

use crate::OpenError;
use crate::files::{Files, make_folders};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The exclusive use of a data directory. It ends with the process, however that ends.
pub(crate) struct DirectoryLock(File);

impl DirectoryLock {
    pub(crate) fn acquire(directory: &Path, files: &dyn Files) -> Result<Self, OpenError> {
        let io_error = |path: &Path| {
            let path = PathBuf::from(path);
            move |source| OpenError::Io { path, source }
        };
        make_folders(files, directory).map_err(io_error(directory))?;
        let path = directory.join("lock");
        let file = private_file().open(&path).map_err(io_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked { directory: directory.to_owned() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
        }
    }

    pub(crate) fn release(&self) {
        // It also ends when the file is closed.
        let _ = self.0.unlock();
    }
}

/// A file to write, made if there is none, for its owner alone.
pub(crate) fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
