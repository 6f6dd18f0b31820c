//! The archive: objects as files, each under its key.

use crate::StorageFailure;
use crate::files::{self, Files, NewFile, OsFiles};
use ports::{Archive, ArchiveError, ArchiveFolder};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where objects grow before they have their name; in the same file system, so that the rename is atomic.
const TEMPORARY: &str = ".tmp";
/// The mark of the last start ([`crate::binding`]).
pub(crate) const MARK: &str = ".run";
/// S3's limit, in bytes.
const KEY_BYTES_MAX: usize = 1024;
/// The longest name of a file on the usual file systems, in bytes.
const SEGMENT_BYTES_MAX: usize = 255;

/// Objects as files under one folder. Clones share it.
///
/// A key's segments become folders, so `a` and `a/b` cannot both be objects; the second is refused as an invalid key.
#[derive(Debug, Clone)]
pub struct FileArchive {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    files: Arc<dyn Files>,
    /// Names temporary files.
    temporaries: AtomicU64,
    /// Folders whose names are known to be durable, up to the root.
    durable_folders: Mutex<BTreeSet<PathBuf>>,
}

impl Shared {
    /// Makes a folder of the archive, and those above it, unless they are there. That a folder is there does not make it
    /// durable: whoever made it may have been killed before its name was on disk.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        // Held throughout: no second caller takes a folder for durable that the first has only just made.
        let mut durable = self.durable_folders.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_durable(&mut durable, folder)
    }

    fn make_durable(&self, durable: &mut BTreeSet<PathBuf>, folder: &Path) -> io::Result<()> {
        // Someone may have removed the archive since it was durable.
        if durable.contains(folder) && folder.is_dir() {
            return Ok(());
        }
        durable.remove(folder);
        let parent = files::parent(folder);
        if folder == self.root {
            files::make_folders(&*self.files, parent)?;
        } else {
            self.make_durable(durable, parent)?;
        }
        files::create_if_missing(&*self.files, folder)?;
        self.files.sync_folder(parent)?;
        durable.insert(folder.to_owned());
        Ok(())
    }
}

impl FileArchive {
    /// Opens the archive in `root`, makes the folder if there is none, and removes what unfinished writes have left.
    ///
    /// # Errors
    /// The file system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        Self::open_with(root, Arc::new(OsFiles))
    }

    /// As [`FileArchive::open`], with the changes made by `files`.
    pub(crate) fn open_with(root: &Path, files: Arc<dyn Files>) -> io::Result<Self> {
        let shared =
            Shared { root: root.to_owned(), files, temporaries: AtomicU64::new(0), durable_folders: Mutex::default() };
        let temporary = root.join(TEMPORARY);
        shared.make_folder(&temporary)?;
        for entry in fs::read_dir(&temporary)? {
            shared.files.remove_file(&entry?.path())?;
        }
        Ok(FileArchive { shared: Arc::new(shared) })
    }

    /// The folder that holds the objects.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Begins an object whose key is not yet known. Blocking.
    pub(crate) fn begin(&self) -> io::Result<UnnamedObject> {
        let number = self.shared.temporaries.fetch_add(1, Ordering::Relaxed);
        let folder = self.shared.root.join(TEMPORARY);
        let path = folder.join(number.to_string());
        let file = match self.shared.files.create_file(&path) {
            // Someone has removed the archive while the process runs.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.shared.make_folder(&folder)?;
                self.shared.files.create_file(&path)?
            }
            file => file?,
        };
        Ok(UnnamedObject { file, path, archive: self.clone(), published: false })
    }

    /// The mark that [`FileArchive::write_mark`] wrote, if any.
    pub(crate) fn read_mark(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.shared.root.join(MARK)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    /// Writes the mark, durably, whole or not at all.
    pub(crate) fn write_mark(&self, bytes: &[u8]) -> io::Result<()> {
        let mut object = self.begin()?;
        object.file.write_all(bytes)?;
        object.publish_at(&self.shared.root.join(MARK))
    }

    /// Moves the curated files to a folder of another name, `curated-before-N`; its name, or `None` where there are none.
    pub(crate) fn set_curated_aside(&self, number: u64) -> io::Result<Option<String>> {
        let name = format!("curated-before-{number}");
        let Shared { files, root, .. } = &*self.shared;
        match files.rename(&root.join("curated"), &root.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            renamed => renamed.and_then(|()| files.sync_folder(root)).map(|()| Some(name)),
        }
    }

    /// As [`Archive::put`]. Blocking.
    pub(crate) fn put_blocking(&self, key: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut object = self.begin().map_err(unavailable)?;
        object.file.write_all(bytes).map_err(unavailable)?;
        object.publish(key)
    }

    /// As [`Archive::list`]. Blocking.
    pub(crate) fn list_blocking(&self, prefix: &str, after: Option<&str>, limit: usize) -> io::Result<Vec<String>> {
        let mut listing = Listing { prefix, after: after.unwrap_or_default(), limit, keys: Vec::new() };
        if limit > 0 {
            listing.walk(&self.shared.root, "")?;
        }
        Ok(listing.keys)
    }

    fn path(&self, key: &str) -> Result<PathBuf, ArchiveError> {
        let segment_is_valid = |segment: &str| {
            !matches!(segment, "" | "." | "..") && segment.len() <= SEGMENT_BYTES_MAX && !segment.contains(['\0', '\\'])
        };
        let valid = key.len() <= KEY_BYTES_MAX
            && key.split('/').all(segment_is_valid)
            && key.split('/').next().is_none_or(|first| ![TEMPORARY, MARK].contains(&first));
        if valid { Ok(self.shared.root.join(key)) } else { Err(ArchiveError::InvalidKey(key.to_owned())) }
    }
}

