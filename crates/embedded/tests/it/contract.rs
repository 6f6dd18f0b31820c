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

mod event_stream {
    async fn make() -> (embedded::EmbeddedStream, super::Guard) {
        let (storage, guard) = super::storage();
        (storage.stream(), guard)
    }

    ports::event_stream_contract!(make);
}

mod statistics_store {
    async fn make() -> (embedded::EmbeddedStatisticsStore, super::Guard) {
        let (storage, guard) = super::storage();
        (storage.statistics(), guard)
    }

    ports::statistics_store_contract!(make);
}

mod archive {
    async fn make() -> (embedded::FileArchive, super::Guard) {
        let (storage, guard) = super::storage();
        (storage.archive(), guard)
    }

    ports::archive_contract!(make);
}

mod dead_letter_queue {
    use embedded::EmbeddedDeadLetterQueue;
    use ports::DeadLetter;
    use redrive::{Letter, PageRequest, QueueError, every_page};

    async fn make() -> (EmbeddedDeadLetterQueue, super::Guard) {
        let (storage, guard) = super::storage();
        (storage.dead_letters(), guard)
    }

    /// Every letter, in small pages.
    async fn received(queue: &EmbeddedDeadLetterQueue) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        let ten = PageRequest { limit: 10, ..PageRequest::default() };
        let look = |page: Vec<Letter>| -> Result<(), QueueError> {
            letters.extend(page.into_iter().filter_map(|letter| match letter {
                Letter::Rejected(letter) => Some(letter),
                _ => None,
            }));
            Ok(())
        };
        every_page(queue, ten, look).await.expect("every page");
        letters
    }

    ports::dead_letter_queue_contract!(make, received);
}
