//! A backup, and what waits for it.

use embedded::{Backup, BackupError, EmbeddedStorage};
use ports::{BackupProgress, BackupStage, BackupSummary};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, RwLock};

/// Locks that a backup takes to stop work that would remove something it copies. They are released when it ends, however it
/// ends.
#[derive(Clone, Default)]
pub struct Holds {
    /// Shared by trimming and merging; the backup's for as long as it copies.
    pub upkeep: Arc<RwLock<()>>,
    /// Held while a curated file is written and noted; the backup's while it copies the statistics.
    pub curating: Arc<Mutex<()>>,
}

/// Copies `storage` to `target`, while trimming, merging and curating wait as long as each has to. Blocking.
pub fn copy(
    storage: &EmbeddedStorage,
    target: &Path,
    holds: &Holds,
    progress: &dyn Fn(BackupProgress) -> bool,
) -> Result<BackupSummary, BackupError> {
    let mut backup = Backup::begin(storage, target, progress)?;
    progress(BackupProgress { stage: BackupStage::Waiting, position: 0, total: 0 });
    let upkeep = holds.upkeep.blocking_write();
    {
        let _curating = holds.curating.blocking_lock();
        backup.copy_statistics()?;
    }
    backup.copy_stream()?;
    backup.copy_archive()?;
    drop(upkeep);
    backup.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{background, curated, merging};
    use super::*;
    use curator::ParquetDelivery;
    use embedded::{ArchiveLimits, Options};
    use ports::contract::statistics_store::bare_attributes;
    use ports::{
        ArchiveFolder as _, Checkpoints as _, Clock, CuratedDelivery as _, CuratedRow, DeviceWrite, EventStream as _,
        Position, StatisticsAttributes, StatisticsItem, StatisticsStore as _, StreamEntry,
    };
    use std::time::Duration;
    use telemetry::{DeviceId, Timestamp};
    use tokio_util::sync::CancellationToken;

    /// Long enough for work that does not wait.
    const A_WHILE: Duration = Duration::from_millis(300);

    struct AtTheEpoch;

    impl Clock for AtTheEpoch {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    fn attributes() -> StatisticsAttributes {
        StatisticsAttributes { mean: Some(1.0), ..bare_attributes(1) }
    }

    fn open(folder: &std::path::Path) -> EmbeddedStorage {
        EmbeddedStorage::open(folder, Options { shards: 1, retention: Duration::ZERO, ..Options::default() }).unwrap()
    }

    fn curated_files(storage: &EmbeddedStorage) -> usize {
        storage.archive().keys("curated/").unwrap().len()
    }

    #[tokio::test]
    async fn trimming_waits_for_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, holds) = (open(folder.path()), Holds::default());
        let entry = StreamEntry::new("d".to_owned(), b"{}".to_vec());
        let put = storage.stream().put_records(vec![entry]).await.remove(0).unwrap();
        storage.archive_raw(ArchiveLimits::default(), true).await.unwrap();
        storage.checkpoints().save(&put.shard_id, put.sequence_number).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let kept = || async {
            let page = storage.stream().get_records(&put.shard_id, Position::TrimHorizon, 10).await;
            page.unwrap().records.len()
        };
        let backup = holds.upkeep.write().await;
        let trimming = background::trim_once(&storage, &holds);
        assert!(tokio::time::timeout(A_WHILE, trimming).await.is_err());
        assert_eq!(kept().await, 1);
        drop(backup);
        background::trim_once(&storage, &holds).await;
        assert_eq!(kept().await, 0);
    }

    #[tokio::test]
    async fn merging_waits_for_a_backup() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, holds) = (open(folder.path()), Holds::default());
        for device in ["a", "b"] {
            let row = CuratedRow { device_id: DeviceId::parse(device).unwrap(), revision: 1, statistics: attributes() };
            let delivery = ParquetDelivery::new(storage.archive(), AtTheEpoch);
            assert!(delivery.deliver(vec![row]).await[0].is_ok());
        }
        let backup = holds.upkeep.write().await;
        let cancelled = CancellationToken::new();
        let merging = tokio::spawn(merging::merge(storage.clone(), holds.clone(), cancelled.clone()));
        tokio::time::sleep(A_WHILE).await;
        assert_eq!(curated_files(&storage), 2);
        drop(backup);
        while curated_files(&storage) != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancelled.cancel();
        merging.await.unwrap();
    }

    #[tokio::test]
    async fn curating_waits_while_statistics_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, holds) = (open(folder.path()), Holds::default());
        let item = StatisticsItem { revision: 1, attributes: attributes(), state: vec![1] };
        let device_id = DeviceId::parse("d").unwrap();
        storage
            .statistics()
            .write(DeviceWrite { device_id, expected_revision: None, item, pages: vec![] })
            .await
            .unwrap();
        let backup = holds.curating.lock().await;
        assert!(tokio::time::timeout(A_WHILE, curated::curate_once(&storage, &holds)).await.is_err());
        assert_eq!(curated_files(&storage), 0);
        drop(backup);
        curated::curate_once(&storage, &holds).await;
        assert_eq!(curated_files(&storage), 1);
    }
}
