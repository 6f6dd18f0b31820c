//! A backup is a whole copy of one moment, and never harms what its target holds.

use embedded::{ArchiveLimits, Backup, BackupError, EmbeddedStorage, Options, StorageFailure};
use ports::contract::statistics_store::{bare_attributes, keys_starting_with, whole_ledger};
use ports::{
    Archive, ArchiveFolder as _, BackupProgress, BackupStage, BackupSummary, Checkpoints, DeadLetter, DeadLetterOrigin,
    DeadLetterQueue, DeviceWrite, EventStream, LedgerPageItem, StatisticsAttributes, StatisticsItem, StatisticsStore,
    StreamEntry,
};
use redb::ReadableDatabase as _;
use redrive::{DeadLetters as _, Letter, PageRequest};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::{DeviceId, RejectReason, Rejection, Timestamp};

const SHARD: &str = "shardId-000000000000";

fn open(folder: &Path) -> EmbeddedStorage {
    EmbeddedStorage::open(folder, Options { shards: 1, ..Options::default() }).expect("opened")
}

async fn put(storage: &EmbeddedStorage, second: u32) {
    let data = format!(r#"{{"device_id":"a","timestamp":"2026-01-31T12:00:{second:02}Z","value":1}}"#).into_bytes();
    let entry = StreamEntry::new("a".to_owned(), data);
    assert!(storage.stream().put_records(vec![entry]).await[0].is_ok());
}

async fn count(storage: &EmbeddedStorage, revision: u64) {
    let attributes = StatisticsAttributes { mean: Some(1.0), ..bare_attributes(revision) };
    let write = DeviceWrite {
        device_id: DeviceId::parse("a").expect("a name"),
        expected_revision: (revision > 1).then(|| revision - 1),
        item: StatisticsItem { revision, attributes, state: vec![1; 100] },
        pages: vec![LedgerPageItem { key: format!("ledger#{revision:05}"), page: vec![7; 300], expires_at: None }],
    };
    storage.statistics().write(write).await.expect("written");
    storage.checkpoints().save(&ports::ShardId(SHARD.to_owned()), revision.into()).await.expect("saved");
}

fn letter() -> DeadLetter {
    let now = Timestamp::parse("2026-01-31T12:00:00Z").expect("an instant");
    let origin = DeadLetterOrigin {
        stream: "streamgauge",
        shard_id: SHARD,
        sequence_number: "3",
        sub_sequence_number: None,
        index: None,
        partition_key: "a",
        arrived_at: now,
    };
    DeadLetter::new(&Rejection::new(RejectReason::MalformedJson, "not JSON"), b"{", origin, now)
}

/// Two counted readings, one dead letter, one pending reading; all but the last archived.
async fn fill(storage: &EmbeddedStorage) {
    for second in 0..3 {
        put(storage, second).await;
    }
    count(storage, 1).await;
    count(storage, 2).await;
    assert!(storage.dead_letters().send(vec![letter()]).await[0].is_ok());
    storage.checkpoints().save(&ports::ShardId(SHARD.to_owned()), 3.into()).await.expect("saved");
    storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
    Archive::put(&storage.archive(), "curated/dt=2026-01-31/1.parquet", vec![1; 10]).await.expect("put");
    put(storage, 3).await;
}

async fn back_up_with(
    storage: &EmbeddedStorage,
    target: &Path,
    progress: impl Fn(BackupProgress) -> bool + Send + 'static,
) -> Result<BackupSummary, BackupError> {
    let (storage, target) = (storage.clone(), target.to_owned());
    let run = move || {
        let mut backup = Backup::begin(&storage, &target, &progress)?;
        backup.copy_statistics()?;
        backup.copy_stream()?;
        backup.copy_archive()?;
        backup.finish()
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

async fn back_up(storage: &EmbeddedStorage, target: &Path) -> Result<BackupSummary, BackupError> {
    back_up_with(storage, target, |_| true).await
}

async fn refusal(storage: &EmbeddedStorage, target: &Path) -> String {
    match back_up(storage, target).await {
        Err(BackupError::Target(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_copy_holds_all_that_the_directory_held() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let target = target.path().join("backups/today");
    let storage = open(folder.path());
    fill(&storage).await;
    std::fs::write(folder.path().join("api-key"), "key\n").expect("written");
    let summary = back_up(&storage, &target).await.expect("a backup");
    assert_eq!((summary.devices, summary.records, summary.files_copied), (1, 4, 3));

    let copy = open(&target);
    assert_eq!(copy.warnings(), [""; 0], "its files belong together");
    let (mut found, mut expected) =
        (copy.accounting().await.expect("accounts"), storage.accounting().await.expect("accounts"));
    (found.backlog_age, expected.backlog_age) = Default::default();
    assert_eq!(found, expected);
    assert_eq!((found.accepted, found.counted, found.pending), (4, 2, 1));
    let device = DeviceId::parse("a").expect("a name");
    for prefix in ["", "ledger#"] {
        let keys = keys_starting_with(prefix);
        let pages = whole_ledger(&storage.statistics(), &device, &keys).await.expect("pages");
        assert_eq!(whole_ledger(&copy.statistics(), &device, &keys).await.expect("pages"), pages);
    }
    let one = PageRequest { limit: 1, ..PageRequest::default() };
    let page = copy.dead_letters().page(&one).await.expect("a page");
    assert_eq!(page.letters[0].letter, Letter::Rejected(letter()));
    let keys = storage.archive().keys("").expect("keys");
    assert_eq!(copy.archive().keys("").expect("keys"), keys);
    for key in keys {
        assert_eq!(copy.archive().get(&key).await.expect("a file"), storage.archive().get(&key).await.expect("a file"));
    }
    assert_eq!(std::fs::read_to_string(target.join("api-key")).expect("the key"), "key\n");
    for (name, mode) in [("", 0o700), ("stream.redb", 0o600), ("statistics.redb", 0o600), ("api-key", 0o600)] {
        let found = std::fs::metadata(target.join(name)).expect(name).permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
}

#[tokio::test]
async fn what_comes_between_the_snapshots_is_pending_in_the_copy() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    fill(&storage).await;
    let (runtime, original) = (tokio::runtime::Handle::current(), storage.clone());
    let between = AtomicU64::new(0);
    back_up_with(&storage, target.path(), move |progress| {
        if progress.stage == BackupStage::Stream && between.fetch_add(1, Ordering::SeqCst) == 0 {
            // The stream's snapshot has begun; what follows is in neither.
            runtime.block_on(put(&original, 9));
        }
        if progress.stage == BackupStage::Statistics && progress.position == 0 && between.load(Ordering::SeqCst) == 0 {
            runtime.block_on(put(&original, 8));
        }
        true
    })
    .await
    .expect("a backup");
    let accepted = storage.accounting().await.expect("accounts").accepted;
    let copy = open(target.path());
    let accounts = copy.accounting().await.expect("accounts");
    assert_eq!(accounts.accepted, accepted - 1);
    assert_eq!((accounts.counted, accounts.pending), (2, accounts.accepted - 3));
    assert!(accounts.pending >= 2);
}

#[tokio::test]
async fn a_second_run_copies_what_is_new_and_drops_what_was_merged() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    fill(&storage).await;
    back_up(&storage, target.path()).await.expect("a backup");

    storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
    let archive = storage.archive();
    archive.delete("curated/dt=2026-01-31/1.parquet").expect("deleted");
    Archive::put(&archive, "curated/dt=2026-01-31/merged-1.parquet", vec![2; 20]).await.expect("put");
    let summary = back_up(&storage, target.path()).await.expect("a backup");
    assert_eq!((summary.files_copied, summary.files_kept, summary.files_removed), (2, 2, 1));
    let copy = open(target.path());
    assert_eq!(copy.archive().keys("").expect("keys"), archive.keys("").expect("keys"));
}

#[tokio::test]
async fn a_damaged_original_costs_the_earlier_backup_nothing() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    fill(&storage).await;
    back_up(&storage, target.path()).await.expect("a backup");
    let copy = target.path().join("archive/curated/dt=2026-01-31/1.parquet");
    let good = std::fs::read(&copy).expect("a copy");
    let original = folder.path().join("archive/curated/dt=2026-01-31/1.parquet");
    std::fs::write(&original, b"").expect("truncated");
    let failed = back_up(&storage, target.path()).await.expect_err("a file that changed");
    assert!(matches!(&failed, BackupError::Differs(why) if why.contains("1.parquet")), "{failed}");
    assert_eq!(std::fs::read(&copy).expect("a copy"), good);
    // No merged file has its rows.
    std::fs::remove_file(&original).expect("removed");
    let summary = back_up(&storage, target.path()).await.expect("a backup");
    assert_eq!(summary.files_removed, 0);
    assert_eq!(std::fs::read(&copy).expect("a copy"), good);
}

#[tokio::test]
async fn a_stopped_run_leaves_the_earlier_backup_and_is_finished_later() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    fill(&storage).await;
    back_up(&storage, target.path()).await.expect("a backup");
    let before = std::fs::read(target.path().join("stream.redb")).expect("a copy");
    put(&storage, 4).await;
    for last in [BackupStage::Statistics, BackupStage::Stream, BackupStage::Archive, BackupStage::Verification] {
        put(&storage, 5).await;
        storage.archive_raw(ArchiveLimits::default(), true).await.expect("archived");
        let stopped = back_up_with(&storage, target.path(), move |progress| progress.stage != last).await;
        assert!(matches!(stopped, Err(BackupError::Stopped)), "{last:?}: {stopped:?}");
        assert_eq!(std::fs::read(target.path().join("stream.redb")).expect("a copy"), before, "{last:?}");
    }
    let summary = back_up(&storage, target.path()).await.expect("a backup");
    assert_eq!(summary.records, 9);
    assert_eq!(open(target.path()).accounting().await.expect("accounts").accepted, 9);
}

#[tokio::test]
async fn a_target_that_is_no_backup_of_this_directory_is_refused() {
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage).await;
    for target in [&data, folder.path(), &data.join("archive/x"), &folder.path().join("none/../data/y")] {
        let why = refusal(&storage, target).await;
        assert!(why.contains("in each other") || why.contains("without `..`"), "{why}");
    }
    std::os::unix::fs::symlink(&data, other.path().join("link")).expect("a link");
    let why = refusal(&storage, &other.path().join("link/z")).await;
    assert!(why.contains("in each other"), "{why}");
    let why = refusal(&storage, other.path()).await;
    assert!(why.contains("is not empty"), "{why}");
    assert!(!other.path().join("backup.json").exists());

    let (elsewhere, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    std::thread::sleep(std::time::Duration::from_millis(2));
    back_up(&open(elsewhere.path()), target.path()).await.expect("a backup");
    let why = refusal(&storage, target.path()).await;
    assert!(why.contains("of another data directory"), "{why}");
}

#[tokio::test]
async fn a_backup_that_is_in_use_or_has_readings_is_refused() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    fill(&storage).await;
    back_up(&storage, target.path()).await.expect("a backup");
    let copy = open(target.path());
    let why = refusal(&storage, target.path()).await;
    assert!(why.contains("in use"), "{why}");
    copy.close().await;
    back_up(&storage, target.path()).await.expect("looking at it changes nothing");

    let copy = open(target.path());
    put(&copy, 9).await;
    copy.close().await;
    let why = refusal(&storage, target.path()).await;
    assert!(why.contains("took readings"), "{why}");
}

#[tokio::test]
async fn the_copied_stream_begins_a_new_epoch_each_time() {
    let (folder, targets) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut source = folder.path().to_owned();
    for epoch in 1..=2 {
        let storage = open(&source);
        put(&storage, epoch as u32).await;
        let target = targets.path().join(epoch.to_string());
        back_up(&storage, &target).await.expect("a backup");
        let meta: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("meta");
        let stream = redb::Database::open(target.join("stream.redb")).expect("opened");
        let table = stream.begin_read().expect("begun").open_table(meta).expect("a table");
        assert_eq!(table.get("epoch").expect("a read").map(|stored| stored.value()), Some(epoch));
        storage.close().await;
        source = target;
    }
}

#[tokio::test]
async fn a_table_that_is_not_copied_fails_the_backup() {
    for name in ["statistics.redb", "stream.redb"] {
        let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        open(folder.path()).close().await;
        let table: redb::TableDefinition<u64, u64> = redb::TableDefinition::new("of_another_version");
        let database = redb::Database::open(folder.path().join(name)).expect("opened");
        let transaction = database.begin_write().expect("begun");
        transaction.open_table(table).expect("a table").insert(1, 1).expect("inserted");
        transaction.commit().expect("committed");
        drop(database);
        let failed = back_up(&open(folder.path()), target.path()).await;
        let Err(BackupError::Source(StorageFailure::Corrupt(what))) = failed else { panic!("{failed:?}") };
        assert!(what.contains("`of_another_version`"), "{what}");
        assert!(!target.path().join(name).exists());
    }
}

#[tokio::test]
async fn large_tables_are_copied_in_parts() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    for _ in 0..30 {
        let entry = || StreamEntry::new("a".to_owned(), vec![b'x'; 1 << 19]);
        let results = storage.stream().put_records(vec![entry(), entry()]).await;
        assert!(results.iter().all(Result::is_ok));
    }
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let summary = back_up_with(&storage, target.path(), move |progress| {
        counted.fetch_add(u64::from(progress.stage == BackupStage::Stream), Ordering::SeqCst);
        true
    });
    assert_eq!(summary.await.expect("a backup").records, 60);
    assert!(steps.load(Ordering::SeqCst) >= 6, "{steps:?}");
    assert_eq!(open(target.path()).accounting().await.expect("accounts").accepted, 60);
}

#[tokio::test]
async fn a_full_disk_at_the_target_is_named_and_costs_nothing_else() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let storage = open(folder.path());
    fill(&storage).await;
    std::fs::write(folder.path().join("api-key"), "key\n").expect("written");
    back_up(&storage, target.path()).await.expect("a backup");
    for name in ["statistics.redb.partial", "stream.redb.partial"] {
        // Whatever is written there finds the disk full.
        std::os::unix::fs::symlink("/dev/full", target.path().join(name)).expect("a link");
        let failed = back_up(&storage, target.path()).await.expect_err("a full disk");
        let message = ports::with_causes(&failed);
        assert!(message.contains("cannot copy to") && message.contains(name.trim_end_matches(".partial")), "{message}");
        std::fs::remove_file(target.path().join(name)).expect("removed");
        put(&storage, 7).await;
    }
    assert_eq!(back_up(&storage, target.path()).await.expect("a backup").records, 6);
}