/// An object that grows under a temporary name, and is removed unless it gets its key.
pub(crate) struct UnnamedObject {
    pub(crate) file: Box<dyn NewFile>,
    path: PathBuf,
    archive: FileArchive,
    published: bool,
}

impl UnnamedObject {
    /// Makes what was written durable, then visible under `key`, then makes that durable too.
    pub(crate) fn publish(self, key: &str) -> Result<(), ArchiveError> {
        let target = self.archive.path(key)?;
        self.publish_at(&target).map_err(|error| archive_error(key, error))
    }

    fn publish_at(mut self, target: &Path) -> io::Result<()> {
        let shared = &self.archive.shared;
        shared.make_folder(files::parent(target))?;
        files::publish(&*shared.files, self.file.as_mut(), &self.path, target)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for UnnamedObject {
    fn drop(&mut self) {
        if !self.published {
            // It may have been renamed before the failure, or the disk may be gone; opening removes what is left.
            let _ = self.archive.shared.files.remove_file(&self.path);
        }
    }
}

impl Archive for FileArchive {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let (archive, key) = (self.clone(), key.to_owned());
        blocking(move || archive.put_blocking(&key, &bytes)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        let (path, key) = (self.path(key)?, key.to_owned());
        let read = move || match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            // `a/b` is absent where `a` is an object, and `a` where it is a folder.
            Err(error) if is_shape(&error) || error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(archive_error(&key, error)),
        };
        blocking(read).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, ArchiveError> {
        let (archive, prefix, after) = (self.clone(), prefix.to_owned(), after.map(str::to_owned));
        blocking(move || archive.list_blocking(&prefix, after.as_deref(), limit).map_err(unavailable)).await
    }
}

impl ArchiveFolder for FileArchive {
    fn keys(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.list_blocking(prefix, None, usize::MAX)
    }

    fn open(&self, key: &str) -> io::Result<File> {
        File::open(self.path(key).map_err(io::Error::other)?)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        self.put_blocking(key, bytes).map_err(io::Error::other)
    }

    fn sync(&self, key: &str) -> io::Result<()> {
        let path = self.path(key).map_err(io::Error::other)?;
        let folder = files::parent(&path);
        self.shared.make_folder(folder)?;
        self.shared.files.sync_folder(folder)
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        self.shared.files.remove_file(&self.path(key).map_err(io::Error::other)?)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ArchiveError::Unavailable(StorageFailure::Unanswered.boxed())))
}

struct Listing<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    keys: Vec<String>,
}

impl Listing<'_> {
    /// Visits a folder's entries in the byte order of the keys below them, passing over what cannot match.
    fn walk(&mut self, folder: &Path, base: &str) -> io::Result<()> {
        let mut entries = Vec::new();
        let folder_entries = match fs::read_dir(folder) {
            // Someone has removed it: nothing is there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in folder_entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if base.is_empty() && [TEMPORARY, MARK].contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                // The slash takes part in the order: `a-b` comes before `a/b`.
                name.push('/');
            } else if !kind.is_file() {
                continue;
            }
            let key = format!("{base}{name}");
            let may_match = key.starts_with(self.prefix) || (kind.is_dir() && self.prefix.starts_with(&key));
            let may_follow = key.as_str() > self.after || (kind.is_dir() && self.after.starts_with(&key));
            if may_match && may_follow {
                entries.push(key);
            }
        }
        entries.sort_unstable();
        for key in entries {
            if self.keys.len() == self.limit {
                break;
            }
            if key.ends_with('/') {
                self.walk(&folder.join(&key[base.len()..]), &key)?;
            } else {
                self.keys.push(key);
            }
        }
        Ok(())
    }
}

/// Whether a file stands where the key needs a folder, or the other way round.
fn is_shape(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists)
}

fn archive_error(key: &str, error: io::Error) -> ArchiveError {
    if is_shape(&error) { ArchiveError::InvalidKey(key.to_owned()) } else { unavailable(error) }
}

fn unavailable(error: io::Error) -> ArchiveError {
    ArchiveError::Unavailable(StorageFailure::from(error).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn objects_and_their_folders_are_for_their_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("archive");
        let archive = FileArchive::open(&root).expect("an archive");
        archive.put_blocking("raw/dt=2026-01-31/a.gz", b"a").expect("put");
        for (path, expected) in [
            ("", 0o700),
            (".tmp", 0o700),
            ("raw", 0o700),
            ("raw/dt=2026-01-31", 0o700),
            ("raw/dt=2026-01-31/a.gz", 0o600),
        ] {
            assert_eq!(mode(&root.join(path)), expected, "{path:?}");
        }
    }

    #[test]
    fn a_removed_archive_is_made_again_by_the_next_write() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("archive");
        let archive = FileArchive::open(&root).expect("an archive");
        archive.put_blocking("raw/a", b"a").expect("put");
        fs::remove_dir_all(&root).expect("removed");
        assert_eq!(archive.list_blocking("", None, 10).expect("a list"), [""; 0]);
        archive.put_blocking("raw/a", b"again").expect("put");
        assert_eq!(fs::read(root.join("raw/a")).expect("an object"), b"again");
        assert_eq!(archive.list_blocking("", None, 10).expect("a list"), ["raw/a"]);
    }
}
