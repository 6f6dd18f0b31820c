//! A database file that is read and never written.
//!
//! redb repairs a file after a kill and marks it as open, so it cannot open one that must not change. Here its writes
//! stay in memory, page by page, over the file.

use redb::StorageBackend;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PAGE_BYTES: u64 = 4096;

/// A file under what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// The length that redb sees.
    length: u64,
    /// How much of the file still shows: what was cut off and grown again is zero.
    file_length: u64,
    pages: HashMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Overlay { file, written: Mutex::new(Written { length, file_length: length, pages: HashMap::new() }) })
    }

    // A panic of redb leaves it as whole as it was: nothing here panics while it holds the lock.
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the file holds at `offset`, and zeros behind its end.
    fn read_file(&self, offset: u64, out: &mut [u8], file_length: u64) -> io::Result<()> {
        // Never more than `out.len()`.
        let from_file = file_length.saturating_sub(offset).min(out.len() as u64) as usize;
        let (from_file, behind) = out.split_at_mut(from_file);
        behind.fill(0);
        self.file.read_exact_at(from_file, offset)
    }
}

/// The parts of a range, page by page: the page's number, where in it the part begins, and where in the buffer.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at == length {
            return None;
        }
        let position = offset + at as u64;
        let within = (position % PAGE_BYTES) as usize;
        let end = length.min(at + PAGE_BYTES as usize - within);
        let part = (position / PAGE_BYTES, within, at..end);
        at = end;
        Some(part)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, within, part) in parts(offset, out.len()) {
            let out = &mut out[part];
            match written.pages.get(&page) {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + out.len()]),
                None => self.read_file(page * PAGE_BYTES + within as u64, out, written.file_length)?,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written();
        written.length = len;
        written.file_length = written.file_length.min(len);
        written.pages.retain(|page, _| page * PAGE_BYTES < len);
        if let Some(bytes) = written.pages.get_mut(&(len / PAGE_BYTES)) {
            bytes[(len % PAGE_BYTES) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        for (page, within, part) in parts(offset, data.len()) {
            if !written.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE_BYTES as usize].into_boxed_slice();
                self.read_file(page * PAGE_BYTES, &mut bytes, written.file_length)?;
                written.pages.insert(page, bytes);
            }
            if let Some(bytes) = written.pages.get_mut(&page) {
                bytes[within..within + part.len()].copy_from_slice(&data[part]);
            }
        }
        written.length = written.length.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = prop::collection::vec(any::<u8>(), 1..9000);
        prop_oneof![
            (0u64..20_000, bytes).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            (0u64..30_000).prop_map(Step::SetLen)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_overlay_reads_as_a_file_and_keeps_its_own(
            start in prop::collection::vec(any::<u8>(), 0..15_000),
            steps in prop::collection::vec(step(), 0..8),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            std::fs::write(&path, &start).unwrap();
            let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
            let mut expected = start.clone();
            for step in steps {
                match step {
                    Step::Write(at, bytes) => {
                        let end = at as usize + bytes.len();
                        expected.resize(expected.len().max(end), 0);
                        expected[at as usize..end].copy_from_slice(&bytes);
                        overlay.write(at, &bytes).unwrap();
                    }
                    Step::SetLen(length) => {
                        expected.resize(length as usize, 0);
                        overlay.set_len(length).unwrap();
                    }
                }
                let mut read = vec![1; overlay.len().unwrap() as usize];
                overlay.read(0, &mut read).unwrap();
                prop_assert!(read == expected);
                prop_assert!(overlay.read(expected.len() as u64, &mut [0]).is_err());
            }
            prop_assert!(std::fs::read(&path).unwrap() == start);
        }
    }
}
