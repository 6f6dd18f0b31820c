//! The contract suite of the ports, over a data directory.

use embedded::{EmbeddedStorage, Options};
use tempfile::TempDir;

/// Kept until the test ends.
struct Guard {
    _storage: EmbeddedStorage,
    _folder: TempDir,
}

fn storage() -> (EmbeddedStorage, Guard) {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = EmbeddedStorage::open(folder.path(), Options::default()).expect("a new directory");
    (storage.clone(), Guard { _storage: storage, _folder: folder })
}

mod checkpoints {
    async fn make() -> (embedded::EmbeddedCheckpoints, super::Guard) {
        let (storage, guard) = super::storage();
        (storage.checkpoints(), guard)
    }

    ports::checkpoints_contract!(make);
}
