//! The changes that archive, curated files and key files make to the file system.
//!
//! Reading stays `std::fs`. Changes go through [`Files`], so that a test can put a disk below them that loses what was
//! not made durable.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Changes to a file system. All of them block.
pub(crate) trait Files: fmt::Debug + Send + Sync {
    /// Creates an empty file that only its owner may use; fails where there is one.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Gives a file another name, replacing the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates a folder that only its owner may use; fails where there is one.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
}

/// A file that is being written.
pub(crate) trait NewFile: Write + Send {
    /// Makes what was written durable; the file's name is not.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug)]
pub(crate) struct OsFiles;

impl Files for OsFiles {
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(File::options().write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

impl NewFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Writes a file that only its owner may use, whole or not at all, replacing what was there. Durable when it returns.
/// Blocking; one caller at a time for each path.
///
/// # Errors
/// The file system's.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_file_with(&OsFiles, path, bytes)
}

/// Gives a complete folder its final name, durably. The files in it must be durable already. Blocking.
///
/// # Errors
/// The file system's.
pub fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    OsFiles.sync_folder(from)?;
    OsFiles.rename(from, to)?;
    OsFiles.sync_folder(parent(to))
}

/// As [`write_file`], on `files`.
pub(crate) fn write_file_with(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    remove_if_there(files, &temporary)?;
    let mut file = files.create_file(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| publish(files, file.as_mut(), &temporary, path));
    if written.is_err() {
        // Also removed by the next call.
        let _ = files.remove_file(&temporary);
    }
    written
}

/// Makes a file's content durable, then gives it its name, then makes that durable too.
pub(crate) fn publish(files: &dyn Files, file: &mut dyn NewFile, temporary: &Path, target: &Path) -> io::Result<()> {
    file.sync()?;
    files.rename(temporary, target)?;
    files.sync_folder(parent(target))
}

/// Creates a folder and those above it that are missing, each durably in the one above.
pub(crate) fn make_folders(files: &dyn Files, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    make_folders(files, parent(folder))?;
    create_if_missing(files, folder)?;
    files.sync_folder(parent(folder))
}

/// Creates a folder unless someone else has.
pub(crate) fn create_if_missing(files: &dyn Files, folder: &Path) -> io::Result<()> {
    match files.create_folder(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Removes a file that an earlier process may have left.
pub(crate) fn remove_if_there(files: &dyn Files, path: &Path) -> io::Result<()> {
    match files.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The name under which a file is made, before it is renamed to `path`.
pub(crate) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_replaced_whole_and_only_its_owner_may_use_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        // What a process that was stopped has left.
        fs::write(folder.path().join("key.tmp"), "half").expect("a file");
        write_file(&path, b"one, long").expect("written");
        write_file(&path, b"two").expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"two");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn folders_are_made_down_to_the_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("a/b/c");
        make_folders(&OsFiles, &deep).expect("made");
        make_folders(&OsFiles, &deep).expect("made before");
        assert_eq!(fs::metadata(&deep).expect("a folder").permissions().mode() & 0o777, 0o700);
    }
}
